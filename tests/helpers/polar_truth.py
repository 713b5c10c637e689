"""Pixels of any plane form by brute force: polar quadrature about the source, its angles and radii as fine as the PSF asks.

Like ``truth.py`` it shares no Fourier transform, table or lattice with the package; of the package it takes the form alone.
"""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from helpers.truth import gaussian_pixel
from numpy.polynomial.legendre import leggauss

_EDGES = np.concatenate([2.0 ** np.arange(-44, -4, 4.0), 2.0 ** np.arange(-4, 6)])
_REACH = 8.0  # of the PSF, in its standard deviations


@jax.jit
def _form(profile, x):
    return profile.kind.plane_form(x, profile.shape_values)


def pixels(profile, image, sigma, points):
    """Pixels at `points` [(x, y), ...] of a profile on an image with a Gaussian PSF of `sigma` pixels, nJy."""
    position, jacobian = map(np.asarray, image.pixel_map.linearise(jnp.asarray(profile.centre)))
    axes = np.asarray(profile.axes) @ jacobian.T
    total = np.zeros(len(points))
    for first, last in pairwise(_EDGES):
        for x, weights in _panels(first, last, np.linalg.norm(axes, axis=1).max(), sigma):
            light = np.asarray(_form(profile, jnp.asarray(x))) * weights
            px, py = (position[i] + axes[0, i] * x[0] + axes[1, i] * x[1] for i in (0, 1))
            for i, (u, v) in enumerate(points):
                near = (np.abs(u - px) < _REACH * sigma + 0.5) & (np.abs(v - py) < _REACH * sigma + 0.5)
                kernel = gaussian_pixel(u - px[near], sigma) * gaussian_pixel(v - py[near], sigma)
                total[i] += np.sum(light[near] * kernel)
    return total * abs(np.linalg.det(axes)) * float(profile.brightness_scale) * float(image.pixel_area)


def _panels(first, last, size, sigma):
    """Places (2, radii, angles) and weights of Gauss-Legendre panels in radius, the trapezoid rule in angle."""
    nodes, gauss = leggauss(24)
    count = max(1, int(np.ceil((last - first) * size / (4 * sigma))))
    angles = 64 * int(np.ceil(max(512, 2 * np.pi * last * size / (sigma / 3)) / 64))
    turn = 2 * np.pi * np.arange(angles) / angles
    edges = first * (last / first) ** (np.arange(count + 1) / count)
    for a, b in pairwise(edges):
        r = (a + b) / 2 + (b - a) / 2 * nodes
        x = np.stack([r[:, None] * np.cos(turn), r[:, None] * np.sin(turn)])
        yield x, ((b - a) / 2 * gauss * r)[:, None] * (2 * np.pi / angles)


def flux(profile, within=2.0**15):
    """Flux inside the ellipse of `within` semi-major axes by the same quadrature, nJy."""
    size = abs(float(np.linalg.det(np.asarray(profile.axes))))
    total = 0.0
    edges = np.concatenate([_EDGES, 2.0 ** np.arange(6, 16)])
    for first, last in pairwise([*edges[edges < within], within]):
        # sixteen panels an octave, as if the PSF were that wide
        for x, weights in _panels(first, last, 1 / last, 1 / 128):
            total += float(np.sum(np.asarray(_form(profile, jnp.asarray(x))) * weights))
    return total * size * float(profile.brightness_scale)
