"""NUTS on a whitened log density.

NumPyro's No-U-Turn kernel (Hoffman & Gelman 2014; Phan et al. 2019) samples u in x = centre + root @ u, where root root^T is
the fit's covariance, with a unit mass matrix; warm-up adapts the step size. Chains run in compiled chunks of draws, a thread
for each core, so progress, Ctrl-C and the compilation cache all work without callbacks from compiled code.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo
from tqdm.auto import tqdm

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.space import Program

CHUNK = 25
# in whitened space three leapfrogs of 0.85 go two and a half standard deviations, which is as far as it pays to go
FIRST_STEP = 0.85
OVERDISPERSION = 1.5


class Whitening(NamedTuple):
    """x = centre + root @ u."""

    centre: np.ndarray
    root: np.ndarray


@dataclass(frozen=True, eq=False)
class Target:
    """A log density to sample.

    Attributes
    ----------
    density : function (program, static, x, *known)
        The log density at x (D,).
    program, static
        Its first arguments; with `density` they name what is compiled, once.
    known : tuple
        What else it takes: arrays.
    whitening : Whitening
    start : function of x
        Log density and gradient at a chain's start.
    """

    density: Callable[..., jax.Array]
    program: Program
    static: Hashable
    known: tuple
    whitening: Whitening
    start: Callable[[np.ndarray], tuple]


class Tuning(NamedTuple):
    """How many draws, and how they are made; see `bayesjoint.sample`."""

    draws: int
    chains: int
    warmup: int
    seed: int
    target_accept: float | None = None
    max_tree_depth: int | None = None

    def or_else(self, **values: Any) -> Tuning:
        """With these values where none is given."""
        return self._replace(**{name: value for name, value in values.items() if getattr(self, name) is None})


class Chains(NamedTuple):
    """Draws x (chains, draws, D) and statistics (chains, draws) after warm-up, and how they were made."""

    x: np.ndarray
    stats: dict[str, np.ndarray]
    step_size: np.ndarray
    seconds: dict[str, float]
    interrupted: bool


@cache
def _kernel(
    density: Callable[..., jax.Array],
    program: Program,
    static: Hashable,
    warmup: int,
    target_accept: float,
    max_tree_depth: int,
):
    """NumPyro's NUTS functions for a log density; the potential is that of the whitened vector u."""

    def potential_of(whitening: Whitening, known: tuple):
        return lambda u: -density(program, static, whitening.centre + whitening.root @ u, *known)

    start, step = hmc(potential_fn_gen=potential_of, algo="NUTS")

    @quick_jit
    def first(u, potential, gradient, key, whitening, known):
        return start(
            ParamInfo(u, potential, gradient),
            num_warmup=warmup,
            step_size=FIRST_STEP,
            adapt_mass_matrix=False,
            target_accept_prob=target_accept,
            max_tree_depth=max_tree_depth,
            model_args=(whitening, known),
            rng_key=key,
        )

    @partial(quick_jit, static_argnames="draws")
    def chunk(state, whitening, known, draws: int):
        def one(state, _):
            state = step(state, (whitening, known), {})
            kept = (
                state.z,
                state.potential_energy,
                state.energy,
                state.num_steps,
                state.accept_prob,
                state.diverging,
            )
            return state, kept

        return jax.lax.scan(one, state, None, length=draws)

    return first, chunk


def run_nuts(target: Target, tuning: Tuning, progress: bool | None = None) -> Chains:
    """Sample a log density.

    Returns
    -------
    Chains
        With fewer draws, and `interrupted` set, when Ctrl-C was pressed during sampling.

    Raises
    ------
    KeyboardInterrupt
        When pressed before there is a draw to keep.
    """
    began = time.perf_counter()
    warmup, draws, chains = tuning.warmup, tuning.draws, tuning.chains
    how = (warmup, tuning.target_accept, tuning.max_tree_depth)
    first, chunk = _kernel(target.density, target.program, target.static, *how)
    whitening = target.whitening
    scatter = np.random.default_rng(tuning.seed).normal(size=(chains, len(whitening.centre)))
    # raw threefry keys: made without compiling anything
    keys = [np.array([tuning.seed % 2**32, chain], np.uint32) for chain in range(chains)]
    starts = [_finite_start(target, OVERDISPERSION * u) for u in scatter]
    states = [first(*start, key, whitening, target.known) for start, key in zip(starts, keys, strict=True)]
    advance = partial(_advance, chunk, whitening, target.known)
    opening = advance(states[0])  # compiles, before threads share the program
    compiled = time.perf_counter()
    kept, interrupted = _run_chains(advance, states, opening, -(-(warmup + draws) // CHUNK), progress)
    sampled = time.perf_counter()
    if interrupted and min(len(chain) for chain in kept) * CHUNK < warmup + 4:
        raise KeyboardInterrupt("stopped during warm-up: no draws to keep")
    x, stats = _collect(kept, warmup, draws, whitening)
    step_size = np.array([chain[-1].step_size for chain in kept])
    seconds = {"compile": compiled - began, "sample": sampled - compiled}
    return Chains(x, stats, step_size, seconds, interrupted)


def _finite_start(target: Target, u: np.ndarray) -> tuple:
    """A chain's start (u, potential, gradient), drawn towards the fit until the log density is finite there."""
    centre, root = target.whitening
    for _ in range(20):
        value, gradient = jax.device_get(target.start(centre + root @ u))
        if np.isfinite(value) and np.all(np.isfinite(gradient)):
            return u, -value, -(root.T @ gradient)
        u = 0.5 * u
    raise ValueError("the log posterior is not finite near the fit: check the fit's verdict before sampling")


class _Chunk(NamedTuple):
    """What a chunk of draws leaves behind, on the host."""

    u: np.ndarray
    potential: np.ndarray
    energy: np.ndarray
    n_steps: np.ndarray
    acceptance_rate: np.ndarray
    diverging: np.ndarray
    step_size: float


def _advance(chunk, whitening: Whitening, known: tuple, state) -> tuple[Any, _Chunk]:
    """Run one compiled chunk of a chain."""
    state, kept = chunk(state, whitening, known, CHUNK)
    return state, _Chunk(*jax.device_get(kept), step_size=float(state.adapt_state.step_size))


def _run_chains(
    advance, states: list, opening: tuple, chunks: int, progress: bool | None
) -> tuple[list[list[_Chunk]], bool]:
    """Run all chains, a thread for each core, until done or interrupted; returns the chunks of each chain.

    A free thread takes the chain that is furthest behind, so an interrupt leaves all chains about as long.

    `opening` is the first chunk of the first chain, already run.
    """
    stop, lock = threading.Event(), threading.Lock()
    states = [opening[0], *states[1:]]
    kept: list[list[_Chunk]] = [[opening[1]], *([] for _ in states[1:])]
    idle = set(range(len(states)))
    total = len(states) * chunks * CHUNK
    bar = tqdm(total=total, initial=CHUNK, desc="NUTS", unit="draw", disable=_is_quiet(progress))

    def furthest_behind() -> int | None:
        """The idle chain with the fewest draws, taken; None when all are done or taken."""
        with lock:
            waiting = [chain for chain in idle if len(kept[chain]) < chunks]
            chain = min(waiting, key=lambda c: len(kept[c]), default=None)
            idle.discard(chain)  # type: ignore[arg-type]
            return chain

    def work() -> None:
        while not stop.is_set() and (chain := furthest_behind()) is not None:
            states[chain], chunk = advance(states[chain])
            with lock:
                kept[chain].append(chunk)
                idle.add(chain)
            bar.update(CHUNK)

    interrupted = False
    workers = min(len(states), os.cpu_count() or 1)
    with bar, ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(work) for _ in range(workers)]
        try:
            wait(futures)
        except KeyboardInterrupt:
            stop.set()
            interrupted = True
            wait(futures)
    for future in futures:
        future.result()
    return kept, interrupted


def _is_quiet(progress: bool | None) -> bool:
    if progress is not None:
        return not progress
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)


def _collect(
    kept: list[list[_Chunk]], warmup: int, draws: int, whitening: Whitening
) -> tuple[np.ndarray, dict]:
    """Draws x (chains, draws, D) and statistics (chains, draws) after warm-up, chains cut to one length."""
    length = min(len(chain) for chain in kept) * CHUNK
    keep = slice(warmup, min(length, warmup + draws))

    def gather(name: str) -> np.ndarray:
        return np.stack([np.concatenate([getattr(chunk, name) for chunk in chain])[keep] for chain in kept])

    stats = {name: gather(name) for name in ("energy", "n_steps", "acceptance_rate", "diverging")}
    stats["lp"] = -gather("potential")
    return whitening.centre + gather("u") @ whitening.root.T, stats
