"""The simulated galaxies on which error bars are tried, and what becomes of them: `bj.calibrate` in fifteen settings.

Three images (64, 32 and 24 pixels, of 0.3, 1.0 and 1.5 arcsec) of one Sersic galaxy; in the brightest setting with a
signal-to-noise ratio of 200 in each band, in the faintest of 10. In a third of them the last band detects nothing, in
another third the noise of all bands is correlated, as resampling makes it, and fitted as such.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from astropy.wcs import WCS

import bayesjoint as bj
from bayesjoint.report.calibration import Calibration

SIGNAL_TO_NOISE = (10, 20, 50, 100, 200)
KINDS = ("three bands", "one undetected", "correlated noise")
BANDS = {"A": (64, 0.3, 1.1), "B": (32, 1.0, 2.0), "C": (24, 1.5, 4.5)}  # pixels, arcsec, FWHM
# of an image resampled by bilinear weights, about
CORRELATION = np.outer([0.25, 1.0, 0.25], [0.25, 1.0, 0.25])
TYPICAL = {"centre": (0.1, -0.2), "q": 0.7, "pa": 30.0, "n": 1.7, "Re": 2.0}


def galaxy(images, flux, spread):
    """One galaxy, its structure shared; of each band the flux (nJy) and how well it is known beforehand."""
    structure = bj.sample_structure(
        "galaxy",
        images,
        centre=dist.Normal(jnp.array([0.1, -0.2]), 0.2).to_event(1),
        n=dist.LogUniform(0.5, 6.0),
        Re=dist.LogNormal(jnp.log(2.0), 0.4),
    )
    Ie = bj.sample_brightness("galaxy", images, structure, prior=dist.Normal(flux, spread))
    with numpyro.plate("image", len(images)):
        sky = numpyro.sample("sky", dist.Normal(0.0, 0.3))
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(sky))


def setting(kind: str, signal_to_noise: float) -> tuple[bj.ImageSet, np.ndarray, np.ndarray]:
    """Blank images of noise 1 nJy, the fluxes of the typical galaxy of that signal-to-noise ratio, and their spread."""
    images, flux = [], []
    for band, (pixels, scale, fwhm) in BANDS.items():
        image = _blank(band, pixels, scale, fwhm)
        unit = np.asarray(bj.render(image, bj.Sersic(**TYPICAL, Ie=1.0)))
        per_flux = np.sqrt(np.sum(unit**2)) / float(bj.Sersic(**TYPICAL, Ie=1.0).flux)
        flux.append(signal_to_noise / per_flux)
        images.append(image.with_noise_correlation(CORRELATION) if kind == "correlated noise" else image)
    flux, spread = np.array(flux), 0.3 * np.array(flux)
    if kind == "one undetected":
        flux[2], spread[2] = 0.0, spread[2] / signal_to_noise
    return bj.ImageSet(images, position=(150.0, 2.0)), flux, spread


def _blank(band: str, pixels: int, scale: float, fwhm: float) -> bj.Image:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(pixels + 1) / 2] * 2, [-scale / 3600, scale / 3600]
    noise = np.random.default_rng(1).normal(size=(pixels, pixels))
    psf = bj.gaussian_psf(fwhm)
    return bj.Image(
        noise, wcs=wcs, zeropoint=31.4, psf=psf, invvar=np.ones((pixels, pixels)), band=band, name=band
    )


def calibrated(each: int, run: int, folder: Path) -> dict[tuple[str, int], Calibration]:
    """`each` simulations in every setting, others each run; what was done before is taken from the folder."""
    found = {}
    for k, kind in enumerate(KINDS):
        for s, signal_to_noise in enumerate(SIGNAL_TO_NOISE):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                images, flux, spread = setting(kind, signal_to_noise)
            began = time.perf_counter()
            place = folder / f"{k}_{signal_to_noise}"
            found[kind, signal_to_noise] = bj.calibrate(
                galaxy, images, flux, spread, n=each, seed=10_000 * run + 100 * k + s, folder=place
            )
            seconds = time.perf_counter() - began
            print(kind, signal_to_noise, f"{seconds:.0f} s", flush=True)
    return found


def pooled(found: dict[tuple[str, int], Calibration]) -> Calibration:
    """All settings as one."""
    parts = list(found.values())
    names = parts[0].names
    columns = [[part.names.index(name) for name in names] for part in parts]
    return Calibration(
        names,
        np.concatenate([part.rank[:, rows] for part, rows in zip(parts, columns, strict=True)]),
        np.concatenate([part.pull[:, rows] for part, rows in zip(parts, columns, strict=True)]),
        np.concatenate([part.seconds for part in parts]),
        np.concatenate([part.trusted for part in parts]),
        tuple(failure for part in parts for failure in part.failures),
    )
