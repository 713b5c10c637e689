"""Builders shared by the tests: WCS of any orientation, small images, components, pixels to compare them at."""

import jax
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, Sip

from bayesjoint.data.analytic_psf import FWHM_PER_SIGMA, gaussian_psf
from bayesjoint.data.image import AB_ZEROPOINT_NJY, Image
from bayesjoint.light.sersic import Sersic
from bayesjoint.render.images import render

_OWN = ("band", "time", "frame", "mask", "noise_correlation")
rendered = jax.jit(render)


def make_wcs(
    shape=(40, 50), scale=0.3, angle=0.0, flipped=False, ra=150.0, dec=30.0, sip=False, pc=False, stretch=1.0
):
    """TAN WCS about the image's centre.

    `angle` turns +y from North to East, `flipped` puts East right, `pc` writes PC and CDELT instead of CD, `stretch`
    makes the pixels' sides along y longer.
    """
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"] if sip else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    turn = np.radians(angle)
    towards_y = np.array([np.sin(turn), np.cos(turn)]) * stretch
    towards_x = np.array([-np.cos(turn), np.sin(turn)]) * (-1 if flipped else 1)
    matrix = np.column_stack([towards_x, towards_y]) * scale / 3600
    if pc:
        wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
        wcs.wcs.pc = matrix / np.array([[-scale / 3600], [scale / 3600]])
    else:
        wcs.wcs.cd = matrix
    if sip:
        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[2, 0], a[1, 1], b[0, 2], b[2, 1] = 4e-5, -2e-5, 3e-5, 2e-7
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


def make_image(
    shape=(40, 50), scale=0.3, psf=None, *, data=None, invvar=None, name="r", wcs=None, **keywords
):
    """A blank `Image` in nJy; keywords it does not know go to `make_wcs`."""
    own = {key: keywords.pop(key) for key in _OWN if key in keywords}
    wcs = make_wcs(shape, scale, **keywords) if wcs is None else wcs
    psf = gaussian_psf(3 * scale) if psf is None else psf
    data = np.zeros(shape) if data is None else data
    invvar = np.ones(shape) if invvar is None else invvar
    return Image(data, wcs=wcs, zeropoint=AB_ZEROPOINT_NJY, psf=psf, invvar=invvar, name=name, **own)


def galaxy_of(image, n=1.7, re=5.0, q=0.62, pa=37.0, place=(0.31, -0.27), Ie=1.0, **keywords):
    """A Sersic galaxy with `re` and its place, from the image's middle, in pixels; Ie in nJy per pixel."""
    scale, area = image.pixel_scale, float(image.pixel_area)
    sky = image.centre + np.linalg.inv(image.jacobian) @ np.asarray(place)
    return Sersic(sky, q, pa, n, re * scale, Ie / area, **keywords)


def truth_arguments(image, galaxy):
    """Place, semi-axes and PSF of a galaxy for `truth.sersic_pixels`: pixels."""
    position, jacobian = (np.asarray(a) for a in image.pixel_map.linearise(galaxy.centre))
    axes = np.asarray(galaxy.axes) @ jacobian.T
    return position, axes, float(galaxy.n), image.psf.fwhm / FWHM_PER_SIGMA / image.pixel_scale


def sample_points(shape, position, near=24, far=400, seed=3):
    """Pixels (2, m) to compare at: all around the source, some close to it, some anywhere, and the image's frame."""
    ny, nx = shape
    rng = np.random.default_rng(seed)
    x0, y0 = np.round(position)
    core = np.stack(np.meshgrid(x0 + np.arange(-2, 3), y0 + np.arange(-2, 3))).reshape(2, -1)
    close = np.array([[x0], [y0]]) + rng.integers(-12, 13, (2, near))
    anywhere = np.stack([rng.integers(0, nx, far), rng.integers(0, ny, far)])
    along = np.linspace(0, 1, 9)
    frame = [np.stack([along * (nx - 1), np.full(9, y)]) for y in (0, ny - 1)]
    frame += [np.stack([np.full(9, x), along * (ny - 1)]) for x in (0, nx - 1)]
    points = np.round(np.concatenate([core, close, anywhere, *frame], axis=1)).astype(int)
    inside = (points >= 0) & (points < np.array([[nx], [ny]]))
    return np.unique(points[:, inside.all(axis=0)], axis=1)


def peer_pixels(shape, scale, fwhm, *, flux, re, n=1.0, q=1.0, pa=0.0, east=0.0, north=0.0):
    """GalSim's pixels of a Sersic (semi-major `re`) under a Gaussian PSF; North up, East left."""
    import galsim

    ny, nx = shape
    galaxy = galsim.Sersic(n, half_light_radius=re * np.sqrt(q), flux=flux)
    galaxy = galaxy.shear(q=q, beta=(90 + pa) * galsim.degrees).shift(-east, north)
    image = galsim.Convolve([galaxy, galsim.Gaussian(fwhm=fwhm)]).drawImage(nx=nx, ny=ny, scale=scale)
    return image.array.astype(float)


def write_fits(path, data, wcs=None, extensions=None, **keywords):
    """Write HDU 0 with a WCS and keywords, and extensions {name: array}."""
    header = wcs.to_header(relax=True) if wcs is not None else fits.Header()
    header.update({key.replace("_", "-"): value for key, value in keywords.items()})
    hdus = [fits.PrimaryHDU(data, header)]
    hdus += [fits.ImageHDU(np.asarray(array), name=name) for name, array in (extensions or {}).items()]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path
