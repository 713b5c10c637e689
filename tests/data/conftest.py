"""Small builders of WCS, images and FITS files, and where the observed data are."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS


@pytest.fixture(scope="session")
def observed():
    """The folder of observed images, which are not part of the project."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("BAYESJOINT_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"observed images are not at {folder}; set BAYESJOINT_DATA to their folder")
    return folder


def make_wcs(shape=(40, 50), scale=0.3, angle=0.0, flipped=False, ra=150.0, dec=30.0, sip=False):
    """TAN WCS about the image's centre; `angle` turns +y from North to East, `flipped` puts East right."""
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"] if sip else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    turn = np.radians(angle)
    towards_y = np.array([np.sin(turn), np.cos(turn)])
    towards_x = np.array([-np.cos(turn), np.sin(turn)]) * (-1 if flipped else 1)
    wcs.wcs.cd = np.column_stack([towards_x, towards_y]) * scale / 3600
    if sip:
        from astropy.wcs import Sip

        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[2, 0], a[1, 1], b[0, 2], b[2, 1] = 4e-5, -2e-5, 3e-5, 2e-7
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


def sersic_pixels(shape, scale, fwhm, *, flux, re, n=1.0, q=1.0, pa=0.0, east=0.0, north=0.0):
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


class Build:
    """The builders above, as one fixture."""

    wcs = staticmethod(make_wcs)
    sersic = staticmethod(sersic_pixels)
    fits = staticmethod(write_fits)


@pytest.fixture(scope="session")
def build():
    return Build
