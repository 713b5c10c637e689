"""Microcanonical chains and sequential Monte Carlo against closed forms; evidences; and what goes with which method."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.two_latents import grid_of, skewed_program, star_scene

import bayesjoint as bj
from bayesjoint.infer.adapt import Whitening
from bayesjoint.infer.draws import LogEvidence
from bayesjoint.infer.target import Target, Tuning

MEAN = np.array([0.4, -0.2, 0.1, 0.0])
COVARIANCE = np.diag([1.0, 0.6, 1.5, 1.0]) + 0.3


@pytest.fixture
def blackjax():
    """Methods of blackjax are tested where it is installed."""
    pytest.importorskip("blackjax", reason='blackjax is not installed: pip install "bayesjoint[blackjax]"')


def gaussian(program, static, x, mean, precision):
    return 2.5 - 0.5 * (x - mean) @ precision @ (x - mean)


def peaks(program, static, x):
    """Normalised: three quarters at -3, a quarter at 3, of width 0.5 in the first direction, 1 in the second."""
    left, right = (jnp.log(s) - 2 * (x[0] - at) ** 2 for s, at in ((0.75, -3.0), (0.25, 3.0)))
    return jnp.logaddexp(left, right) - 0.5 * x[1] ** 2 - jnp.log(jnp.pi)


def target_of(density, *known, size, scale=1.0):
    def start(x):
        return density(None, None, x, *known), np.zeros(size)

    return Target(density, None, None, known, Whitening(0.1 * np.ones(size), scale * np.eye(size)), start)


@pytest.mark.parametrize("name", ["mclmc", "mams", "smc"])
def test_draws_follow_the_closed_form(blackjax, name):
    from bayesjoint.infer.methods import sampler_of

    target = target_of(gaussian, MEAN, np.linalg.inv(COVARIANCE), size=4, scale=1.3)
    found = sampler_of(name)(target, Tuning(1000, 4, 300, 1))
    white = np.linalg.solve(np.linalg.cholesky(COVARIANCE), (found.x - MEAN).reshape(-1, 4).T)
    assert found.x.shape == (4, 1000, 4)
    assert np.allclose(white.mean(axis=1), 0, atol=0.12) and np.allclose(np.cov(white), np.eye(4), atol=0.15)
    apart = found.x - MEAN
    lp = 2.5 - 0.5 * np.einsum("cdi,ij,cdj->cd", apart, np.linalg.inv(COVARIANCE), apart)
    assert np.allclose(found.stats["lp"], lp, atol=1e-8)
    if name == "mams":
        assert found.stats["acceptance_rate"].mean() == pytest.approx(0.9, abs=0.08)
    if name == "smc":
        evidence = LogEvidence.from_runs(found.log_evidence)
        truth = 2.5 + 0.5 * np.linalg.slogdet(2 * np.pi * COVARIANCE)[1]
        assert abs(evidence.value - truth) < max(5 * evidence.error, 0.08) and evidence.error < 0.05


def test_both_peaks_have_their_share(blackjax):
    from bayesjoint.infer.tempering import run_smc

    found = run_smc(target_of(peaks, size=2, scale=2.0), Tuning(1000, 6, 0, 0))
    share = np.mean(found.x[..., 0] > 0, axis=1)
    assert share.mean() == pytest.approx(0.25, abs=0.06) and share.std() < 0.12
    assert LogEvidence.from_runs(found.log_evidence).value == pytest.approx(0.0, abs=0.1)


def test_the_reference_is_normalised():
    from bayesjoint.infer.tempering import draw_student, student_log_density

    x = np.linspace(-100, 100, 801)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    density = np.exp(np.asarray(jax.vmap(student_log_density)(grid)))
    assert density.sum() * 0.25**2 == pytest.approx(1.0, abs=1e-3)
    draws = draw_student(np.random.default_rng(0), 20000, 2)
    expected = density.reshape(801, 801).sum(axis=0)[np.abs(x) <= 2.01].sum() * 0.25**2
    assert np.mean(np.abs(draws[:, 0]) < 2.125) == pytest.approx(expected, abs=0.012)


def test_evidence_of_the_linear_program(scene, blackjax):
    """Gaussian pixels of covariance noise + columns prior columns^T; the posterior's draws come with it."""
    images = scene.linear(seed=1)
    image = images[0]
    used = image.invvar.ravel() > 0
    columns, data = scene.linear_columns(image).reshape(-1, 3)[used], image.data.ravel()[used]
    covariance = columns @ np.diag([3000.0, 3000.0, 1.0]) ** 2 @ columns.T
    covariance += np.diag(1 / image.invvar.ravel()[used])
    truth = -0.5 * (data @ np.linalg.solve(covariance, data) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    fit = bj.fit_map(scene.linear_program, images)
    posterior = bj.sample(scene.linear_program, images, init=fit, method="smc", draws=400, seed=2)
    value, error = posterior.log_evidence
    assert error < 0.06 and abs(value - truth) < max(5 * error, 0.1)
    assert posterior.verdict.trusted and posterior.method == "smc"
    assert posterior.values("flux").mean(axis=(0, 1)) == pytest.approx(fit.unconstrained[:2], abs=3)


def test_evidence_of_a_skewed_program(scene, blackjax):
    """Against quadrature: the Jacobians, the priors' norms and the sky integrated out all count."""
    from bayesjoint.infer.space import log_posterior
    from bayesjoint.infer.tempering import Reference, run_smc

    images = star_scene(scene)
    truth = grid_of(scene, images[0])["log_evidence"]
    fit = bj.fit_map(skewed_program, images)
    value, error = bj.evidence(skewed_program, images, init=fit, particles=400)
    assert error < 0.06 and abs(value - truth) < max(5 * error, 0.1)

    # and from the prior, magnitude N(0, 1.5^2) and sky N(0, 1), with the exact likelihood
    def prior(u):
        return -0.5 * (u[0] / 1.5) ** 2 - 0.5 * u[1] ** 2 - jnp.log(2 * jnp.pi * 1.5)

    def draw(rng, count, size):
        return rng.normal(size=(count, size)) * np.array([1.5, 1.0])

    whole = Whitening(np.zeros(2), np.eye(2))
    target = Target(log_posterior, skewed_program, fit.layout, ((images,),), whole, lambda z: (0.0, z))
    found = run_smc(target, Tuning(200, 3, 0, 3), reference=Reference(prior, draw)).log_evidence
    assert LogEvidence.from_runs(found).value == pytest.approx(truth, abs=0.35)


@pytest.mark.parametrize("option", ["particles", "runs"])
def test_evidence_of_too_few_is_refused(scene, option):
    """One particle has no covariance to move by, one run no scatter to make an error of."""
    with pytest.raises(ValueError, match=f"{option} must be a whole number from"):
        bj.evidence(scene.linear_program, scene.linear(seed=1), **{option: 1})


def test_the_bias_of_mclmc_is_said(scene, blackjax):
    posterior = bj.sample(scene.linear_program, scene.linear(seed=1), method="mclmc", draws=200, chains=2)
    text = " ".join(str(posterior.verdict).split())
    assert "MCLMC is not Metropolis-adjusted: its steps leave a bias" in text
    assert "BFMI" not in text
    longer = posterior.extend(scene.linear_program, draws=50, progress=False)
    assert longer.idata.posterior.sizes["draw"] == 250 and longer.method == "mclmc"
    assert np.array_equal(longer.values("sky")[:, :200], posterior.values("sky"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "hmc"}, "method must be one of nuts, laplace, svi, mclmc, mams, smc, got 'hmc'"),
        ({"method": "laplace", "warmup": 50}, 'warmup does not go with method="laplace", which takes draws'),
        ({"method": "svi", "checkpoint": "run.ckpt"}, 'checkpoint does not go with method="svi"'),
        ({"method": "laplace", "likelihood": "exact"}, "likelihood does not go with"),
        ({"method": "smc", "max_tree_depth": 3}, 'max_tree_depth does not go with method="smc"'),
        ({"method": "mclmc", "target_accept": 0.8}, "target_accept does not go with"),
        ({"method": "mams", "adapt": "always"}, "adapt does not go with"),
        ({"adapt": "sometimes"}, "adapt must be one of auto, always, never, got 'sometimes'"),
        (
            {"method": "laplace", "draws": 5},
            r"at least 100 draws in all to be judged by, got 4 x 5: give draws=25",
        ),
    ],
)
def test_options_that_do_not_go_together(scene, options, words):
    with pytest.raises(ValueError, match=words):
        bj.sample(scene.linear_program, scene.linear(seed=1), **options)


@pytest.mark.parametrize("method", ["mclmc", "mams", "smc"])
def test_a_missing_blackjax_is_told(scene, method, monkeypatch):
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(
        ImportError, match=rf'method="{method}" needs blackjax.*pip install "bayesjoint\[blackjax\]"'
    ):
        bj.sample(scene.linear_program, scene.linear(seed=1), method=method)


def test_only_smc_knows_the_evidence(scene):
    posterior = bj.sample(scene.linear_program, scene.linear(seed=1), method="laplace", draws=50)
    with pytest.raises(ValueError, match='not known from method="laplace": sample with method="smc"'):
        _ = posterior.log_evidence
