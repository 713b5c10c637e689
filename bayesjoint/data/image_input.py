"""What an image is made of: input that cannot be one is refused in words."""

from __future__ import annotations

import numbers
import warnings
from pathlib import Path

import numpy as np
from astropy.wcs import WCS

from bayesjoint.data.noise import estimate_inverse_variance

_SYSTEMS = ("", "ICRS", "FK5")


def as_pixels(data, label: str) -> np.ndarray:
    """One plane of pixels, as float64, NaN where a masked array is masked."""
    if isinstance(data, str | Path):
        raise TypeError(
            f"{label}: data must be an array of pixels, got {data!r}: read files by bj.read_image"
        )
    if hasattr(data, "unit") and hasattr(data, "to_value"):
        raise TypeError(
            f"{label}: data must be plain numbers in the units of zeropoint, got {data.unit}: give "
            "data.to_value('nJy') and zeropoint=31.4"
        )
    data = np.ma.filled(np.ma.array(data, dtype=float), np.nan)
    if data.ndim != 2:
        raise ValueError(f"{label}: data must be one plane of pixels (ny, nx), got shape {data.shape}")
    return data


def same_shape(array, shape: tuple[int, int], what: str, label: str) -> np.ndarray:
    """What must have the shape of the data."""
    array = np.asarray(array)
    if array.shape != shape:
        raise ValueError(f"{label}: {what} has shape {array.shape}, the data {shape}; they must be the same")
    return array


def finite_number(value, what: str, label: str) -> float:
    """A finite number, of Python or NumPy."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(float(value)):
        raise TypeError(f"{label}: {what} must be a finite number, got {value!r}")
    return float(value)


def check_wcs(wcs, label: str) -> None:
    """Raise for what is no celestial WCS of two axes, RA first, in ICRS or FK5."""
    if not isinstance(wcs, WCS):
        raise TypeError(f"{label}: wcs must be an astropy.wcs.WCS, got {type(wcs).__name__}")
    if wcs.naxis != 2 or not wcs.has_celestial:
        raise ValueError(
            f"{label}: the WCS is not a celestial one of two axes (its axes: {list(wcs.wcs.ctype)}); "
            "give one with RA and Dec"
        )
    if wcs.wcs.lngtyp != "RA" or wcs.wcs.lng != 0:
        raise ValueError(
            f"{label}: the WCS's axes are {list(wcs.wcs.ctype)}; wanted RA first and Dec second: "
            "reproject the image, or swap its axes"
        )
    if wcs.wcs.radesys.strip().upper() not in _SYSTEMS:
        raise ValueError(
            f"{label}: the WCS's RADESYS is {wcs.wcs.radesys.strip()!r}; wanted ICRS or FK5: convert it, for "
            "positions and position angles would be off"
        )


def usable_weights(invvar: np.ndarray, used: np.ndarray, label: str) -> np.ndarray:
    """Inverse variance with 0 wherever a pixel is not to be used; counts what was wrong in a warning."""
    invvar = np.asarray(invvar, dtype=float)
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(invvar) | (invvar < 0)
    if wrong.any():
        warnings.warn(
            f"{label}: {wrong.sum()} pixels have NaN, infinite or negative inverse variance; "
            "they get no weight",
            stacklevel=4,
        )
    invvar = np.where(used & ~wrong, invvar, 0.0)
    if not np.any(invvar > 0):
        raise ValueError(f"{label}: no pixel carries weight (all masked, NaN or of zero inverse variance)")
    return invvar


def estimated_weights(data: np.ndarray, used: np.ndarray, label: str) -> np.ndarray:
    """Inverse variance from the noise of the pixels that are used."""
    if not used.any():
        raise ValueError(f"{label}: no pixel is used (all masked or NaN); check the mask and the data")
    try:
        return estimate_inverse_variance(data, used)
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
