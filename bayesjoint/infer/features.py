"""Numbers in which the pixels of an image are linear: its light's Fourier transform at some wave vectors, and its skies.

They are known in closed form, and cost the same for any number of pixels.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.registration import Registration
from bayesjoint.light.sky import Sky
from bayesjoint.light.windowed import Windowed
from bayesjoint.render.images import Light
from bayesjoint.render.place import frames_of, is_source, psf_latents

_RADII, _ANGLES = 10, 10


def light_features(light: Light, waves, parameters=None) -> jax.Array:
    """Numbers in which each image's pixels are linear: the transform of its light at `waves`, and the skies.

    Parameters
    ----------
    light : Light
    waves : array (images, 2, M)
    parameters : array (images, K), optional
        In place of the light's own.

    Returns
    -------
    array (images, F)
    """
    count = term_count(light)
    parameters = light.parameters() if parameters is None else parameters
    whole = (parameters, waves, frames_of(light.stacks))
    pairs = zip(light.stacks, light.rows(), strict=True)
    found = []
    # images of all stacks at once where their PSFs are of one kind: there are the fewer steps to a program
    for weights, group in groupby(pairs, key=lambda pair: pair[0].psf_weights):

        def of_image(parameters, waves, frame, weights=weights):
            return _image_features(light.components(parameters), waves, frame, weights, count)

        taken = [rows for _, rows in group]
        rows = slice(taken[0].start, taken[-1].stop)
        found.append(jax.vmap(of_image)(*jax.tree.map(lambda a, rows=rows: a[rows], whole)))
    return jnp.concatenate(found)


def term_count(light: Light) -> int:
    """Of how many terms the PSF of an image is the sum, at most."""
    return max(1 if stack.psf_weights is None else stack.transfer.shape[1] for stack in light.stacks)


def _image_features(components: tuple, waves, frame, psf_weights, count: int) -> jax.Array:
    """The features (F,) of one image; where its PSF is a sum of terms, those of each term, `count` of them at most."""
    corrections = [c for c in components if isinstance(c, Registration)]
    terms, others = jnp.zeros((2, 1, waves.shape[1]), waves.dtype), []

    def of_source(source):
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

    for component in components:
        if not is_source(component):
            if isinstance(component, Sky):
                others += [jnp.ravel(leaf) for leaf in jax.tree.leaves(component)]
            continue
        if isinstance(component, Windowed):
            terms = terms + jnp.sum(jax.vmap(of_source)(component.sources), axis=0)
        else:
            terms = terms + of_source(component)
    terms = jnp.pad(terms, ((0, 0), (0, count - terms.shape[1]), (0, 0)))
    return jnp.concatenate([terms.ravel(), *others])


def stack_waves(stack: Any) -> jax.Array:
    """Wave vectors (images, 2, M) from what spans an image to what its PSF lets through, and zero."""
    scale = jnp.sqrt(stack.pixel_area)
    sigma = scale * jnp.sqrt(0.5 * (stack.psf_covariance[:, 0, 0] + stack.psf_covariance[:, 1, 1]))
    lowest, highest = 2 / (min(stack.shape) * scale), 3 / sigma
    step = np.linspace(0, 1, _RADII)
    radius = lowest[:, None] * (highest / lowest)[:, None] ** step
    turns = (np.arange(_ANGLES) + 0.5 * (np.arange(_RADII)[:, None] % 2)) / _ANGLES
    directions = np.stack([np.cos(np.pi * turns), np.sin(np.pi * turns)])
    waves = (radius[:, None, :, None] * directions[None]).reshape(len(radius), 2, -1)
    return jnp.concatenate([jnp.zeros((len(radius), 2, 1)), waves], axis=2)
