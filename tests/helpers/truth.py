"""Sersic pixels by brute force in real space: the independent truth that rendering is tested against.

A pixel is the integral of the brightness times the effective PSF, here a circular Gaussian convolved with the pixel, a
product of differences of error functions. No Fourier transform, table or lattice is shared with the package. Far from
the source's centre the brightness is smooth over the PSF, and a grid of Gauss-Legendre panels does; near it, the
integral is taken in the elliptical polar coordinates of the source, where its cusp is at the end of the radial axis.
"""

from functools import cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy import special

REACH = 7.0  # of the Gaussian, in its standard deviations
FAR = 1.6  # beyond this many half-widths of the PSF's box from the centre, the Cartesian grid does


def sersic_brightness(x, n):
    """Brightness in units of Ie at x = r / Re."""
    return np.exp(-special.gammaincinv(2 * n, 0.5) * (x ** (1 / n) - 1))


def sersic_flux(n):
    """Total flux in units of (area of the half-light ellipse / pi) Ie."""
    b = special.gammaincinv(2 * n, 0.5)
    return 2 * np.pi * n * np.exp(b - 2 * n * np.log(b) + special.gammaln(2 * n))


def gaussian_pixel(x, sigma):
    """Gaussian of unit integral convolved with a pixel of width 1, along one axis."""
    scaled = np.sqrt(0.5) / sigma
    return 0.5 * (special.erf((x + 0.5) * scaled) - special.erf((x - 0.5) * scaled))


def sersic_pixels(points, position, axes, n, sigma):
    """Pixel values for Ie = 1 per square pixel.

    Parameters
    ----------
    points : array (2, m)
        Pixels (x, y) to evaluate.
    position : array (2,)
        Of the source, pixels.
    axes : array (2, 2)
        Rows are the semi-axis vectors of the half-light ellipse, pixels.
    n, sigma : float
        Sersic index; standard deviation of the PSF, pixels.
    """
    offsets = np.asarray(points, float) - np.asarray(position)[:, None]
    box = REACH * sigma + 0.5
    far = np.max(np.abs(offsets), axis=0) > FAR * box
    values = np.empty(offsets.shape[1])
    # complex singularities of the brightness lie q times the distance off the real axes
    lengths = np.linalg.norm(axes, axis=1)
    reach = lengths.min() / lengths.max() * (np.max(np.abs(offsets), axis=0) - box)
    counts = np.ceil(np.maximum(3, box / np.where(far, reach, np.inf)))
    for count in np.unique(counts[far]):
        these = np.flatnonzero(far & (counts == count))
        for chunk in np.array_split(these, 1 + these.size * int(count) ** 2 // 20000):
            values[chunk] = _cartesian(offsets[:, chunk], axes, n, sigma, box, int(count))
    for i in np.flatnonzero(~far):
        values[i] = _polar(offsets[:, i], axes, n, sigma, box)
    return values


@cache
def _panels(count, order=16):
    """Nodes and weights of `count` equal Gauss-Legendre panels over (0, 1)."""
    nodes, weights = leggauss(order)
    at = (np.arange(count)[:, None] + 0.5 * (nodes + 1)) / count
    return at.ravel(), np.tile(0.5 * weights / count, count)


def _cartesian(offsets, axes, n, sigma, box, count=3):
    at, weights = _panels(count)
    place = (2 * at - 1) * box
    weighted = 2 * box * weights * gaussian_pixel(place, sigma)
    inverse = np.linalg.inv(np.asarray(axes).T)
    x, y = offsets[0][:, None, None] + place, offsets[1][:, None, None] + place[:, None]
    radius = np.hypot(inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y)
    return np.einsum("mij,i,j->m", sersic_brightness(radius, n), weighted, weighted)


def _polar(offset, axes, n, sigma, box):
    """Radius t^(2n), at least t^4, in panels; the trapezoid rule in angle, of spectral accuracy."""
    lengths = np.linalg.norm(axes, axis=1)
    largest = (np.hypot(*offset) + np.sqrt(2) * box) / lengths.min()
    # brightness under 1e-18 of the integral is left out
    b = special.gammaincinv(2 * n, 0.5)
    largest = min(largest, ((45 + 8 * n) / b) ** n)
    power = max(4.0, 2 * n)
    # panels of at most four standard deviations of the PSF where they are widest
    widest = power * min(np.hypot(*offset) + np.sqrt(2) * box, largest * lengths.max())
    at, weights = _panels(max(30, int(np.ceil(widest / (4 * sigma)))))
    radius = largest * at**power
    weights = weights * power * largest**2 * at ** (2 * power - 1) * sersic_brightness(radius, n)
    keep = weights > 1e-18 * weights.max()
    radius, weights = radius[keep], weights[keep]
    angles = _angles(offset, lengths, box, sigma)
    turn = np.stack([np.cos(angles), np.sin(angles)])
    x, y = (radius[:, None] * (np.asarray(axes)[:, i] @ turn) - offset[i] for i in (0, 1))
    # points outside the PSF's box would underflow slowly in erf
    near = (np.abs(x) < box) & (np.abs(y) < box)
    psf = np.zeros_like(x)
    psf[near] = gaussian_pixel(x[near], sigma) * gaussian_pixel(y[near], sigma)
    return weights @ psf.sum(axis=1) * (2 * np.pi / angles.size) * abs(np.linalg.det(axes))


def _angles(offset, lengths, box, sigma):
    """Equal angles fine enough that neighbouring points of the outermost ellipse in the box lie within sigma / 1.2."""
    outermost = (np.hypot(*offset) + np.sqrt(2) * box) * lengths.max() / lengths.min()
    count = int(np.ceil(2 * np.pi * outermost / (sigma / 1.2)))
    return 2 * np.pi * np.arange(max(count, 64)) / max(count, 64)
