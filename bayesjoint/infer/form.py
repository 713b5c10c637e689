"""The compressed likelihood: for each image a small quadratic form in coefficients that are linear in the light's transform.

`compress.py` makes it, `collapse.py` integrates brightnesses out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bayesjoint.infer.features import Parts, light_features, pieces_of
from bayesjoint.infer.space import Layout, Program, density_and_light
from bayesjoint.light.noise import NoiseScale
from bayesjoint.render.images import Light


class Form(NamedTuple):
    """The log likelihood of some images of one `observe`: of each image (slope . c - c . G c / 2) / f^2, c its coefficients.

    What is drawn on the whole image has coefficients, and so has each source that is drawn in a window of its own: a part
    each, along an orthonormal basis of its own. G has 1 on its diagonal and the products of the bases of parts that meet.
    f is 1, or the factor of a `NoiseScale`, which also brings (1 - 1 / f^2) chi2 / 2 - count ln f.

    Attributes
    ----------
    waves : Parts of array (..., 2, M)
        Wave vectors (East, North; radians per arcsec) at which the light's transform is taken.
    origin : Parts of array (..., F)
        The light's features at the fit.
    to_coefficients : Parts of array (..., F, rank)
        From the features' departure to coefficients.
    slope : array (images, parts, rank)
        The residual of the fit along the bases.
    pairs : array (pairs, 2)
        Which parts meet, on some image.
    products : array (images, pairs, rank, rank)
        Of the first part's basis with the second's.
    chi2, count : array (images,)
        Chi-squared of the fit by the images' own inverse variances, and the number of weighted pixels.
    """

    waves: Parts
    origin: Parts
    to_coefficients: Parts
    slope: Any
    pairs: Any
    products: Any
    chi2: Any
    count: Any

    def coefficients(self, departure: Parts) -> jax.Array:
        """Coefficients (..., images, parts, rank) of a departure of the light's features."""
        whole = jnp.einsum(
            "...if,ifr->...ir", departure.whole, self.to_coefficients.whole, precision="highest"
        )
        windows = [
            jnp.einsum("...isf,isfr->...isr", features, matrix, precision="highest")
            for features, matrix in zip(departure.windows, self.to_coefficients.windows, strict=True)
        ]
        return jnp.concatenate([whole[..., None, :], *windows], axis=-2)

    def coupled(self, c) -> jax.Array:
        """G c of coefficients (images, parts, rank)."""
        if not len(self.pairs):
            return c
        first, second = self.pairs.T
        there = jnp.einsum("iprs,ips->ipr", self.products, c[:, second], precision="highest")
        back = jnp.einsum("iprs,ipr->ips", self.products, c[:, first], precision="highest")
        return c.at[:, first].add(there).at[:, second].add(back)

    def log_likelihood(self, c) -> jax.Array:
        """Of each image (images,), less that of the fit, as its inverse variances have it."""
        return jnp.sum(c * (self.slope - 0.5 * self.coupled(c)), axis=(1, 2))


class Compressed(NamedTuple):
    """A form for each `observe` of a program, of a field for each stack of its images; and what to add so that the log
    posterior at the fit is the exact one.
    """

    forms: tuple[Form, ...]
    constant: Any


def compressed_log_posterior(
    program: Program, layout: Layout, z, args: tuple, compressed: Compressed
) -> jax.Array:
    """Log posterior density in z (scalar) as `space.log_posterior` has it, without rendering."""
    density, lights = density_and_pieces(program, layout, z, args)
    total = density + compressed.constant
    for light, form in zip(lights, compressed.forms, strict=True):
        departure = jax.tree.map(jnp.subtract, light_features(light, form.waves), form.origin)
        each = form.log_likelihood(form.coefficients(departure))
        total += jnp.sum(scaled_by_noise(light, form, each)) + light.log_range()
    return total


def density_and_pieces(program: Program, layout: Layout, z, args: tuple) -> tuple[jax.Array, list[Light]]:
    """Log density in z of all but what `observe` observes, and the light of each form."""
    density, lights = density_and_light(program, layout, z, args)
    return density, [piece for light in lights for piece in pieces_of(light)]


def noise_precision(light: Light) -> Any:
    """1 / f^2 of each image (images,), f the factor of a `NoiseScale`; 1 without one."""
    return next((one.factor**-2 for one in light.noise() if isinstance(one, NoiseScale)), 1.0)


def scaled_by_noise(light: Light, form: Form, log_likelihood) -> jax.Array:
    """Log likelihoods (images,) less that of the fit, under the noise that the images say, as the light's noise has them."""
    if not light.noise():
        return log_likelihood
    precision = noise_precision(light)
    return precision * (log_likelihood - 0.5 * form.chi2) + 0.5 * (
        form.chi2 + form.count * jnp.log(precision)
    )


def incompressible(lights: Iterable[Light]) -> str:
    """Which noise leaves no quadratic form of the light, by name; "" where there is none."""
    names = {
        type(one).__name__ for light in lights for one in light.noise() if not isinstance(one, NoiseScale)
    }
    return " and ".join(sorted(names))
