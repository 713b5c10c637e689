"""Microcanonical Langevin chains on a whitened log density, by blackjax (an optional dependency).

MCLMC (Robnik, De Luca, Silverstein & Seljak 2023, JMLR 24, 311) never rejects: its steps leave a small bias. MAMS, its
Metropolis-adjusted form (Robnik, Cohn-Gordon & Seljak 2025, arXiv:2503.01707), has none. Step and trajectory length are
adapted by blackjax, chain by chain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.adapt import Whitening
from bayesjoint.infer.chains import CHUNK, Chunk, Limits, Steps, Track
from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.running import Note, carry_on, chunks_of, collect, keys_of, spent_before, starts_of
from bayesjoint.infer.space import Program
from bayesjoint.infer.target import Chains, Target, Tuning
from bayesjoint.infer.verdict import Finding

STEPS_PER_WARMUP = 4
MOST_STEPS = 64
ACCEPTANCE = 0.9
TOLERATED_ENERGY_ERROR = 5e-3


class _State(NamedTuple):
    """A chain: blackjax's state, its step size and trajectory length, and the key of its random numbers."""

    inner: Any
    step_size: jax.Array
    length: jax.Array
    key: jax.Array


def import_blackjax(method: str) -> Any:
    """Blackjax.

    Raises
    ------
    ImportError
        Where it is missing; says how to get it.
    """
    try:
        import blackjax
    except ImportError as error:
        raise ImportError(
            f'method="{method}" needs blackjax, which is not installed: pip install "bayesjoint[blackjax]", or give '
            'method="nuts"'
        ) from error
    return blackjax


@cache
def _mclmc(density: Callable, program: Program, static: Hashable, warmup: int):
    """Functions that begin a chain, tuned, and that make a chunk of draws."""
    blackjax = import_blackjax("mclmc")
    kernel = blackjax.mcmc.mclmc.build_kernel()
    log_density = partial(_log_density, density, program, static)

    @quick_jit
    def begin(u, key, whitening, known):
        target, (start, tune, later) = log_density(whitening, known), jax.random.split(key, 3)
        state, found, _ = blackjax.mclmc_find_L_and_step_size(
            mclmc_kernel=kernel,
            num_steps=STEPS_PER_WARMUP * warmup,
            state=blackjax.mcmc.mclmc.init(u, target, start),
            rng_key=tune,
            logdensity_fn=target,
            frac_tune1=0.4,
            frac_tune2=0.3,
            frac_tune3=0.3,
            diagonal_preconditioning=False,
        )
        return _State(state, found.step_size, found.L, later)

    @quick_jit
    def chunk(state, whitening, known):
        target = log_density(whitening, known)
        count = jnp.clip(jnp.rint(state.length / state.step_size), 1, MOST_STEPS).astype(int)

        def draw(state, _):
            key, later = jax.random.split(state.key)

            def step(i, carried):
                inner, worst, failed = carried
                inner, info = kernel(
                    jax.random.fold_in(key, i), inner, target, 1.0, state.length, state.step_size
                )
                return inner, worst + info.energy_change**2, failed | ~info.nonans

            inner, squares, failed = jax.lax.fori_loop(0, count, step, (state.inner, 0.0, False))
            kept = (inner.position, -inner.logdensity, squares / count, 2 * count, jnp.ones(()), failed)
            return state._replace(inner=inner, key=later), kept

        return _chunk(draw, state)

    return begin, chunk


@cache
def _mams(density: Callable, program: Program, static: Hashable, warmup: int, acceptance: float):
    """As `_mclmc`, adjusted."""
    blackjax = import_blackjax("mams")
    dynamic = blackjax.mcmc.adjusted_mclmc_dynamic
    kernel = dynamic.build_kernel(dynamic.make_random_trajectory_length_fn(True))
    log_density = partial(_log_density, density, program, static)

    @quick_jit
    def begin(u, key, whitening, known):
        target, (start, tune, later) = log_density(whitening, known), jax.random.split(key, 3)
        state, found, _ = blackjax.adjusted_mclmc_find_L_and_step_size(
            kernel,
            target,
            num_steps=warmup,
            state=dynamic.init(u, target, start),
            rng_key=tune,
            target=acceptance,
            frac_tune1=0.5,
            frac_tune2=0.5,
            diagonal_preconditioning=False,
        )
        return _State(state, found.step_size, found.L, later)

    @quick_jit
    def chunk(state, whitening, known):
        target = log_density(whitening, known)
        mean_steps = (state.length / state.step_size,)

        def draw(state, _):
            key, later = jax.random.split(state.key)
            inner, info = kernel(
                key, state.inner, target, state.step_size, integration_steps_params=mean_steps
            )
            kept = (
                inner.position,
                -inner.logdensity,
                info.energy,
                2 * info.num_integration_steps,
                info.acceptance_rate,
                info.is_divergent,
            )
            return state._replace(inner=inner, key=later), kept

        return _chunk(draw, state)

    return begin, chunk


def _chunk(draw: Callable, state: _State) -> tuple[_State, Chunk]:
    """A chunk of draws, and the state after it."""
    state, kept = jax.lax.scan(draw, state, None, length=CHUNK)
    return state, Chunk(*kept, step_size=state.step_size)


def _log_density(density: Callable, program: Program, static: Hashable, whitening: Whitening, known: tuple):
    return lambda u: density(program, static, whitening.centre + whitening.root @ u, *known)


def run_mclmc(target: Target, tuning: Tuning, *how: Any) -> Chains:
    """Unadjusted microcanonical chains; takes and gives what `run_nuts` does, `energy` being errors of it."""
    return _run(_mclmc(target.density, target.program, target.static, tuning.warmup), target, tuning, *how)


def run_mams(target: Target, tuning: Tuning, *how: Any) -> Chains:
    """Adjusted microcanonical chains; takes and gives what `run_nuts` does."""
    acceptance = ACCEPTANCE if tuning.target_accept is None else tuning.target_accept
    functions = _mams(target.density, target.program, target.static, tuning.warmup, acceptance)
    return _run(functions, target, tuning, *how)


def _run(
    functions: tuple[Callable, Callable],
    target: Target,
    tuning: Tuning,
    short: bool = False,
    progress: bool | None = None,
    checkpoint: Checkpoint | None = None,
    part: str = "chains",
    deadline: float = float("inf"),
) -> Chains:
    if len(target.whitening.centre) < 2:
        raise ValueError(
            "microcanonical chains want two dimensions or more, and one is left here (brightnesses are integrated out): "
            'sample with method="nuts"'
        )
    began, checkpoint = time.perf_counter(), checkpoint or Checkpoint()
    known, (begin, chunk) = checkpoint.recall(part), functions
    arrays = target.whitening, target.known
    if known:
        like = jax.eval_shape(begin, np.zeros(len(target.whitening.centre)), keys_of(tuning)[0], *arrays)
        track = Track.unpack(known, tuning.chains, like)
    else:
        keyed = zip(starts_of(target, tuning), keys_of(tuning), strict=True)
        states = [begin(u, key, *arrays) for (u, *_), key in keyed]
        track = Track(states, [[] for _ in states])
    spent = spent_before(known, began)

    steps = Steps(chunk, arrays, tuning.chain_method)
    limits = Limits(chunks_of(tuning.draws), 1, deadline, "microcanonical")
    interrupted = carry_on(steps, track, limits, progress, Note(checkpoint, part, spent, {}))
    if interrupted and track.length == 0:
        raise KeyboardInterrupt("stopped before there was a draw to keep")
    x, stats = collect(track.kept, 0, tuning.draws, target.whitening)
    step_size = np.array([chain[-1].step_size for chain in track.kept])
    return Chains(x, stats, step_size, spent, interrupted)


def judge_bias(squared_errors: np.ndarray, size: int) -> Finding:
    """Say of unadjusted chains that they are biased, from the squared energy errors of their steps and the dimension."""
    figure = float(np.mean(squared_errors)) / max(size, 1)
    what = (
        f"MCLMC is not Metropolis-adjusted: its steps leave a bias (energy error variance {figure:.1g} per dimension) that "
        "no number of draws makes smaller and R-hat does not see"
    )
    severity = "note" if figure <= TOLERATED_ENERGY_ERROR else "warning"
    return Finding(severity, what, figure, 'for error bars to publish, sample with method="mams" or "nuts"')
