"""A program's images rendered at many draws, in chunks of one size, a thread for each core.

What is wanted of each draw's images is taken inside the compiled program: no image is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.observed import site_log_density
from bayesjoint.infer.space import Layout, Program, run_program

CHUNK = 16


def for_draws(
    program: Program,
    layout: Layout,
    draws: np.ndarray,
    args: tuple,
    reduce: Callable[[dict, Any], Any],
    known: Any,
    keep: Callable[[slice, Any], None],
) -> np.ndarray:
    """Render the images at each draw.

    Parameters
    ----------
    draws : array (N, P)
    reduce : function (trace, known)
        What is wanted of the program's trace: arrays. With `program` and `layout` it names what is compiled, once.
    known : arrays
        What `reduce` needs to know.
    keep : function (rows, found)
        Takes what was found at these of the draws, leaves (rows, ...); called from several threads.

    Returns
    -------
    array (N,)
        The exact log posterior of each draw.
    """
    densities = np.empty(len(draws))

    def run(zs: np.ndarray) -> tuple:
        return _chunk(program, layout, reduce, zs, known, args)

    def keep_both(rows: slice, found: tuple) -> None:
        densities[rows] = found[0]
        keep(rows, found[1])

    in_chunks(run, draws, keep_both)
    return densities


def in_chunks(
    run: Callable[[np.ndarray], Any], draws: np.ndarray, keep: Callable[[slice, Any], None]
) -> None:
    """Call a compiled function on draws (N, P), `CHUNK` at once, from several threads; `keep` takes which, and what came."""
    count = len(draws)
    chunks = [slice(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]

    def run_one(chunk: slice) -> None:
        found = run(draws[np.minimum(np.arange(chunk.start, chunk.start + CHUNK), count - 1)])
        rows = chunk.stop - chunk.start
        keep(chunk, jax.tree.map(lambda leaf: leaf[:rows], jax.device_get(found)))

    run_one(chunks[0])  # compiles, before threads share the program
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(run_one, chunks[1:]))


def gathered(run: Callable[[np.ndarray], Any], draws: np.ndarray) -> Any:
    """What a compiled function gives at draws (N, P), leaves (N, ...)."""
    pieces: dict[int, Any] = {}

    def keep(rows: slice, found: Any) -> None:
        pieces[rows.start] = found

    in_chunks(run, draws, keep)
    ordered = [pieces[start] for start in sorted(pieces)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *ordered)


def at_draws(
    program: Program, layout: Layout, draws: np.ndarray, args: tuple, reduce: Callable, known: Any = ()
) -> tuple[np.ndarray, Any]:
    """The exact log posterior (N,) of each draw, and what was found there, leaves (N, ...); arguments as in `for_draws`."""
    return gathered(lambda zs: _chunk(program, layout, reduce, zs, known, args), draws)


@partial(quick_jit, static_argnames=("program", "layout", "reduce"))
def _chunk(program: Program, layout: Layout, reduce: Callable, zs, known: Any, args: tuple) -> tuple:
    def one(z):
        trace, log_determinant = run_program(program, layout, z, args)
        density = log_determinant + sum(site_log_density(s) for s in trace.values() if s["type"] == "sample")
        return density, reduce(trace, known)

    return jax.lax.map(one, zs)
