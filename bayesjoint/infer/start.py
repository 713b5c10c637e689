"""Where a fit starts: at values given, at another fit's, else where the program's sites suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.source_start import FIELD_PLATES, SourceStart
from bayesjoint.infer.space import Layout, Program, constrained_values, latent_plates, start_vector


def starting_point(program: Program, layout: Layout, args: tuple, given: Mapping[str, Any]) -> np.ndarray:
    """The unconstrained vector (P,) of given values of latents, and of what the sites suggest for the others.

    Raises
    ------
    ValueError
        For unknown names, and values outside a prior's support.
    """
    unknown = sorted(set(given) - set(layout.names))
    if unknown:
        raise ValueError(
            f"start names {', '.join(unknown)}; the program's latents are {', '.join(layout.names)}"
        )
    z = np.asarray(_start_vector(program, layout, args, dict(given)))
    if not np.all(np.isfinite(z)):
        bad = [label for label, x in zip(layout.labels, z, strict=True) if not np.isfinite(x)]
        raise ValueError(
            f"the start is outside the support of {', '.join(bad)}: give start= within the prior"
        )
    return z


def values_of_fit(program: Program, layout: Layout, args: tuple, fit: Any) -> dict[str, np.ndarray]:
    """Another fit's values of the latents that have its names, of the bands, images and sources that it knew.

    Parameters
    ----------
    fit : MapFit
        Of any program and images; what it does not know is as the sites suggest.
    """
    z = starting_point(program, layout, args, {})
    suggested = jax.device_get(_constrained(program, layout, z, args))
    plates, images = latent_plates(program, args), args[0]
    here = _labels(images.bands, images.names, images.sources) if isinstance(images, ImageSet) else {}
    there = _labels(fit.bands, fit.image_names, fit.sources)
    found = {}
    for name in set(layout.names) & set(fit.values):
        new, old = np.array(suggested[name]), np.asarray(fit.values[name])
        labels = [
            (here[plate], there[plate]) if plate in here and plate in there else None
            for plate in plates[name]
        ]
        if new.ndim == old.ndim and (rows := _common(new.shape, old.shape, labels)):
            new[np.ix_(*rows[0])] = old[np.ix_(*rows[1])]
            found[name] = new
    return found


def _labels(
    bands: Sequence[str], names: Sequence[str], sources: SourceStart | None
) -> dict[str, Sequence[str]]:
    """What stands along each plate of a program."""
    found = {"band": bands, "image": names}
    if sources is not None:
        found["source"] = sources.names
        for plate in FIELD_PLATES[1:]:
            found[plate] = [sources.names[i] for i in sources.sampled(plate.removeprefix("free_"))]
    return found


def _common(new: tuple[int, ...], old: tuple[int, ...], labels: list) -> tuple[list, list] | None:
    """Which rows of each axis stand for the same; None where that cannot be told."""
    rows: tuple[list, list] = ([], [])
    for axis, (size, before) in enumerate(zip(new, old, strict=True)):
        known = labels[axis] if axis < len(labels) else None
        if known is None and size != before:
            return None
        ours, theirs = known or (range(size), range(size))
        both = [label for label in ours if label in theirs]
        for kept, names in zip(rows, (ours, theirs), strict=True):
            kept.append([list(names).index(label) for label in both])
    return rows


_start_vector = quick_jit(start_vector, static_argnames=("program", "layout"))
_constrained = quick_jit(constrained_values, static_argnames=("program", "layout"))
