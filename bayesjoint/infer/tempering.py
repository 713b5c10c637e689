"""Adaptive tempered sequential Monte Carlo on a whitened log density, by blackjax (an optional dependency).

Particles from a wide normalised reference, a Student t about the fit, are led to the posterior along reference^(1 - t)
density^t (Del Moral, Doucet & Jasra 2006, JRSS B 68, 411), by importance weights, resampling and Hamiltonian moves in a
metric that follows them. The weights give the evidence as well. Each run is independent of the others: where the runs
agree, peaks that the reference covers are found and have their share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.adapt import Whitening
from bayesjoint.infer.microcanonical import import_blackjax
from bayesjoint.infer.space import Program
from bayesjoint.infer.target import Chains, Target, Tuning

KEPT_SHARE = 0.5  # of the particles, the weights at each temperature are worth at least so many
MOVES, LEAPFROGS = 3, 4
FIRST_STEP, ACCEPTANCE = 0.4, 0.8
FREEDOM, WIDTH = 5.0, 1.5
_LOWEST = -1e10  # log density where it is not finite
_BATCH = 25


class Reference(NamedTuple):
    """Where particles come from: a normalised log density of u (D,), and draws (N, D) of it."""

    log_density: Callable[[Any], Any]
    draw: Callable[[np.random.Generator, int, int], np.ndarray]


def student_log_density(u) -> jax.Array:
    """Log density of the multivariate Student t of `FREEDOM` degrees, scale `WIDTH`."""
    size = u.shape[-1]
    norm = gammaln(0.5 * (FREEDOM + size)) - gammaln(0.5 * FREEDOM)
    norm -= 0.5 * size * np.log(FREEDOM * np.pi * WIDTH**2)
    return norm - 0.5 * (FREEDOM + size) * jnp.log1p(jnp.sum(u**2) / (FREEDOM * WIDTH**2))


def draw_student(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draws (count, size) of `student_log_density`."""
    spread = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, size=(count, 1)))
    return WIDTH * spread * rng.normal(size=(count, size))


STUDENT = Reference(student_log_density, draw_student)


@cache
def _kernel(density: Callable, program: Program, static: Hashable, reference: Callable):
    """A step from one temperature to the next, and the log density of particles."""
    blackjax = import_blackjax("smc")
    move = partial(blackjax.hmc.build_kernel(), num_integration_steps=LEAPFROGS)

    def log_density(u, whitening: Whitening, known: tuple):
        value = density(program, static, whitening.centre + whitening.root @ u, *known)
        return jnp.where(jnp.isfinite(value), value, _LOWEST)

    @quick_jit
    def step(key, state, step_size, covariance, whitening, known):
        kernel = blackjax.smc.adaptive_tempered.build_kernel(
            reference,
            lambda u: log_density(u, whitening, known) - reference(u),
            move,
            blackjax.hmc.init,
            blackjax.smc.resampling.systematic,
            KEPT_SHARE,
            batch_size=_BATCH,
        )
        settings = {"step_size": step_size[None], "inverse_mass_matrix": covariance[None]}
        state, info = kernel(key, state, MOVES, settings)
        return state, info.log_likelihood_increment, jnp.mean(info.update_info.acceptance_rate)

    @quick_jit
    def density_of(particles, whitening, known):
        return jax.lax.map(lambda u: log_density(u, whitening, known), particles, batch_size=_BATCH)

    return step, density_of


def run_smc(
    target: Target,
    tuning: Tuning,
    *_: Any,
    reference: Reference = STUDENT,
) -> Chains:
    """Independent runs of `tuning.draws` particles in place of chains; gives what `run_nuts` does, and the log evidence."""
    began = time.perf_counter()
    step, density_of = _kernel(target.density, target.program, target.static, reference.log_density)
    runs = [_temper(step, target, tuning, run, reference) for run in range(tuning.chains)]
    lp = np.stack([np.asarray(density_of(u, target.whitening, target.known)) for u, *_ in runs])
    centre, root = target.whitening
    volume = np.linalg.slogdet(root)[1]
    evidence = np.array([log_evidence for _, log_evidence, _ in runs]) + volume
    acceptance = np.array([np.full(tuning.draws, rate) for *_, rate in runs])
    x = centre + np.stack([u for u, *_ in runs]) @ root.T
    stats = {"lp": lp, "acceptance_rate": acceptance}
    return Chains(x, stats, np.zeros(0), {"sample": time.perf_counter() - began}, False, evidence)


def _temper(step, target: Target, tuning: Tuning, run: int, reference: Reference) -> tuple:
    """Particles u (N, D) of one run at the posterior, the log of the integral over u, and the last acceptance."""
    blackjax = import_blackjax("smc")
    rng = np.random.default_rng([tuning.seed % 2**32, 5, run])
    particles = reference.draw(rng, tuning.draws, len(target.whitening.centre))
    state = blackjax.smc.tempered.init(jnp.asarray(particles))
    state = state._replace(tempering_param=jnp.zeros(()))
    step_size, total, acceptance, is_done = FIRST_STEP, 0.0, ACCEPTANCE, False
    while not is_done:
        is_done = float(state.tempering_param) >= 1  # a last step moves the particles at the posterior
        key = np.array(rng.integers(2**32, size=2), np.uint32)
        metric = _covariance(np.asarray(state.particles), np.asarray(state.weights))
        state, gain, acceptance = step(
            key, state, np.asarray(step_size), metric, target.whitening, target.known
        )
        total, acceptance = total + float(gain), float(acceptance)
        step_size *= np.exp(acceptance - ACCEPTANCE)
    return np.asarray(state.particles), total, acceptance


def _covariance(particles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of weighted particles, with a little of its diagonal added."""
    covariance = np.atleast_2d(np.cov(particles.T, aweights=np.maximum(weights, 1e-300)))
    return covariance + 0.05 * np.diag(np.diag(covariance)) + 1e-9 * np.eye(len(covariance))
