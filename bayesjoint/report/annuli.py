"""Means of an image's own pixels in elliptical annuli of one shape.

The shape is fixed, by the model: so data, model and other bands are averaged over the very same pixels, whose means the PSF
may blur but which compare without any correction; and faint rings, where an isophote fitted to the pixels would wander, are
as well defined as bright ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayesjoint.data.image import Image

STEP = 0.2  # width of an annulus over its radius, at least a pixel
LEAST_COVERED = 0.5  # of an annulus must lie on pixels with weight


class Annuli(NamedTuple):
    """Which annulus each pixel is in.

    Attributes
    ----------
    member : array (ny, nx) of int
        -1 where in none, or without weight.
    radii : array (n,)
        Mean semi-major axis of the pixels, arcsec.
    counts : array (n,)
    """

    member: np.ndarray
    radii: np.ndarray
    counts: np.ndarray

    def mean(self, pixels: np.ndarray) -> np.ndarray:
        """Mean (n,) of pixels (ny, nx) in each."""
        used = self.member >= 0
        return np.bincount(self.member[used], pixels[used], len(self.counts)) / self.counts


def semi_major_axes(image: Image, centre: np.ndarray, q: float, pa: float) -> np.ndarray:
    """Semi-major axis (ny, nx), arcsec, of the ellipse through the middle of each pixel, by the image's full WCS."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    east, north = image.frame.offsets(*image.wcs.all_pix2world(x.ravel(), y.ravel(), 0))
    east, north, angle = east - centre[0], north - centre[1], np.radians(pa)
    along = east * np.sin(angle) + north * np.cos(angle)
    across = east * np.cos(angle) - north * np.sin(angle)
    return np.hypot(along, across / q).reshape(image.shape)


def edges_of(finest: float, reach: float) -> np.ndarray:
    """Edges of annuli, a fifth of their radius wide and at least `finest`, out to `reach`: arcsec.

    Examples
    --------
    >>> print(edges_of(1.0, 8.0).round(2))
    [0.   1.   2.   3.   4.   5.   6.   7.2  8.64]
    """
    edges = [0.0]
    while edges[-1] < reach:
        edges.append(edges[-1] + max(finest, STEP * edges[-1]))
    return np.array(edges)


def nearest_pixel(image: Image, axes: np.ndarray) -> float:
    """Least semi-major axis, arcsec, of the pixels with weight."""
    return float(np.min(axes[image.invvar > 0]))


def without_empty_core(edges: np.ndarray, nearest: float) -> np.ndarray:
    """Edges of which the innermost annulus reaches a pixel at `nearest`: of a flat or masked core the first are one."""
    first = min(int(np.searchsorted(edges, nearest, side="right")), len(edges) - 1)
    return np.concatenate([edges[:1], edges[first:]])


def annuli_of(image: Image, axes: np.ndarray, q: float, edges: np.ndarray) -> Annuli:
    """The annuli between `edges` (arcsec), up to the first that the image does not cover by half.

    Parameters
    ----------
    axes : array (ny, nx)
        From `semi_major_axes`.
    """
    used = image.invvar > 0
    member = np.where(used, np.searchsorted(edges, axes, side="right") - 1, -1)
    member[member >= len(edges) - 1] = -1
    counts = np.bincount(member[member >= 0], minlength=len(edges) - 1)
    covered = counts * float(image.pixel_area) / (np.pi * q * np.diff(edges**2))
    short = covered < LEAST_COVERED
    short[0] = counts[0] == 0  # of the innermost, hardly a pixel wide, few middles say nothing
    kept = int(np.argmax(short)) if short.any() else len(counts)
    member[member >= kept] = -1
    inside = member >= 0
    radii = np.bincount(member[inside], axes[inside], kept) / np.maximum(counts[:kept], 1)
    return Annuli(member, radii, counts[:kept])


def mean_errors(image: Image, annuli: Annuli) -> np.ndarray:
    """Standard errors (n,) of the means of the image's pixels, nJy per pixel, from its weights.

    Where the noise correlates they are widened as those of means over areas much larger than the correlation.
    """
    weight = image.invvar
    variance = np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0)
    correlation = image.noise_correlation
    wider = 1.0 if correlation is None else max(float(np.sum(correlation)), 1.0)
    return np.sqrt(wider * annuli.mean(variance) / annuli.counts)
