"""A quick look: draws of a Gaussian, certified by exact log posteriors and made those of the posterior where that goes.

The Gaussian is the fit's own (Laplace), or the one of least Kullback-Leibler divergence from the posterior, found by
stochastic ascent, with the tails of a Student t. Either is judged by the importance ratios of its draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.optim import Adam
from scipy.special import gammaln

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.compress import at_fit
from bayesjoint.infer.draws import Draws, Importance
from bayesjoint.infer.importance import resampled, smoothed
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.roads import Likelihood, Run, around_fit, as_draws
from bayesjoint.infer.space import Program
from bayesjoint.infer.stage import Region, Stage, compressed_stage, exact_stage
from bayesjoint.infer.target import Chains, Target, Tuning

LEAST_DRAWS = 100
STEPS = 400
FREEDOM = 6.0
_PAIRS = 8
_RATE = 0.03


class Proposal(NamedTuple):
    """Draws z (N, P), and the log density there (N,) of what they are draws of."""

    z: np.ndarray
    log_density: np.ndarray


def approximate_program(
    program: Program, args: tuple, fit: MapFit, tuning: Tuning, likelihood: Likelihood, method: str
) -> Draws:
    """Draws of the fit's Gaussian ("laplace") or of the variational one ("svi"); see `bayesjoint.sample`.

    Raises
    ------
    ValueError
        For too few draws to tell the tail of their importance ratios.
    """
    began, count = time.perf_counter(), tuning.chains * tuning.draws
    if count < LEAST_DRAWS:
        raise ValueError(
            f'method="{method}" needs at least {LEAST_DRAWS} draws in all to be judged by, got {tuning.chains} x '
            f"{tuning.draws}: give draws={-(-LEAST_DRAWS // tuning.chains)} or more"
        )
    fitted = at_fit(program, fit.layout, fit.unconstrained, args)
    run = Run(program, args, fit.layout, fitted, tuning, False, Checkpoint())
    rng = np.random.default_rng([tuning.seed % 2**32, 4])
    if method == "laplace":
        proposal = _gaussian(fit.unconstrained, np.linalg.cholesky(np.asarray(fit.covariance)), count, rng)
    else:
        proposal = _variational(run, fit, likelihood, count, rng)
    return _certified(run, method, proposal, rng, time.perf_counter() - began)


def _gaussian(mean: np.ndarray, root: np.ndarray, count: int, rng: np.random.Generator) -> Proposal:
    noise = rng.normal(size=(count, len(mean)))
    volume = np.sum(np.log(np.diag(root))) + 0.5 * len(mean) * np.log(2 * np.pi)
    return Proposal(mean + noise @ root.T, -0.5 * np.sum(noise**2, axis=1) - volume)


def _student(mean: np.ndarray, root: np.ndarray, count: int, rng: np.random.Generator) -> Proposal:
    """Draws of the Student t about a Gaussian: its tails cover those that the Gaussian of least divergence cuts off."""
    size, noise = len(mean), rng.normal(size=(count, len(mean)))
    noise *= np.sqrt(FREEDOM / rng.chisquare(FREEDOM, size=(count, 1)))
    volume = np.sum(np.log(np.diag(root))) + 0.5 * size * np.log(FREEDOM * np.pi)
    volume += gammaln(0.5 * FREEDOM) - gammaln(0.5 * (FREEDOM + size))
    away = np.log1p(np.sum(noise**2, axis=1) / FREEDOM)
    return Proposal(mean + noise @ root.T, -0.5 * (FREEDOM + size) * away - volume)


def _certified(run: Run, method: str, proposal: Proposal, rng: np.random.Generator, seconds: float) -> Draws:
    """Draws with their exact log posteriors: resampled by importance ratios where these can be trusted, else as they are."""
    began = time.perf_counter()
    exact = run.exact(proposal.z)
    weights = smoothed(exact - proposal.log_density)
    rows = resampled(weights.weights, rng) if weights.holds else np.arange(len(exact))
    shape = run.tuning.chains, run.tuning.draws
    z, lp = proposal.z[rows].reshape(*shape, -1), exact[rows].reshape(shape)
    spent = {"approximate": seconds, "check": time.perf_counter() - began}
    draws = as_draws(run, "exact", Chains(z, {"lp": lp}, np.zeros(0), spent, False), z)
    worth = weights.effective if weights.holds else float("nan")
    importance = Importance(weights.k_hat, worth, len(exact), weights.holds)
    return replace(draws, method=method, importance=importance, road="", warmup=0)


def _variational(
    run: Run, fit: MapFit, likelihood: Likelihood, count: int, rng: np.random.Generator
) -> Proposal:
    """Draws about the Gaussian nearest to the posterior; amplitudes, where integrated out, from theirs given the rest."""
    stage = _stage(run, fit, likelihood)
    target = stage.target(run.program, run.layout, run.args)
    mean, root = nearest_gaussian(target, run.tuning.seed)
    centre, scale = target.whitening
    found = _student(centre + scale @ mean, scale @ root, count, rng)
    if not stage.is_collapsed:
        return found
    z, whole = stage.complete(run.program, found.z[None], run.args, run.tuning.seed)
    alone = stage.complete(run.program, found.z[None], run.args, run.tuning.seed, alone=True)[1]
    return Proposal(z[0], found.log_density + (whole - alone)[0])


def _stage(run: Run, fit: MapFit, likelihood: Likelihood) -> Stage:
    if likelihood == "exact" or not run.fitted.sites or run.fitted.obstacle:
        return exact_stage(
            run.layout, Region(fit.unconstrained, np.asarray(fit.covariance), fit.unconstrained[None])
        )
    return compressed_stage(run.program, run.layout, run.fitted, around_fit(fit, run.tuning.seed), run.args)


def nearest_gaussian(target: Target, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and lower root (D, D), in whitened coordinates, of the Gaussian of least divergence from a target.

    The divergence KL(Gaussian | posterior) falls along stochastic gradients from pairs of opposite draws (Kucukelbir et al.
    2017, JMLR 18, 14); what comes back is the mean of the second half of the steps.
    """
    key = np.array([seed % 2**32, 1 << 17], np.uint32)
    arrays = target.whitening, target.known
    mean, root = _ascend(target.density, target.program, target.static, key, *arrays)
    return np.asarray(mean), np.tril(root)


@partial(quick_jit, static_argnames=("density", "program", "static"))
def _ascend(density: Callable, program: Program, static: Hashable, key, whitening, known):
    size = len(whitening.centre)
    below = jnp.tril(jnp.ones((size, size)), -1)
    # steps shrink towards the end, as gradients are noisy
    optimiser = Adam(lambda i: _RATE * (1 - i / STEPS) + 1e-4)

    def root_of(values):
        return values["below"] * below + jnp.diag(jnp.exp(values["log_diagonal"]))

    def slope(u):
        gradient = jax.grad(
            lambda u: density(program, static, whitening.centre + whitening.root @ u, *known)
        )(u)
        return jnp.where(jnp.all(jnp.isfinite(gradient)), gradient, 0.0)

    def step(state, key):
        values = optimiser.get_params(state)
        root, half = root_of(values), jax.random.normal(key, (_PAIRS, size))
        noise = jnp.concatenate([half, -half])
        gradients = jax.lax.map(slope, values["mean"] + noise @ root.T)
        along = jnp.einsum("ni,nj->ij", gradients, noise, precision="highest") / len(noise)
        downhill = {
            "mean": -jnp.mean(gradients, axis=0),
            "below": -along * below,
            "log_diagonal": -jnp.diag(along) * jnp.diag(root) - 1,
        }
        return optimiser.update(downhill, state), (values["mean"], root)

    start = {"mean": jnp.zeros(size), "below": jnp.zeros((size, size)), "log_diagonal": jnp.zeros(size)}
    _, path = jax.lax.scan(step, optimiser.init(start), jax.random.split(key, STEPS))
    return [jnp.mean(values[STEPS // 2 :], axis=0) for values in path]
