"""Shapes of sources on pixels: adaptive moments, symmetry, curves of growth, Gaussian mixtures."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage, optimize

_MAX_ETA = 2.0


def adaptive_moments(
    light: np.ndarray, centre: np.ndarray, sigma: float, steps: int = 40, fixed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and covariance (x, y) of the elliptical Gaussian that matches the light best.

    Found by fixed-point steps. The weight is that Gaussian itself, so neighbours and noise far out do not
    matter (Bernstein & Jarvis 2002); `fixed` keeps it round and moves the centre only.
    """
    ny, nx = light.shape
    start, covariance = centre, 2.0 * sigma**2 * np.eye(2)
    for _ in range(steps):
        reach = 4.5 * np.sqrt(np.diag(covariance)) + 1
        x0, y0 = np.maximum(np.floor(centre - reach), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(centre + reach), [nx - 1, ny - 1]).astype(int)
        dx, dy = np.arange(x0, x1 + 1) - centre[0], (np.arange(y0, y1 + 1) - centre[1])[:, None]
        (a, b), (_, d) = np.linalg.inv(covariance)
        weighted = light[y0 : y1 + 1, x0 : x1 + 1] * np.exp(-0.5 * (a * dx**2 + 2 * b * dx * dy + d * dy**2))
        total = weighted.sum()
        if not total > 0:
            break
        shift = np.array([(weighted * dx).sum(), (weighted * dy).sum()]) / total
        xx, xy, yy = (2 * (weighted * p).sum() / total for p in (dx * dx, dx * dy, dy * dy))
        new = (
            covariance if fixed else _bounded(np.array([[xx, xy], [xy, yy]]), 0.5 * sigma, 0.5 * max(nx, ny))
        )
        moved = np.abs(new - covariance).max() < 1e-4 * new.max() and np.abs(shift).max() < 1e-3
        centre, covariance = centre + 2 * np.clip(shift, -1, 1), new
        if moved:
            break
    if np.hypot(*(centre - start)) > 3 * np.sqrt(covariance.max()) or not _inside(centre, light.shape):
        return start, covariance
    return centre, covariance


def _inside(pixel: np.ndarray, shape: tuple[int, int]) -> bool:
    return bool(np.all(pixel > -0.5) and np.all(pixel < np.array(shape[::-1]) - 0.5))


def _bounded(covariance: np.ndarray, low: float, high: float) -> np.ndarray:
    """A covariance with its axes kept between two lengths."""
    values, axes = np.linalg.eigh(covariance)
    return (axes * np.clip(values, low**2, high**2)) @ axes.T


def symmetrise(light: np.ndarray, centre: np.ndarray, rms: float, used: np.ndarray) -> np.ndarray:
    """The light with each pixel cut to its opposite one where it stands out by over 4 sigma and a tenth."""
    ny, nx = light.shape
    x, y = 2 * centre[0] - np.arange(nx), 2 * centre[1] - np.arange(ny)
    grid = np.meshgrid(y, x, indexing="ij")
    opposite = ndimage.map_coordinates(light, grid, order=1, mode="constant", cval=np.nan)
    known = ndimage.map_coordinates(used.astype(float), grid, order=1, mode="constant", cval=0.0) > 0.99
    intruder = known & (light > 1.2 * np.maximum(opposite, 0) + 4 * rms)
    filled = np.where(intruder, opposite, light)
    return np.where(used, filled, np.where(known, opposite, 0.0))


def half_light_radius(light: np.ndarray, centre: np.ndarray, covariance: np.ndarray, rms: float) -> float:
    """Semi-major half-light radius in pixels, from the curve of growth in the ellipses of `covariance`.

    Growth ends at the first ring whose mean is under its standard error.
    """
    ny, nx = light.shape
    dx, dy = np.arange(nx) - centre[0], (np.arange(ny) - centre[1])[:, None]
    (a, b), (_, d) = np.linalg.inv(covariance) * np.linalg.eigvalsh(covariance)[1]
    radius = np.sqrt(a * dx**2 + 2 * b * dx * dy + d * dy**2).ravel()
    width = max(1.0, 0.25 * np.sqrt(np.linalg.eigvalsh(covariance)[1]))
    ring = (radius / width).astype(int)
    sums, counts = np.bincount(ring, light.ravel()), np.bincount(ring)
    faint = sums < rms * np.sqrt(np.maximum(counts, 1))
    faint[: int(np.sqrt(np.linalg.eigvalsh(covariance)[1]) / width) + 1] = False
    end = int(np.argmax(faint)) if faint.any() else faint.size
    growth = np.concatenate([[0.0], np.cumsum(sums[:end])])
    edges = width * np.arange(growth.size)
    growth = np.maximum.accumulate(growth)
    if not growth[-1] > 0:
        return float(np.sqrt(np.linalg.eigvalsh(covariance)[1]))
    return float(np.sqrt(np.interp(0.5 * growth[-1], growth, edges**2)))


def ellipticity(covariance: np.ndarray, floor: float) -> np.ndarray:
    """Ellipticity vector of a covariance in (east, north)."""
    (ee, en), (_, nn) = covariance
    values = np.maximum(np.linalg.eigvalsh(covariance), floor)
    eta = min(0.5 * np.log(values[1] / values[0]), _MAX_ETA)
    angle = np.arctan2(2 * en, nn - ee)
    return eta * np.array([np.cos(angle), np.sin(angle)])


@cache
def _mixture(n: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Weights and variances (in Re^2) of round Gaussians whose sum is close to a Sersic of unit flux."""
    b = 2 * n - 1 / 3
    radius = np.geomspace(0.02, 6, 200)
    variances = np.geomspace(0.03, 3.0, 9) ** 2
    profile = np.exp(-b * (radius ** (1 / n) - 1))
    basis = np.exp(-0.5 * radius[:, None] ** 2 / variances) / (2 * np.pi * variances)
    weights, _ = optimize.nnls(basis * radius[:, None], profile * radius)
    return weights / weights.sum(), variances


def sky_ellipse(radius: float, shape: np.ndarray) -> np.ndarray:
    """Matrix (2, 2) in (east, north) of the ellipse of a semi-major axis and an ellipticity vector."""
    eta, pa = np.hypot(*shape), 0.5 * np.arctan2(shape[1], shape[0])
    major, minor = np.array([np.sin(pa), np.cos(pa)]), np.array([np.cos(pa), -np.sin(pa)])
    return radius**2 * (np.outer(major, major) + np.exp(-2 * eta) * np.outer(minor, minor))


def mixture_pixels(
    shape: tuple[int, int], pixel: np.ndarray, ellipse: np.ndarray, sigma: float
) -> np.ndarray:
    """Pixels (ny, nx) of a source of unit flux and half-light `ellipse` (pixels^2), blurred by `sigma`."""
    ny, nx = shape
    dx, dy = np.arange(nx) - pixel[0], (np.arange(ny) - pixel[1])[:, None]
    model = np.zeros(shape)
    for weight, variance in zip(*_mixture(), strict=True):
        if weight > 0:
            covariance = variance * ellipse + sigma**2 * np.eye(2)
            (a, b), (_, d) = np.linalg.inv(covariance)
            exponent = -0.5 * (a * dx**2 + 2 * b * dx * dy + d * dy**2)
            model += weight * np.exp(exponent) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    return model
