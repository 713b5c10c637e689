"""Cutouts of planes of pixels about a place on the sky, each with its WCS."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError
from astropy.wcs import WCS, NoConvergence

from bayesjoint.data.frame import image_centre
from bayesjoint.data.moments import position_degrees

FEWEST_PIXELS = 5  # along a side


def cut_planes(
    planes: Mapping[str, Any], wcs: WCS, position: Any, size: Any, label: str
) -> tuple[dict[str, Any], WCS, tuple[int, int]]:
    """Cut the planes to (height, width) arcsec about a position, and shift the WCS with them; with the corner (x, y)."""
    lengths: list[Any] = np.ravel(size).tolist()
    numeric = all(
        isinstance(v, numbers.Real) and not isinstance(v, bool) and 0 < float(v) < np.inf for v in lengths
    )
    if len(lengths) not in (1, 2) or not numeric or hasattr(size, "unit"):
        raise ValueError(f"size must be a positive number of arcsec or (height, width), got {size!r}")
    shape = np.shape(planes["data"])
    here = image_centre(wcs, shape)
    ra, dec = (here.ra, here.dec) if position is None else position_degrees(position)
    scale = np.sqrt(wcs.proj_plane_pixel_area().to_value("arcsec2"))
    pixels = tuple(round(length / scale) for length in (lengths * 2)[:2])
    if min(pixels) < FEWEST_PIXELS:
        raise ValueError(
            f"{label}: a size of {min(lengths):g} arcsec is {min(pixels)} pixels of {scale:.3g} arcsec here: give at "
            f"least {FEWEST_PIXELS * scale:.3g} arcsec, or leave this image out"
        )
    try:
        centre = tuple(float(v) for v in wcs.all_world2pix(ra, dec, 0))
        if not all(-0.5 <= c <= n - 0.5 for c, n in zip(centre, shape[::-1], strict=True)):
            raise NoOverlapError
        cuts: dict[str, Any] = {
            k: None if p is None else Cutout2D(p, centre, pixels, wcs=wcs) for k, p in planes.items()
        }
    except (NoOverlapError, NoConvergence):
        raise ValueError(
            f"{label}: the cutout's centre RA {ra:.5f}, Dec {dec:.5f} lies outside the image (centre RA "
            f"{here.ra:.5f}, Dec {here.dec:.5f}); give a position on it, or leave this image out"
        ) from None
    cut = cuts["data"]
    return {k: None if c is None else c.data.copy() for k, c in cuts.items()}, cut.wcs, cut.origin_original
