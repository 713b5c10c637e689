"""Which correlations noise can have: a stamp measured is made one of them, a stamp given is checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesjoint.data.whitening import power_spectrum

FLOOR = 0.01  # least power at any frequency, over the mean
_TOLERATED = 0.02
_ROUNDS = 200


def _lattice_of(stamp: np.ndarray) -> tuple[int, int]:
    """Fine enough to see the least of a stamp's power spectrum."""
    ny, nx = (max(64, 8 * n) for n in stamp.shape)
    return ny, nx


def nearest_possible(stamp: np.ndarray) -> np.ndarray:
    """The nearest stamp whose power spectrum is positive, raised to the floor."""
    shape, reach = _lattice_of(stamp), np.array(stamp.shape) // 2
    for _ in range(_ROUNDS):
        power = power_spectrum(stamp, shape)
        if power.min() >= 0:
            break
        around = np.fft.irfft2(np.maximum(power, FLOOR), shape)
        stamp = np.roll(around, reach, (0, 1))[: stamp.shape[0], : stamp.shape[1]]
        stamp = stamp / stamp[tuple(reach)]
    return _raised(0.5 * (stamp + stamp[::-1, ::-1]))


def _raised(stamp: np.ndarray) -> np.ndarray:
    """With as much white noise as brings the least power to the floor."""
    least = power_spectrum(stamp, _lattice_of(stamp)).min()
    if least > 0.99 * FLOOR:
        return stamp
    white = np.zeros_like(stamp)
    white[tuple(np.array(stamp.shape) // 2)] = (FLOOR - least) / (1 - FLOOR)
    return (stamp + white) / (1 + white.max())


def checked_correlation(given: Any, label: str) -> np.ndarray:
    """The correlation as an image uses it: `given`, raised to the floor.

    Raises
    ------
    ValueError, TypeError
        For what is not the correlation of any noise.
    """
    what = f"{label}: noise_correlation must be correlation coefficients by lag in pixels"
    try:
        stamp = np.array(given, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(
            f"{what}, got {given!r}: give an array, or bj.noise_correlation(image), which measures it"
        ) from None
    if stamp.ndim != 2 or not all(n % 2 for n in stamp.shape):
        raise ValueError(f"{what}, of odd sides (lag 0 in the middle), got shape {stamp.shape}")
    if not np.all(np.isfinite(stamp)):
        raise ValueError(
            f"{what}, got {np.sum(~np.isfinite(stamp))} that are not finite: give 0 beyond what is known"
        )
    middle = stamp[stamp.shape[0] // 2, stamp.shape[1] // 2]
    if abs(middle - 1) > 1e-6:
        raise ValueError(
            f"{what}, 1 at lag 0, got {middle:.6g} in the middle: divide by it where it is a covariance"
        )
    apart = np.abs(stamp - stamp[::-1, ::-1]).max()
    if apart > 1e-6:
        raise ValueError(
            f"{what}, the same at opposite lags, got some that differ by {apart:.2g}: give the mean of the stamp and "
            "stamp[::-1, ::-1]"
        )
    least = power_spectrum(stamp, _lattice_of(stamp)).min()
    if least < -_TOLERATED:
        raise ValueError(
            f"{what} of noise that can be, but its power spectrum falls to {least:.2g} of its mean: a kernel is not its "
            "correlation (give the kernel's correlation with itself), and one cut off too early is not positive "
            "(give a larger stamp)"
        )
    return _raised(0.5 * (stamp + stamp[::-1, ::-1]))
