"""Exposures of one piece of sky drawn by GalSim: dithered, turned, in any seeing; and what a stack makes of them."""

import galsim
import numpy as np
from helpers.scenes import make_wcs

from bayesjoint.data.frame import TangentFrame

SKY = TangentFrame(150.0, 30.0)  # whose origin is where make_wcs has its tangent point
LANCZOS = 3


def dithered_wcs(shape, scale, angle=0.0, dither=(0.0, 0.0)):
    """TAN WCS whose tangent point lies `dither` (x, y) pixels off the middle of the image; +y is turned by `angle`."""
    wcs = make_wcs(shape, scale, angle)
    wcs.wcs.crpix += dither
    wcs.wcs.set()
    return wcs


def galsim_pixels(wcs, shape, psf, *sources) -> np.ndarray:
    """GalSim's pixels (ny, nx) of sources placed about the tangent point (see `galaxy` and `star`) under a PSF."""
    cd = 3600 * wcs.pixel_scale_matrix
    jacobian = galsim.JacobianWCS(-cd[0, 0], -cd[0, 1], cd[1, 0], cd[1, 1])  # to (West, North)
    ny, nx = shape
    offset = galsim.PositionD(*(wcs.wcs.crpix - [(nx + 1) / 2, (ny + 1) / 2]))
    scene = galsim.Convolve([galsim.Sum(list(sources)), psf])
    return scene.drawImage(nx=nx, ny=ny, wcs=jacobian, offset=offset).array.astype(float)


def galaxy(flux, n, Re, q=1.0, pa=0.0, east=0.0, north=0.0):
    """A Sersic galaxy of semi-major half-light radius Re."""
    light = galsim.Sersic(n, half_light_radius=Re * np.sqrt(q), flux=flux)
    return light.shear(q=q, beta=(90 + pa) * galsim.degrees).shift(-east, north)


def star(flux, east=0.0, north=0.0):
    """A point."""
    return galsim.DeltaFunction(flux=flux).shift(-east, north)


def resampled(pixels, wcs, onto, shape, reach=LANCZOS):
    """Pixels interpolated at the places of another grid, and the variance there of unit independent noise.

    By Lanczos's kernel, or linearly for `reach` 1: for shifts and right angles that shares each pixel among those of the
    other grid by the area they have in common. NaN where pixels lack.
    """
    row, column = np.indices(shape)
    sky = onto.all_pix2world(column.ravel(), row.ravel(), 0)
    x, y = (each.reshape(shape) for each in wcs.all_world2pix(*sky, 0))
    kernels = [_kernel(each, reach) for each in (x, y)]
    ny, nx = pixels.shape
    total, variance = np.zeros(shape), np.zeros(shape)
    for i, across in zip(*kernels[1], strict=True):
        for j, along in zip(*kernels[0], strict=True):
            inside = (i >= 0) & (i < ny) & (j >= 0) & (j < nx)
            value = pixels[np.clip(i, 0, ny - 1), np.clip(j, 0, nx - 1)]
            total += across * along * np.where(inside, value, np.nan)
            variance += (across * along) ** 2
    return total, variance


def _kernel(at, reach):
    """The pixels about each place, and their weights, which add up to 1: (2 reach, *shape) each."""
    at = np.round(at, 9)
    near = np.floor(at).astype(int) + np.arange(1 - reach, reach + 1).reshape(-1, 1, 1)
    away = np.abs(at - near)
    weights = np.maximum(1 - away, 0) if reach == 1 else np.sinc(away) * np.sinc(away / reach)
    return near, weights / weights.sum(axis=0)


def stacked(frames, point_spreads, scale, side, reach=LANCZOS):
    """The average of frames on a grid of its own, weighted by their inverse variances, and of a star in the same frames.

    Parameters
    ----------
    frames : sequence of Image
        In one unit, each of one inverse variance.
    point_spreads : sequence of galsim.GSObject
    scale, side : float, int
        Of the grid: arcsec and (odd) pixels; North is up.
    reach : int
        See `resampled`.

    Returns
    -------
    wcs, pixels (side, side), weights (side, side), star (side, side)
        Weights add up as those of the frames do, for pixels of the new size, as if their noise were independent.
    """
    shape = (side, side)
    wcs, total, weights, point = dithered_wcs(shape, scale), 0.0, 0.0, 0.0
    for frame, psf in zip(frames, point_spreads, strict=True):
        data, _ = resampled(frame.data, frame.wcs, wcs, shape, reach)
        smaller = (scale / frame.pixel_scale) ** 2
        there = np.isfinite(data) * frame.invvar.max()
        total, weights = total + there * np.nan_to_num(data) * smaller, weights + there
        # a star's light in pixels beyond the frame, too
        room = side
        wider = frame.wcs.deepcopy()
        wider.wcs.crpix += room
        wider.wcs.set()
        around = tuple(n + 2 * room for n in frame.shape)
        light = galsim_pixels(wider, around, psf, star(1.0))
        point = point + frame.invvar.max() * resampled(light, wider, wcs, shape, reach)[0]
    return wcs, total / np.maximum(weights, 1e-300), weights / smaller, point / point.sum()
