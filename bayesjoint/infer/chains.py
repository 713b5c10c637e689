"""Chains that run beside each other in chunks of draws, until done, interrupted or late.

On a CPU each runs on a thread of its own; an accelerator takes all of them through one program, vectorized over chains. The
order in which chains take their turns does not touch their draws: what a chain does next follows from its own state alone.
So its state and its chunks so far are all there is to know, and all that is kept to go on from.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from bayesjoint.compilation import quick_jit

CHUNK = 25

ChainMethod = Literal["parallel", "vectorized"]


class Chunk(NamedTuple):
    """Arrays that a chunk of draws leaves behind: a row a draw, of the step size the last."""

    u: Any
    potential: Any
    energy: Any
    n_steps: Any
    acceptance_rate: Any
    diverging: Any
    step_size: Any


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


class Steps(NamedTuple):
    """How chains are carried on by a chunk: `chunk(state, *arrays)` gives the state after it and the `Chunk`."""

    chunk: Callable[..., tuple[Any, Chunk]]
    arrays: tuple
    method: ChainMethod = "parallel"

    def advance(self, states: Sequence[Any]) -> list[tuple[Any, Chunk]]:
        """Carry on chains, whose chunks then lie on the host."""
        if self.method == "vectorized":
            found = _vectorized(self.chunk)(tuple(states), *self.arrays)
        else:
            found = [self.chunk(state, *self.arrays) for state in states]
        return [(state, jax.device_get(chunk)) for state, chunk in found]


@cache
def _vectorized(chunk: Callable[..., tuple[Any, Chunk]]) -> Callable[..., list[tuple[Any, Chunk]]]:
    """Several states carried on by one program."""

    def advance(states: tuple, *arrays: Any) -> list[tuple[Any, Chunk]]:
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        found = jax.vmap(lambda state: chunk(state, *arrays))(stacked)
        return [jax.tree.map(itemgetter(chain), found) for chain in range(len(states))]

    return quick_jit(advance)


class Limits(NamedTuple):
    """When chains end: after so many chunks, or once the clock is past `deadline` and each has `least` chunks.

    `name` is what the progress bar says.
    """

    chunks: int
    least: int = 0
    deadline: float = float("inf")
    name: str = "NUTS"


def run_chains(
    steps: Steps,
    track: Track,
    limits: Limits,
    progress: bool | None,
    after: Callable[[Callable[[], Track]], None] = lambda snapshot: None,
) -> bool:
    """Run all chains, a thread for each core or all in one program; whether it was interrupted. `track` is carried on.

    A free thread takes the chain that is furthest behind, so an interrupt leaves all chains about as long. `after` is
    called after each chunk, with what gives the track as it stands.
    """
    stop, lock = threading.Event(), threading.Lock()
    kept = track.kept
    idle = set(range(len(kept)))
    done = sum(min(len(chain), limits.chunks) for chain in kept)
    total = CHUNK * len(kept) * limits.chunks
    bar = tqdm(total=total, initial=CHUNK * done, desc=limits.name, unit="draw", disable=is_quiet(progress))

    def snapshot() -> Track:
        with lock:
            return track.copy()

    def next_chains() -> list[int]:
        """The idle chains to carry on now, taken; none when all are done or taken."""
        with lock:
            most = limits.least if time.monotonic() > limits.deadline else limits.chunks
            chains = furthest_behind(kept, min(most, limits.chunks), idle, steps.method)
            idle.difference_update(chains)
            return chains

    def work() -> None:
        while not stop.is_set() and (chains := next_chains()):
            found = steps.advance([track.states[chain] for chain in chains])
            with lock:
                for chain, (state, chunk) in zip(chains, found, strict=True):
                    track.states[chain] = state
                    kept[chain].append(chunk)
                idle.update(chains)
            bar.update(CHUNK * len(chains))
            after(snapshot)

    interrupted = False
    workers = 1 if steps.method == "vectorized" else min(len(kept), os.cpu_count() or 1)
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


def furthest_behind(
    kept: Sequence[Sequence[Chunk]], most: int, idle: Iterable[int], method: ChainMethod
) -> list[int]:
    """Of idle chains with less than `most` chunks the one with the fewest, or all that have as few where they run as one."""
    waiting = sorted((len(kept[chain]), chain) for chain in idle if len(kept[chain]) < most)
    return [chain for length, chain in waiting if length == waiting[0][0]][
        : 1 if method == "parallel" else None
    ]


def is_quiet(progress: bool | None) -> bool:
    """Whether no progress bar is to be shown; by default outside terminals and notebooks."""
    if progress is not None:
        return not progress
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)
