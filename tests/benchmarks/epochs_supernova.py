"""A supernova on its host, simulated with GalSim: its light curve by joint fits and by difference imaging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import galsim
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from epochs_difference import difference_fluxes
from epochs_statistics import errors_of
from helpers.exposures import SKY, dithered_wcs, galaxy, galsim_pixels, star
from helpers.scenes import make_image
from scipy import special

import bayesjoint as bj
from bayesjoint.report.photometry import ONE_SIDED_95
from bayesjoint.report.style import PAGE_WIDTH, PALETTE, paper_style

SHOWN = {"free fluxes": "joint fit", "difference imaging": "difference imaging"}
BRIGHT = 150.0  # nJy: about three sigma
SCALE, SIDE, SIGMA = 0.3, 44, 8.0  # arcsec, pixels, nJy
TIMES = (-30.0, -20.0, -10.0, 2.0, 5.0, 9.0, 14.0, 20.0, 28.0, 40.0, 60.0, 90.0)  # days from the explosion
SEEING, ANGLES = (0.8, 1.1, 1.5), (0.0, 90.0)  # arcsec, degrees: in turn
HOST = {"n": 2.0, "Re": 1.5, "q": 0.7, "pa": 50.0}
HOST_FLUX = {"g": 40000.0, "r": 80000.0, "i": 110000.0}  # nJy
PLACE = (0.24, -0.32)  # arcsec: 0.4 from the nucleus
CORE = 0.5  # radius in arcsec of what "the core" is
FAINTER = 3.0  # magnitudes of the peak below the core in r
PEAK = {"g": 1.1, "r": 1.0, "i": 0.8}  # relative to r
FALL = {"g": 11.0, "r": 17.0, "i": 24.0}  # days
RISE, MIDDLE = 2.5, 8.0  # days


def peak_flux() -> float:
    """nJy in r: 3 mag below the host's flux within its core."""
    b = special.gammaincinv(2 * HOST["n"], 0.5)
    mean_radius = CORE / np.sqrt(HOST["q"])  # of the ellipse of the same area
    inside = special.gammainc(2 * HOST["n"], b * (mean_radius / HOST["Re"]) ** (1 / HOST["n"]))
    return 10 ** (-0.4 * FAINTER) * HOST_FLUX["r"] * float(inside)


def shape(time, fall, rise=RISE, middle=MIDDLE):
    """Bazin et al. (2009, A&A 499, 653): an exponential fall after a logistic rise."""
    away = jnp.asarray(time) - middle
    return jnp.exp(-away / fall) / (1 + jnp.exp(-away / rise))


def brightness(band: str, time: float) -> float:
    """nJy at a time; 0 before the explosion."""
    peak = float(jnp.max(shape(np.linspace(0, 40, 400), FALL[band])))
    return 0.0 if time < 0 else peak_flux() * PEAK[band] * float(shape(time, FALL[band])) / peak


def epochs(rng) -> tuple[bj.ImageSet, list[float]]:
    """Twelve epochs in three bands, and the transient's true fluxes in the images' order."""
    found, truth, square = [], [], (SIDE, SIDE)
    for i, time in enumerate(TIMES):
        for band, flux in HOST_FLUX.items():
            wcs = dithered_wcs(square, SCALE, ANGLES[i % 2], rng.uniform(-2, 2, 2))
            fwhm = SEEING[i % 3]
            truth.append(brightness(band, time))
            light = galaxy(flux, **HOST), star(max(truth[-1], 1e-9), *PLACE)
            pixels = galsim_pixels(wcs, square, galsim.Gaussian(fwhm=fwhm), *light)
            pixels += rng.normal(0, SIGMA, square)
            options = {"psf": bj.gaussian_psf(fwhm), "name": f"{band}{i}", "band": band, "time": time}
            weights = np.full(square, SIGMA**-2.0)
            found.append(make_image(data=pixels, wcs=wcs, invvar=weights, **options))
    return bj.ImageSet(found, frame=SKY), truth


def on_its_host(images, flux):
    """The host, the transient of these fluxes on it, and skies."""
    structure = bj.sample_structure("host", images)
    host = bj.Sersic(**structure, Ie=bj.sample_brightness("host", images, structure))
    prior = dist.Normal(jnp.zeros(2), 1.0).to_event(1)
    place = numpyro.sample("place", prior, infer={"start": jnp.array([0.2, -0.2])})
    sky = bj.FlatSky(bj.sample_sky(images))
    bj.observe(images, host, bj.PointSource(place, flux, name="supernova"), sky)


def free(images):
    """A flux of its own in each image after the explosion."""
    on_its_host(images, bj.sample_light_curve("supernova", images, before=0.0))


def process(images):
    """A Gaussian process in each band."""
    widths = {"scale": dist.LogNormal(6.0, 1.0), "timescale": dist.LogNormal(2.7, 0.5)}
    on_its_host(images, bj.sample_light_curve("supernova", images, before=0.0, **widths))


def function(images):
    """A function of time, with a peak and a fall in each band and one rise."""
    with numpyro.plate("band", len(images.bands)):
        amplitude = numpyro.sample("amplitude", dist.Normal(0.0, 5000.0))
        fall = numpyro.sample("fall", dist.LogNormal(2.8, 0.5))
    middle = numpyro.sample("middle", dist.Normal(8.0, 4.0))
    rise = numpyro.sample("rise", dist.LogNormal(1.0, 0.4))
    band = np.array(images.band_index)
    on_its_host(images, amplitude[band] * shape(images.times, fall[band], rise, middle))


PROGRAMS = {"free fluxes": free, "Gaussian process": process, "function of time": function}


def supernova(rng) -> dict[str, Any]:
    """True fluxes, and those of each road with their errors, in the order of the images."""
    images, truth = epochs(rng)
    found: dict[str, Any] = {"truth": truth, "roads": {}}
    for name, program in PROGRAMS.items():
        found["roads"][name] = told(program, images)
    flux, error = difference_fluxes(images, PLACE)
    found["roads"]["difference imaging"] = {"flux": list(flux), "error": list(error)}
    return found


def told(program: Callable, images: bj.ImageSet) -> dict[str, Any]:
    fit = bj.fit_map(program, images, progress=False)
    each = (np.asarray(values["supernova_flux"]).tolist() for values in (fit.values, fit.errors))
    known = {"converged": fit.converged, "chi2": fit.chi2_per_dof, "seconds": fit.seconds}
    return known | dict(zip(("flux", "error"), each, strict=True))


def summary(found: list[dict]) -> dict[str, Any]:
    """Of each road bias, scatter and coverage of the fluxes after the explosion, bright and faint; and of its limits."""
    truth = np.array([each["truth"] for each in found])
    after = np.repeat(np.array(TIMES) > 0, len(HOST_FLUX))
    parts = {"bright": after & (truth[0] >= BRIGHT), "faint": after & (truth[0] < BRIGHT)}
    rows: dict[str, Any] = {}
    for road in found[0]["roads"]:
        flux, error = (np.array([each["roads"][road][key] for each in found]) for key in ("flux", "error"))
        rows[road] = {
            part: errors_of(flux[:, own], error[:, own], truth[:, own]) for part, own in parts.items()
        }
        own = (flux < 3 * error) & after
        limit = np.maximum(flux + ONE_SIDED_95 * error, ONE_SIDED_95 * error)
        rows[road]["limits"] = {"count": int(own.sum()), "hold": float(np.mean(limit[own] > truth[own]))}
        fits = [each["roads"][road] for each in found if "seconds" in each["roads"][road]]
        if fits:
            rows[road]["seconds"] = float(np.median([fit["seconds"] for fit in fits]))
            rows[road]["converged"] = float(np.mean([fit["converged"] for fit in fits]))
            rows[road]["chi2"] = float(np.mean([fit["chi2"] for fit in fits]))
    return {"roads": rows, "realisations": len(found), "first": found[0], "peak": peak_flux()}


def figure(first: dict[str, Any]):
    """One realisation: light curves as simulated and as measured, and deviations below."""
    times, bands = np.repeat(TIMES, len(HOST_FLUX)), np.tile(list(HOST_FLUX), len(TIMES))
    truth, fine = np.array(first["truth"]), np.linspace(0.0, TIMES[-1], 400)
    with paper_style():
        drawn, axes = plt.subplots(
            2,
            3,
            figsize=(PAGE_WIDTH, 3.6),
            sharex=True,
            sharey="row",
            height_ratios=(2, 1),
            layout="constrained",
        )
        for (above, below), band in zip(axes.T, HOST_FLUX, strict=True):
            own = (bands == band) & (times > 0)
            curve = [brightness(band, time) for time in fine]
            above.plot(fine, curve, color="0.4", label="simulated")
            for i, road in enumerate(("free fluxes", "difference imaging")):
                flux, error = (np.array(first["roads"][road][key])[own] for key in ("flux", "error"))
                look = {"fmt": "os"[i], "ms": 3, "lw": 0.8, "color": PALETTE[i], "label": SHOWN[road]}
                at = times[own] + (2 * i - 1) * 0.6
                above.errorbar(at, flux, error, **look)
                below.errorbar(at, flux - truth[own], error, **look)
            for ax in (above, below):
                ax.axhline(0.0, color="0.7", lw=0.6, zorder=0)
                ax.plot([t for t in TIMES if t < 0], [0.0] * 3, "|", color="0.4", ms=6)
            above.set_title(band)
            below.set_xlabel("days from the explosion")
        axes[0, 0].set_ylabel("flux (nJy)")
        axes[1, 0].set_ylabel("measured less\nsimulated (nJy)")
        axes[0, 2].legend(loc="upper right")
    return drawn
