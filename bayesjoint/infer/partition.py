"""A field's sources in blocks of neighbours that are all of one make, so that what is compiled for one block serves all.

A block's own sources are fitted together with those about them. Blocks that lack a source of some kind that another has get
one that no image shows: it costs little, and moves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bayesjoint.data.image import PSF_ROOM
from bayesjoint.data.source_start import SourceStart
from bayesjoint.data.source_ties import Structure
from bayesjoint.infer.pieces import shared_pairs

_POINTLIKE = 0.01  # radius of sources that no image shows, of the narrowest window
_ARRAYS = (
    *("effective_radius", "axis_ratio", "position_angle", "index"),
    *("flux", "flux_error", "position_error"),
)


class Block(NamedTuple):
    """Components that are fitted together.

    Attributes
    ----------
    own : array (N,)
        Those that are this block's and no other's.
    members : array (M,)
        These, those about them, and some that no image shows: of each kind as many as in any other block.
    """

    own: np.ndarray
    members: np.ndarray


class Partition(NamedTuple):
    """A field's sources, followed by some to put where no image shows them, and its blocks."""

    sources: SourceStart
    blocks: list[Block]


def partition(sources: SourceStart, seeing: tuple[float, float], size: int) -> Partition:
    """Divide a field into blocks.

    Parameters
    ----------
    sources : SourceStart
    seeing : tuple of float
        The smallest and the largest FWHM of the images' PSFs, arcsec.
    size : int
        How many components a block may have of its own, unless what one of them shares with others makes it more.
    """
    units, centres = _units(sources), np.asarray(sources.places)
    places = np.array([centres[unit].mean(axis=0) for unit in units])
    weights, every = np.array([len(unit) for unit in units]), np.arange(len(units))
    about = _about(sources, seeing, units)
    own = _halved(every, places, weights, size)
    joined = [every[np.isin(every, block) | about[block].any(axis=0)] for block in own]
    extended, members = _alike(sources, units, joined)
    pairs = zip(own, members, strict=True)
    return Partition(extended, [Block(np.concatenate([units[u] for u in block]), m) for block, m in pairs])


def _alike(
    sources: SourceStart, units: Sequence[np.ndarray], joined: Sequence[np.ndarray]
) -> tuple[SourceStart, list[np.ndarray]]:
    """The sources with what sets of units lack of each other, and the components of each set, completed, in one order."""
    make = [_make(sources, unit) for unit in units]
    counts = [Counter(make[unit] for unit in block) for block in joined]
    wanted = {kind: max(count[kind] for count in counts) for kind in dict.fromkeys(make)}
    absent = {kind: number - min(count[kind] for count in counts) for kind, number in wanted.items()}
    examples = [units[make.index(kind)] for kind, number in absent.items() for _ in range(number)]
    extended, added = _with_absent(sources, examples)
    spare = {kind: [unit for unit in added if _make(extended, unit) == kind] for kind in wanted}
    members = []
    for block in joined:
        whole: list[np.ndarray] = []
        for kind, number in wanted.items():
            here = [units[unit] for unit in block if make[unit] == kind]
            whole += [*here, *spare[kind][: number - len(here)]]
        members.append(np.concatenate(whole))
    return extended, members


def _units(sources: SourceStart) -> list[np.ndarray]:
    """The components that share parameters, or are parts of one source, in sets that share none with others."""
    pairs = np.concatenate(shared_pairs(sources), axis=1)
    graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(len(sources),) * 2)
    label = connected_components(graph, directed=False)[1]
    return [np.flatnonzero(label == number) for number in range(label.max() + 1)]


def _make(sources: SourceStart, unit: np.ndarray) -> tuple:
    """What a unit is, without numbers: those that are alike can stand in each other's place in a program."""
    place = {int(member): i for i, member in enumerate(unit)}
    return tuple(
        (
            sources.kinds[i],
            sources.window[i],
            sources.names[i][len(sources.parents[i]) :],
            tuple(place[own[i]] for own in sources.owner),
            tuple(own[i] for own in sources.held),
            sources.parents.index(sources.parents[i]) == i,
        )
        for i in unit
    )


def _about(sources: SourceStart, seeing: tuple[float, float], units: Sequence[np.ndarray]) -> np.ndarray:
    """Whether units (U, U) are neighbours: their windows meet in the sharpest image, or the centre of one lies within the
    worst seeing of the other's window.
    """
    half = np.array([sources.widths[window] for window in sources.window]) / 2
    room, centres = PSF_ROOM * seeing[0] / 2, np.asarray(sources.places)
    near = np.zeros((len(units), len(sources)), bool)
    for k, unit in enumerate(units):
        for member in unit:
            away = np.max(np.abs(centres - centres[member]), axis=1)
            near[k] |= away < np.maximum(
                half + half[member] + 2 * room, np.maximum(half, half[member]) + seeing[1]
            )
    return np.array([near[:, unit].any(axis=1) for unit in units]).T


def _halved(units: np.ndarray, places: np.ndarray, weights: np.ndarray, size: int) -> list[np.ndarray]:
    """Units in sets of neighbours of at most `size` components: halved across their longer side until they are."""
    if weights[units].sum() <= size or len(units) == 1:
        return [units]
    longer = int(np.argmax(np.ptp(places[units], axis=0)))
    ordered = units[np.argsort(places[units, longer], kind="stable")]
    middle = int(np.searchsorted(np.cumsum(weights[ordered]), weights[units].sum() / 2))
    middle = min(max(middle, 1), len(units) - 1)
    return [
        one for half in (ordered[:middle], ordered[middle:]) for one in _halved(half, places, weights, size)
    ]


def _with_absent(
    sources: SourceStart, examples: Sequence[np.ndarray]
) -> tuple[SourceStart, list[np.ndarray]]:
    """The sources, and round and small copies of some; of each copy its components' numbers."""
    starts = len(sources) + np.cumsum([0, *(len(unit) for unit in examples)])
    added = [np.arange(a, b) for a, b in pairwise(starts)]
    copies = [
        dict(zip(unit.tolist(), new.tolist(), strict=True)) for unit, new in zip(examples, added, strict=True)
    ]
    rows = np.concatenate([np.arange(len(sources)), *examples]).astype(int)

    def copied(own: tuple) -> tuple:
        return tuple(own[i] for i in rows)

    def owners(own: tuple[int, ...]) -> tuple[int, ...]:
        return own + tuple(copy[own[i]] for copy in copies for i in copy)

    def labelled(labels: tuple[str, ...]) -> tuple[str, ...]:
        return labels + tuple(f"absent{min(copy.values())}_{labels[i]}" for copy in copies for i in copy)

    arrays = {name: np.asarray(getattr(sources, name))[..., rows] for name in _ARRAYS}
    arrays["effective_radius"][len(sources) :] = _POINTLIKE * min(sources.widths)
    arrays["axis_ratio"][len(sources) :] = 1.0
    extended = replace(
        sources,
        **arrays,
        position=np.asarray(sources.position)[rows],
        names=labelled(sources.names),
        kinds=copied(sources.kinds),
        parents=labelled(sources.parents),
        owner=Structure(*map(owners, sources.owner)),
        held=Structure(*map(copied, sources.held)),
        window=copied(sources.window),
    )
    return extended, added
