"""The cases of the rendering benchmark, our errors on them against brute force, and the rows of their tables."""

from __future__ import annotations

import csv
import itertools
import sys
from functools import cache
from pathlib import Path

import jax
import numpy as np
import numpyro

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
numpyro.enable_x64()

from helpers.scenes import galaxy_of, make_image, truth_arguments  # noqa: E402
from helpers.truth_image import sersic_cells  # noqa: E402

import bayesjoint as bj  # noqa: E402

INDICES = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
RADII = (0.3, 1.5, 5.0, 20.0, 80.0)
RATIOS = (0.1, 0.6, 1.0)
WIDTHS = (1.6, 2.0, 4.3)
SIZES = (64, 101, 256)
SIZED = (0.5, 1.0, 2.0, 4.0, 8.0)
SCALE, PA, SUBPIXEL = 0.3, 37.0, (0.31, -0.27)
BOUND, OVERFILLED_BOUND, LISTED = 1e-5, 1e-4, 1e-6
COLUMNS = ("n", "Re", "q", "FWHM", "stamp", "error", "flux_error", "worst_x", "worst_y", "float32_error")
TINY, OVERFILLING = 0.05, 3

rendered = jax.jit(bj.render)


@cache
def blank(size: int, fwhm: float) -> bj.Image:
    """A square image with a Gaussian PSF of `fwhm` pixels."""
    return make_image((size, size), SCALE, bj.gaussian_psf(SCALE * fwhm))


def galaxy_at(image: bj.Image, n: float, re: float, q: float, place=None) -> bj.Sersic:
    """A galaxy `place` pixels from the image's middle; without it the same way off a pixel's centre in every image."""
    if place is None:
        place = [step - 0.5 * (size % 2 == 0) for step, size in zip(SUBPIXEL, image.shape[::-1], strict=True)]
    return galaxy_of(image, n, re, q=q, pa=PA, place=place)


def offsets(image: bj.Image, galaxy: bj.Sersic) -> tuple[np.ndarray, np.ndarray]:
    """Columns x and rows y of an image as seen from the galaxy, pixels."""
    x0, y0 = truth_arguments(image, galaxy)[0]
    ny, nx = image.shape
    return np.arange(nx) - x0, np.arange(ny) - y0


def true_image(image: bj.Image, galaxy: bj.Sersic) -> np.ndarray:
    """All pixels of a galaxy on an image, by brute force."""
    _, axes, n, sigma = truth_arguments(image, galaxy)
    x, y = offsets(image, galaxy)
    return sersic_cells(x, y, axes, n, [sigma]).pixels(x, y, sigma) * float(galaxy.Ie * image.pixel_area)


def true_images(n: float, re: float, q: float, sizes=SIZES, widths=WIDTHS):
    """Yields stamp, FWHM, galaxy and truth: one integration of the brightness serves all stamps and PSFs."""
    largest = blank(max(sizes), widths[0])
    galaxy = galaxy_at(largest, n, re, q)
    axes = truth_arguments(largest, galaxy)[1]
    sigmas = {fwhm: truth_arguments(blank(max(sizes), fwhm), galaxy)[3] for fwhm in widths}
    cells = sersic_cells(*offsets(largest, galaxy), axes, n, list(sigmas.values()))
    for size, fwhm in itertools.product(sizes, widths):
        image = blank(size, fwhm)
        galaxy = galaxy_at(image, n, re, q)
        scale = float(galaxy.Ie * image.pixel_area)
        yield size, fwhm, galaxy, cells.pixels(*offsets(image, galaxy), sigmas[fwhm]) * scale


def error_of(pixels: np.ndarray, truth: np.ndarray, peak: float | None = None) -> float:
    """Largest difference over the image, of the peak."""
    return float(np.abs(pixels - truth).max() / (truth.max() if peak is None else peak))


def measure(n: float, re: float, q: float, sizes=SIZES, widths=WIDTHS):
    """Yields the row `COLUMNS` of each stamp and PSF."""
    for size, fwhm, galaxy, truth in true_images(n, re, q, sizes, widths):
        ours = np.asarray(rendered(blank(size, fwhm), galaxy))
        row, column = np.unravel_index(np.abs(ours - truth).argmax(), truth.shape)
        flux = float(abs(ours.sum() / truth.sum() - 1))
        single = error_of(single_precision(blank(size, fwhm), galaxy), ours)
        yield (n, re, q, fwhm, size, error_of(ours, truth), flux, int(column), int(row), single)


def single_precision(image: bj.Image, galaxy: bj.Sersic) -> np.ndarray:
    """The pixels of a galaxy rendered in float32."""
    small = jax.tree.map(lambda a: np.asarray(a, np.float32), (image, galaxy))
    with jax.enable_x64(False):
        return np.asarray(rendered(*small), float)


def size_rows() -> list:
    """The worst over all indices and seeings of galaxies far smaller and far larger than a pixel and an image."""
    sizes = [(TINY, 64), *((OVERFILLING * size, size) for size in SIZES)]
    rows = []
    for (re, size), q in itertools.product(sizes, (0.1, 0.3, 0.6, 1.0)):
        found = [row for n in SIZED for row in measure(n, re, q, (size,))]
        worst = [max(row[5] for row in found if row[0] in indices) for indices in (SIZED[:1], SIZED[1:])]
        rows.append([re, size, q, *worst, max(row[6] for row in found), max(row[9] for row in found)])
        print(*rows[-1], flush=True)
    return rows


def accuracy_rows(path: Path) -> dict:
    """Measure the whole grid, write it to a CSV file, and sum it up."""
    found = []
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for n, re, q in itertools.product(INDICES, RADII, RATIOS):
            new = list(measure(n, re, q))
            writer.writerows(
                [(*row[:5], f"{row[5]:.2e}", f"{row[6]:.2e}", *row[7:9], f"{row[9]:.2e}") for row in new]
            )
            file.flush()
            print(n, re, q, f"{max(row[5] for row in new):.1e}", flush=True)
            found += new
    return summary(found)


def summary(found: list) -> dict:
    """The worst cases of each n and Re, every case over 1e-6, those over their bound, and how many lie under what."""
    worst = []
    for n, re in itertools.product(INDICES, RADII):
        rows = [row for row in found if row[:2] == (n, re)]
        worst.append([n, re, max(row[5] for row in rows), *max(rows, key=lambda row: row[5])[2:5]])
        worst[-1] += [max(row[6] for row in rows), *max(rows, key=lambda row: row[6])[2:5]]
    listed = sorted((row for row in found if row[5] > LISTED), key=lambda row: -row[5])
    below = {f"{10.0**-k:.0e}": sum(row[5] < 10.0**-k for row in found) for k in (5, 6, 7, 8, 9)}
    over = [row for row in found if row[5] > bound_of(row)]
    single = max(found, key=lambda row: row[9])
    singles = {f"{limit:.0e}": sum(row[9] < limit for row in found) for limit in (1e-5, 3e-6, 1e-6)}
    return {
        "count": len(found),
        "below": below,
        "worst": worst,
        "listed": listed,
        "over": over,
        "float32": [single[9], *single[:5]],
        "float32_below": singles,
    }


def bound_of(row) -> float:
    """What the error of a case may be: more where the galaxy's half-light ellipse is wider than the stamp."""
    return OVERFILLED_BOUND if row[1] > row[4] else BOUND


def edge_rows() -> list:
    """Errors of sources moved to and over an edge and a corner, in units of the source's own peak."""
    rows = []
    for size, (n, re) in itertools.product(SIZES[1:], ((1.0, 5.0), (4.0, 20.0))):
        image = blank(size, 4.3)
        for beyond in (-20.0, -5.0, 0.0, 8.0, 15.0, 17.5, 30.0, 100.0):
            reach = (size - 1) / 2 + beyond + 0.3
            errors = [edge_error(image, n, re, place) for place in ((reach, 7.2), (-reach, reach))]
            rows.append([size, n, re, f"{beyond:+g}", *errors])
            print(*rows[-1], flush=True)
    return rows


def edge_error(image: bj.Image, n: float, re: float, place) -> float:
    """The error of a galaxy of q = 0.62 `place` pixels from the middle."""
    galaxy = galaxy_at(image, n, re, 0.62, place)
    position, axes, n, sigma = truth_arguments(image, galaxy)
    nearest = (np.round(position) - position)[:, None]
    peak = sersic_cells(*nearest, axes, n, [sigma]).pixels(*nearest, sigma)[0, 0]
    truth = true_image(image, galaxy)
    return error_of(np.asarray(rendered(image, galaxy)), truth, peak * float(galaxy.Ie * image.pixel_area))
