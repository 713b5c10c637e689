"""Chains that run side by side in chunks of draws: on threads, until done, interrupted or late.

The order in which chains take their turns does not touch their draws: what a chain does next follows from its own state
alone. So its state and its chunks so far are all there is to know, and all that is kept to go on from.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

CHUNK = 25


class Chunk(NamedTuple):
    """What a chunk of draws leaves behind, on the host."""

    u: np.ndarray
    potential: np.ndarray
    energy: np.ndarray
    n_steps: np.ndarray
    acceptance_rate: np.ndarray
    diverging: np.ndarray
    step_size: np.ndarray


@dataclass(frozen=True)
class Track:
    """Chains as they stand: the state of each, and the chunks of draws that led there."""

    states: list[Any]
    kept: list[list[Chunk]]

    @property
    def length(self) -> int:
        """Draws of the shortest chain, warm-up among them."""
        return CHUNK * min(len(chain) for chain in self.kept)

    def copy(self) -> Track:
        """As it stands now, whatever the chains do next."""
        return Track(list(self.states), [list(chain) for chain in self.kept])

    def pack(self) -> dict[str, np.ndarray]:
        """As named arrays: the leaves of each state, and each chain's chunks."""
        arrays = {}
        for chain, (state, chunks) in enumerate(zip(self.states, self.kept, strict=True)):
            leaves = jax.tree.leaves(jax.device_get(state))
            arrays |= {f"chain{chain}/state{k}": np.asarray(leaf) for k, leaf in enumerate(leaves)}
            columns = zip(Chunk._fields, zip(*chunks, strict=True), strict=False)
            arrays |= {f"chain{chain}/{name}": np.stack(column) for name, column in columns}
        return arrays

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], chains: int, like: Any) -> Track:
        """The inverse of `pack`; `like` is a state, or the shapes of one."""
        states, kept = [], []
        for chain in range(chains):
            leaves = [arrays[f"chain{chain}/state{k}"] for k in range(len(jax.tree.leaves(like)))]
            states.append(jax.tree.unflatten(jax.tree.structure(like), leaves))
            columns = [arrays.get(f"chain{chain}/{name}", ()) for name in Chunk._fields]
            kept.append([Chunk(*rows) for rows in zip(*columns, strict=True)])
        return cls(states, kept)


class Limits(NamedTuple):
    """When chains end: after so many chunks, or once the clock is past `deadline` and each has `least` chunks.

    `name` is what the progress bar says.
    """

    chunks: int
    least: int = 0
    deadline: float = float("inf")
    name: str = "NUTS"


def run_chains(
    advance: Callable[[Any], tuple[Any, Chunk]],
    track: Track,
    limits: Limits,
    progress: bool | None,
    after: Callable[[Callable[[], Track]], None] = lambda snapshot: None,
) -> bool:
    """Run all chains, a thread for each core; whether it was interrupted. `track` is carried on.

    A free thread takes the chain that is furthest behind, so an interrupt leaves all chains about as long. `after` is
    called after each chunk, with what gives the track as it stands.
    """
    stop, lock = threading.Event(), threading.Lock()
    kept = track.kept
    idle = set(range(len(kept)))
    done = sum(min(len(chain), limits.chunks) for chain in kept)
    total = CHUNK * len(kept) * limits.chunks
    bar = tqdm(total=total, initial=CHUNK * done, desc=limits.name, unit="draw", disable=_is_quiet(progress))

    def snapshot() -> Track:
        with lock:
            return track.copy()

    def furthest_behind() -> int | None:
        """The idle chain with the fewest draws, taken; None when all are done or taken."""
        with lock:
            most = limits.least if time.monotonic() > limits.deadline else limits.chunks
            waiting = [chain for chain in idle if len(kept[chain]) < min(most, limits.chunks)]
            chain = min(waiting, key=lambda c: len(kept[c]), default=None)
            idle.discard(chain)  # type: ignore[arg-type]
            return chain

    def work() -> None:
        while not stop.is_set() and (chain := furthest_behind()) is not None:
            state, chunk = advance(track.states[chain])
            with lock:
                track.states[chain] = state
                kept[chain].append(chunk)
                idle.add(chain)
            bar.update(CHUNK)
            after(snapshot)

    interrupted = False
    workers = min(len(kept), os.cpu_count() or 1)
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
    return interrupted


def _is_quiet(progress: bool | None) -> bool:
    if progress is not None:
        return not progress
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)
