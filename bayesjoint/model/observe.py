"""Comparing light with pixels inside a NumPyro program."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from numpyro.primitives import Messenger, apply_stack

from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.noise import NoiseScale
from bayesjoint.model.pixel_distributions import CorrelatedPixels, GaussianPixels, NoisyPixels
from bayesjoint.model.rows import Rows
from bayesjoint.render.images import Light, light_on_image, light_on_stacks, per_image_if_mixed, render_light

PIXEL_SITE = "pixels_"


def observe(images: Image | ImageSet, *components: Any) -> None:
    """Observe the pixels of an image, or of every image of a set, as components of light plus noise: Gaussian unless given.

    Emits one observed site per image or stack of images (`pixels_...`), and for every component that has a flux, and a
    name that does not begin with an underscore, the deterministic `<name>_flux` (nJy; per band, or `<name>_flux_<image>`
    for a single image). Images `without_data()` have their pixels sampled.

    Parameters
    ----------
    images : Image or ImageSet
    *components : profiles of light, such as Sersic, PointSource or FlatSky
        And what images may be off by (`Seeing`, `Registration`), and their noise where it is not as their inverse
        variances say (`NoiseScale`, `NoiseFloor`, `StudentTNoise`, `ContaminatedNoise`, `PoissonNoise`). For a set,
        parameters may have a leading axis over its bands or its images.

    Raises
    ------
    TypeError, ValueError
        For things that are not images, or parameters whose shape fits neither bands nor images.
    """
    if isinstance(images, Image):
        light = light_on_image(images, *components)
        _emit_fluxes(components, f"_{images.name}", None)
    elif isinstance(images, ImageSet):
        light = light_on_stacks(images, *components)
        _emit_fluxes(tuple(per_image_if_mixed(c, images) for c in components), "", len(images.bands))
    else:
        raise TypeError(f"observe wants a bj.Image or bj.ImageSet first, got {type(images).__name__}")
    _check_noise(images, light)
    _observe_pixels(light)


def _check_noise(images: Image | ImageSet, light: Light) -> None:
    """Noise that correlates between pixels can be wider or narrower, no more.

    Raises
    ------
    ValueError
        For other noise beside it.
    """
    others = [type(noise).__name__ for noise in light.noise() if not isinstance(noise, NoiseScale)]
    correlated = [
        name
        for stack, members in zip(light.stacks, _members_of(images), strict=True)
        for name in members
        if stack.whitening is not None
    ]
    if others and correlated:
        raise ValueError(
            f"image {correlated[0]!r} has correlated noise, which {' and '.join(others)} cannot go with (NoiseScale can): "
            "leave it out, or observe image.with_noise_correlation(None)"
        )


def _members_of(images: Image | ImageSet) -> list[list[str]]:
    """The names of the images of each stack."""
    if isinstance(images, Image):
        return [[images.name]]
    return [[images.names[i] for i in members] for members in images.members]


def _observe_pixels(light: Light) -> None:
    sites = tuple(f"{PIXEL_SITE}{stack.name}" for stack in light.stacks)
    message = {
        "type": "light",
        "sites": sites,
        "fn": render_light,
        "args": (light,),
        "kwargs": {},
        "value": None,
    }
    # parameters for which there is no profile have no probability either
    out_of_range, noise = light.log_range(), light.noise()
    for site, stack, rows, pixels in zip(
        sites, light.stacks, light.rows(), apply_stack(message)["value"], strict=True
    ):
        weights, normaliser = jnp.asarray(stack.invvar), jnp.asarray(stack.log_normaliser)
        own = jax.tree.map(lambda p, rows=rows: p[rows], noise)
        if stack.whitening is not None:
            factor = own[0].factor if own else jnp.ones_like(normaliser)
            fn = CorrelatedPixels(pixels, weights, normaliser + out_of_range, stack.whitening, factor)
        elif noise:
            fn = NoisyPixels(pixels, weights, jnp.zeros_like(normaliser) + out_of_range, own)
        else:
            fn = GaussianPixels(pixels, weights, normaliser + out_of_range)
        numpyro.sample(site, fn, obs=stack.data)


class RecordLight(Messenger):
    """Effect handler that notes what light the observed sites would render, and does not render it.

    Under it a program costs no more than its priors. The notes are in `lights`, each with the names of its sites, one
    for each stack of images. What is reported row by row (`rows`) it keeps together.
    """

    def __init__(self, fn=None):
        self.lights: list[tuple[tuple[str, ...], Light]] = []
        self.rows: list[Rows] = []
        super().__init__(fn)

    def process_message(self, msg: dict) -> None:
        """Take the place of rendering."""
        if msg["type"] == "light":
            (light,) = msg["args"]
            self.lights.append((msg["sites"], light))
            msg["value"] = tuple(jnp.zeros(shape, light.leaves[0].dtype) for shape in light.shapes)
        if msg["type"] == "rows":
            (msg["value"],) = msg["args"]
            self.rows.append(msg["value"])


def component_names(components: Any) -> list[str]:
    """What each component goes by in the names of sites: its name or class in small letters, repeated ones numbered."""
    seen: Counter[str] = Counter()
    names = []
    for component in components:
        name = getattr(component, "name", None) or type(component).__name__.lower()
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}{seen[name]}")
    return names


def _emit_fluxes(components, suffix: str, n_bands: int | None) -> None:
    """Deterministic total fluxes, so that every posterior knows them with their full covariance."""
    for name, component in zip(component_names(components), components, strict=True):
        if not hasattr(component, "flux") or name.startswith("_"):
            continue
        flux = jnp.asarray(component.flux)
        if n_bands is not None and flux.ndim == 0:
            flux = jnp.broadcast_to(flux, (n_bands,))
        numpyro.deterministic(f"{name}_flux{suffix}", flux)
