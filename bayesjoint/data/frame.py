"""One sky frame for all images, and the map from it to the pixels of each.

Positions in programs are arcsec East and North of one tangent point. Each image knows the smooth map from
there to its own pixels as a polynomial fitted once through its full WCS (SIP included), so that compiled
programs can place and linearise a source anywhere in the image without calling a WCS library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

ARCSEC_PER_RADIAN = 180 * 3600 / np.pi
DEGREE = 5
_POWERS = np.array([(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)], np.int32)


@dataclass(frozen=True)
class TangentFrame:
    """Tangent plane (gnomonic) about one point of the sky.

    Parameters
    ----------
    ra, dec : float
        Tangent point, degrees (ICRS).

    Examples
    --------
    >>> frame = TangentFrame(187.3119, 12.9783)
    >>> east, north = frame.offsets(187.3119, 12.9793)
    >>> print(f"{east:.3f} {north:.3f}")
    0.000 3.600
    """

    ra: float
    dec: float

    def offsets(self, ra, dec) -> tuple[np.ndarray, np.ndarray]:
        """Arcsec East and North of the tangent point, for positions in degrees (any shape)."""
        dra, dec_, dec0 = np.radians(np.asarray(ra) - self.ra), np.radians(dec), np.radians(self.dec)
        towards = np.sin(dec0) * np.sin(dec_) + np.cos(dec0) * np.cos(dec_) * np.cos(dra)
        east = np.cos(dec_) * np.sin(dra) / towards
        north = (np.cos(dec0) * np.sin(dec_) - np.sin(dec0) * np.cos(dec_) * np.cos(dra)) / towards
        visible = towards > 0
        return (
            np.where(visible, east, np.nan) * ARCSEC_PER_RADIAN,
            np.where(visible, north, np.nan) * ARCSEC_PER_RADIAN,
        )

    def sky(self, east, north) -> tuple[np.ndarray, np.ndarray]:
        """Right ascension and declination (degrees) of offsets in arcsec; the inverse of `offsets`."""
        x, y = np.asarray(east) / ARCSEC_PER_RADIAN, np.asarray(north) / ARCSEC_PER_RADIAN
        dec0 = np.radians(self.dec)
        along = np.cos(dec0) - y * np.sin(dec0)
        ra = self.ra + np.degrees(np.arctan2(x, along))
        dec = np.degrees(np.arctan2(np.sin(dec0) + y * np.cos(dec0), np.hypot(x, along)))
        return np.mod(ra, 360.0), dec


def position_degrees(position: Any) -> tuple[float, float]:
    """Right ascension and declination in degrees of a SkyCoord or a pair of numbers."""
    if isinstance(position, SkyCoord) and position.isscalar:
        sky: Any = position.icrs
        return float(sky.ra.deg), float(sky.dec.deg)
    try:
        pair: Any = position
        ra, dec = map(float, pair)
    except (TypeError, ValueError):
        ra = dec = np.nan
    if not (np.isfinite(ra) and -90 <= dec <= 90):
        raise ValueError(f"position must be one SkyCoord or (ra, dec) in degrees, got {position!r}")
    return ra, dec


def image_centre(wcs: WCS, shape: tuple[int, int]) -> TangentFrame:
    """The tangent frame about the centre of an image of `shape` (ny, nx)."""
    ny, nx = shape
    ra, dec = wcs.all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
    return TangentFrame(float(ra), float(dec))


@partial(jax.tree_util.register_dataclass, data_fields=["coefficients", "origin", "scale"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class PixelMap:
    """Polynomial of degree 5 from sky offsets (arcsec East, North) to pixels (x, y), 0-based.

    Attributes
    ----------
    coefficients : array (2, 6, 6)
        Of x and of y, by the powers of the normalised offsets `(centre - origin) / scale` to the North, then to the East.
    origin : array (2,), scale : array ()
        Normalisation, arcsec.
    """

    coefficients: np.ndarray
    origin: np.ndarray
    scale: np.ndarray

    def pixel(self, centre: np.ndarray) -> np.ndarray:
        """Pixels (..., 2), x and y, of sky offsets (..., 2), in numpy: for work outside compiled programs."""
        offsets = (np.asarray(centre, dtype=float) - self.origin) / self.scale
        east, north = (offsets[..., i, None] ** np.arange(DEGREE + 1) for i in range(2))
        return np.einsum("...j,cji,...i->...c", north, self.coefficients, east)

    def linearise(self, centre) -> tuple[jax.Array, jax.Array]:
        """Pixel position (2,) of `centre`, and there d(x, y)/d(east, north) (2, 2), pixels per arcsec."""
        u = (centre - self.origin) / self.scale
        powers = [jnp.ones_like(u)]
        for _ in range(DEGREE):
            powers.append(powers[-1] * u)
        slopes = [jnp.zeros_like(u), *(i * powers[i - 1] / self.scale for i in range(1, DEGREE + 1))]
        # (value or slope, power, east or north)
        basis = jnp.stack([jnp.stack(powers), jnp.stack(slopes)])
        along = jnp.matmul(self.coefficients, basis[None, :, :, 0].mT, precision="highest")
        mapped = jnp.matmul(basis[None, :, :, 1], along, precision="highest")
        return mapped[:, 0, 0], jnp.stack([mapped[:, 0, 1], mapped[:, 1, 0]], axis=1)


def fit_pixel_map(wcs: WCS, shape: tuple[int, int], frame: TangentFrame, tolerance: float = 1e-3) -> PixelMap:
    """Fit the map from `frame` to the pixels of an image, over the image and a margin around it.

    Raises
    ------
    ValueError
        If the image does not lie on the frame's side of the sky, or a polynomial of degree 5 misses the WCS
        by more than `tolerance` pixels.
    """
    ny, nx = shape
    margin = 0.25 * max(nx, ny) + 5
    x, y = np.meshgrid(np.linspace(-margin, nx - 1 + margin, 15), np.linspace(-margin, ny - 1 + margin, 15))
    pixels = np.stack([x.ravel(), y.ravel()])
    offsets = np.stack(frame.offsets(*wcs.all_pix2world(*pixels, 0)))
    if not np.all(np.isfinite(offsets)):
        raise ValueError(
            f"the image's WCS does not reach the tangent point RA {frame.ra:.5f}, Dec {frame.dec:.5f}: "
            "give images of one piece of sky, or check the WCS"
        )
    origin = offsets.mean(axis=1)
    scale = np.abs(offsets - origin[:, None]).max()
    u, v = (offsets - origin[:, None]) / scale
    design = (u ** _POWERS[:, :1] * v ** _POWERS[:, 1:]).T
    coefficients = np.linalg.lstsq(design, pixels.T, rcond=None)[0].T
    missed = np.abs(design @ coefficients.T - pixels.T).max()
    if missed > tolerance:
        raise ValueError(
            f"the WCS is too distorted for a polynomial of degree {DEGREE} (misses by {missed:.2g} pixels): "
            "cut the image to a smaller piece around the source"
        )
    by_power = np.zeros((2, DEGREE + 1, DEGREE + 1))
    by_power[:, _POWERS[:, 1], _POWERS[:, 0]] = coefficients
    return PixelMap(by_power, origin, scale)


def pixels_per_arcsec(wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """d(x, y)/d(east, north) in pixels per arcsec at the image's centre, by differences of the WCS."""
    ny, nx = shape
    x0, y0 = (nx - 1) / 2, (ny - 1) / 2
    local = image_centre(wcs, shape)
    east, north = local.offsets(
        *wcs.all_pix2world(x0 + np.array([0.5, -0.5, 0, 0]), y0 + np.array([0, 0, 0.5, -0.5]), 0)
    )
    forward = np.array([[east[0] - east[1], east[2] - east[3]], [north[0] - north[1], north[2] - north[3]]])
    return np.linalg.inv(forward)
