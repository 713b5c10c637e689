"""Numbers in which the pixels of an image are linear: its light's Fourier transform at some wave vectors, and its skies.

They are known in closed form, and cost the same for any number of pixels. Sources in windows may have theirs each for
itself, for each then fills but a part of an image.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.registration import Registration
from bayesjoint.light.sky import Sky
from bayesjoint.light.windowed import Windowed
from bayesjoint.render.images import Light
from bayesjoint.render.place import frames_of, is_source, psf_latents

_RADII, _ANGLES = 10, 10


class Parts(NamedTuple):
    """Arrays of what is drawn on whole images (images, ...), and of each `Windowed` of its sources (images, S, ...).

    Without `windows` all light is drawn on whole images.
    """

    whole: Any
    windows: tuple[Any, ...] = ()


def light_features(light: Light, waves: Parts, parameters=None) -> Parts:
    """Numbers in which each image's pixels are linear: the transform of its light at `waves`, and the skies.

    Parameters
    ----------
    light : Light
    waves : Parts of array (..., 2, M)
        Sources in windows have features of their own where they have waves of their own.
    parameters : array (images, K), optional
        In place of the light's own.

    Returns
    -------
    Parts of array (..., F)
    """
    count = term_count(light)
    parameters = light.parameters() if parameters is None else parameters
    inputs = (parameters, waves, frames_of(light.stacks))
    pairs = zip(light.stacks, light.rows(), strict=True)
    found = []
    # images of all stacks at once where their PSFs are of one kind: there are the fewer steps to a program
    for weights, group in groupby(pairs, key=lambda pair: pair[0].psf_weights):

        def of_image(parameters, waves, frame, weights=weights):
            return _image_features(light.components(parameters), waves, frame, weights, count)

        taken = [rows for _, rows in group]
        rows = slice(taken[0].start, taken[-1].stop)
        found.append(jax.vmap(of_image)(*jax.tree.map(lambda a, rows=rows: a[rows], inputs)))
    return jax.tree.map(lambda *each: jnp.concatenate(each), *found)


def pieces_of(light: Light) -> tuple[Light, ...]:
    """The light of each stack alone where sources have windows, and so parts of their own; else all of it at once.

    The numbers that tell a source in a sharp image are not wanted where it fills a few pixels. What whitens correlated noise
    reaches beyond windows: there all light is of whole images.
    """
    return light.by_stack() if has_parts(light) else (light,)


def has_parts(light: Light) -> bool:
    """Whether sources in windows have features of their own."""
    components = jax.tree.unflatten(light.treedef, light.leaves)
    plain = all(stack.whitening is None for stack in light.stacks)
    return plain and any(isinstance(component, Windowed) for component in components)


def term_count(light: Light) -> int:
    """Of how many terms the PSF of an image is the sum, at most."""
    return max(1 if stack.psf_weights is None else stack.transfer.shape[1] for stack in light.stacks)


def _image_features(components: tuple, waves: Parts, frame, psf_weights, count: int) -> Parts:
    """The features of one image; where its PSF is a sum of terms, those of each term, `count` of them at most."""
    corrections = [c for c in components if isinstance(c, Registration)]
    terms, others, windows = jnp.zeros((2, 1, waves.whole.shape[1]), waves.whole.dtype), [], []
    own_waves = iter(waves.windows)

    def of_source(source, waves=waves.whole):
        centre, turned, flux = source.centre, waves, source.drawn_flux
        for correction in corrections:
            centre, flux = correction.move(centre, frame.centre), flux * correction.flux_scale
            turned = jnp.matmul(correction.turn().T, turned, precision="highest")
        drawn = flux * source.transform(*turned)
        phase = waves[0] * centre[0] + waves[1] * centre[1]
        cosine, sine, even, odd = jnp.cos(phase), jnp.sin(phase), jnp.real(drawn), jnp.imag(drawn)
        pair = jnp.stack([even * cosine + odd * sine, odd * cosine - even * sine])[:, None]
        if psf_weights is None:
            return pair
        position, _ = frame.pixel_map.linearise(centre)
        return pair * psf_weights(position, psf_latents(components))[None, :, None]

    def all_terms(terms):
        return jnp.pad(terms, ((0, 0), (0, count - terms.shape[1]), (0, 0))).ravel()

    for component in components:
        if not is_source(component):
            if isinstance(component, Sky):
                others += [jnp.ravel(leaf) for leaf in jax.tree.leaves(component)]
        elif not isinstance(component, Windowed):
            terms = terms + of_source(component)
        elif waves.windows:
            windows.append(
                jax.vmap(lambda s, w: all_terms(of_source(s, w)))(component.sources, next(own_waves))
            )
        else:
            terms = terms + jnp.sum(jax.vmap(of_source)(component.sources), axis=0)
    return Parts(jnp.concatenate([all_terms(terms), *others]), tuple(windows))


def light_waves(light: Light) -> Parts:
    """Wave vectors (images, 2, M) from what spans an image to what its PSF lets through, and zero.

    Those of sources with parts of their own (images, S, 2, M) begin with what spans a window.
    """
    whole = jnp.concatenate([_waves(stack, stack.shape) for stack in light.stacks])
    windows = []
    for component in light.components(light.parameters()[0]) if has_parts(light) else ():
        if isinstance(component, Windowed):
            lattices: list[Any] = [stack.window_lattices for stack in light.stacks]
            sizes = [each[component.window].size for each in lattices]
            each = [
                _waves(stack, (size, size) if size else stack.shape)
                for stack, size in zip(light.stacks, sizes, strict=True)
            ]
            windows.append(jnp.repeat(jnp.concatenate(each)[:, None], len(component.sources.centre), axis=1))
    return Parts(whole, tuple(windows))


def _waves(stack: Any, shape: tuple[int, int]) -> jax.Array:
    """Wave vectors of the images of a stack, of light that may fill so many pixels."""
    scale = jnp.sqrt(stack.pixel_area)
    sigma = scale * jnp.sqrt(0.5 * (stack.psf_covariance[:, 0, 0] + stack.psf_covariance[:, 1, 1]))
    lowest, highest = 2 / (min(shape) * scale), 3 / sigma
    step = np.linspace(0, 1, _RADII)
    radius = lowest[:, None] * (highest / lowest)[:, None] ** step[None]
    turns = (np.arange(_ANGLES) + 0.5 * (np.arange(_RADII)[:, None] % 2)) / _ANGLES
    directions = np.stack([np.cos(np.pi * turns), np.sin(np.pi * turns)])
    waves = (radius[:, None, :, None] * directions[None]).reshape(len(radius), 2, -1)
    return jnp.concatenate([jnp.zeros((len(radius), 2, 1)), waves], axis=2)
