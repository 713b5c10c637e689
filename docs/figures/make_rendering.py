"""The figure of docs/rendering.md: pixels of galaxies, and the errors of two ways to make them.

    python docs/figures/make_rendering.py

The usual way takes the brightness at the centres of pixels, or of finer cells, and convolves it with the effective PSF;
here that PSF is known exactly, so that all of its error is that of the sampling. The truth is the quadrature in real space
that the tests use (`tests/helpers/truth.py`).
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpyro
from matplotlib.colors import LogNorm
from matplotlib.ticker import NullLocator

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from helpers.scenes import galaxy_of, make_image, rendered, sample_points, truth_arguments  # noqa: E402
from helpers.truth import REACH, gaussian_pixel, sersic_brightness, sersic_pixels  # noqa: E402

from bayesjoint import gaussian_psf  # noqa: E402
from bayesjoint.report.style import PAGE_WIDTH, PALETTE, paper_style  # noqa: E402

SCALE, FWHM, SIDE = 0.3, 2.0, 101  # arcsec per pixel; pixels
INDICES = np.array([0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0])
RADII = (1.5, 5.0)  # pixels
SHOWN = 10  # pixels to either side of the galaxy
FINER = 5


def sampled(position, axes, n, sigma, finer=1):
    """Brightness at the centres of cells, `finer` a pixel along each axis, convolved with the effective PSF."""
    margin = int(np.ceil(REACH * sigma + 0.5))
    cells = (np.arange((SIDE + 2 * margin) * finer) + 0.5) / finer - 0.5 - margin
    inverse = np.linalg.inv(axes.T)
    x, y = cells[None] - position[0], cells[:, None] - position[1]
    radius = np.hypot(inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y)
    kernel = gaussian_pixel(np.arange(SIDE)[:, None] - cells, sigma)
    return kernel @ sersic_brightness(radius, n) @ kernel.T / finer**2


def pixels_of(image, n, re, points=None):
    """Place (2,), points (2, m), and the pixels there: the truth, ours, sampled, sampled finer."""
    galaxy = galaxy_of(image, n, re)
    arguments = truth_arguments(image, galaxy)
    points = sample_points(image.shape, arguments[0], far=100) if points is None else points
    images = np.asarray(rendered(image, galaxy)), sampled(*arguments), sampled(*arguments, FINER)
    return arguments[0], [sersic_pixels(points, *arguments), *(each[points[1], points[0]] for each in images)]


def errors(image, re):
    """Largest error over peak of ours, sampled, sampled finer at all indices, (3, indices)."""
    found = []
    for n in INDICES:
        _, (exact, *others) = pixels_of(image, n, re)
        found.append([np.abs(each - exact).max() / exact.max() for each in others])
    return np.array(found).T


def draw_maps(figure, axes, image):
    """The galaxy's pixels, and the errors of both ways."""
    middle = SIDE // 2 + np.arange(-SHOWN, SHOWN + 1)
    points = np.stack(np.meshgrid(middle, middle)).reshape(2, -1)
    position, pixels = pixels_of(image, 4.0, RADII[1], points)
    exact, ours, usual, _ = (each.reshape(len(middle), -1) / pixels[0].max() for each in pixels)
    x0, y0 = position
    edges = {
        "extent": (middle[0] - x0 - 0.5, middle[-1] - x0 + 0.5, middle[0] - y0 - 0.5, middle[-1] - y0 + 0.5)
    }
    shown = [(rf"(a)  $n$ = 4, $R_\mathrm{{e}}$ = {RADII[1]:g} px", exact, 0, "brightness / peak")]
    for title, error in (("(b)  usual way: error", usual - exact), ("(c)  bayesjoint: error", ours - exact)):
        power = int(np.floor(np.log10(np.abs(error).max())))
        shown.append((title, error / 10.0**power, power, rf"error / peak  [$10^{{{power}}}$]"))
    for axis, (title, values, power, label) in zip(axes, shown, strict=True):
        if power:
            limit = np.abs(values).max()
            look = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        else:
            look = {"cmap": "viridis", "norm": LogNorm(values.min(), 1.0)}
        drawn = axis.imshow(values, origin="lower", interpolation="nearest", **look, **edges)
        axis.set_title(title, loc="left")
        axis.set_xlabel(r"$x - x_0$  [px]")
        axis.set_xticks([-10, -5, 0, 5, 10])
        axis.set_yticks([-10, -5, 0, 5, 10])
        figure.colorbar(drawn, cax=axis.inset_axes([1.04, 0, 0.06, 1]), label=label)
    axes[0].set_ylabel(r"$y - y_0$  [px]")


def draw_curves(axes, image):
    """Errors against the Sersic index."""
    lines = (
        ("usual way: sampled at pixel centres", PALETTE[1], "s", 1),
        (f"the same, at {FINER} $\\times$ {FINER} points a pixel", PALETTE[4], "^", 2),
        ("bayesjoint", PALETTE[0], "o", 0),
    )
    for axis, re, letter in zip(axes, RADII, "de", strict=True):
        found = errors(image, re)
        for label, colour, marker, row in lines:
            axis.plot(INDICES, found[row], color=colour, marker=marker, markersize=3.5, label=label)
        axis.set_yscale("log")
        axis.set_ylim(1e-11, 1)
        axis.set_yticks(10.0 ** np.arange(-10, 1, 2))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set_xlabel("Sersic index $n$")
        axis.set_title(rf"({letter})  $R_\mathrm{{e}}$ = {re:g} px", loc="left")
        axis.grid(axis="y", color="#dddddd", linewidth=0.5)
    axes[0].set_ylabel("largest error / peak")
    axes[1].tick_params(labelleft=False)
    axes[0].legend(loc="center right", bbox_to_anchor=(1.0, 0.42))


def main():
    numpyro.enable_x64()
    image = make_image((SIDE, SIDE), SCALE, gaussian_psf(FWHM * SCALE))
    with paper_style():
        figure = plt.figure(figsize=(PAGE_WIDTH, 4.6), layout="constrained")
        upper, lower = figure.subfigures(2, 1, height_ratios=[1.0, 1.05])
        draw_maps(upper, upper.subplots(1, 3), image)
        draw_curves(lower.subplots(1, 2), image)
        figure.savefig(HERE / "rendering.png", dpi=200)


if __name__ == "__main__":
    main()
