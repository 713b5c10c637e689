"""NUTS on a whitened log density.

NumPyro's No-U-Turn kernel (Hoffman & Gelman 2014; Phan et al. 2019) samples u in x = centre + root @ u, where root root^T is
the fit's covariance, with a unit mass matrix; warm-up adapts the step size. Chains run in compiled chunks of draws, a thread
for each core, so progress, Ctrl-C and the compilation cache all work without callbacks from compiled code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.chains import CHUNK, Chunk, Limits, Track, run_chains
from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.space import Program

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


def run_nuts(
    target: Target,
    tuning: Tuning,
    progress: bool | None = None,
    checkpoint: Checkpoint | None = None,
    part: str = "chains",
    deadline: float = float("inf"),
) -> Chains:
    """Sample a log density.

    Parameters
    ----------
    checkpoint : Checkpoint, optional
        Its `part`, where it is known, is gone on from; it knows the chains afterwards.
    deadline : float
        Of `time.monotonic`: once it is past, sampling ends as soon as every chain has a chunk of draws to keep.

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
    checkpoint = checkpoint or Checkpoint()
    warmup, draws = tuning.warmup, tuning.draws
    first, chunk = _kernel(
        target.density, target.program, target.static, warmup, tuning.target_accept, tuning.max_tree_depth
    )
    advance = partial(_advance, chunk, target.whitening, target.known)
    known = checkpoint.recall(part)
    track = _resumed(first, target, tuning, known) if known else _begun(first, target, tuning)
    spent = {name: float(known.get(f"{name}_seconds", 0.0)) for name in ("compile", "sample")}
    limits = Limits(-(-(warmup + draws) // CHUNK), -(-(warmup + 4) // CHUNK), deadline)
    _first_chunk(advance, track, limits)  # compiles, before threads share the program
    spent["compile"] += (compiled := time.perf_counter()) - began

    def packed(track: Track) -> dict:
        now = {"compile": spent["compile"], "sample": spent["sample"] + time.perf_counter() - compiled}
        return track.pack() | {f"{name}_seconds": seconds for name, seconds in now.items()}

    def after(snapshot: Callable[[], Track]) -> None:
        checkpoint.offer(part, lambda: packed(snapshot()))

    interrupted = run_chains(advance, track, limits, progress, after)
    checkpoint.note(part, packed(track))
    spent["sample"] += time.perf_counter() - compiled
    if interrupted and track.length < warmup + 4:
        raise KeyboardInterrupt("stopped during warm-up: no draws to keep")
    x, stats = _collect(track.kept, warmup, draws, target.whitening)
    step_size = np.array([chain[-1].step_size for chain in track.kept])
    return Chains(x, stats, step_size, spent, interrupted)


def _begun(first, target: Target, tuning: Tuning) -> Track:
    """Chains at their starts."""
    scatter = np.random.default_rng(tuning.seed).normal(size=(tuning.chains, len(target.whitening.centre)))
    starts = [_finite_start(target, OVERDISPERSION * u) for u in scatter]
    keyed = zip(starts, _keys(tuning), strict=True)
    states = [first(*start, key, target.whitening, target.known) for start, key in keyed]
    return Track(states, [[] for _ in states])


def _resumed(first, target: Target, tuning: Tuning, known: dict[str, np.ndarray]) -> Track:
    """Chains as a checkpoint has them.

    The first step is traced for the structure of its state, and because NumPyro's kernel learns its settings there.
    """
    u, key = np.zeros(len(target.whitening.centre)), _keys(tuning)[0]
    like = jax.eval_shape(first, u, np.zeros(()), u, key, target.whitening, target.known)
    return Track.unpack(known, tuning.chains, like)


def _keys(tuning: Tuning) -> list[np.ndarray]:
    """Raw threefry keys: made without compiling anything."""
    return [np.array([tuning.seed % 2**32, chain], np.uint32) for chain in range(tuning.chains)]


def _first_chunk(advance, track: Track, limits: Limits) -> None:
    """One chunk of the chain that is furthest behind, if any is."""
    chain = min(range(len(track.kept)), key=lambda c: len(track.kept[c]))
    if len(track.kept[chain]) < limits.chunks:
        track.states[chain], chunk = advance(track.states[chain])
        track.kept[chain].append(chunk)


def _finite_start(target: Target, u: np.ndarray) -> tuple:
    """A chain's start (u, potential, gradient), drawn towards the fit until the log density is finite there."""
    centre, root = target.whitening
    for _ in range(20):
        value, gradient = jax.device_get(target.start(centre + root @ u))
        if np.isfinite(value) and np.all(np.isfinite(gradient)):
            return u, -value, -(root.T @ gradient)
        u = 0.5 * u
    raise ValueError("the log posterior is not finite near the fit: check the fit's verdict before sampling")


def _advance(chunk, whitening: Whitening, known: tuple, state) -> tuple[Any, Chunk]:
    """Run one compiled chunk of a chain."""
    state, kept = chunk(state, whitening, known, CHUNK)
    return state, Chunk(*jax.device_get(kept), step_size=np.asarray(state.adapt_state.step_size))


def _collect(
    kept: list[list[Chunk]], warmup: int, draws: int, whitening: Whitening
) -> tuple[np.ndarray, dict]:
    """Draws x (chains, draws, D) and statistics (chains, draws) after warm-up, chains cut to one length."""
    length = min(len(chain) for chain in kept) * CHUNK
    keep = slice(warmup, min(length, warmup + draws))

    def gather(name: str) -> np.ndarray:
        return np.stack([np.concatenate([getattr(chunk, name) for chunk in chain])[keep] for chain in kept])

    stats = {name: gather(name) for name in ("energy", "n_steps", "acceptance_rate", "diverging")}
    stats["lp"] = -gather("potential")
    return whitening.centre + gather("u") @ whitening.root.T, stats
