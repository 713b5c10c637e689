"""Surface brightness along ellipses at the draws of a posterior: what the light is without PSF, pixels and noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.space import Layout, Program, prior_and_light
from bayesjoint.light.profile import Profile
from bayesjoint.light.windowed import Windowed
from bayesjoint.model.observe import PIXEL_SITE, component_names

_AROUND = 64  # points on an ellipse: of one profile along its own isophote all are equal
_AT_ONCE = 64


class Isophotes(NamedTuple):
    """Mean surface brightness on ellipses, nJy/arcsec^2, and its derivative by ln radius: both (draws, images, radii)."""

    brightness: Any
    slope: Any


def brightness_along_ellipses(
    program: Program,
    layout: Layout,
    draws: np.ndarray,
    args: tuple,
    images: Sequence[str],
    sources: Sequence[str],
    radii: np.ndarray,
) -> Isophotes:
    """The sum of some sources on the ellipses that the first of them has in the first of some images.

    Parameters
    ----------
    draws : array (N, P)
        Unconstrained.
    images, sources : sequence of str
        Names.
    radii : array (radii,)
        Semi-major axes, arcsec.

    Raises
    ------
    ValueError
        For sources that the program does not have, and those that are points.
    """
    names = tuple(images), tuple(sources)
    return jax.device_get(
        _along_ellipses(program, layout, jnp.asarray(draws), args, *names, jnp.asarray(radii))
    )


@partial(quick_jit, static_argnames=("program", "layout", "names", "sources"))
def _along_ellipses(
    program: Program, layout: Layout, draws, args: tuple, names: tuple, sources: tuple, radii
) -> Isophotes:
    def one(z):
        _, lights, _ = prior_and_light(program, layout, z, args)
        found = [profiles_among(args[0], components_on(args[0], lights, name), sources) for name in names]
        ellipse = found[0][0]
        each = [_mean_and_slope(ellipse, profiles, radii) for profiles in found]
        return Isophotes(*map(jnp.stack, zip(*each, strict=True)))

    return jax.lax.map(one, draws, batch_size=_AT_ONCE)


def _mean_and_slope(ellipse: Profile, profiles: Sequence[Profile], radii) -> tuple[jax.Array, jax.Array]:
    """Mean brightness (radii,) on ellipses about a profile's centre, and its derivative by ln radius."""
    angle = jnp.linspace(0.0, 2 * jnp.pi, _AROUND, endpoint=False)
    axes = ellipse.axes / jnp.linalg.norm(ellipse.axes[0])
    around = jnp.matmul(jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1), axes, precision="highest")

    def mean(log_radii):
        places = ellipse.centre + jnp.exp(log_radii)[:, None, None] * around
        offsets = (jnp.moveaxis(places - p.centre, -1, 0) for p in profiles)
        light = (p.brightness(*offset) for p, offset in zip(profiles, offsets, strict=True))
        return jnp.mean(sum(light), axis=1)

    log_radii = jnp.log(radii)
    return jax.jvp(mean, (log_radii,), (jnp.ones_like(log_radii),))


def components_on(images: ImageSet, lights: Sequence[tuple], image: str) -> tuple:
    """What a program draws on one image, from the lights that `prior_and_light` gives."""
    sites = {
        f"{PIXEL_SITE}{s.name}": [images.names[i] for i in m]
        for s, m in zip(images.stacks, images.members, strict=True)
    }
    found: list[Any] = []
    for own_sites, light in lights:
        seen = [name for site in own_sites for name in sites.get(site, [site.rpartition(PIXEL_SITE)[2]])]
        if image in seen:
            found += light.components(light.parameters()[seen.index(image)])
    return tuple(found)


def profiles_among(images: ImageSet, components: Sequence[Any], sources: Sequence[str]) -> list[Profile]:
    """The sources of these names among the components on one image."""
    there = dict(zip(component_names(components), components, strict=True))
    there |= _of_windows(images, components)
    return [_checked(name, there) for name in sources]


def _of_windows(images: ImageSet, components: Sequence[Any]) -> dict[str, Any]:
    """The sources of a field by their own names."""
    found: dict[str, Any] = {}
    if images.sources is None:
        return found
    for windowed in (c for c in components if isinstance(c, Windowed)):
        kind = "galaxy" if isinstance(windowed.sources, Profile) else "star"
        names = images.sources.names_in(windowed.window, kind)
        found |= {n: jax.tree.map(lambda leaf, i=i: leaf[i], windowed.sources) for i, n in enumerate(names)}
    return found


def _checked(name: str, there: dict[str, Any]) -> Profile:
    profiles = [own for own, component in there.items() if isinstance(component, Profile)]
    if name not in profiles:
        what = "is a point or a sky, which has no profile" if name in there else "is not there"
        raise ValueError(
            f"source {name!r} {what}: the sources with a profile are {', '.join(profiles) or 'none'}; several go as a tuple"
        )
    return there[name]
