"""Chains of any kernel, carried on chunk by chunk: timed, noted in a checkpoint on the way, and gathered at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from bayesjoint.infer.adapt import Whitening
from bayesjoint.infer.chains import CHUNK, Chunk, Limits, Steps, Track, furthest_behind, run_chains
from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.target import Target, Tuning

OVERDISPERSION = 1.5


class Note(NamedTuple):
    """Where chains are noted, with the seconds spent on them, and their coordinates where they are not the target's."""

    checkpoint: Checkpoint
    part: str
    spent: dict[str, float]
    moved: dict[str, np.ndarray]


def chunks_of(draws: int) -> int:
    """Chunks that hold so many draws."""
    return -(-draws // CHUNK)


def spent_before(known: dict[str, np.ndarray], since: float) -> dict[str, float]:
    """Seconds of each step as a checkpoint has them, and those `since` a time of `time.perf_counter`."""
    spent = {name: float(known.get(f"{name}_seconds", 0.0)) for name in ("compile", "sample")}
    return spent | {"compile": spent["compile"] + time.perf_counter() - since}


def carry_on(
    steps: Steps,
    track: Track,
    limits: Limits,
    progress: bool | None,
    note: Note,
) -> bool:
    """Carry chains on, noting them on the way; whether it was interrupted. `note.spent` is carried on too."""
    began = time.perf_counter()
    _first_chunk(steps, track, limits)  # compiles, before threads share the program
    note.spent["compile"] += (compiled := time.perf_counter()) - began

    def packed(track: Track) -> dict:
        now = note.spent | {"sample": note.spent["sample"] + time.perf_counter() - compiled}
        return track.pack() | note.moved | {f"{name}_seconds": seconds for name, seconds in now.items()}

    def after(snapshot: Callable[[], Track]) -> None:
        note.checkpoint.offer(note.part, lambda: packed(snapshot()))

    interrupted = run_chains(steps, track, limits, progress, after)
    note.checkpoint.note(note.part, packed(track))
    note.spent["sample"] += time.perf_counter() - compiled
    return interrupted


def _first_chunk(steps: Steps, track: Track, limits: Limits) -> None:
    """One chunk of what is furthest behind, if anything is."""
    chains = furthest_behind(track.kept, limits.chunks, range(len(track.kept)), steps.method)
    found = steps.advance([track.states[chain] for chain in chains]) if chains else []
    for chain, (state, chunk) in zip(chains, found, strict=True):
        track.states[chain] = state
        track.kept[chain].append(chunk)


def starts_of(target: Target, tuning: Tuning) -> list[tuple]:
    """Where each chain starts, as (u, potential, gradient): overdispersed draws of the fit's Gaussian."""
    scatter = np.random.default_rng(tuning.seed).normal(size=(tuning.chains, len(target.whitening.centre)))
    return [_finite_start(target, OVERDISPERSION * u) for u in scatter]


def _finite_start(target: Target, u: np.ndarray) -> tuple:
    """A chain's start (u, potential, gradient), drawn towards the fit until the log density is finite there."""
    centre, root = target.whitening
    for _ in range(20):
        value, gradient = jax.device_get(target.start(centre + root @ u))
        if np.isfinite(value) and np.all(np.isfinite(gradient)):
            return u, -value, -(root.T @ gradient)
        u = 0.5 * u
    raise ValueError("the log posterior is not finite near the fit: check the fit's verdict before sampling")


def keys_of(tuning: Tuning, first: int = 0) -> list[np.ndarray]:
    """Raw threefry keys of the chains: made without compiling anything."""
    return [np.array([tuning.seed % 2**32, first + chain], np.uint32) for chain in range(tuning.chains)]


def collect(
    kept: list[list[Chunk]], skipped: int, draws: int, whitening: Whitening
) -> tuple[np.ndarray, dict]:
    """Draws x (chains, draws, D) and statistics (chains, draws) after those skipped, chains cut to one length."""
    length = min(len(chain) for chain in kept) * CHUNK
    keep = slice(skipped, min(length, skipped + draws))

    def gather(name: str) -> np.ndarray:
        return np.stack([np.concatenate([getattr(chunk, name) for chunk in chain])[keep] for chain in kept])

    stats = {name: gather(name) for name in ("energy", "n_steps", "acceptance_rate", "diverging")}
    stats["lp"] = -gather("potential")
    return whitening.centre + gather("u") @ whitening.root.T, stats
