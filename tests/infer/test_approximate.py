"""Quick looks: Gaussians judged, and mended, by importance ratios, against closed forms, quadrature and ArviZ."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from helpers.two_latents import grid_of, skewed_program, star_scene

import bayesjoint as bj
from bayesjoint.infer.adapt import Whitening
from bayesjoint.infer.approximate import nearest_gaussian
from bayesjoint.infer.importance import judge_importance, resampled, smoothed, trusted_k
from bayesjoint.infer.target import Target
from bayesjoint.report.statistics import arviz


@pytest.mark.parametrize("df", [1.0, 3.0, 30.0])
def test_smoothed_weights_are_those_of_arviz(df):
    log_ratios = np.random.default_rng(int(df)).standard_t(df, size=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted, k = arviz().psislw(log_ratios)
    found = smoothed(log_ratios)
    assert found.k_hat == pytest.approx(float(k), abs=1e-8)
    assert np.allclose(found.weights, np.exp(wanted), rtol=1e-6)


def test_k_hat_knows_the_tail():
    """Ratios of a wide Gaussian over a narrow one have moments up to 1 / k, k = 1 - (narrow / wide)^2."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=20000)
    for wide in (1.2, 2.0):
        log_ratios = 0.5 * x**2 * (1 - wide**-2)
        assert smoothed(log_ratios).k_hat == pytest.approx(1 - wide**-2, abs=0.12)
    assert smoothed(np.zeros(500)).holds and smoothed(np.zeros(500)).effective == pytest.approx(500)
    assert trusted_k(10**4) == 0.7 and trusted_k(100) == 0.5


def test_impossible_draws_have_no_weight():
    log_ratios = np.random.default_rng(0).normal(size=400)
    log_ratios[:3] = np.nan, -np.inf, np.nan
    weights = smoothed(log_ratios).weights
    assert not weights[:3].any() and weights.sum() == pytest.approx(1)
    rows = resampled(weights, np.random.default_rng(1))
    counts = np.bincount(rows, minlength=400)
    assert len(rows) == 400 and np.all(np.abs(counts - 400 * weights) <= 1) and np.any(np.diff(rows) < 0)


def test_a_banana_is_flagged():
    """y follows x^2 to a tenth: the Gaussian at the peak misses the arms, and ratios along them have a heavy tail."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=2000), 0.1 * rng.normal(size=2000)
    found = smoothed(50 * (y**2 - (y - x**2) ** 2))
    assert not found.holds and found.k_hat > 0.7


def shifted(program, static, x, mean, precision):
    return -0.5 * (x - mean) @ precision @ (x - mean)


def test_nearest_gaussian_to_a_gaussian():
    mean, covariance = np.array([0.5, -0.3, 0.2]), np.diag([1.0, 0.3, 2.0]) + 0.2
    whitening = Whitening(np.zeros(3), np.eye(3))
    target = Target(shifted, None, None, (mean, np.linalg.inv(covariance)), whitening, None)  # type: ignore[arg-type]
    found, root = nearest_gaussian(target, seed=1)
    assert np.allclose(found, mean, atol=0.03)
    assert np.allclose(root @ root.T, covariance, atol=0.06)
    assert np.array_equal(root, np.tril(root))


@pytest.fixture(scope="module")
def skewed(scene):
    """Images and fit of a program whose posterior is skewed, and its posterior on a grid."""
    images = star_scene(scene)
    return images, bj.fit_map(skewed_program, images), grid_of(scene, images[0])


@pytest.mark.parametrize("method", ["laplace", "svi"])
def test_resampled_draws_are_of_the_posterior(skewed, method, tmp_path):
    images, fit, grid = skewed
    posterior = bj.sample(skewed_program, images, init=fit, method=method, draws=500)
    worth = posterior.importance
    assert worth.resampled and worth.checked == 2000 and worth.effective > 400
    for name in ("magnitude", "sky"):
        draws = posterior.values(name)
        assert draws.shape == (4, 500)
        error = 4 / np.sqrt(worth.effective)
        assert abs(draws.mean() - grid[name].mean) < error * grid[name].sd
        assert draws.std() == pytest.approx(grid[name].sd, rel=error)
        assert abs(np.mean(draws < grid[name].tenth) - 0.1) < error
    text = str(posterior.verdict)
    assert posterior.verdict.trusted and "R-hat does not apply" in text
    back = bj.Posterior.load(posterior.save(tmp_path / "look.nc"))
    assert str(back.verdict) == text and back.importance == worth and back.method == method
    assert np.isnan(back.summary()["r_hat"]).all()
    assert np.allclose(back.summary()["ess_bulk"], worth.effective)
    with pytest.raises(ValueError, match="can be extended"):
        posterior.extend(skewed_program)


def test_laplace_is_the_closed_form(scene):
    images = scene.linear(seed=1)
    fit = bj.fit_map(scene.linear_program, images)
    posterior = bj.sample(scene.linear_program, images, init=fit, method="laplace")
    assert posterior.importance.effective == pytest.approx(1000, rel=1e-3)
    draws = np.concatenate([posterior.values("flux"), posterior.values("sky")[..., None]], axis=-1)
    white = np.linalg.solve(np.linalg.cholesky(fit.covariance), (draws.reshape(-1, 3) - fit.unconstrained).T)
    assert np.allclose(white.mean(axis=1), 0, atol=0.13) and np.allclose(np.cov(white), np.eye(3), atol=0.2)


def test_a_faint_galaxy_is_flagged(scene):
    """At S/N 10 structure and brightness lie along a curved valley: the fit's Gaussian is not the posterior, and says so."""
    images = scene.simulate(seed=1, brightness={"g": 3.0, "r": 4.0})
    posterior = bj.sample(bj.joint_model(), images, method="laplace")
    assert posterior.importance.k_hat > 0.7 and not posterior.importance.resampled
    assert not posterior.verdict.trusted
    text = " ".join(str(posterior.verdict).split())
    assert "the fit's Gaussian is not the posterior: PSIS k-hat" in text and 'method="nuts"' in text


def test_judged_by_k_hat_and_by_what_draws_are_worth():
    severities = [
        judge_importance(k, worth, 1000, k < 0.66, "svi")[0].severity
        for k, worth in ((0.2, 900.0), (0.6, 200.0), (0.6, 20.0), (0.8, np.nan))
    ]
    assert severities == ["ok", "warning", "fail", "fail"]


@pytest.mark.parametrize("lost", [0.0, 0.96, 1.0])
def test_hopeless_ratios_do_not_hold(lost):
    """Ratios spread over hundreds, most or all of them none: what is left must not look like a set of equals."""
    rng = np.random.default_rng(1)
    log_ratios = 800 * rng.normal(size=1000) if lost == 0 else rng.normal(size=1000)
    log_ratios[: int(lost * 1000)] = -np.inf
    found = smoothed(log_ratios)
    assert not found.holds and np.isfinite(found.weights).all()
    assert smoothed(np.zeros(1000)).holds
