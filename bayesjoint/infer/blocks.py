"""Log likelihood of square blocks of pixels: what leave-one-out predictions leave out at a time.

Neighbouring pixels share a PSF, and what a model lacks spans many of them: single pixels would each be predicted from
their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.infer.observed import pixel_log_density
from bayesjoint.infer.pixels import Place
from bayesjoint.infer.renders import at_draws
from bayesjoint.infer.space import Layout, Program
from bayesjoint.infer.verdict import named

_TOLERATED = 1e-6


def block_labels(image: Image, side: int) -> np.ndarray:
    """The number of the block that each pixel (ny, nx) is in, from 0 on; -1 where it carries no weight.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> weights = np.array([[1, 1, 0, 1, 1], [1, 1, 0, 1, 0], [1, 0, 0, 0, 1]])
    >>> print(block_labels(SimpleNamespace(shape=(3, 5), invvar=weights), 2))
    [[ 0  0 -1  1  2]
     [ 0  0 -1  1 -1]
     [ 3 -1 -1 -1  4]]
    """
    ny, nx = image.shape
    rows, columns = np.arange(ny) // side, np.arange(nx) // side
    cell = rows[:, None] * (columns[-1] + 1) + columns
    used = np.asarray(image.invvar) > 0
    labels = np.full((ny, nx), -1)
    labels[used] = np.unique(cell[used], return_inverse=True)[1]
    return labels


def block_log_densities(
    program: Program,
    layout: Layout,
    draws: np.ndarray,
    args: tuple,
    places: Sequence[Place],
    labels: Sequence[np.ndarray],
    means: Mapping[str, Any],
) -> list[np.ndarray]:
    """Log likelihood (N, blocks) of each image's blocks at draws (N, P).

    Raises
    ------
    ValueError
        For noise under which pixels have no density of their own.
    """
    spread: dict[str, np.ndarray] = {}
    for (image, site, row), own in zip(places, labels, strict=True):
        shape = np.shape(means[site])
        all_rows = spread.setdefault(site, np.full((int(np.prod(shape[:-2])), *shape[-2:]), -1))
        all_rows[row if isinstance(row, int) else 0, : image.shape[0], : image.shape[1]] = own
    known = {site: (rows, np.zeros(rows.max() + 1)) for site, rows in spread.items()}
    _, found = at_draws(program, layout, draws, args, _block_sums, known)
    for site, (_, total, exact) in found.items():
        if not np.allclose(total, exact, rtol=_TOLERATED, atol=_TOLERATED):
            theirs = [image for image, at, _ in places if at == site]
            names = [image.name for image in theirs if image.noise_correlation is not None]
            raise ValueError(
                f"the pixels of {named(names or [site])} are not independent, so no block has a log density of its own, "
                "and none can be left out: compare models by a noise of independent pixels"
            )
    rows = [row if isinstance(row, int) else 0 for _, _, row in places]
    numbers = [own.max() + 1 for own in labels]
    return [
        found[place.site][0][:, row, :number]
        for place, row, number in zip(places, rows, numbers, strict=True)
    ]


def _block_sums(trace: dict, known: dict) -> dict[str, tuple]:
    """Of each site the log density of each row's blocks, their sum, and what the site says its log density is."""
    found = {}
    for name, (labels, blocks) in known.items():
        site = trace[name]
        own, weight = pixel_log_density(site), 1.0 if site["scale"] is None else site["scale"]
        exact = jnp.sum(weight * site["fn"].log_prob(site["value"]))
        if own is None:
            own = jnp.full(labels.shape, jnp.nan)
        each, shown = own.reshape(labels.shape), labels >= 0

        def sums(values, numbers, count=blocks.size):
            return jax.ops.segment_sum(values.ravel(), numbers.ravel(), num_segments=count)

        summed = jax.vmap(sums)(jnp.where(shown, each, 0.0), jnp.where(shown, labels, 0))
        found[name] = (summed, jnp.sum(each), exact)
    return found
