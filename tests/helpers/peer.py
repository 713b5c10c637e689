"""The same light drawn by GalSim, through the same local Jacobian."""

import galsim
import numpy as np

from bayesjoint.data.airy import AiryPSF
from bayesjoint.data.analytic_psf import GaussianMixturePSF, MoffatPSF
from bayesjoint.data.psf import PSF

FINE = galsim.GSParams(
    maximum_fft_size=16384, folding_threshold=1e-4, kvalue_accuracy=1e-6, maxk_threshold=1e-4
)


def local_wcs(jacobian):
    """GalSim's (u, v) taken as (East, North)."""
    (dudx, dudy), (dvdx, dvdy) = np.linalg.inv(jacobian)
    return galsim.JacobianWCS(dudx, dudy, dvdx, dvdy)


def peer_psf(psf, params=FINE):
    """GalSim's analytic PSF."""
    if isinstance(psf, PSF):
        raise TypeError("only analytic PSFs are drawn by GalSim here")
    if isinstance(psf, MoffatPSF):
        return galsim.Moffat(beta=psf.beta, fwhm=psf.fwhm, gsparams=params)
    if isinstance(psf, AiryPSF):
        ratio, obscuration = psf.lambda_over_diameter, psf.obscuration
        return galsim.Airy(lam_over_diam=ratio, obscuration=obscuration, gsparams=params)
    if isinstance(psf, GaussianMixturePSF):
        terms = zip(psf.fwhms, psf.fractions, strict=True)
        return galsim.Sum([galsim.Gaussian(fwhm=fwhm, flux=part, gsparams=params) for fwhm, part in terms])
    return galsim.Gaussian(fwhm=psf.fwhm, gsparams=params)


def draw(profile, image, centre, params=FINE):
    """Pixels of a GalSim profile at `centre` (East, North of the frame) under the image's PSF."""
    position, jacobian = (np.asarray(a) for a in image.pixel_map.linearise(np.asarray(centre)))
    ny, nx = image.shape
    offset = position - np.array([(nx - 1) / 2, (ny - 1) / 2])
    seen = galsim.Convolve([profile, peer_psf(image.psf, params)], gsparams=params)
    return seen.drawImage(nx=nx, ny=ny, wcs=local_wcs(jacobian), offset=tuple(offset), dtype=float).array


def sersic(galaxy, image, params=FINE):
    """Pixels of a `Sersic` by GalSim."""
    n, q = float(galaxy.n), float(galaxy.q)
    round_radius = float(galaxy.Re) * np.sqrt(q)
    profile = galsim.Sersic(n, half_light_radius=round_radius, flux=float(galaxy.flux), gsparams=params)
    profile = profile.shear(q=q, beta=(90 - float(galaxy.pa)) * galsim.degrees)
    return draw(profile, image, galaxy.centre, params)


def star(point, image, params=FINE):
    """Pixels of a `PointSource` by GalSim."""
    psf = peer_psf(image.psf, params) * float(point.flux)
    position, jacobian = (np.asarray(a) for a in image.pixel_map.linearise(np.asarray(point.centre)))
    ny, nx = image.shape
    offset = tuple(position - np.array([(nx - 1) / 2, (ny - 1) / 2]))
    return psf.drawImage(nx=nx, ny=ny, wcs=local_wcs(jacobian), offset=offset, dtype=float).array
