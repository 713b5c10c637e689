"""What an image holds, in words and numbers: for `bayesjoint info`, notebooks and records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bayesjoint.data.image import AB_ZEROPOINT_NJY, Image

_COLUMNS = {
    "name": "{}",
    "band": "{}",
    "pixels": "{}",
    "scale": '{:.4f}"',
    "orientation": "{}",
    "zeropoint": "{:.3f}",
    "psf_fwhm": '{:.2f}"',
    "noise": "{:.4g} nJy",
    "depth": "{:.2f}",
    "correlation": "{:.2f}",
    "unused": "{}",
    "time": "{:.4f}",
}
_HEADINGS = {
    "scale": "pixel",
    "orientation": "+y axis",
    "zeropoint": "zero point",
    "psf_fwhm": "PSF FWHM",
    "noise": "noise/pixel",
    "depth": "5 sigma, AB",
    "correlation": "noise of means",
    "unused": "unused pixels",
    "time": "MJD",
}


def describe(image: Image) -> dict[str, Any]:
    """What was read of one image.

    Parameters
    ----------
    image : Image

    Returns
    -------
    dict
        name, band; shape (ny, nx); pixel_scale (arcsec); y_axis_angle (degrees East of North, the direction
        of +y); east_left (True when East is 90 degrees counter-clockwise from North, as on the sky); ra, dec
        (degrees, of the centre); zeropoint (AB); psf (text); psf_fwhm (arcsec); noise (median rms per used
        pixel, nJy); noise_estimated (True when it came from the image itself); correlation (how many times as much as
        of independent pixels means of many scatter, or None); depth (AB magnitude of 5 sigma
        in a PSF's area); used, unused (numbers of pixels); time (days, or None).
    """
    pixel_to_sky = np.linalg.inv(image.jacobian)
    fwhm = image.psf.fwhm_arcsec(image.pixel_scale)
    noise = float(np.median(image.invvar[image.invvar > 0]) ** -0.5)
    here, correlation = image.frame.sky(*image.centre), image.noise_correlation
    return {
        "name": image.name,
        "band": image.band,
        "shape": image.shape,
        "pixel_scale": image.pixel_scale,
        "y_axis_angle": float(np.degrees(np.arctan2(*pixel_to_sky[:, 1])) % 360),
        "east_left": bool(np.linalg.det(pixel_to_sky) < 0),
        "ra": float(here[0]),
        "dec": float(here[1]),
        "zeropoint": image.zeropoint,
        "psf": repr(image.psf),
        "psf_fwhm": fwhm,
        "noise": noise,
        "noise_estimated": image.noise_estimated,
        "correlation": None if correlation is None else float(np.sqrt(correlation.sum())),
        "depth": _depth(noise, fwhm, image.pixel_scale),
        "used": image.number_used,
        "unused": int(np.prod(image.shape)) - image.number_used,
        "time": None if image.time is None else float(image.time),
    }


def _depth(noise: float, fwhm: float, pixel_scale: float) -> float:
    """AB magnitude of 5 times the noise of the PSF's noise-equivalent area (a Gaussian's: 4 pi sigma^2)."""
    pixels = max(1.0, 4 * np.pi * (fwhm / 2.3548 / pixel_scale) ** 2)
    return float(AB_ZEROPOINT_NJY - 2.5 * np.log10(5 * noise * np.sqrt(pixels)))


def info_table(images: Iterable[Image]) -> str:
    """A text table with one aligned row for each image; see `describe` for what the columns mean."""
    described = [describe(image) for image in images]
    columns = [key for key in _COLUMNS if any(d.get(key, "") is not None for d in described)]
    rows = [[_HEADINGS.get(key, key) for key in columns]]
    rows += [[_cell(key, d) for key in columns] for d in described]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    if any(d["noise_estimated"] for d in described):
        lines.append("(*) noise estimated from the image")
    return "\n".join(lines)


def _cell(key: str, described: dict[str, Any]) -> str:
    value = described.get(key)
    if key == "pixels":
        ny, nx = described["shape"]
        value = f"{nx}x{ny}"
    elif key == "scale":
        value = described["pixel_scale"]
    elif key == "orientation":
        value = f"PA {described['y_axis_angle']:.1f}, East {'left' if described['east_left'] else 'right'}"
    elif key == "noise":
        return _COLUMNS[key].format(value) + (" (*)" if described["noise_estimated"] else "")
    elif value is None:
        return "-"
    return _COLUMNS[key].format(value)
