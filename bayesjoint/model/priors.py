"""Data-driven, weakly informative priors: thin shortcuts over plain `numpyro.sample` calls.

Each argument of the shortcuts may be a distribution (sampled), a number or array (fixed), or a function of another
latent (tied): `sample_structure("disc", images, n=1.0, Re=2 * bulge["Re"], q=dist.Uniform(0.1, 1))`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints, transforms

from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.checks import as_array, check_plain
from bayesjoint.light.geometry import axis_ratio_and_angle
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import ARCSEC_PER_ARCMIN
from bayesjoint.model.trend import Trend, sample_trend

N_LIMITS = (0.3, 8.0)
STRUCTURE = ("centre", "q", "pa", "n", "Re")
PER_BAND = ("n", "Re", "ellipticity", "centre")


def sersic_index_prior() -> dist.Distribution:
    """Log-normal about n = 1.7 with a width of a factor e^0.8, cut to 0.3 <= n <= 8."""
    low, high = (jnp.log(limit) for limit in N_LIMITS)
    log_n = dist.TruncatedNormal(jnp.log(1.7), 0.8, low=low, high=high)
    return dist.TransformedDistribution(
        log_n, transforms.ExpTransform(domain=constraints.interval(low, high))
    )


def sample_structure(
    name: str, images: ImageSet, per_band: Collection[str] | Mapping[str, Trend | bool] = (), **given: Any
) -> dict[str, Any]:
    """Sample a galaxy's structure once, shared by all images.

    Sites: `<name>_east`, `<name>_north` (Normal about the position measured on the images, as wide as the galaxy and
    the seeing), `<name>_ellipticity` (Normal, sd 0.6 in each component of eta = -ln q; q and PA are deterministic),
    `<name>_n` (log-normal about 1.7, cut to 0.3 to 8), `<name>_Re_circular` (Re sqrt(q): log-normal, a factor e about the
    measured size; Re is deterministic).

    Parameters
    ----------
    name : str
        Source name: prefix of its sites.
    images : ImageSet
    per_band : collection of {"n", "Re", "ellipticity", "centre"}, or dict of Trend
        Parameters that get one value in each band: each with a prior of its own; or `{"n": trend, "Re": trend}` as a `Trend`
        has it, about a shared value that has the prior (of Re sqrt(q), for Re) and is the site `<name>_n_pivot`.
    **given : number, array or Distribution
        Any of centre, q, pa, n, Re: a number fixes it, a distribution replaces its prior.

    Returns
    -------
    dict
        name, centre, q, pa, n, Re: the arguments of `Sersic` but for Ie.

    Raises
    ------
    ValueError
        For unknown parameters.
    """
    check_known(given, STRUCTURE, "sample_structure")
    trends = trends_of(per_band)
    structure: dict[str, Any] = {"name": name}
    structure["centre"] = sample_centre(name, images, trends.get("centre", False), given.get("centre"))
    structure |= sample_shape(name, images, trends.get("ellipticity", False), given)
    index = given.get("n", sersic_index_prior())
    structure["n"] = sample_or_given(f"{name}_n", index, images, trends.get("n", False))
    structure["Re"] = sample_size(name, images, trends, given.get("Re"), structure["q"])
    return structure


def trends_of(per_band: Collection[str] | Mapping[str, Trend | bool]) -> dict[str, Trend | bool]:
    """How each parameter that changes from band to band does: a trend, or True for a prior of its own in each band."""
    check_known(per_band, PER_BAND, "sample_structure(per_band=...)")
    found = dict(per_band) if isinstance(per_band, Mapping) else dict.fromkeys(per_band, True)
    for name, how in found.items():
        if not isinstance(how, Trend | bool):
            raise TypeError(
                f"per_band[{name!r}] must be a bj.Trend, or True for a value in each band, got {how!r}"
            )
    return {name: how for name, how in found.items() if how is not False}


def sample_brightness(
    name: str,
    images: ImageSet,
    structure: Mapping[str, Any] | None = None,
    prior: dist.Distribution | None = None,
):
    """Sample one Ie in each band, plate "band", nJy/arcsec^2, shape (n_bands,).

    With the galaxy's `structure` the prior is on its total flux in each band (site `<name>_total`, nJy; Ie is
    deterministic), so that size and index are free of it. Without, the prior is on Ie itself (site `<name>_Ie`): where noise
    leaves the size open, each band's wide prior on Ie then weighs the size by 1/Re^2, which favours small galaxies.

    The default prior is Normal about 0, ten times as wide as the flux or brightness measured in the band (and as what
    noise could hide), so that an undetected band may come out negative.

    Parameters
    ----------
    name : str
        Source name: prefix of its sites.
    images : ImageSet
    structure : dict, optional
        What `sample_structure` gave: the arguments of `Sersic` but for Ie.
    prior : Distribution, number or array, optional
        In place of the default: of the flux (nJy) with `structure`, else of Ie.
    """
    start, default = images.start, flux_prior(images)
    if structure is not None:
        if not isinstance(structure, Mapping):
            raise TypeError(
                f"sample_brightness: structure must be what sample_structure gave, got {type(structure).__name__}; "
                "a prior goes by its name: prior=..."
            )
        total = sample_or_given(f"{name}_total", default if prior is None else prior, images, True)
        return numpyro.deterministic(f"{name}_Ie", total / Sersic(**structure, Ie=1.0).flux)
    area = 2 * jnp.pi * jnp.maximum(start.effective_radius, 0.5 * start.seeing) ** 2
    return sample_or_given(
        f"{name}_Ie",
        dist.Normal(0.0, jnp.asarray(default.scale) / area) if prior is None else prior,
        images,
        True,
    )


def flux_prior(images: ImageSet) -> dist.Normal:
    """Of a galaxy's total flux in each band: Normal about 0, ten times as wide as the flux found and as noise could hide."""
    return dist.Normal(0.0, 10 * (jnp.abs(images.start.flux) + 5 * images.start.flux_error))


def sample_flux(name: str, images: ImageSet, prior: dist.Distribution | None = None):
    """Sample one flux in each band, plate "band": site `<name>_total`, nJy, shape (n_bands,), for a point source.

    The default prior is Normal about 0, as wide as the flux measured in the band (and as what noise could hide).
    """
    start = images.start
    scale = jnp.abs(start.flux) + 5 * start.flux_error
    return sample_or_given(f"{name}_total", dist.Normal(0.0, scale) if prior is None else prior, images, True)


def sample_sky(images: ImageSet, prior: dist.Distribution | None = None, order: int = 0):
    """Sample one sky in each image, plate "image": for `FlatSky`, or for `PlaneSky` with `order=1`.

    The site `sky` is the level, nJy/arcsec^2, (n_images,): by default Normal about the background measured on each image,
    one pixel's noise wide. With `order=1` the site `sky_gradient`, nJy/arcsec^2 per arcmin towards East and North,
    (n_images, 2), is Normal about 0, so wide that the sky may change by twice as much from one edge of the image to the
    other.

    Parameters
    ----------
    images : ImageSet
    prior : Distribution, optional
        Of the level, in place of the default.
    order : {0, 1}

    Returns
    -------
    The level; with `order=1` the level and the gradient: `bj.PlaneSky(*bj.sample_sky(images, order=1))`.
    """
    if order not in (0, 1):
        raise ValueError(f"sample_sky: order must be 0 (a flat sky) or 1 (a plane), got {order!r}")
    start = images.start
    width = start.sky_scatter + start.sky_error
    with numpyro.plate("image", len(images)):
        level = numpyro.sample("sky", dist.Normal(start.sky, width) if prior is None else prior)
        if order == 0:
            return level
        steepest = (width / _half_sides(images))[:, None] * jnp.ones((1, 2))
        return level, numpyro.sample("sky_gradient", dist.Normal(0.0, steepest).to_event(1))


def _half_sides(images: ImageSet) -> jax.Array:
    """Half the side of each image, arcmin."""
    area = [image.pixel_area * (image.shape[0] * image.shape[1]) for image in images]
    return jnp.sqrt(jnp.stack([jnp.asarray(a) for a in area])) / (2 * ARCSEC_PER_ARCMIN)


def sample_centre(name: str, images: ImageSet, per_band: Trend | bool, given):
    """A centre: sampled about the position found, or as `given`."""
    if given is not None and not isinstance(given, dist.Distribution):
        check_plain("prior", f"{name}_centre", given, "arcsec")
        centre = as_array("prior", "centre", given, True) if isinstance(given, tuple | list) else given
        centre = jnp.asarray(centre, jnp.result_type(float))
        is_tied = any(isinstance(part, jax.Array) for part in jax.tree.leaves(given))
        return centre if is_tied else _with_parts(name, centre)
    start = images.start
    width = 0.5 * (start.effective_radius + start.seeing)
    if given is not None:
        return _with_parts(name, sample_or_given(f"{name}_centre", given, images, per_band))
    east = sample_or_given(f"{name}_east", dist.Normal(start.position[0], width), images, per_band)
    north = sample_or_given(f"{name}_north", dist.Normal(start.position[1], width), images, per_band)
    return jnp.stack([east, north], axis=-1)


def _with_parts(name: str, centre):
    """A centre given whole, its parts reported as if they had been sampled."""
    for i, part in enumerate(("east", "north")):
        numpyro.deterministic(f"{name}_{part}", centre[..., i])
    return centre


def sample_shape(name: str, images: ImageSet, per_band: Trend | bool, given: dict) -> dict[str, Any]:
    """Axis ratio and position angle: from the ellipticity vector unless either is given."""
    if "q" not in given and "pa" not in given:
        prior = dist.Normal(jnp.zeros(2), 0.6).to_event(1)
        ellipticity = sample_or_given(
            f"{name}_ellipticity", prior, images, per_band, start=images.start.ellipticity
        )
        q, pa = axis_ratio_and_angle(ellipticity)
        return {"q": numpyro.deterministic(f"{name}_q", q), "pa": numpyro.deterministic(f"{name}_pa", pa)}
    priors = {"q": dist.Uniform(0.05, 1.0), "pa": dist.Normal(90.0, 90.0)}
    seen = dict(zip(priors, axis_ratio_and_angle(images.start.ellipticity), strict=True))
    return {
        part: sample_or_given(
            f"{name}_{part}", given.get(part, prior), images, per_band, None if part in given else seen[part]
        )
        for part, prior in priors.items()
    }


def sample_size(name: str, images: ImageSet, per_band: Mapping[str, Trend | bool], given, q):
    """Re, by default from the circularised radius Re sqrt(q).

    At fixed Re sqrt(q) an ellipticity shears the light, smoothly through round; at fixed Re it would shrink it too, which
    gives the posterior a cone at q = 1.
    """
    if given is not None:
        return sample_or_given(f"{name}_Re", given, images, per_band.get("Re", False))
    log_size = jnp.log(images.start.effective_radius)
    if "ellipticity" in per_band and "Re" not in per_band:
        return sample_or_given(f"{name}_Re", dist.LogNormal(log_size, 1.0), images, False)
    half_eta = 0.5 * jnp.sqrt(jnp.sum(images.start.ellipticity**2))
    prior = dist.LogNormal(log_size - half_eta, 1.0)
    circular = sample_or_given(f"{name}_Re_circular", prior, images, per_band.get("Re", False))
    return numpyro.deterministic(f"{name}_Re", circular / jnp.sqrt(q))


def sample_or_given(site: str, prior, images: ImageSet, per_band: Trend | bool, start=None):
    """A sample of a distribution, in the plate of bands or by a trend if wanted; anything else is itself (fixed or tied)."""
    if isinstance(per_band, Trend):
        return sample_trend(site, images, per_band, prior, start)
    if not isinstance(prior, dist.Distribution):
        check_plain("prior", site, prior, "arcsec, degrees or nJy")
        value = jnp.asarray(prior, jnp.result_type(float))
        # a tied value has a site already, perhaps of this very name
        return value if isinstance(prior, jax.Array) else numpyro.deterministic(site, value)
    infer = {} if start is None else {"start": start}
    if not per_band:
        return numpyro.sample(site, prior, infer=infer)
    with numpyro.plate("band", len(images.bands)):
        return numpyro.sample(site, prior, infer=infer)


def check_known(names: Collection[str], known: Collection[str], where: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"{where} got {', '.join(unknown)}; it knows {', '.join(known)}")
