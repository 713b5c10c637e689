"""Whether error bars are true: simulate what a program could have made, fit each, and compare with what went in.

With parameters from the prior the ranks of the truth among the draws are uniform, exactly, if program and sampler are right
(simulation-based calibration: Talts et al. 2018, arXiv:1804.06788; Cook, Gelman & Rubin 2006). With parameters around a fit
(injection and recovery) the intervals' coverage is that for galaxies like this one, up to the prior's pull.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pickle
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import numpyro
from numpyro.infer.util import log_density
from tqdm.auto import tqdm

from bayesjoint.compilation import enable_compilation_cache
from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.draws import value_dims
from bayesjoint.infer.fit import fit_map
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.simulate import Simulation, simulate
from bayesjoint.infer.space import Program
from bayesjoint.report.calibration import Calibration
from bayesjoint.report.counts import check_whole
from bayesjoint.report.files import write_whole
from bayesjoint.report.quantities import Layout, Quantity, quantities
from bayesjoint.report.sampling import sample

RANKED = 200  # draws among which the truth is ranked


class _Task(NamedTuple):
    """All that one simulation needs but its number."""

    program: Program
    images: ImageSet
    more: tuple
    around: MapFit | None
    seed: int
    options: Mapping[str, Any]


def calibrate(
    program: Program,
    images: ImageSet,
    *more: Any,
    n: int = 100,
    around: MapFit | None = None,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
    workers: int | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Calibration:
    """Simulate images, sample each simulation's posterior by the same road, and compare with the truth.

    Every simulation has the images' own PSFs, noise, masks and coordinates, and the priors that they set.

    Parameters
    ----------
    program : function
        A NumPyro program of `images` (and of `more` arguments).
    images : ImageSet
    *more
        Further arguments of the program.
    n : int
        Simulations, at least 1.
    around : MapFit, optional
        Draw true parameters from this fit's Gaussian; otherwise from the prior, of which the ranks are uniform.
    seed : int
        The same seed simulates the same images.
    folder : path, optional
        Where each simulation's result is kept as soon as it is there: what was stopped goes on from it.
    workers : int, optional
        Processes; by default one for each core where the program can be sent to others (a function of a module, or
        `bj.joint_model()`), else 1. Scripts that use several need `if __name__ == "__main__":`.
    progress : bool, optional
        Show a progress bar; by default in a terminal or notebook.
    **options
        For `bj.sample`; by default 2 chains of 500 draws.

    Returns
    -------
    Calibration
        Of those finished, after Ctrl-C.

    Raises
    ------
    ValueError
        For an `n` below 1, and where `folder` holds the results of other simulations.
    KeyboardInterrupt
        Before any has finished.
    """
    check_whole("n", n, 1)
    n = int(n)
    task = _Task(program, images, more, around, int(seed), {"chains": 2, "draws": 500} | options)
    path = None if folder is None else _prepared(Path(folder), task)
    results = {} if path is None else _kept(path, n)
    waiting = [i for i in range(n) if i not in results]
    is_quiet = None if progress is None else not progress
    with tqdm(total=n, initial=len(results), desc="calibrate", unit="fit", disable=is_quiet) as bar:
        try:
            for i, result in _results(task, waiting, _workers(task, workers, len(waiting))):
                results[i] = result
                if path is not None:
                    _keep(path, i, result)
                bar.update()
        except KeyboardInterrupt:
            if not results:
                raise
    return Calibration.from_results([results[i] for i in sorted(results)])


def _results(task: _Task, waiting: Sequence[int], workers: int) -> Iterator[tuple[int, dict]]:
    """Results as they come."""
    if workers < 2:
        yield from ((i, one_simulation(task, i)) for i in waiting)
        return
    config: Any = jax.config
    same = bool(config.jax_enable_x64), config.jax_compilation_cache_dir
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, same)
    with pool:
        futures = {pool.submit(one_simulation, task, i): i for i in waiting}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker(precision: bool, cache: str | None) -> None:
    numpyro.enable_x64(precision)
    if cache:
        enable_compilation_cache(cache)


def _workers(task: _Task, asked: int | None, waiting: int) -> int:
    """How many processes: one where the task cannot be sent to others."""
    most = min(asked or os.cpu_count() or 1, waiting)
    if most < 2:
        return 1
    try:
        pickle.dumps(task)
        _check_can_be_found(task.program)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if asked is not None:
            raise ValueError(
                f"workers={asked}, but the program cannot be sent to another process ({error}): define it at the top of a "
                "module, or leave workers out"
            ) from None
        return 1
    return most


def _check_can_be_found(program: Any) -> None:
    """A function of a notebook or a prompt is pickled by its name alone, which another process does not know."""
    main = sys.modules["__main__"]
    if getattr(program, "__module__", "") == "__main__" and not hasattr(main, "__file__"):
        raise TypeError(f"{program.__name__} is defined in a notebook or at a prompt")


def one_simulation(task: _Task, i: int) -> dict[str, Any]:
    """Simulate, fit and sample once; what is kept of it.

    A failure is a result: of a simulation that raised there are only the truth and the error.
    """
    began = time.perf_counter()
    made = simulate(task.program, task.images, *task.more, seed=(task.seed, i), around=task.around)
    truth = _truth(task, made)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = fit_map(task.program, made.images, *task.more, progress=False)
            posterior = sample(
                task.program,
                made.images,
                *task.more,
                init=fit,
                seed=task.seed + i,
                progress=False,
                **task.options,
            )
            if posterior.idata.attrs["interrupted"]:
                raise KeyboardInterrupt
            found = _compared(posterior.quantities, truth)
            trusted, headline = posterior.verdict.trusted, posterior.verdict.headline
    except ValueError as error:
        return {"failed": str(error), "seconds": time.perf_counter() - began}
    return {
        "quantities": found,
        "trusted": bool(trusted),
        "headline": headline,
        "likelihood": posterior.idata.attrs["likelihood"],
        "seconds": time.perf_counter() - began,
    }


def _truth(task: _Task, made: Simulation) -> dict[str, Quantity]:
    """The scalars of the true values, by label."""
    images, one = made.images, {name: np.asarray(value)[None, None] for name, value in made.values.items()}
    dims = value_dims(task.program, (images, *task.more), one)
    layout = Layout(dims, images.bands, images.names, tuple(image.band for image in images))
    return {q.label: q for q in quantities(one, layout)}


def _compared(found: Sequence[Quantity], truth: Mapping[str, Quantity]) -> dict[str, dict[str, float]]:
    """Rank of the truth among the draws, and its distance from them, of each scalar and colour."""
    result = {}
    for q in found:
        if q.parameter == "mag" or not q.varies or q.label not in truth:
            continue
        draws, true = q.draws, truth[q.label].draws.item()
        if q.parameter == "pa":
            draws, true = (draws - true + 90) % 180 - 90, 0.0
        result[q.label] = placed(draws, true)
    for a, b in _colour_pairs(found):
        if a.label in truth and b.label in truth:
            # fluxes' ratio, cross-multiplied: defined for fluxes of any sign
            true_a, true_b = (truth[q.label].draws.item() for q in (a, b))
            name = " ".join(
                part for part in (a.source, "colour", f"{a.image or a.band}-{b.image or b.band}") if part
            )
            result[name] = placed(b.draws * true_a - a.draws * true_b, 0.0)
    return result


def _colour_pairs(found: Sequence[Quantity]) -> list[tuple[Quantity, Quantity]]:
    """Fluxes of neighbouring bands of each source."""
    fluxes = [q for q in found if q.parameter == "flux" and q.varies]
    sources = dict.fromkeys(q.source for q in fluxes)
    return [pair for source in sources for pair in pairwise(q for q in fluxes if q.source == source)]


def placed(draws: np.ndarray, true: float) -> dict[str, float]:
    """Where a true value lies among draws: its share below, and its distance from the mean in standard deviations."""
    flat = draws.ravel()
    some = flat[np.linspace(0, flat.size - 1, min(RANKED, flat.size)).astype(int)]
    return {
        "rank": float(np.mean(flat < true)),
        "thinned_rank": int(np.sum(some < true)),
        "ranked": int(some.size),
        "pull": float((true - flat.mean()) / flat.std()),
        "truth": float(true),
        "sd": float(flat.std()),
    }


def _prepared(folder: Path, task: _Task) -> Path:
    """The folder, made or found to be of the same simulations."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"simulations": _fingerprint(task), "log_density": _first_log_density(task)}
    path = folder / "calibration.json"
    if path.is_file() and not _is_same(json.loads(path.read_text()), record):
        raise ValueError(
            f"{str(folder)!r} holds the calibration of other images, another program, seed or options: give another folder="
        )
    write_whole(path, lambda name: Path(name).write_text(json.dumps(record)))
    return folder


def _is_same(before: dict, now: dict) -> bool:
    """A density may differ in its last digits, from one machine to the next."""
    same = np.isclose(before.get("log_density", np.nan), now["log_density"], rtol=1e-6, equal_nan=True)
    return before["simulations"] == now["simulations"] and bool(same)


def _first_log_density(task: _Task) -> float:
    """Of the truth and the pixels of the first simulation: it is another where a program of this name was edited."""
    made = simulate(task.program, task.images, *task.more, seed=(task.seed, 0), around=task.around)
    args = jax.device_put((made.images, *task.more))
    return float(log_density(task.program, args, {}, made.values)[0])


def _fingerprint(task: _Task) -> str:
    """What distinguishes one set of simulations from another."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get((task.images, task.more))):
        digest.update(np.asarray(leaf).tobytes())
    around = "" if task.around is None else task.around.unconstrained.tobytes().hex()
    program = getattr(task.program, "__qualname__", repr(task.program))
    digest.update(
        json.dumps([program, task.seed, around, sorted(task.options.items())], default=str).encode()
    )
    return digest.hexdigest()


def _keep(folder: Path, i: int, result: dict) -> None:
    write_whole(folder / f"{i:05d}.json", lambda name: Path(name).write_text(json.dumps(result)))


def _kept(folder: Path, n: int) -> dict[int, dict]:
    paths = {i: folder / f"{i:05d}.json" for i in range(n)}
    return {i: json.loads(path.read_text()) for i, path in paths.items() if path.is_file()}
