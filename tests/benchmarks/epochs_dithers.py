"""Dithered exposures simulated with GalSim: fitted jointly, against their average and against one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import galsim
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from epochs_statistics import errors_of
from helpers.exposures import SKY, dithered_wcs, galaxy, galsim_pixels, stacked, star
from helpers.scenes import make_image
from scipy import stats

import bayesjoint as bj

SCALE, SIDE, BETA = 0.3, 60, 3.0  # arcsec, pixels, of Moffat's profile
SEEING = (0.75, 0.95, 1.1, 1.3, 1.6, 1.0, 1.2, 1.8)  # arcsec
ANGLES = (0.0, 90.0, 0.0, 0.0, 90.0, 0.0, 180.0, 0.0)
SIGMA, FLUX = 12.0, 20000.0  # nJy
SHAPE = {"n": 2.0, "Re": 0.5, "q": 0.6, "pa": 35.0}
ZEROPOINTS = 0.03  # relative

SHARP, COARSE_SIDE = 0.4, 40  # arcsec: 1.33 pixels
COMPACT = {"n": 1.0, "Re": 0.15, "q": 0.7, "pa": 35.0}
PAIR = np.array([0.2, 0.1])  # arcsec from the brighter to the fainter star
PAIR_FLUX = (700.0, 350.0)
MORE = {"galaxy": 4, "pair": 3}  # parameters than a star has
TRUTH = {
    "galaxy_n": ("n", SHAPE["n"], COMPACT["n"]),
    "galaxy_Re": ("Re", SHAPE["Re"], COMPACT["Re"]),
    "galaxy_flux": ("flux", FLUX, sum(PAIR_FLUX)),
    "separation": ("separation", None, float(np.hypot(*PAIR))),
    "bright": ("flux of the brighter", None, PAIR_FLUX[0]),
    "faint": ("flux of the fainter", None, PAIR_FLUX[1]),
}  # what is compared, and its true value among the dithers and where pixels are coarse


def exposures(rng, side, seeings, angles, sources, scales, sigma=SIGMA) -> bj.ImageSet:
    """Exposures at random dithers of up to three pixels."""
    found = []
    for i, (fwhm, angle, scale) in enumerate(zip(seeings, angles, scales, strict=True)):
        wcs = dithered_wcs((side, side), SCALE, angle, rng.uniform(-3, 3, 2))
        pixels = scale * galsim_pixels(wcs, (side, side), galsim.Moffat(BETA, fwhm=fwhm), *sources)
        pixels += rng.normal(0, sigma, pixels.shape)
        options = {"wcs": wcs, "psf": bj.moffat_psf(fwhm, BETA), "name": f"e{i}", "band": "r"}
        found.append(make_image(data=pixels, invvar=np.full(pixels.shape, sigma**-2.0), **options))
    return bj.ImageSet(found, frame=SKY)


def stack_of(images: bj.ImageSet, finer: int = 1, reach: int = 3) -> bj.Image:
    """The average of exposures, with its own PSF, and weights as those of the exposures have it."""
    side = finer * images[0].shape[0] + 1
    point_spreads = [galsim.Moffat(BETA, fwhm=image.psf.fwhm) for image in images]
    wcs, pixels, weights, point = stacked(images, point_spreads, SCALE / finer, side, reach)
    return make_image(data=pixels, wcs=wcs, psf=bj.PSF(point), invvar=weights, name="stack", band="r")


def with_scatter_of_sky(image: bj.Image) -> bj.Image:
    """The weights that the scatter of the stack's blank pixels tells."""
    y, x = np.indices(image.shape) - image.shape[0] // 2
    blank = (np.hypot(x, y) * image.pixel_scale > 6.0) & (image.invvar > 0.99 * image.invvar.max())
    values = image.data[blank]
    sigma = 1.4826 * np.median(np.abs(values - np.median(values)))
    weights = image.invvar / image.invvar.max() / sigma**2
    return make_image(data=image.data, wcs=image.wcs, psf=image.psf, invvar=weights, name="stack", band="r")


def alone(image: bj.Image) -> bj.ImageSet:
    return bj.ImageSet([image], frame=SKY)


def one_galaxy(images):
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images, structure)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(bj.sample_sky(images)))


def with_flux_scales(images):
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images, structure)
    scales = bj.sample_registration(images, flux_scale=ZEROPOINTS, reference=False)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(bj.sample_sky(images)), scales)


def two_stars(images):
    """A pair about a common centre; fluxes and separation free."""
    centre = numpyro.sample("centre", dist.Normal(jnp.zeros(2), 0.3).to_event(1))
    start = {"start": jnp.asarray(0.3 * PAIR)}
    half = numpyro.sample("half", dist.Normal(jnp.zeros(2), 0.3).to_event(1), infer=start)
    bright = numpyro.sample("bright", dist.Normal(0.0, 1e4))
    faint = numpyro.sample("faint", dist.Normal(0.0, 1e4))
    numpyro.deterministic("separation", jnp.sqrt(jnp.sum((2 * half) ** 2) + 1e-12))
    stars = (bj.PointSource(centre - half, bright), bj.PointSource(centre + half, faint, name="_faint"))
    bj.observe(images, *stars, bj.FlatSky(bj.sample_sky(images)))


def one_star(images):
    centre = numpyro.sample("centre", dist.Normal(jnp.zeros(2), 0.3).to_event(1))
    flux = numpyro.sample("flux", dist.Normal(0.0, 1e4))
    bj.observe(images, bj.PointSource(centre, flux, name="_star"), bj.FlatSky(bj.sample_sky(images)))


def dithers(rng) -> dict[str, dict]:
    """Eight exposures of a galaxy, their zero points right or off, by each road: values and errors."""
    light = (galaxy(FLUX, **SHAPE),)
    found: dict[str, dict] = {}
    images = exposures(rng, SIDE, SEEING, ANGLES, light, np.ones(8))
    stack = stack_of(images)
    found["jointly"] = told(one_galaxy, images)
    found["stack, weights added up"] = told(one_galaxy, alone(stack))
    found["stack, noise from the scatter of its sky"] = told(one_galaxy, alone(with_scatter_of_sky(stack)))
    correlated = stack.with_noise_correlation(bj.noise_correlation(stack))
    found["stack, correlation of its noise given"] = told(one_galaxy, alone(correlated))
    found["the sharpest alone"] = told(one_galaxy, alone(images[int(np.argmin(SEEING))]))
    off = exposures(rng, SIDE, SEEING, ANGLES, light, np.exp(rng.normal(0, ZEROPOINTS, 8)))
    found["zero points off: jointly, flux scales sampled"] = told(with_flux_scales, off)
    found["zero points off: jointly, as if right"] = told(one_galaxy, off)
    found["zero points off: stack, weights added up"] = told(one_galaxy, alone(stack_of(off)))
    return found


def undersampled(rng) -> dict[str, dict]:
    """A compact galaxy and a pair of stars in pixels as wide as the PSF, by each road; and each as a single star."""
    east, north = PAIR / 2
    pair = (star(PAIR_FLUX[0], -east, -north), star(PAIR_FLUX[1], east, north))
    scenes = {"galaxy": (one_galaxy, (galaxy(sum(PAIR_FLUX), **COMPACT),)), "pair": (two_stars, pair)}
    seeings, angles, found = [SHARP] * 8, [0.0, 90.0] * 4, {}
    for name, (program, light) in scenes.items():
        images = exposures(rng, COARSE_SIDE, seeings, angles, light, np.ones(8))
        deep = exposures(rng, COARSE_SIDE, [SHARP], [0.0], light, [1.0], SIGMA / np.sqrt(8))
        roads = {
            "jointly": images,
            "stack in half pixels": alone(stack_of(images, 2, 1)),
            "one exposure eight times as long": deep,
            "one exposure": alone(images[0]),
        }
        for road, seen in roads.items():
            single = bj.fit_map(one_star, seen, progress=False)
            found[f"{name}: {road}"] = told(program, seen) | {"chi2_of_a_star": float(single.chi2.sum())}
    return found


def told(program: Callable, images: bj.ImageSet) -> dict[str, Any]:
    """What a fit says of what is compared: value and error of each."""
    fit = bj.fit_map(program, images, progress=False)
    names = [name for name in TRUTH if name in fit.values]
    values = {name: [float(np.ravel(each[name])[0]) for each in (fit.values, fit.errors)] for name in names}
    known = {"converged": fit.converged, "chi2": float(fit.chi2.sum()), "pixels": int(fit.pixels.sum())}
    return known | {"values": values, "seconds": fit.seconds}


def summary(found: list[dict], column: int) -> dict[str, dict]:
    """Of each road bias, scatter and coverage of the logarithm of every parameter, and how often it tells the scene from a
    star at five sigma; `column` of the truth."""
    roads: dict[str, dict] = {}
    for road in found[0]:
        rows = [each[road] for each in found]
        named, away = {}, {}
        for name in rows[0]["values"]:
            label, truth = TRUTH[name][0], TRUTH[name][column]
            values, errors = np.array([row["values"][name] for row in rows]).T
            away[label] = np.log(np.maximum(values / truth, 1e-3))
            named[label] = errors_of(away[label], errors / np.abs(values), 0.0)
        roads[road] = {
            "parameters": named,
            "away": {label: values.tolist() for label, values in away.items()},
            "converged": float(np.mean([row["converged"] for row in rows])),
            "chi2_per_pixel": float(np.mean([row["chi2"] / row["pixels"] for row in rows])),
            "seconds": float(np.median([row["seconds"] for row in rows])),
        }
        if "chi2_of_a_star" in rows[0]:
            gains = np.array([row["chi2_of_a_star"] - row["chi2"] for row in rows])
            wanted = stats.chi2.isf(2 * stats.norm.sf(5), MORE[road.partition(":")[0]])
            roads[road] |= {"gain": float(np.median(gains)), "told": float(np.mean(gains > wanted))}
    return roads
