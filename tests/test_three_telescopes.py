"""Truth from outside: a three-telescope scene drawn by GalSim, ten times with new noise, is fitted within its error bars."""

import galsim
import numpy as np
import pytest
from astropy.wcs import WCS

import bayesjoint as bj
from bayesjoint.demo import BANDS, DEC, RA, STRUCTURE

TIGHT = galsim.GSParams(
    maximum_fft_size=16384, folding_threshold=1e-4, kvalue_accuracy=1e-6, maxk_threshold=1e-4
)
REALISATIONS = 10


def draw(band):
    """Noiseless pixels of the scene in one band, data units."""
    flux = 10 ** (-0.4 * (band.mag - band.zeropoint))
    circular_radius = STRUCTURE["Re"] * STRUCTURE["q"] ** 0.5
    galaxy = galsim.Sersic(STRUCTURE["n"], half_light_radius=circular_radius, flux=flux, gsparams=TIGHT)
    # East is towards -x, so a position angle East of North is 90 degrees more, measured from +x
    galaxy = galaxy.shear(q=STRUCTURE["q"], beta=(90 + STRUCTURE["pa"]) * galsim.degrees)
    galaxy = galaxy.shift(-STRUCTURE["east"], STRUCTURE["north"])
    scene = galsim.Convolve([galaxy, galsim.Gaussian(fwhm=band.fwhm, gsparams=TIGHT)], gsparams=TIGHT)
    return scene.drawImage(nx=band.pixels, ny=band.pixels, scale=band.scale, method="auto").array.astype(
        float
    )


def observe(name, band, pixels, rng):
    """An image of the scene with sky and photon noise."""
    variance = band.sky_sigma**2 + np.clip(pixels, 0, None) / band.gain
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [RA, DEC]
    wcs.wcs.crpix = [(band.pixels + 1) / 2] * 2
    wcs.wcs.cd = np.diag([-band.scale, band.scale]) / 3600
    data = pixels + rng.normal(size=pixels.shape) * np.sqrt(variance)
    psf = bj.gaussian_psf(band.fwhm)
    return bj.Image(data, wcs=wcs, zeropoint=band.zeropoint, psf=psf, invvar=1 / variance, band=name)


@pytest.fixture(scope="module")
def fits():
    """Fits of the realisations."""
    pixels = {name: draw(band) for name, band in BANDS.items()}

    def realise(seed):
        rng = np.random.default_rng(seed)
        return bj.ImageSet([observe(name, band, pixels[name], rng) for name, band in BANDS.items()])

    return [bj.fit_map(bj.joint_model(), realise(seed)) for seed in range(REALISATIONS)]


@pytest.fixture(scope="module")
def pulls(fits):
    """(fit - truth) / error of every structural parameter and magnitude, (realisations,) each."""
    truth = {f"galaxy_{name}": value for name, value in STRUCTURE.items()}
    found = {
        name: np.array([(fit.values[name] - value) / fit.errors[name] for fit in fits])
        for name, value in truth.items()
    }
    for i, (name, band) in enumerate(BANDS.items()):
        flux = 10 ** (-0.4 * (band.mag - 31.4))
        found[f"flux {name}"] = np.array(
            [(fit.values["galaxy_flux"][i] - flux) / fit.errors["galaxy_flux"][i] for fit in fits]
        )
    return found


def test_all_converge_to_noise(fits):
    for fit in fits:
        assert fit.converged, fit.reason
        assert 0.99 < fit.chi2_per_dof < 1.01


def test_pulls(pulls):
    for name, pull in pulls.items():
        assert np.max(np.abs(pull)) < 4, name
        assert abs(np.mean(pull)) < 1, name
        # the scatter of ten unit normals lies outside 0.4 to 1.8 once in some 500
        assert 0.4 < np.std(pull) < 1.8, name
