"""Fisher information: how well each parameter is known from all images, and without one of them or without the prior.

An image is left out by counting its pixels zero times, as NumPyro's `scale` does, so that one compiled program serves for
all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.primitives import Messenger

from bayesjoint.infer.curvature import Quadratic, quadratic, values_and_errors
from bayesjoint.infer.pixels import Place
from bayesjoint.infer.space import Layout, Program

_LEAST = 1e-12


class _Counts(Messenger):
    """Effect handler that makes observed sites count so many times, each image of a stack its own."""

    def __init__(self, fn: Any, counts: Mapping[str, Any]):
        self.counts = counts
        super().__init__(fn)

    def process_message(self, msg: dict) -> None:
        """Multiply the scale of a site."""
        if msg["type"] == "sample" and msg["name"] in self.counts:
            before = 1.0 if msg["scale"] is None else msg["scale"]
            msg["scale"] = before * self.counts[msg["name"]]


@dataclass(frozen=True)
class Counted:
    """A program whose observed sites count as often as its last argument says, by name."""

    program: Program

    def __call__(self, *args: Any) -> None:
        *own, counts = args
        _Counts(self.program, counts)(*own)


class Errors(NamedTuple):
    """Standard errors of each site, from everything and with one thing left out, a row for each.

    Attributes
    ----------
    full : dict of array (*shape)
    without : dict of array (images + 1, *shape)
        Without each image, in order, and last without the prior. Many orders of magnitude above `full` where nothing
        else determines a number.
    """

    full: dict[str, np.ndarray]
    without: dict[str, np.ndarray]


def errors_without(
    program: Program, layout: Layout, z: np.ndarray, args: tuple, places: Sequence[Place], means: Mapping
) -> Errors:
    """Standard errors of all latents and deterministics by the curvature at z: of all, and with one thing left out.

    Parameters
    ----------
    z : array (P,)
    places : sequence of Place
        Where each image is observed.
    means : dict of array
        Model pixels of the observed sites, for their shapes.
    """
    point = jnp.asarray(z)
    counted = Counted(program)
    ones = {place.site: _ones(means[place.site]) for place in places}

    def curvatures(counts: dict) -> Quadratic:
        return jax.device_get(quadratic(counted, layout, point, (*args, counts)))

    full = curvatures(ones)
    prior = full.prior_curvature
    matrices = [full.likelihood_curvature + prior]
    for place in places:
        counts = dict(ones)
        counts[place.site] = np.array(ones[place.site])
        counts[place.site][place.row] = 0.0
        matrices.append(curvatures(counts).likelihood_curvature + prior)
    matrices.append(full.likelihood_curvature)
    scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(matrices[0])), 1e-300))
    found = [values_and_errors(program, layout, point, root_of(m, scale), args)[1] for m in matrices]
    return Errors(found[0], {name: np.stack([each[name] for each in found[1:]]) for name in found[0]})


def _ones(mean: Any) -> np.ndarray:
    """A count for each image of a site; a single one where the site is one image."""
    return np.ones(np.shape(mean)[:-2])


def root_of(curvature: Any, scale: np.ndarray) -> np.ndarray:
    """A root (P, P) of the covariance that a curvature (P, P) gives, directions without curvature very wide.

    `scale` (P,) are typical errors, in which no direction should have a curvature far from one.

    Examples
    --------
    >>> root = root_of(np.diag([4.0, 0.0]), np.ones(2))
    >>> print(np.diag(root @ root.T))
    [2.5e-01 1.0e+12]
    """
    values, vectors = np.linalg.eigh(scale[:, None] * curvature * scale)
    return scale[:, None] * vectors / np.sqrt(np.maximum(values, _LEAST))
