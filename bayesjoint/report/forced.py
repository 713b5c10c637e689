"""Forced photometry: a posterior's structure carried to other images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.joined import join_images
from bayesjoint.infer.draws import Draws, constrain, value_dims
from bayesjoint.infer.forced import draw_amplitudes
from bayesjoint.infer.latents import unconstrain
from bayesjoint.infer.space import Layout, Program, find_latents
from bayesjoint.report.counts import check_whole
from bayesjoint.report.extending import model_images
from bayesjoint.report.posterior import Posterior
from bayesjoint.report.products import Products

_KEPT = (
    "map_fit",
    "likelihood",
    "likelihood_errors",
    "incompressible",
    "ends",
    "importance",
    "method",
    "interrupted",
)


def forced_photometry(
    posterior: Products,
    others: ImageSet | Sequence[Image],
    program: Program,
    more: Sequence[Any],
    draws: int,
    seed: int,
) -> Posterior:
    """A posterior of all images, whose structure the others had no part in; see `Posterior.forced_photometry`."""
    check_whole("draws", draws, 1)
    own, whole = join_images(posterior.images, others)
    args = [jax.device_put((images, *more)) for images in (posterior.images, own, whole)]
    before, there, after = (find_latents(program, each) for each in args)
    rows = _thinned(posterior, draws)
    values = {name: posterior.values(name)[:, rows] for name in before.names}
    chains, kept = next(iter(values.values())).shape[:2]
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
    shared = _shared(before, there, after)
    drawn = draw_amplitudes(program, args[1], {name: flat[name] for name in shared}, seed)
    latents = {name: _joined(name, flat, drawn.values, before, after) for name in after.names}
    z = unconstrain(program, after, latents, args[2]).reshape(chains, kept, -1)
    found = constrain(program, after, z, args[2])
    stats = {str(n): v.values[:, rows] for n, v in posterior.idata.sample_stats.data_vars.items()}
    stats["lp"] = stats["lp"] + drawn.log_density.reshape(chains, kept)
    attrs = posterior.idata.attrs
    made = Draws(
        found, value_dims(program, args[2], found), stats, z, np.ones(chains), int(attrs["warmup"]), seed, {}
    )
    models, residuals = model_images(program, args[2], after, whole, made)
    new = Posterior.from_draws(made, whole, None, None, models, residuals)
    new.idata.attrs = {**attrs, **new.idata.attrs, **{key: attrs[key] for key in _KEPT}, "stopped": ""}
    new.program, new.more = program, tuple(more)
    return new


def _thinned(posterior: Products, draws: int) -> np.ndarray:
    """Which draws of each chain are kept: evenly spaced, in all about so many."""
    sizes = posterior.idata.posterior.sizes
    count = min(-(-draws // sizes["chain"]), sizes["draw"])
    return np.linspace(0, sizes["draw"] - 1, count).astype(int)


def _shared(before: Layout, there: Layout, after: Layout) -> list[str]:
    """The latents that all images share: those of one shape, whichever images there are.

    Raises
    ------
    ValueError
        Where there are none: nothing is known of the other images, then.
    """
    if not set(before.names) == set(there.names) == set(after.names):
        raise ValueError(
            "the program has other latents with the other images: it must be one program for all"
        )
    shapes, all_shapes = (dict(zip(layout.names, layout.shapes, strict=True)) for layout in (before, after))
    shared = [name for name in before.names if shapes[name] == all_shapes[name]]
    if not shared:
        raise ValueError(
            f"no latent is shared by all images: {', '.join(before.names)} have values in each band, or in each image"
        )
    return shared


def _joined(
    name: str, first: dict[str, np.ndarray], others: dict[str, np.ndarray], before: Layout, after: Layout
) -> np.ndarray:
    """A latent of all images: along its axis of bands or images, those of the first and then those of the others."""
    if name not in others:
        return first[name]
    shapes = (layout.shapes[layout.names.index(name)] for layout in (before, after))
    axis = next(i for i, (a, b) in enumerate(zip(*shapes, strict=True)) if a != b)
    return np.concatenate([first[name], others[name]], axis=1 + axis)
