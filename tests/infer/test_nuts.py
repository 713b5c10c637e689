"""NUTS against a posterior known in closed form, exact and compressed; its seeds, chains, interruption and compilation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import bayesjoint as bj
from bayesjoint.infer import chains, nuts, running
from bayesjoint.infer.draws import Draws
from bayesjoint.infer.sampler import sample_program
from bayesjoint.report.statistics import arviz


@pytest.fixture(scope="module", params=["exact", "compressed"])
def linear(scene, request):
    """Images, fit and draws of the linear program, with the closed form of its posterior."""
    images = scene.linear(seed=1)
    fit = bj.fit_map(scene.linear_program, images)
    how = {"draws": 1000, "chains": 4, "warmup": 150, "seed": 3}
    draws = run(scene.linear_program, images, fit, request.param, **how)
    return images, fit, draws, closed_form(scene, images[0])


def run(program, images, fit, likelihood="exact", **options):
    return sample_program(program, (images,), fit, nuts.Tuning(**options), likelihood, progress=False)


def closed_form(scene, image):
    """Mean and covariance of (galaxy, star, sky): prior sd 3000, 3000, 1."""
    columns = scene.linear_columns(image).reshape(-1, 3)
    weighted = columns * image.invvar.reshape(-1, 1)
    covariance = np.linalg.inv(columns.T @ weighted + np.diag([3000.0**-2, 3000.0**-2, 1.0]))
    return covariance @ (weighted.T @ image.data.ravel()), covariance


def test_fit_is_the_closed_form(linear):
    _, fit, _, (mean, covariance) = linear
    assert np.allclose(fit.unconstrained, mean, atol=1e-4 * np.sqrt(np.diag(covariance)))
    assert np.allclose(fit.covariance, covariance, rtol=1e-6)


def test_draws_follow_the_closed_form(linear):
    *_, draws, truth = linear
    check_against(truth, draws)


def check_against(truth, draws):
    """Whitened by the true posterior the draws are a standard normal: means, covariance and whole distribution."""
    mean, covariance = truth
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, (draws.unconstrained.reshape(-1, 3) - mean).T)
    ess = np.array([arviz().ess(w.reshape(4, -1)) for w in white])
    assert ess.min() > 1500
    assert np.all(np.abs(white.mean(axis=1)) < 4 / np.sqrt(ess))
    assert np.allclose(np.cov(white), np.eye(3), atol=4 * np.sqrt(2 / ess.min()))
    thin = white.reshape(3, 4, -1)[:, :, ::4].reshape(3, -1)
    assert all(stats.kstest(w, "norm").pvalue > 1e-3 for w in thin)


def test_fit_of_another_program_is_refused(images):
    fit = bj.fit_map(bj.joint_model(sky=False), images)
    with pytest.raises(ValueError, match=r"init is the fit of another program: .* leave init out"):
        bj.sample(bj.joint_model(), images, init=fit, draws=5)


def test_statistics_of_the_draws(linear):
    _, fit, draws, (mean, covariance) = linear
    assert isinstance(draws, Draws) and not draws.interrupted and draws.seed == 3 and draws.warmup == 150
    assert not draws.stats["diverging"].any()
    assert draws.stats["n_steps"].mean() < 8 and np.all(
        np.abs(draws.stats["acceptance_rate"].mean(axis=1) - 0.85) < 0.1
    )
    apart = draws.unconstrained - mean
    lp = fit.log_posterior - 0.5 * np.einsum("cdi,ij,cdj->cd", apart, np.linalg.inv(covariance), apart)
    assert np.allclose(draws.stats["lp"], lp, atol=1e-6 if draws.likelihood_errors is None else 1e-3)
    assert draws.likelihood_holds
    assert np.allclose(draws.values["flux"], draws.unconstrained[..., :2])
    assert np.allclose(draws.values["galaxy_flux_r"], draws.values["flux"][..., 0])
    assert draws.dims["sky"] == () and draws.dims["flux"] == ("flux_dim_0",)


def test_same_seed_same_draws(linear, scene):
    images, fit, *_ = linear
    options = {"draws": 40, "chains": 2, "warmup": 150}
    first, again, other = (run(scene.linear_program, images, fit, seed=s, **options) for s in (5, 5, 6))
    assert np.array_equal(first.unconstrained, again.unconstrained)
    assert not np.allclose(first.unconstrained, other.unconstrained)
    assert not np.allclose(first.unconstrained[0], first.unconstrained[1])
    assert first.unconstrained.shape == (2, 40, 3) and first.step_size.shape == (2,)


def test_vectorized_chains_are_those_of_threads(linear, scene):
    """The same keys and starts: the same draws, as long as warm-up is too short to amplify their rounding."""
    images, fit, draws, _ = linear
    likelihood = "exact" if draws.likelihood_errors is None else "compressed"
    options = {"draws": 200, "chains": 3, "warmup": 10, "seed": 5, "adapt": "never"}
    threads, vectorized = (
        run(scene.linear_program, images, fit, likelihood, chain_method=method, **options)
        for method in ("parallel", "vectorized")
    )
    apart = np.abs(threads.unconstrained - vectorized.unconstrained) / np.sqrt(np.diag(fit.covariance))
    assert apart.max() < 1e-9
    assert np.allclose(threads.step_size, vectorized.step_size, rtol=1e-9)
    assert np.array_equal(threads.stats["n_steps"], vectorized.stats["n_steps"])


def test_vectorized_chains_follow_the_closed_form(linear, scene):
    images, fit, draws, truth = linear
    likelihood = "exact" if draws.likelihood_errors is None else "compressed"
    options = {"draws": 1000, "chains": 4, "warmup": 150, "seed": 4}
    check_against(
        truth, run(scene.linear_program, images, fit, likelihood, chain_method="vectorized", **options)
    )


def test_vectorized_chains_go_on_from_any_lengths():
    """A chain that is ahead waits for the others, as after Ctrl-C on threads."""
    seen = []

    class Counting(chains.Steps):
        def advance(self, states):
            seen.append(list(states))
            return [(state + 1, fake_chunk(state)) for state in states]

    track = chains.Track([0, 2, 0], [[], [fake_chunk(0), fake_chunk(1)], []])
    steps = Counting(None, (), "vectorized")
    assert not chains.run_chains(steps, track, chains.Limits(3), progress=False)
    assert seen == [[0, 0], [1, 1], [2, 2, 2]] and track.states == [3, 3, 3]
    assert [[chunk.u[0, 0] for chunk in chain] for chain in track.kept] == [[0, 1, 2]] * 3


def fake_chunk(k):
    """A chunk of draws whose u are k."""
    row = np.zeros(chains.CHUNK)
    return chains.Chunk(np.full((chains.CHUNK, 3), float(k)), row, row, row, row, row > 0, np.array(0.5))


def interrupted_wait(futures):
    """Ctrl-C as the main thread sees it, once; the chains then end by themselves."""
    interrupted_wait.calls += 1
    if interrupted_wait.calls == 1:
        for _ in range(200):
            if all(len(chunks) >= 3 for chunks in interrupted_wait.seen.values()):
                break
            interrupted_wait.pause.wait(0.01)
        raise KeyboardInterrupt


def test_interruption_keeps_the_draws_so_far(monkeypatch):
    import threading

    seen: dict[int, list[int]] = {0: [], 1: []}
    interrupted_wait.calls, interrupted_wait.seen, interrupted_wait.pause = 0, seen, threading.Event()

    def chunk(state):
        chain, k = state
        interrupted_wait.pause.wait(0.005)
        seen[chain].append(k)
        return (chain, k + 1), fake_chunk(k)

    monkeypatch.setattr(chains, "wait", interrupted_wait)
    track = chains.Track([(0, 0), (1, 0)], [[], []])
    assert chains.run_chains(chains.Steps(chunk, ()), track, chains.Limits(100_000), progress=False)
    kept = track.kept
    assert all(3 <= len(chunks) < 100_000 for chunks in kept)
    whitening = nuts.Whitening(np.ones(3), 2 * np.eye(3))
    z, statistics = running.collect(kept, chains.CHUNK, 10**6, whitening)
    shortest = min(len(chunks) for chunks in kept)
    assert z.shape == (2, (shortest - 1) * chains.CHUNK, 3) == (*statistics["lp"].shape, 3)
    assert np.all(z[:, 0] == 1 + 2 * 1)


def test_interruption_in_warmup_says_so(linear, scene, monkeypatch):
    images, fit, *_ = linear
    monkeypatch.setattr(running, "run_chains", lambda *_: True)
    with pytest.raises(KeyboardInterrupt, match="during warm-up: no draws to keep"):
        run(scene.linear_program, images, fit, draws=40, chains=1, warmup=150, seed=0)


def test_a_chain_that_fails_raises():
    def chunk(state):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        chains.run_chains(
            chains.Steps(chunk, ()), chains.Track([0, 1], [[], []]), chains.Limits(3), progress=False
        )


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"draws": 0}, "draws must be a whole number from 1 on, got 0"),
        ({"draws": float("nan")}, "draws must be a whole number from 1 on, got nan"),
        ({"chains": 1.5}, "chains must be a whole number from 1 on, got 1.5"),
        ({"warmup": 3}, "warmup must be a whole number from 10 on, got 3"),
        ({"draws": "many"}, "draws must be a whole number from 1 on, got 'many'"),
        ({"seed": -1}, "seed must be a whole number from 0 on, got -1"),
        ({"max_tree_depth": 0}, "max_tree_depth must be a whole number from 1 on, got 0"),
        (
            {"chain_method": "sequential"},
            "chain_method must be one of parallel, vectorized, got 'sequential'",
        ),
        ({"target_accept": 1.5}, "target_accept must lie between 0 and 1, got 1.5"),
    ],
)
def test_numbers_of_draws_are_checked(linear, scene, option, words):
    with pytest.raises(ValueError, match=words):
        bj.sample(scene.linear_program, linear[0], init=linear[1], **option)


def test_sample_wants_an_image_set(linear, scene):
    with pytest.raises(
        TypeError, match=r"wants a bj.ImageSet, got Image: wrap images as bj.ImageSet\(\[...\]\)"
    ):
        bj.sample(scene.linear_program, linear[0][0])


def test_a_second_galaxy_compiles_nothing(linear, scene, compilations):
    """From the images to the posterior, on images of the same sizes and names."""
    options = {"draws": 30, "chains": 2, "warmup": 150}
    bj.sample(scene.linear_program, linear[0], **options)
    images = scene.linear(seed=8, fwhm=2.2)
    compilations.clear()
    posterior = bj.sample(scene.linear_program, images, seed=1, **options)
    assert compilations == []
    assert posterior.values("flux").shape == (2, 30, 2)
