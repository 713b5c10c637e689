"""Accuracy of rendering over a grid of galaxies, PSFs and stamps: prints a table and writes docs/benchmarks/accuracy.md.

Run ``python tests/benchmarks/accuracy.py [OUT]`` from the root of the project; some three minutes on two cores. Errors
are the largest over the image in units of the galaxy's peak, against brute-force quadrature in real space at sampled
pixels (``tests/helpers/truth.py``) and against GalSim at all of them.
"""

import datetime
import importlib.metadata
import os
import platform
import sys
import warnings
from pathlib import Path

import numpy as np
import numpyro

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
numpyro.enable_x64()

from helpers import peer, truth  # noqa: E402
from helpers.scenes import galaxy_of, make_image, rendered, sample_points, truth_arguments  # noqa: E402

from bayesjoint.data.analytic_psf import gaussian_psf  # noqa: E402
from bayesjoint.light.sersic import Sersic  # noqa: E402

INDICES, RADII, WIDTHS, SIZES = (0.5, 1.0, 2.0, 4.0, 6.0), (1.5, 5.0, 20.0), (2.0, 4.3), (101, 256)


def errors(image, galaxy, with_peer=True):
    """Ours and GalSim's largest error against the truth, of the peak; ours less GalSim's, of the peak and the flux."""
    arguments = truth_arguments(image, galaxy)
    points = sample_points(image.shape, arguments[0], near=40, far=600)
    scale = float(galaxy.Ie * image.pixel_area)
    exact = truth.sersic_pixels(points, *arguments) * scale
    peak = truth.sersic_pixels(np.round(arguments[0])[:, None], *arguments)[0] * scale
    ours = np.asarray(rendered(image, galaxy))
    row = [np.abs(ours[points[1], points[0]] - exact).max() / peak]
    if with_peer:
        # the wide wings of n = 6 would ask GalSim for transforms of 9 GB
        wide = float(galaxy.n) * float(galaxy.Re) / image.pixel_scale > 100
        theirs = peer.sersic(
            galaxy, image, peer.FINE.withParams(folding_threshold=1e-3) if wide else peer.FINE
        )
        row.append(np.abs(theirs[points[1], points[0]] - exact).max() / peak)
        row += [np.abs(ours - theirs).max() / peak, abs(ours.sum() / theirs.sum() - 1)]
    return row


def table(title, header, rows):
    """Markdown, printed as well as returned."""
    lines = [f"\n## {title}\n", f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [
        f"| {' | '.join(f'{v:.1e}' if isinstance(v, np.floating) else str(v) for v in row)} |" for row in rows
    ]
    print("\n".join(lines), flush=True)
    return lines


def seed_band():
    image = make_image((500, 500), 0.262, gaussian_psf(1.12), ra=187.3119, dec=12.9783)
    galaxy = Sersic((0.83, -1.21), 0.62, 37.0, 1.7, 12.5, 100.0)
    return [errors(image, galaxy)]


def grid():
    for size in SIZES:
        for fwhm in WIDTHS:
            image = make_image((size, size), 0.3, gaussian_psf(0.3 * fwhm))
            for n in INDICES:
                for re in RADII:
                    yield [size, fwhm, n, re, *errors(image, galaxy_of(image, n, re))]


def places():
    """Sources moved to and over an edge and a corner of the image."""
    for size in SIZES:
        image = make_image((size, size), 0.3, gaussian_psf(0.3 * 4.3))
        for n, re in ((1.0, 5.0), (4.0, 20.0)):
            for beyond in (-20.0, -5.0, 0.0, 8.0, 15.0, 17.5, 30.0, 100.0):
                reach = (size - 1) / 2 + beyond + 0.3
                found = [
                    errors(image, galaxy_of(image, n, re, place=p), False)[0]
                    for p in ((reach, 7.2), (-reach, reach))
                ]
                yield [size, n, re, f"{beyond:+}", *found]


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def heading():
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("jax", "numpyro", "numpy", "galsim")
    )
    return [
        "# Accuracy of rendering",
        "",
        f"Written by `python tests/benchmarks/accuracy.py` on {datetime.date.today()}: {processor()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}.",
        "",
        "Largest errors over the image, in units of the galaxy's peak, q = 0.62 throughout, Gaussian PSF and square",
        "pixels, float64. The truth is a quadrature in real space of its own, good to 1e-11, at some 600 pixels; GalSim",
        "(folding_threshold 1e-4, 1e-3 for n = 6 with Re = 20, kvalue_accuracy 1e-6, maxk_threshold 1e-4) is compared",
        "at all pixels. Where ours and GalSim's differ by over 1e-6, the column of GalSim's own error says whose it is.",
        "Ours are largest where the galaxy overfills the image: what its periodic copies beyond four cells add there is",
        "taken as a constant.",
    ]


def main():
    warnings.filterwarnings("ignore", module="galsim")
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "benchmarks" / "accuracy.md"
    compared = ["ours - truth", "GalSim - truth", "ours - GalSim", "flux in image, ours / GalSim - 1"]
    lines = heading()
    lines += table(
        'The r band of the demo: 500x500 at 0.262", FWHM 1.12", n 1.7, Re 12.5"', compared, seed_band()
    )
    lines += table("Grid (sizes, FWHM and Re in pixels)", ["size", "FWHM", "n", "Re", *compared], grid())
    header = ["size", "n", "Re", "pixels beyond", "over an edge", "over a corner"]
    lines += table(
        "Sources near and off the edge: ours - truth, in units of the source's own peak", header, places()
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
