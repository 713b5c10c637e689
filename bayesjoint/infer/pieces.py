"""What parts of a field are cut out by: whose each latent is, which sources share some, the pixels that they reach, and
what these say of the sky.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bayesjoint.data.cutouts import Box, box_within
from bayesjoint.data.image import Image
from bayesjoint.data.source_start import SourceStart
from bayesjoint.data.whitening import whiten
from bayesjoint.infer.space import Layout

SKY = "sky"
_PARAMETER_OF = {"east": "centre", "north": "centre", "Re_circular": "Re"}
_MARGIN = 1  # pixels about windows, whose middles are rounded


class Latent(NamedTuple):
    """What an element of a field's z is: of which site and component (-1: of none), and its place among those."""

    site: str
    component: int
    place: int


def latents_of(layout: Layout, sources: SourceStart, name: str) -> list[Latent]:
    """Each element of the z of `scene_model(name)`."""
    found = []
    for site, shape in zip(layout.names, layout.unconstrained_shapes, strict=True):
        count = int(np.prod(shape))
        if not site.startswith(f"{name}_"):
            found += [Latent(site, -1, k) for k in range(count)]
            continue
        parameter = site.removeprefix(f"{name}_")
        if parameter == "total":
            found += [Latent(site, k % len(sources), k // len(sources)) for k in range(count)]
            continue
        rows = sources.sampled(_PARAMETER_OF.get(parameter, parameter))
        each = count // len(rows)
        found += [Latent(site, int(rows[k // each]), k % each) for k in range(count)]
    return found


def shared_pairs(sources: SourceStart) -> list[np.ndarray]:
    """Pairs (2, N) of components of which one has a value of the other, or that are parts of one source."""
    here = np.arange(len(sources))
    parent = np.array([sources.parents.index(one) for one in sources.parents])
    return [np.stack([here, np.array(other)]) for other in (parent, *sources.owner)]


def reach(image: Image, sources: SourceStart, members: Sequence[int]) -> tuple[np.ndarray, np.ndarray] | None:
    """The first and last pixels (x, y) that windows of components reach; None where one is as wide as the image."""
    low, high, places = [], [], np.asarray(sources.places)
    for member in members:
        lattice: Any = image.window_lattices[sources.window[member]]
        if not (size := lattice.size):
            return None
        middle = image.pixel_map.pixel(places[member])
        low.append(middle - size / 2 - _MARGIN)
        high.append(middle + size / 2 + _MARGIN)
    return np.min(low, axis=0), np.max(high, axis=0)


def box_about(image: Image, sources: SourceStart, members: Sequence[int], side: int | None = None) -> Box:
    """A box of the pixels that components reach, as wide as they need or as wide as is said."""
    ends = reach(image, sources, members)
    return box_within(image.shape, *ends, side) if ends else Box(0, 0, *image.shape[::-1])


def told_of_sky(image: Image, residual: np.ndarray) -> tuple[float, float]:
    """How well an image's pixels know its sky all else known: the information, and the pull of what is left (ny, nx)."""
    unit, left = (
        _independent(image, departure) for departure in (np.full(image.shape, image.pixel_area), residual)
    )
    return float(np.sum(unit**2)), float(np.sum(unit * left))


def _independent(image: Image, departure: np.ndarray) -> np.ndarray:
    """Departures from the mean (ny, nx) in units of the noise, made independent where it correlates."""
    if image.whitening is None:
        return departure * np.sqrt(image.invvar)
    return np.asarray(whiten(image.whitening, image.invvar, departure))
