"""A program of two latents, skewed in one, with its posterior and evidence by quadrature over pixels made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from helpers.scenes import make_image
from scipy.special import logsumexp

import bayesjoint as bj

UNIT = 40.0


def star_scene(scene, seed=0):
    """The image of the linear program with a star of flux `UNIT` alone, 6 sigma, and a sky of 0.3."""
    image = scene.linear(seed)[0]
    noise = np.random.default_rng(seed).normal(size=image.shape)
    sigma = np.where(image.invvar > 0, 1 / np.sqrt(np.maximum(image.invvar, 1e-9)), 0.0)
    data = scene.linear_columns(image) @ np.array([0.0, UNIT, 0.3]) + noise * sigma
    options = {"wcs": image.wcs, "psf": image.psf, "name": "r"}
    return bj.ImageSet([make_image(image.shape, data=data, invvar=image.invvar, **options)])


def skewed_program(images):
    """A star of log-normal flux and a sky."""
    magnitude = numpyro.sample("magnitude", dist.Normal(0.0, 1.5))
    sky = numpyro.sample("sky", dist.Normal(0.0, 1.0))
    flux = UNIT * jnp.exp(magnitude)
    for image in images:
        bj.observe(image, bj.PointSource((0.6, 0.0), flux, name="star"), bj.FlatSky(sky))


@dataclass(frozen=True)
class Marginal:
    """Of one latent: mean, standard deviation, and first decile."""

    mean: float
    sd: float
    tenth: float


def grid_of(scene, image):
    """Marginals of both latents, and "log_evidence", from a fine grid."""
    star, sky = (scene.linear_columns(image)[..., k].ravel() for k in (1, 2))
    weight, data = image.invvar.ravel(), image.data.ravel()
    used = weight > 0
    columns, weight, data = np.stack([star, sky])[:, used], weight[used], data[used]
    square = np.einsum("ip,p,jp->ij", columns, weight, columns)
    along = columns @ (weight * data)
    constant = -0.5 * np.sum(weight * data**2) + 0.5 * np.sum(np.log(weight / (2 * np.pi)))
    m = np.linspace(-8, 4, 4001)[:, None]
    s = np.linspace(-1, 2, 1501)[None, :]
    flux = UNIT * np.exp(m)
    chi = 0.5 * (square[0, 0] * flux**2 + 2 * square[0, 1] * flux * s + square[1, 1] * s**2)
    prior = -0.5 * (m / 1.5) ** 2 - np.log(1.5) - 0.5 * s**2 - np.log(2 * np.pi)
    log_density = constant + flux * along[0] + s * along[1] - chi + prior
    cell = (m[1, 0] - m[0, 0]) * (s[0, 1] - s[0, 0])
    evidence = logsumexp(log_density) + np.log(cell)
    density = np.exp(log_density - log_density.max())
    found = {"log_evidence": float(evidence)}
    for name, values, axis in (("magnitude", m[:, 0], 1), ("sky", s[0], 0)):
        share = density.sum(axis=axis) / density.sum()
        mean = float(share @ values)
        sd = float(np.sqrt(share @ (values - mean) ** 2))
        found[name] = Marginal(mean, sd, float(np.interp(0.1, np.cumsum(share), values)))
    return found
