"""From a fit to draws of the posterior: which likelihood is sampled, and how its draws are checked.

The compressed likelihood (`compress.py`) is sampled, its brightnesses integrated out (`collapse.py`), and its log posterior
compared with the exact one at some of the draws. Where it does not hold it is made once more from those draws, which know
where the posterior lies. Where it then misses by little, importance ratios of all draws make them those of the exact
posterior; where it misses by more, the exact likelihood is sampled in the region of the draws.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.collapse import Split, collapsed_log_posterior, complete, split_linear
from bayesjoint.infer.compress import (
    Fitted,
    at_fit,
    compress,
    compressed_log_posterior,
    exact_log_posteriors,
)
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.draws import Draws, constrain, value_dims
from bayesjoint.infer.fit import MapFit
from bayesjoint.infer.nuts import Chains, Target, Tuning, Whitening, run_nuts
from bayesjoint.infer.space import Layout, Program, latent_ends, log_posterior

Likelihood = Literal["auto", "compressed", "exact"]

TRAINING_DRAWS = 256
INFLATION = 1.5
CHECKED_DRAWS = 200
CORRECTED_ERROR = 0.3  # standard deviation of the log posterior's error up to which importance ratios mend it
THOROUGH: Any = {"target_accept": 0.8, "max_tree_depth": 8}
_COMPLETED = 250  # draws at once


class Region(NamedTuple):
    """Where a posterior lies: centre (P,), covariance (P, P), and points (N, P) that span it and its surroundings."""

    centre: np.ndarray
    covariance: np.ndarray
    points: np.ndarray


def sample_program(
    program: Program, args: tuple, fit: MapFit, tuning: Tuning, likelihood: Likelihood, progress: bool | None
) -> Draws:
    """Sample a program's posterior; see `bayesjoint.sample`.

    Returns
    -------
    Draws
        With fewer draws, and `interrupted` set, when Ctrl-C was pressed during sampling.
    """
    fitted = at_fit(program, fit.layout, fit.unconstrained, args)
    if fitted.obstacle and likelihood == "compressed":
        raise ValueError(
            f"{fitted.obstacle} leaves no likelihood to compress, for it is no quadratic form of the light: give "
            'likelihood="exact", or "auto", which goes there by itself'
        )
    if likelihood == "exact" or not fitted.sites or fitted.obstacle:
        region = Region(fit.unconstrained, fit.covariance, fit.unconstrained[None])
        # short trajectories: in whitened space longer ones return where they came from
        tuning = tuning.or_else(target_accept=0.65, max_tree_depth=2)
        draws = _sample_exact(program, args, fit, region, tuning, progress)
        return replace(draws, incompressible="" if likelihood == "exact" else fitted.obstacle)
    draws = _sample_compressed(program, args, fit, fitted, _around_fit(fit, tuning.seed), tuning, progress)
    if draws.interrupted or draws.likelihood_holds:
        return draws
    try:
        region, spent = _around_draws(draws), draws.seconds
        draws = _sample_compressed(program, args, fit, fitted, region, tuning, progress, spent)
        if draws.interrupted or draws.likelihood_holds or likelihood == "compressed":
            return draws
        if draws.likelihood_error <= CORRECTED_ERROR:
            return _corrected(program, fit.layout, fitted, draws, args)
        region, spent = _around_draws(draws), draws.seconds
        return _sample_exact(program, args, fit, region, tuning.or_else(**THOROUGH), progress, spent)
    except KeyboardInterrupt:
        return replace(draws, interrupted=True)


def _corrected(program: Program, layout: Layout, fitted: Fitted, draws: Draws, args: tuple) -> Draws:
    """Draws of the exact posterior, from those of a nearby one: each chain resampled by its importance ratios."""
    began = time.perf_counter()
    chains, count, size = draws.unconstrained.shape
    exact = exact_log_posteriors(program, layout, fitted, draws.unconstrained.reshape(-1, size), args)
    log_ratios = exact.reshape(chains, count) - draws.stats["lp"]
    draws.stats["lp"] = exact.reshape(chains, count)
    rng = np.random.default_rng([draws.seed % 2**32, 3])
    kept = []
    for chain in log_ratios:
        ratio = np.exp(chain - chain.max())
        places = (np.arange(count) + rng.uniform()) / count
        kept.append(np.searchsorted(np.cumsum(ratio) / ratio.sum(), places))
    rows = np.arange(chains)[:, None], np.minimum(np.array(kept), count - 1)
    return replace(
        draws,
        values={name: value[rows] for name, value in draws.values.items()},
        stats={name: value[rows] for name, value in draws.stats.items()},
        unconstrained=draws.unconstrained[rows],
        seconds=draws.seconds | {"correct": time.perf_counter() - began},
        likelihood_errors=None,
    )


def _around_fit(fit: MapFit, seed: int) -> Region:
    """Draws of the fit's Gaussian, inflated."""
    noise = np.random.default_rng([seed % 2**32, 1]).normal(size=(TRAINING_DRAWS, fit.layout.size))
    points = fit.unconstrained + INFLATION * noise @ np.linalg.cholesky(fit.covariance).T
    return Region(fit.unconstrained, fit.covariance, points)


def _around_draws(draws: Draws) -> Region:
    """Draws that were made before, inflated about their mean."""
    z = draws.unconstrained.reshape(-1, draws.unconstrained.shape[-1])
    centre = z.mean(axis=0)
    return Region(centre, np.cov(z.T), centre + INFLATION * (_thinned(z, TRAINING_DRAWS) - centre))


def _thinned(z: np.ndarray, count: int) -> np.ndarray:
    return z[np.linspace(0, len(z) - 1, min(count, len(z))).astype(int)]


def _sample_exact(
    program: Program,
    args: tuple,
    fit: MapFit,
    region: Region,
    tuning: Tuning,
    progress: bool | None,
    spent: dict[str, float] | None = None,
) -> Draws:
    def start(z):
        # compiled by the fit already
        return quadratic(program, fit.layout, z, args)[:2]

    whitening = Whitening(region.centre, np.linalg.cholesky(region.covariance))
    target = Target(log_posterior, program, fit.layout, (args,), whitening, start)
    chains = run_nuts(target, tuning, progress)
    chains = chains._replace(seconds=_summed(chains.seconds, spent))
    return _as_draws(program, args, fit, tuning, chains, chains.x)


def _summed(seconds: dict[str, float], spent: dict[str, float] | None) -> dict[str, float]:
    """Seconds of each step, with those spent before."""
    spent = spent or {}
    return {name: seconds.get(name, 0.0) + spent.get(name, 0.0) for name in (*spent, *seconds)}


def _sample_compressed(
    program: Program,
    args: tuple,
    fit: MapFit,
    fitted: Fitted,
    region: Region,
    tuning: Tuning,
    progress: bool | None,
    spent: dict[str, float] | None = None,
) -> Draws:
    """Draws under the likelihood compressed over a region, with its errors at some of them."""
    began = time.perf_counter()
    layout = fit.layout
    compressed = jax.device_put(compress(program, layout, fitted, region.points, args))
    split = split_linear(program, layout, region.points, args)
    compress_seconds = time.perf_counter() - began
    tuning = tuning.or_else(**THOROUGH)
    known = (args, compressed)
    if split.linear and split.rest:
        target = _collapsed_target(program, split, region, known)
        chains = run_nuts(target, tuning, progress)
        z, chains.stats["lp"] = _complete(program, split, chains.x, known, tuning.seed)
    else:
        target = _whole_target(program, layout, region, known)
        chains = run_nuts(target, tuning, progress)
        z = chains.x
    began = time.perf_counter()
    some, lp = (_thinned(a.reshape(-1, *a.shape[2:]), CHECKED_DRAWS) for a in (z, chains.stats["lp"]))
    errors = lp - exact_log_posteriors(program, layout, fitted, some, args)
    seconds = {"compress": compress_seconds, **chains.seconds, "check": time.perf_counter() - began}
    chains = chains._replace(seconds=_summed(seconds, spent))
    return _as_draws(program, args, fit, tuning, chains, z, errors - errors.mean())


def _collapsed_target(program: Program, split: Split, region: Region, known: tuple) -> Target:
    """The latents that are not amplitudes."""
    rows = np.array(split.rest)
    whitening = Whitening(region.centre[rows], np.linalg.cholesky(region.covariance[np.ix_(rows, rows)]))

    def start(x):
        # a first step without its gradient is as good a start as any, and spares compiling one more program
        value = _complete(program, split, x[None, None], known, seed=0, alone=True)[1]
        return value.ravel()[0], np.zeros_like(x)

    return Target(collapsed_log_posterior, program, split, known, whitening, start)


def _complete(
    program: Program, split: Split, x: np.ndarray, known: tuple, seed: int, alone: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the rest (chains, draws, R) made whole (chains, draws, P), and their log posterior, or that `alone` has."""
    flat = x.reshape(-1, x.shape[-1])
    noise = np.random.default_rng([seed % 2**32, 2]).normal(size=(len(flat), len(split.linear)))
    found = []
    for first in range(0, len(flat), _COMPLETED):
        rows = np.minimum(np.arange(first, first + _COMPLETED), len(flat) - 1)
        found.append(jax.device_get(complete(program, split, flat[rows], noise[rows], *known)))
    z, whole, rest = (np.concatenate(parts)[: len(flat)] for parts in zip(*found, strict=True))
    return z.reshape(*x.shape[:2], -1), (rest if alone else whole).reshape(x.shape[:2])


def _whole_target(program: Program, layout: Layout, region: Region, known: tuple) -> Target:
    """All latents."""
    slope = partial(_compressed_slope, program, layout)
    whitening = Whitening(region.centre, np.linalg.cholesky(region.covariance))
    return Target(compressed_log_posterior, program, layout, known, whitening, lambda x: slope(x, *known))


_compressed_slope = quick_jit(
    jax.value_and_grad(compressed_log_posterior, argnums=2), static_argnames=("program", "layout")
)


def _as_draws(
    program: Program,
    args: tuple,
    fit: MapFit,
    tuning: Tuning,
    chains: Chains,
    z: np.ndarray,
    errors: np.ndarray | None = None,
) -> Draws:
    values = constrain(program, fit.layout, z, args)
    return Draws(
        values=values,
        dims=value_dims(program, args, values),
        stats=chains.stats,
        unconstrained=z,
        step_size=chains.step_size,
        warmup=tuning.warmup,
        seed=tuning.seed,
        seconds=chains.seconds,
        interrupted=chains.interrupted,
        ends=latent_ends(program, args),
        likelihood_errors=errors,
    )
