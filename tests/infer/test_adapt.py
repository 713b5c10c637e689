"""Coordinates learnt from chains: when they are, that they are right, and what they gain."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from bayesjoint.infer.adapt import Whitening, _shrunk, is_needed, learnt
from bayesjoint.infer.mixing import judge_convergence
from bayesjoint.infer.nuts import run_nuts
from bayesjoint.infer.target import Target, Tuning
from bayesjoint.report.statistics import arviz, diagnose

TURN = np.linalg.qr(np.random.default_rng(5).normal(size=(5, 5)))[0]
COVARIANCE = TURN @ np.diag([1.0, 1.0, 4.0, 100.0, 400.0]) @ TURN.T
MEAN = np.array([0.0, 3.0, -2.0, 10.0, 1.0])


def gaussian(program, static, x, mean, precision):
    return -0.5 * (x - mean) @ precision @ (x - mean)


def peaks(program, static, x):
    """Two peaks of unit width, 20 apart."""
    away = jnp.sum(x[1:] ** 2)
    return jnp.logaddexp(-0.5 * ((x[0] - 10) ** 2 + away), -0.5 * ((x[0] + 10) ** 2 + away))


def target_of(density, *known, size=5, width=1.0):
    """A target in coordinates of one width, wherever it lies."""

    def start(x):
        # any gradient serves for a first step
        return density(None, None, x, *known), np.zeros(size)

    return Target(density, None, None, known, Whitening(np.zeros(size), width * np.eye(size)), start)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_draws_as_the_fit_has_them_need_nothing(size):
    rng = np.random.default_rng(0)
    assert not any(is_needed(rng.normal(size=(4, 150, size))) for _ in range(20))


def test_draws_of_another_shape_or_that_mix_slowly_need_it():
    rng = np.random.default_rng(1)
    u = rng.normal(size=(4, 150, 7))
    assert is_needed(u * np.array([1, 1, 1, 1, 1, 1, 4.0]))
    assert is_needed(u @ (np.eye(7) + np.ones((7, 7))))
    slow = np.empty_like(u)
    slow[:, 0] = u[:, 0]
    for i in range(1, 150):
        slow[:, i] = 0.9 * slow[:, i - 1] + np.sqrt(1 - 0.81) * u[:, i]
    assert is_needed(slow)


def test_learnt_coordinates_have_unit_covariance():
    rng = np.random.default_rng(2)
    x = MEAN + rng.normal(size=(4, 1000, 5)) @ np.linalg.cholesky(COVARIANCE).T
    old = Whitening(np.arange(5.0), np.tril(np.ones((5, 5))))
    u = np.linalg.solve(old.root, (x - old.centre).reshape(-1, 5).T).T.reshape(4, 1000, 5)
    new = learnt(old, u)
    assert np.allclose(new.centre, x.mean(axis=(0, 1)))
    assert np.allclose(new.root @ new.root.T, COVARIANCE, atol=0.1 * 400)
    white = np.linalg.solve(new.root, (x - new.centre).reshape(-1, 5).T)
    assert np.allclose(np.cov(white), np.eye(5), atol=0.15)


def test_few_draws_are_shrunk_to_something_better():
    rng = np.random.default_rng(3)
    sample = np.cov(rng.normal(size=(30, 25)).T)
    error, raw = (np.linalg.norm(c - np.eye(25)) for c in (_shrunk(sample, 30.0), sample))
    assert error < 0.3 * raw and np.linalg.eigvalsh(_shrunk(sample, 30.0)).min() > 0.3


@pytest.fixture(scope="module")
def chains():
    """Chains of a Gaussian of widths 1 to 20, begun in coordinates of one width, by how they adapt."""
    target = target_of(gaussian, MEAN, np.linalg.inv(COVARIANCE))
    return {adapt: run_nuts(target, Tuning(500, 4, 200, 0, adapt=adapt)) for adapt in ("auto", "never")}


def test_chains_in_learnt_coordinates_follow_the_closed_form(chains):
    x = chains["auto"].x
    white = np.linalg.solve(np.linalg.cholesky(COVARIANCE), (x - MEAN).reshape(-1, 5).T)
    ess = min(arviz().ess(w.reshape(4, -1)) for w in white)
    assert ess > 1000
    assert np.all(np.abs(white.mean(axis=1)) < 4 / np.sqrt(ess))
    assert np.allclose(np.cov(white), np.eye(5), atol=4 * np.sqrt(2 / ess))
    apart = x - MEAN
    lp = -0.5 * np.einsum("cdi,ij,cdj->cd", apart, np.linalg.inv(COVARIANCE), apart)
    assert np.allclose(chains["auto"].stats["lp"], lp, atol=1e-9)


def test_learning_pays(chains):
    steps = {adapt: found.stats["n_steps"].mean() for adapt, found in chains.items()}
    assert steps["auto"] < 8.5 and steps["never"] > 3 * steps["auto"]


def test_short_trajectories_are_lengthened_where_the_fit_is_wrong():
    """Three leapfrogs creep along a valley twenty widths long; what is learnt, and longer ones after it, do not."""
    target = target_of(gaussian, MEAN, np.linalg.inv(COVARIANCE))
    found = {
        adapt: run_nuts(target, Tuning(500, 4, 200, 1, adapt=adapt), short=True)
        for adapt in ("auto", "never")
    }
    along = {a: f.x @ TURN[:, -1] for a, f in found.items()}
    assert arviz().ess(along["auto"]) > 10 * arviz().ess(along["never"])
    assert found["never"].stats["n_steps"].max() == 3


def test_nothing_changes_where_the_fit_is_right():
    """Bit by bit: the easy case takes no further step."""
    target = target_of(gaussian, np.zeros(3), np.eye(3), size=3)
    auto, never = (run_nuts(target, Tuning(100, 2, 100, 3, adapt=adapt)) for adapt in ("auto", "never"))
    assert np.array_equal(auto.x, never.x)
    assert not np.array_equal(run_nuts(target, Tuning(100, 2, 100, 3, adapt="always")).x, never.x)


@pytest.mark.parametrize("adapt", ["auto", "never"])
def test_a_chain_stuck_on_a_second_peak_is_flagged(adapt):
    """Chains begun on either side stay there: R-hat tells, whatever the coordinates learnt from both."""
    target = target_of(peaks, size=3, width=6.0)
    x = run_nuts(target, Tuning(300, 4, 100, 0, adapt=adapt)).x[..., 0]
    sides = {int(side) for side in np.sign(np.median(x, axis=1))}
    assert sides == {-1, 1}
    r_hat, bulk, tail = diagnose(x)
    found = judge_convergence({"x": r_hat}, {"x": bulk}, {"x": tail}, chains=4)
    assert found[0].severity == "fail" and "chains may sit on different peaks" in found[0].advice
