"""A small scene and Gaussian draws of known statistics, for the tests of reports."""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS

from bayesjoint.data.analytic_psf import gaussian_psf, moffat_psf
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.psf import PSF
from bayesjoint.infer.draws import Draws

FLUX = {"NUV": 2.0e4, "r": 3.0e5, "W1": 5.0e4}
ZEROPOINTS = {"NUV": 20.08, "r": 22.5, "W1": 25.199}


def make_wcs(shape, scale, angle=0.0, mirrored=False, ra=187.3119, dec=12.9783) -> WCS:
    """A TAN WCS turned by `angle` degrees; East to the left unless mirrored."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.cd = np.array([[-c if not mirrored else c, s], [s if not mirrored else -s, c]]) * scale / 3600
    return wcs


def gaussian_source(shape, scale, flux, fwhm=6.0):
    """A round Gaussian of `flux` nJy in the middle of an image."""
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    sigma = fwhm / 2.3548 / scale
    r2 = (x - (nx - 1) / 2) ** 2 + (y - (ny - 1) / 2) ** 2
    return flux * np.exp(-r2 / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def make_images(bands=("NUV", "r", "W1"), names=None, seed=0) -> tuple[ImageSet, list[np.ndarray]]:
    """Images of a Gaussian source on three pixel grids and orientations, and their noiseless models."""
    rng = np.random.default_rng(seed)
    images, models = [], []
    for i, band in enumerate(bands):
        shape, scale = ((40, 40), 1.5) if i % 3 == 0 else ((80, 72), 0.7) if i % 3 == 1 else ((31, 33), 2.0)
        model = gaussian_source(shape, scale, FLUX.get(band, 1e5)) + 20 * scale**2
        sigma = 0.02 * model.max()
        data = model + sigma * rng.normal(size=shape)
        mask = np.zeros(shape, bool)
        mask[2:6, 3:9] = True
        stamp = gaussian_source((35, 35), scale, 1.0, 7.0)
        psf = (gaussian_psf(5.4), moffat_psf(2.0, 3.5), PSF(stamp / stamp.sum()))[i % 3]
        to_counts = 10 ** (0.4 * (ZEROPOINTS.get(band, 25.0) - 31.4))
        image = Image(
            data * to_counts,
            wcs=make_wcs(shape, scale, (0, 30, 90)[i % 3], mirrored=i % 3 == 2),
            zeropoint=ZEROPOINTS.get(band, 25.0),
            psf=psf,
            invvar=np.full(shape, 1 / (sigma * to_counts) ** 2),
            mask=mask,
            band=band,
            name=names[i] if names else None,
            time=57000.5 if i == 1 else None,
        )
        images.append(image)
        models.append(model)
    return ImageSet(images), models


def make_draws(
    bands=("NUV", "r", "W1"),
    images=3,
    flux_sd=0.02,
    common=0.05,
    undetected=(),
    chains=4,
    draws=500,
    seed=1,
    extra=None,
) -> Draws:
    """Gaussian draws whose fluxes share a relative error `common` and have one of their own, `flux_sd`."""
    rng = np.random.default_rng(seed)
    size = (chains, draws)

    def normal(mean, sd, *shape):
        return rng.normal(mean, sd, (*size, *shape))

    shared = rng.normal(1, common, (*size, 1))
    flux = np.array([FLUX.get(band, 1e5) for band in bands]) * (
        shared + rng.normal(0, flux_sd, (*size, len(bands)))
    )
    for band in undetected:
        flux[..., bands.index(band)] = normal(50.0, 100.0)
    values = {
        "galaxy_east": normal(0.1, 0.01),
        "galaxy_north": normal(-0.2, 0.01),
        "galaxy_ellipticity": normal(0.3, 0.02, 2),
        "galaxy_q": np.clip(normal(0.7, 0.02), 0.05, 1),
        "galaxy_pa": np.mod(normal(0.0, 2.0), 180.0),
        "galaxy_n": normal(1.7, 0.05),
        "galaxy_Re_circular": normal(10.4, 0.2),
        "galaxy_Re": normal(12.5, 0.2),
        "galaxy_Ie": flux / 1e3,
        "galaxy_flux": flux,
        "sky": normal(20.0, 0.1, images),
        **(extra or {}),
    }
    stats = {
        "diverging": np.zeros(size, bool),
        "n_steps": np.full(size, 7),
        "acceptance_rate": np.full(size, 0.9),
        "energy": normal(0, 1),
        "lp": normal(0, 1),
    }
    dims = {
        "galaxy_ellipticity": ("galaxy_ellipticity_dim_0",),
        "galaxy_Ie": ("band",),
        "galaxy_flux": ("band",),
    }
    return Draws(
        values, dims | {"sky": ("image",)}, stats, normal(0, 1, 9), np.ones(chains), 500, 3, {"sample": 1.0}
    )
