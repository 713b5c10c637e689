"""Data that a program could have made: parameters from its prior or from a fit, and the pixels they give, with noise."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro import handlers
from numpyro.distributions.transforms import biject_to

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.space import Layout, Program
from bayesjoint.model.observe import PIXEL_SITE


class Simulation(NamedTuple):
    """Images with simulated pixels, and the true value of each latent and deterministic site."""

    images: ImageSet
    values: dict[str, np.ndarray]


def simulate(
    program: Program,
    images: ImageSet,
    *more: Any,
    seed: int | tuple[int, ...] = 0,
    around: MapFit | None = None,
) -> Simulation:
    """Simulate the images once: with their own PSFs, noise, masks and coordinates.

    The priors stay those of `images`, whose own pixels set their widths: so what is drawn comes from the very prior under
    which it will be fitted.

    Parameters
    ----------
    program : function
        A NumPyro program of `images` (and of `more` arguments).
    images : ImageSet
    *more
        Further arguments of the program.
    seed : int or tuple of int
    around : MapFit, optional
        Draw the parameters from this fit's Gaussian; otherwise from the prior.

    Returns
    -------
    Simulation
    """
    rng = np.random.default_rng(seed)
    key = rng.integers(0, 2**32, 2, np.uint32)
    z, layout = np.zeros(0), None
    if around is not None:
        layout = around.layout
        z = around.unconstrained + np.linalg.cholesky(np.asarray(around.covariance)) @ rng.normal(
            size=layout.size
        )
    args = jax.device_put((images.without_data(), *more))
    values, pixels = jax.device_get(_simulated(program, layout, z, key, args))
    cut = {}
    for stack, members in zip(images.stacks, images.members, strict=True):
        for i, row in zip(members, pixels[f"{PIXEL_SITE}{stack.name}"], strict=True):
            ny, nx = images[i].shape
            cut[i] = row[:ny, :nx]
    return Simulation(images.with_data([cut[i] for i in range(len(images))]), values)


@partial(quick_jit, static_argnames=("program", "layout"))
def _simulated(program: Program, layout: Layout | None, z, key, args: tuple) -> tuple[dict, dict]:
    """Values of all sites but the pixels, and the pixels; the latents at z where there is a layout."""
    unconstrained = {} if layout is None else layout.unpack(z)

    def constrain(site):
        if site["type"] != "sample" or site["name"] not in unconstrained:
            return None
        return biject_to(site["fn"].support)(unconstrained[site["name"]])

    seeded = handlers.seed(handlers.substitute(program, substitute_fn=constrain), key)
    trace = handlers.trace(seeded).get_trace(*args)
    found = {n: s["value"] for n, s in trace.items() if s["type"] in ("sample", "deterministic")}
    pixels = {name: value for name, value in found.items() if name.startswith(PIXEL_SITE)}
    return {name: value for name, value in found.items() if name not in pixels}, pixels
