"""NUTS on a whitened log density.

NumPyro's No-U-Turn kernel (Hoffman & Gelman 2014; Phan et al. 2019) samples u in x = centre + root @ u, where root root^T is
the fit's covariance, with a unit mass matrix; warm-up adapts the step size. Where the chains' own covariance turns out to be
another, they go on in coordinates made from that (`adapt.py`). Chains run in compiled chunks of draws (`chains.py`), so
progress, Ctrl-C and the compilation cache all work without callbacks from compiled code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import jax
import numpy as np
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.adapt import Whitening, is_needed, learnt
from bayesjoint.infer.chains import CHUNK, Chunk, Limits, Steps, Track
from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.running import Note, carry_on, chunks_of, collect, keys_of, spent_before, starts_of
from bayesjoint.infer.space import Program
from bayesjoint.infer.target import Chains, Target, Tuning

# in whitened space three leapfrogs of 0.85 go two and a half standard deviations, which is as far as it pays to go
FIRST_STEP = 0.85
SHORT: Any = {"target_accept": 0.65, "max_tree_depth": 2}
LONGER: Any = {
    "target_accept": 0.8,
    "max_tree_depth": 3,
}  # of short ones, where the posterior is not the fit's Gaussian
THOROUGH: Any = {"target_accept": 0.8, "max_tree_depth": 8}
SETTLING = 100  # draws that adapt the step size to new coordinates: few, as chains have come to where the posterior is
LATER = 1 << 16  # tells the random numbers of chains in new coordinates from those before


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

    @quick_jit
    def chunk(state, whitening, known):
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

        state, kept = jax.lax.scan(one, state, None, length=CHUNK)
        return state, Chunk(*kept, step_size=state.adapt_state.step_size)

    return first, chunk


def _kernel_of(target: Target, tuning: Tuning, defaults: dict[str, Any]):
    """The kernel's functions, with what trajectories are by default."""
    tuned = tuning.or_else(**defaults)
    return _kernel(
        target.density,
        target.program,
        target.static,
        tuned.warmup,
        tuned.target_accept,
        tuned.max_tree_depth,
    )


def run_nuts(
    target: Target,
    tuning: Tuning,
    short: bool = False,
    progress: bool | None = None,
    checkpoint: Checkpoint | None = None,
    part: str = "chains",
    deadline: float = float("inf"),
) -> Chains:
    """Sample a log density.

    Parameters
    ----------
    short : bool
        Whether trajectories are of at most three leapfrogs by default, which does where the coordinates suit the density:
        longer ones return where they came from. In coordinates learnt from the chains they have seven.
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
    began, checkpoint = time.perf_counter(), checkpoint or Checkpoint()
    known, whitening, warm = checkpoint.recall(part), target.whitening, chunks_of(tuning.warmup)
    first, chunk = _kernel_of(target, tuning, SHORT if short else THOROUGH)
    track = _resumed(first, target, tuning, known) if known else _begun(first, target, tuning)
    spent, skipped, interrupted = spent_before(known, began), tuning.warmup, False

    def run(most: int, least: int, name: str = "NUTS") -> bool:
        steps = Steps(chunk, (whitening, target.known), tuning.chain_method)
        moved = {} if whitening is target.whitening else whitening._asdict()
        limits = Limits(most, least, deadline, name)
        return carry_on(steps, track, limits, progress, Note(checkpoint, part, spent, moved))

    new = Whitening(known["centre"], known["root"]) if "root" in known else None
    if new is None:
        interrupted = run(warm, warm, "warm-up")
        new = None if interrupted else _learnt(track, warm, tuning, whitening)
    if new is not None:
        began, skipped = time.perf_counter(), CHUNK * warm + min(SETTLING, tuning.warmup)
        first, chunk = _kernel_of(target, tuning, LONGER if short else THOROUGH)
        if "root" not in known:
            track.states[:] = _moved(first, track.states, new, target, tuning)
        elif short:
            _resumed(first, target, tuning, known)  # which the kernel learns its settings from
        whitening = new
        spent["compile"] += time.perf_counter() - began
    if not interrupted:
        interrupted = run(chunks_of(skipped + tuning.draws), chunks_of(skipped + 4))
    if interrupted and track.length < skipped + 4:
        raise KeyboardInterrupt("stopped during warm-up: no draws to keep")
    x, stats = collect(track.kept, skipped, tuning.draws, whitening)
    step_size = np.array([chain[-1].step_size for chain in track.kept])
    return Chains(x, stats, step_size, spent, interrupted)


def _learnt(track: Track, warm: int, tuning: Tuning, whitening: Whitening) -> Whitening | None:
    """New coordinates, from the second half of the warm-up of all chains; None where the old ones do."""
    if tuning.adapt == "never":
        return None
    u = np.stack([np.concatenate([chunk.u for chunk in chain[warm // 2 : warm]]) for chain in track.kept])
    return learnt(whitening, u) if tuning.adapt == "always" or is_needed(u) else None


def _moved(first, states: list, after: Whitening, target: Target, tuning: Tuning) -> list:
    """Chains where they stand, in new coordinates, to adapt their step size to these."""
    before, keys = target.whitening, keys_of(tuning, LATER)
    turn = np.linalg.solve(after.root, before.root)
    shift = np.linalg.solve(after.root, before.centre - after.centre)
    skipped = tuning.warmup - min(SETTLING, tuning.warmup)
    moved = []
    for state, key in zip(jax.device_get(states), keys, strict=True):
        gradient = np.linalg.solve(turn.T, state.z_grad)
        start = shift + turn @ state.z, state.potential_energy, gradient
        begun = first(*start, key, after, target.known)
        moved.append(begun._replace(i=begun.i + np.asarray(skipped, begun.i.dtype)))
    return moved


def _begun(first, target: Target, tuning: Tuning) -> Track:
    """Chains at their starts."""
    keyed = zip(starts_of(target, tuning), keys_of(tuning), strict=True)
    states = [first(*start, key, target.whitening, target.known) for start, key in keyed]
    return Track(states, [[] for _ in states])


def _resumed(first, target: Target, tuning: Tuning, known: dict[str, np.ndarray]) -> Track:
    """Chains as a checkpoint has them.

    The first step is traced for the structure of its state, and because NumPyro's kernel learns its settings there.
    """
    u, key = np.zeros(len(target.whitening.centre)), keys_of(tuning)[0]
    like = jax.eval_shape(first, u, np.zeros(()), u, key, target.whitening, target.known)
    return Track.unpack(known, tuning.chains, like)
