"""From files to a folder of results, step by step, saying what is done and how long it took."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpyro

import bayesjoint as bj
from bayesjoint.compilation import enable_compilation_cache
from bayesjoint.infer.methods import CHAINS, GAUSSIAN, WARMUP, check_options, draws_by_default, sampler_of
from bayesjoint.output import write_check, write_results
from bayesjoint.report.estimates import rounded

MARGIN = 8


class Log:
    """Says what is done, and keeps the wall time of each step in `seconds`."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self.seconds: dict[str, float] = {}

    @property
    def progress(self) -> bool | None:
        """For `fit_map` and `sample`: False when quiet, else what they choose."""
        return False if self.quiet else None

    def result(self, text: str) -> None:
        """Print to stdout, unless quiet."""
        if not self.quiet:
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Print to stderr, unless quiet: what the run does, apart from its results."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[list[str]]:
        """Say `what` is begun; when it is done, what came of it (put into the list) and the time it took."""
        self.note(f"{name:{MARGIN}}{what}")
        outcome: list[str] = []
        began = time.perf_counter()
        yield outcome
        self.seconds[name] = time.perf_counter() - began
        self.note(" " * MARGIN + ", ".join([*outcome, f"{self.seconds[name]:.1f} s"]))


def set_up() -> None:
    """64-bit floats, and the compilation cache on disk where that can be written."""
    numpyro.enable_x64()
    try:
        enable_compilation_cache()
    except OSError as error:
        print(f"bayesjoint: warning: no compilation cache ({error})", file=sys.stderr)


def read(
    log: Log, files: Sequence[str | Path], given: Mapping[str, Any], separate: bool = False
) -> bj.ImageSet:
    """Read the images; with `separate`, those that share a band get bands of their own, named as the images.

    Raises
    ------
    ValueError, OSError
        For any file or argument that is not as wanted.
    """
    set_up()
    with log.step("read", f"{len(files)} FITS file" + ("" if len(files) == 1 else "s")) as outcome:
        try:
            images = bj.read_images(*files, **given)
            if separate and len(images.bands) < len(images):
                apart = [image.with_band(image.name) for image in images]
                images = bj.ImageSet(apart, frame=images.frame, position=given.get("position"))
        except TypeError as error:
            raise ValueError(str(error)) from error
        sizes = (
            f"{image.name} {image.shape[1]}x{image.shape[0]}" + " (noise estimated)" * image.noise_estimated
            for image in images
        )
        outcome += [*sizes, f"{sum(image.number_used for image in images):,} pixels with weight"]
    return images


def with_correlations(log: Log, images: bj.ImageSet) -> bj.ImageSet:
    """The images with the correlation of their noise, each measured on its own blank sky where it has enough of it."""
    found: list[bj.NoiseCorrelation | None] = []
    with log.step("noise", "how it correlates between pixels, on blank sky") as outcome:
        for image in images:
            try:
                correlation = bj.noise_correlation(image)
            except ValueError as error:
                print(f"bayesjoint: warning: taken as independent between pixels: {error}", file=sys.stderr)
                found.append(None)
                continue
            found.append(correlation)
            wide = float(np.sqrt(correlation.coefficients.sum()))
            outcome.append(f"{image.name}: means of many pixels scatter {wide:.2f} times as much")
    return images.with_noise_correlations(found)


def fit_images(
    log: Log,
    images: bj.ImageSet,
    folder: Path,
    settings: argparse.Namespace,
    files: Sequence[str | Path] = (),
    sky: bool = True,
    truth: Mapping[str, Any] | None = None,
) -> bj.Posterior:
    """Fit, sample, and write into an existing folder; `settings` has what the command's options say of sampling."""
    options = _sampling_options(settings)
    program = bj.joint_model(sky=sky)
    with log.step("fit", "Levenberg-Marquardt to the maximum of the posterior") as outcome:
        fit = bj.fit_map(program, images, progress=log.progress)
        outcome.append(f"{fit.layout.size} parameters, {'' if fit.converged else 'NOT '}converged")
        outcome += [f"{fit.iterations} iterations", f"chi2/dof {fit.chi2_per_dof:.4f}"]
    with log.step("sample", _told(settings)) as outcome:
        made_by = {"command": settings.command_line}
        posterior = bj.sample(program, images, init=fit, progress=log.progress, provenance=made_by, **options)
        stats = posterior.idata.sample_stats
        if posterior.method in CHAINS:
            outcome.append(f"{float(stats['n_steps'].mean()):.1f} leapfrogs a draw")
            outcome.append(f"{int(stats['diverging'].sum())} divergences")
        outcome.append(f"{posterior.idata.attrs['likelihood']} likelihood")
        outcome += [posterior.stopped] if posterior.stopped else []
    _say_if_interrupted(log, posterior, settings.draws or draws_by_default(posterior.method))
    with log.step("write", "posterior, tables and figures"):
        write_results(folder, posterior, fit, seconds=log.seconds, files=files, truth=truth)
    if settings.check:
        with log.step(
            "check", "replicated data, score tests, prior sensitivity, information of each image"
        ) as outcome:
            try:
                check = posterior.check(seed=settings.seed)
            except ValueError as error:  # the result stays: it is written already
                outcome.append(f"not done: {error}")
                if log.quiet:
                    print(f"bayesjoint: warning: check not done: {error}", file=sys.stderr)
                return posterior
            write_check(folder, check)
            outcome.append(check.verdict.headline)
    return posterior


def _sampling_options(settings: argparse.Namespace) -> dict[str, Any]:
    """Options for `bj.sample`; those that do not go with the method, or a missing blackjax, are told before the fit."""
    names = ("method", "draws", "chains", "warmup", "seed", "target_accept", "max_tree_depth", "likelihood")
    options = {name: getattr(settings, name) for name in names}
    options |= {name: getattr(settings, name, None) for name in ("checkpoint", "until_ess", "max_seconds")}
    of_all = {
        "method": settings.method,
        "draws": settings.draws,
        "chains": settings.chains,
        "seed": settings.seed,
    }
    own = {
        name: value for name, value in options.items() if name not in of_all and value not in (None, "auto")
    }
    check_options(settings.method, own)
    if settings.method not in GAUSSIAN:
        sampler_of(settings.method)
    return options


def _told(settings: argparse.Namespace) -> str:
    """What is sampled, in words."""
    method, chains = settings.method, settings.chains
    draws = settings.draws or draws_by_default(method)
    warmup = f" after {settings.warmup or WARMUP} to warm up" if method in CHAINS else ""
    return f"{method.upper()}, {chains} chains of {draws} draws{warmup}"


def _say_if_interrupted(log: Log, posterior: bj.Posterior, wanted: int) -> None:
    if posterior.idata.attrs["interrupted"]:
        kept = posterior.idata.posterior.sizes["draw"]
        print(
            f"bayesjoint: interrupted after {kept} of {wanted} draws of each chain, which are kept and "
            "written; for more, run the command again with --overwrite (where it had --checkpoint, it goes on from there)",
            file=sys.stderr,
        )


def report(log: Log, posterior: bj.Posterior, out: str) -> None:
    """Print the summary, the colours of neighbouring bands, the verdict, and where the results are."""
    log.result("\n" + summary_text(posterior) + "\n\n" + str(posterior.verdict))
    log.result(f"\nresults are in {shlex.quote(str(out))}")
    if log.quiet and not posterior.verdict.trusted:
        print(f"bayesjoint: warning: {posterior.verdict.headline}", file=sys.stderr)


def summary_text(posterior: bj.Posterior) -> str:
    """Medians with their 68 % intervals, a line for each parameter and each colour of neighbouring bands."""
    rows = [("", "median", "", "", "unit", "ESS", "R-hat")]
    rows += [_line(row) for row in posterior.summary() if row["parameter"] not in ("Ie", "flux")]
    bands = [*posterior.bands]
    colours: Any = posterior.colours()
    for row in colours:
        here, there = (bands.index(b) if b in bands else -9 for b in (row["band_1"], row["band_2"]))
        if there == here + 1:
            rows.append((f"{row['source']} {row['colour']}", *_numbers(row), row["unit"], "", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _line(row: Any) -> tuple[str, ...]:
    label = " ".join(t for t in (row["source"], row["parameter"], row["image"] or row["band"]) if t)
    unit = str(row["unit"]).replace("mag(AB)", "mag")
    mixing = (f"{row['ess_bulk']:.0f}", f"{row['r_hat']:.3f}")
    return (label, *_numbers(row), unit, *(text if "nan" not in text else "" for text in mixing))


def _numbers(row: Any) -> tuple[str, str, str]:
    """Median, upper and lower error; of a limit, its words."""
    if str(row["interval"]).startswith("limit"):
        return str(row["interval"]).split(" (")[0].removeprefix("limit: ").removeprefix("mag "), "", ""
    median, lower, upper = (float(row[key]) for key in ("median", "lower", "upper"))
    if lower == upper:
        return f"{median:g}", "fixed", ""
    value, above, below = rounded(median, upper - median, median - lower)
    return value, f"+{above}", f"-{below}"
