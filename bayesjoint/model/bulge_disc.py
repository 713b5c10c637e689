"""A bulge in a disc: two components about one centre, whose total flux and bulge fraction are what is sampled."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import transforms

from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.devaucouleurs import DeVaucouleurs
from bayesjoint.light.exponential import Exponential
from bayesjoint.light.sersic import Sersic
from bayesjoint.model.priors import (
    check_known,
    flux_prior,
    sample_centre,
    sample_or_given,
    sample_shape,
    sample_size,
    sersic_index_prior,
)

GIVEN = (
    "centre",
    "size_ratio",
    "total",
    "bulge_fraction",
    "bulge_q",
    "bulge_pa",
    "disc_q",
    "disc_pa",
    "disc_Re",
)


def logit_normal(median: float, width: float) -> dist.Distribution:
    """A number in (0, 1) whose logit is Normal."""
    logit = dist.Normal(jnp.log(median / (1 - median)), width)
    return dist.TransformedDistribution(logit, transforms.SigmoidTransform())


def sample_bulge_disc(name: str, images: ImageSet, n: Any = 4.0, **given: Any) -> tuple[Any, Any]:
    """Sample a bulge and an exponential disc about one centre, shared by all images but for their brightness.

    Sites: `<name>_east`, `<name>_north`, `<name>_bulge_ellipticity`, `<name>_disc_ellipticity` and
    `<name>_disc_Re_circular` as those of `sample_structure`; `<name>_size_ratio`, of the circularised half-light radii
    Re sqrt(q) of bulge and disc (logit-normal, median 0.2, under 1: which is the bulge is told by it); in each band
    `<name>_total`, nJy (Normal about 0, wide), and `<name>_bulge_fraction`, bulge over total flux (logit-normal, median
    0.25, sd 1.5: 0.02 to 0.86 at 95 %). q, PA, Re and Ie of both parts are deterministic, as is `<name>_flux`, the total.

    Parameters
    ----------
    name : str
        Source name; its parts are `<name>_bulge` and `<name>_disc`.
    images : ImageSet
    n : float, Distribution or None
        Sersic index of the bulge: 4 makes it a `DeVaucouleurs`; None samples it as `sample_structure` does.
    **given : number, array or Distribution
        Any of centre, size_ratio, total, bulge_fraction, bulge_q, bulge_pa, disc_q, disc_pa, disc_Re: a number fixes it, a
        distribution replaces its prior.

    Returns
    -------
    bulge, disc : DeVaucouleurs or Sersic, and Exponential
        For `bj.observe(images, bulge, disc, sky)`. A bar is one component more: `bj.Ferrer(disc.centre, ...)`.

    Raises
    ------
    ValueError
        For unknown parameters.
    """
    check_known(given, GIVEN, "sample_bulge_disc")
    centre = sample_centre(name, images, False, given.get("centre"))
    disc = sample_shape(f"{name}_disc", images, False, _part("disc", given))
    disc["Re"] = sample_size(f"{name}_disc", images, {}, given.get("disc_Re"), disc["q"])
    bulge = sample_shape(f"{name}_bulge", images, False, _part("bulge", given))
    ratio = sample_or_given(
        f"{name}_size_ratio", given.get("size_ratio", logit_normal(0.2, 1.0)), images, False
    )
    size = ratio * disc["Re"] * jnp.sqrt(disc["q"] / bulge["q"])
    bulge["Re"] = numpyro.deterministic(f"{name}_bulge_Re", size)
    kind: type[Any] = DeVaucouleurs
    if not (isinstance(n, int | float) and n == 4):
        index = sersic_index_prior() if n is None else n
        kind, bulge["n"] = Sersic, sample_or_given(f"{name}_bulge_n", index, images, False)
    total, fraction = _sample_fluxes(name, images, given)
    return (
        _of_flux(kind, total * fraction, name=f"{name}_bulge", centre=centre, **bulge),
        _of_flux(Exponential, total * (1 - fraction), name=f"{name}_disc", centre=centre, **disc),
    )


def _part(part: str, given: dict) -> dict[str, Any]:
    """What is given of one part's shape."""
    return {key: given[f"{part}_{key}"] for key in ("q", "pa") if f"{part}_{key}" in given}


def _sample_fluxes(name: str, images: ImageSet, given: dict) -> tuple[Any, Any]:
    """Total flux and bulge fraction in each band."""
    total = sample_or_given(f"{name}_total", given.get("total", flux_prior(images)), images, True)
    fraction = given.get("bulge_fraction", logit_normal(0.25, 1.5))
    numpyro.deterministic(f"{name}_flux", jnp.broadcast_to(total, (len(images.bands),)))
    return total, sample_or_given(f"{name}_bulge_fraction", fraction, images, True)


def _of_flux(kind: type[Any], flux, name: str, **parameters: Any) -> Any:
    """A component of this flux, nJy."""
    Ie = numpyro.deterministic(f"{name}_Ie", flux / kind(**parameters, Ie=1.0).flux)
    return kind(**parameters, Ie=Ie, name=name)
