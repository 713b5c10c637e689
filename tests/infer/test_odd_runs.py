"""Runs that are asked for oddly, or whose likelihood does not hold: numbers of other types, few draws, one latent."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayesjoint as bj
from bayesjoint.infer import draws as draws_module
from bayesjoint.infer.compress import at_fit
from bayesjoint.infer.mixing import judge_likelihood
from bayesjoint.infer.roads import around_fit
from bayesjoint.infer.space import log_posterior
from bayesjoint.infer.stage import compressed_stage

QUICK = {"draws": 20, "chains": 2, "warmup": 50, "progress": False}


def round_galaxy(images):
    """A prior on q that reaches beyond 1, where no galaxy is."""
    q = numpyro.sample("q", dist.Normal(0.8, 0.3))
    total = numpyro.sample("total", dist.Normal(0.0, 1e4))
    unit = bj.Sersic((0.15, -0.1), q, 40.0, 1.5, 2.0, 1.0).flux
    bj.observe(images, bj.Sersic((0.15, -0.1), q, 40.0, 1.5, 2.0, total / unit), bj.FlatSky(0.5))


@pytest.fixture(scope="module")
def nearly_round(scene):
    images = scene.simulate(seed=3, brightness={"r": 12.0}, q=0.95)
    return images, bj.fit_map(round_galaxy, images)


def test_light_out_of_its_range_has_no_probability_without_brightnesses(nearly_round):
    """As under the exact likelihood, though brightnesses are integrated out."""
    images, fit = nearly_round
    fitted = at_fit(round_galaxy, fit.layout, fit.unconstrained, (images,))
    stage = compressed_stage(round_galaxy, fit.layout, fitted, around_fit(fit, 0), (images,))
    assert stage.is_collapsed
    target = stage.target(round_galaxy, fit.layout, (images,))

    collapsed = jax.jit(lambda x: target.density(target.program, target.static, x, *target.known))
    exact = jax.jit(lambda z: log_posterior(round_galaxy, fit.layout, z, (images,)))
    assert np.isfinite(collapsed(np.array([0.9]))) and collapsed(np.array([1.1])) == -np.inf
    assert exact(np.array([1.1, fit.unconstrained[1]])) == -np.inf


def test_no_draw_lies_out_of_range(nearly_round):
    images, fit = nearly_round
    posterior = bj.sample(round_galaxy, images, init=fit, draws=300, chains=2, warmup=100, progress=False)
    q = posterior.values("q")
    assert q.max() <= 1.0 and q.std() > 0.01


def test_numbers_of_numpy_are_numbers(images):
    posterior = bj.sample(
        bj.joint_model(),
        images,
        seed=np.int64(3),
        max_tree_depth=np.int64(5),
        target_accept=np.float32(0.7),
        **{name: np.int64(value) if name != "progress" else value for name, value in QUICK.items()},
    )
    assert posterior.extend(draws=5, progress=False).idata.posterior.sizes["draw"] == 25


def test_a_single_draw_is_not_trusted(images):
    posterior = bj.sample(bj.joint_model(), images, draws=1, chains=1, warmup=50, progress=False)
    assert "NOT to be trusted" in repr(posterior)


def test_an_init_that_is_no_fit_is_told(images):
    with pytest.raises(TypeError, match=r"init must be what bj\.fit_map gives, got str"):
        bj.sample(bj.joint_model(), images, init="fit")


def test_too_few_draws_to_learn_from_take_the_exact_road(images, monkeypatch):
    monkeypatch.setattr(draws_module, "TOLERATED_ERROR", 0.0)
    posterior = bj.sample(bj.joint_model(), images, draws=2, chains=2, warmup=30, progress=False)
    assert posterior.idata.attrs["likelihood"] == "exact"


def test_one_latent_whose_likelihood_does_not_hold(images, monkeypatch):
    def program(images):
        n = numpyro.sample("n", dist.Uniform(0.5, 4.0))
        bj.observe(images, bj.Sersic((0.15, -0.1), 0.6, 40.0, n, 2.0, 80.0), bj.FlatSky(0.5))

    monkeypatch.setattr(draws_module, "TOLERATED_ERROR", 0.0)
    posterior = bj.sample(program, images, **QUICK)
    assert np.isfinite(posterior.values("n")).all() and "Posterior" in repr(posterior)


def test_errors_that_are_not_finite_forbid_trust():
    found = judge_likelihood(np.array([0.1, np.nan, -0.1]), np.nan)
    assert found.severity == "fail" and "not finite at 1 of 3 draws" in found.what
    assert judge_likelihood(np.array([0.1, 0.2, -0.1]), np.nan).severity == "fail"


def test_microcanonical_chains_want_two_dimensions(nearly_round):
    pytest.importorskip("blackjax", reason="blackjax is not installed")
    images, fit = nearly_round
    with pytest.raises(ValueError, match="want two dimensions or more, and one is left here"):
        bj.sample(round_galaxy, images, init=fit, method="mams", draws=20, chains=2, progress=False)
