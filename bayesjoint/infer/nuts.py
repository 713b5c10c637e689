"""NUTS on the program itself, whitened by the fit.

NumPyro's No-U-Turn kernel (Hoffman & Gelman 2014; Phan et al. 2019) samples u in z = z_map + R u, where R R^T is the fit's
covariance, with a unit mass matrix; warm-up adapts the step size. Chains run in compiled chunks of draws, a thread
for each core, so progress, Ctrl-C and the compilation cache all work without callbacks from compiled code.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo
from tqdm.auto import tqdm

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.draws import Draws
from bayesjoint.infer.fit import MapFit
from bayesjoint.infer.space import (
    Layout,
    Program,
    constrained_values,
    latent_ends,
    latent_plates,
    log_posterior,
)

CHUNK = 25
# in whitened space three leapfrogs of 0.85 go two and a half standard deviations, which is as far as it pays to go
FIRST_STEP = 0.85
TARGET_ACCEPT = 0.65
TREE_DEPTH = 2
OVERDISPERSION = 1.5


class Whitening(NamedTuple):
    """z = centre + root @ u."""

    centre: np.ndarray
    root: np.ndarray


@cache
def _kernel(program: Program, layout: Layout, warmup: int, target_accept: float, max_tree_depth: int):
    """NumPyro's NUTS functions for a program; the potential is that of the whitened vector u."""

    def potential_of(whitening: Whitening, args: tuple):
        return lambda u: -log_posterior(program, layout, whitening.centre + whitening.root @ u, args)

    start, step = hmc(potential_fn_gen=potential_of, algo="NUTS")

    @jax.jit
    def first(u, potential, gradient, key, whitening, args):
        return start(
            ParamInfo(u, potential, gradient),
            num_warmup=warmup,
            step_size=FIRST_STEP,
            adapt_mass_matrix=False,
            target_accept_prob=target_accept,
            max_tree_depth=max_tree_depth,
            model_args=(whitening, args),
            rng_key=key,
        )

    @partial(jax.jit, static_argnames="draws")
    def chunk(state, whitening, args, draws: int):
        def one(state, _):
            state = step(state, (whitening, args), {})
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
    program: Program,
    args: tuple,
    fit: MapFit,
    *,
    draws: int,
    chains: int,
    warmup: int,
    seed: int,
    target_accept: float = TARGET_ACCEPT,
    max_tree_depth: int = TREE_DEPTH,
    progress: bool | None = None,
) -> Draws:
    """Sample a program's posterior; see `bayesjoint.sample`.

    Returns
    -------
    Draws
        With fewer draws, and `interrupted` set, when Ctrl-C was pressed during sampling.
    """
    began = time.perf_counter()
    layout = fit.layout
    first, chunk = _kernel(program, layout, warmup, target_accept, max_tree_depth)
    whitening = Whitening(fit.unconstrained, np.linalg.cholesky(fit.covariance))
    scatter = OVERDISPERSION * np.random.default_rng(seed).normal(size=(chains, layout.size))
    # raw threefry keys: made without compiling anything
    keys = [np.array([seed % 2**32, chain], np.uint32) for chain in range(chains)]
    starts = [_finite_start(program, layout, u, whitening, args) for u in scatter]
    states = [first(*start, key, whitening, args) for start, key in zip(starts, keys, strict=True)]
    advance = partial(_advance, chunk, whitening, args)
    opening = advance(states[0])  # compiles, before threads share the program
    compiled = time.perf_counter()
    kept, interrupted = _run_chains(advance, states, opening, -(-(warmup + draws) // CHUNK), progress)
    sampled = time.perf_counter()
    if interrupted and min(len(chain) for chain in kept) * CHUNK < warmup + 4:
        raise KeyboardInterrupt("stopped during warm-up: no draws to keep")
    unconstrained, stats = _collect(kept, warmup, draws, whitening)
    values = _constrain(program, layout, unconstrained, args)
    return Draws(
        values=values,
        dims=value_dims(program, args, values),
        stats=stats,
        unconstrained=unconstrained,
        step_size=np.array([chain[-1].step_size for chain in kept]),
        warmup=warmup,
        seed=seed,
        seconds={"compile": compiled - began, "sample": sampled - compiled},
        interrupted=interrupted,
        ends=latent_ends(program, args),
    )


def _finite_start(program: Program, layout: Layout, u, whitening: Whitening, args: tuple) -> tuple:
    """A chain's start (u, potential, gradient), drawn towards the fit until the log posterior is finite there."""
    for _ in range(20):
        value, gradient = jax.device_get(
            quadratic(program, layout, whitening.centre + whitening.root @ u, args)[:2]
        )
        if np.isfinite(value) and np.all(np.isfinite(gradient)):
            return u, -value, -(whitening.root.T @ gradient)
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


def _advance(chunk, whitening: Whitening, args: tuple, state) -> tuple[Any, _Chunk]:
    """Run one compiled chunk of a chain."""
    state, kept = chunk(state, whitening, args, CHUNK)
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
    """Unconstrained draws (chains, draws, P) and statistics (chains, draws) after warm-up, chains cut to one length."""
    length = min(len(chain) for chain in kept) * CHUNK
    keep = slice(warmup, min(length, warmup + draws))

    def gather(name: str) -> np.ndarray:
        return np.stack([np.concatenate([getattr(chunk, name) for chunk in chain])[keep] for chain in kept])

    stats = {name: gather(name) for name in ("energy", "n_steps", "acceptance_rate", "diverging")}
    stats["lp"] = -gather("potential")
    return whitening.centre + gather("u") @ whitening.root.T, stats


@partial(jax.jit, static_argnames=("program", "layout"))
def _constrain_all(program: Program, layout: Layout, z, args: tuple) -> dict[str, jax.Array]:
    return jax.vmap(lambda one: constrained_values(program, layout, one, args))(z)


def _constrain(
    program: Program, layout: Layout, unconstrained: np.ndarray, args: tuple
) -> dict[str, np.ndarray]:
    """Constrained latents and deterministics of all draws, each (chains, draws, *shape)."""
    chains, draws, size = unconstrained.shape
    values = _constrain_all(program, layout, jnp.asarray(unconstrained.reshape(-1, size)), args)
    return {name: np.asarray(v).reshape(chains, draws, *v.shape[1:]) for name, v in values.items()}


def value_dims(program: Program, args: tuple, values: dict[str, np.ndarray]) -> dict[str, tuple[str, ...]]:
    """Names of the trailing axes of each value: the plates of latents; bands for fluxes; else numbered."""
    images = args[0]
    lengths = {}
    if isinstance(images, ImageSet):
        lengths = {"band": len(images.bands), "image": len(images)}
    plates = latent_plates(program, args)
    dims = {}
    for name, value in values.items():
        shape = value.shape[2:]
        plated = plates.get(name, ("band",) if shape[:1] == (lengths.get("band"),) else ())
        known = [p if lengths.get(p) == n else None for p, n in zip(plated, shape, strict=False)]
        known += [None] * (len(shape) - len(known))
        dims[name] = tuple(p or f"{name}_dim_{axis}" for axis, p in enumerate(known))
    return dims
