"""Sources as a set of images carries them: what they are, what of them is free, and where fits start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.source_checks import (
    KINDS,
    check_columns,
    check_places,
    check_rows,
    numbers,
    positions,
    words,
)
from bayesjoint.data.source_ties import (
    SHAPE,
    Component,
    Structure,
    check_entries,
    components_of,
    entries,
    held_values,
    owners,
)

if TYPE_CHECKING:
    from astropy.table import Table

SIZES = 3  # of windows, each half as wide as the one before
TYPICAL_N = 1.7
FREE_N = (0.31, 7.9)  # where fits may start: within the prior
BULGE, DISC = 0.25, 1.2  # of a source's radius: where fits of its parts start
PARTS_OF_N = {"bulge": 4.0, "disc": 1.0}
FIELD_PLATES = ("source", *(f"free_{parameter}" for parameter in (*Structure._fields, "ellipticity")))

_FIELDS = [
    "position",
    "effective_radius",
    "axis_ratio",
    "position_angle",
    "index",
    "flux",
    "flux_error",
    "position_error",
]
_STATIC = ["names", "kinds", "parents", "owner", "held", "window", "widths"]

__all__ = ["FIELD_PLATES", "KINDS", "SourceStart", "source_start"]


@partial(jax.tree_util.register_dataclass, data_fields=_FIELDS, meta_fields=_STATIC)
@dataclass(frozen=True, eq=False)
class SourceStart:
    """The components of sources in the order of a table, as float64 arrays: one each, or a bulge and a disc.

    Attributes
    ----------
    position : array (N, 2)
        Arcsec East and North in the images' frame.
    effective_radius, axis_ratio, position_angle, index : array (N,)
        Semi-major half-light radius, arcsec; q; degrees East of North; Sersic index. Where fits start, and where what is
        held stays.
    flux, flux_error : array (n_bands, N)
        nJy.
    position_error : array (N,)
        How far a source may be from where it was found, arcsec.
    names, kinds : tuple of str
        Each is a "galaxy" or a "star".
    parents : tuple of str
        Of each component the source that it is part of.
    owner : Structure
        For each component the number of the one whose value it has: its own where nothing ties it.
    held : Structure
        Whether the parameter stays where it is.
    window : tuple of int
        For each component the number of its windows' width.
    widths : tuple of float
        Of the windows, arcsec; every image adds what its PSF needs.
    """

    position: Any
    effective_radius: Any
    axis_ratio: Any
    position_angle: Any
    index: Any
    flux: Any
    flux_error: Any
    position_error: Any
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    parents: tuple[str, ...]
    owner: Structure
    held: Structure
    window: tuple[int, ...]
    widths: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def places(self) -> Any:
        """What windows are about: each component's position or that of the one whose centre it has, arcsec, (N, 2)."""
        return self.position[np.array(self.owner.centre)]

    @property
    def ellipticity(self) -> np.ndarray:
        """(eta cos 2PA, eta sin 2PA) with eta = -ln q, (N, 2)."""
        eta, angle = -np.log(self.axis_ratio), np.radians(2 * np.asarray(self.position_angle))
        return np.stack([eta * np.cos(angle), eta * np.sin(angle)], axis=1)

    def of_kind(self, kind: str) -> tuple[int, ...]:
        """The numbers of the components of a kind."""
        return tuple(i for i, own in enumerate(self.kinds) if own == kind)

    def names_in(self, window: int, kind: str) -> tuple[str, ...]:
        """The names of the sources of a kind that are drawn in windows of this number."""
        return tuple(self.names[i] for i in self.of_kind(kind) if self.window[i] == window)

    def sampled(self, parameter: str) -> np.ndarray:
        """The numbers of the components that sample a parameter; q and PA as an ellipticity where both are free."""
        both = np.intersect1d(self._free("q"), self._free("pa"))
        if parameter == "ellipticity":
            return both
        return np.setdiff1d(self._free(parameter), both if parameter in ("q", "pa") else [])

    def _free(self, parameter: str) -> np.ndarray:
        """The numbers of the components whose value is neither held nor another's."""
        owner, held = getattr(self.owner, parameter), getattr(self.held, parameter)
        has = range(len(self)) if parameter == "centre" else self.of_kind("galaxy")
        return np.array([i for i in has if owner[i] == i and not held[i]], int)

    def subset(self, members: Sequence[int]) -> SourceStart:
        """Some of the components, in this order, under names that say nothing but their number.

        What they are tied to must be among them.
        """
        rows, number = np.array(members), {member: i for i, member in enumerate(members)}
        parents = list(dict.fromkeys(self.parents[i] for i in members))
        label = {parent: f"s{i}" for i, parent in enumerate(parents)}
        window = tuple(self.window[i] for i in members)
        used = sorted(set(window))
        arrays = {name: np.asarray(getattr(self, name))[..., rows] for name in _FIELDS if name != "position"}
        return SourceStart(
            position=np.asarray(self.position)[rows],
            **arrays,
            names=tuple(label[self.parents[i]] + self.names[i][len(self.parents[i]) :] for i in members),
            kinds=tuple(self.kinds[i] for i in members),
            parents=tuple(label[self.parents[i]] for i in members),
            owner=Structure(*(tuple(number[own[i]] for i in members) for own in self.owner)),
            held=Structure(*(tuple(own[i] for i in members) for own in self.held)),
            window=tuple(used.index(w) for w in window),
            widths=tuple(self.widths[w] for w in used),
        )

    @property
    def plates(self) -> dict[str, int]:
        """Lengths of the plates that a program of all of them samples in."""
        return {"source": len(self)} | {
            p: self.sampled(p.removeprefix("free_")).size for p in FIELD_PLATES[1:]
        }


def source_start(table: Table, bands: Sequence[str], seeing: float, frame: TangentFrame) -> SourceStart:
    """A table of sources, as `find_sources` gives it, as arrays.

    Raises
    ------
    ValueError
        For missing columns, unknown kinds, names given twice, coincident sources, numbers that make no sense, and parameters
        held or tied that a source does not have.
    """
    check_columns(table, bands)
    table = table.copy()
    table.remove_rows([i for i, reason in enumerate(words(table, "dropped")) if reason])
    text = {name: words(table, name) for name in ("name", "kind", "fixed", "tied")}
    columns = {name: numbers(table, name) for name in ("Re", "q", "pa", "window", "n")}
    columns |= {
        f"{c}_{band}": numbers(table, f"{c}_{band}") for band in bands for c in ("flux", "flux_error")
    }
    position = positions(table, text["name"], frame)
    is_unknown = np.isnan(columns["n"]) | (np.array(text["kind"]) == "star")
    checked = columns | {"n": np.where(is_unknown, TYPICAL_N, columns["n"])}
    check_rows(text["name"], text["kind"], checked | dict(zip(("east", "north"), position.T, strict=True)))
    parts = components_of(text["name"], text["kind"])
    owner, held = _freedom(text, parts, columns)
    check_places(parts, position, owner)
    rows = np.array([part.row for part in parts])
    shape = _shapes(parts, columns, held, 0.1 * seeing)
    window, widths = _windows(columns["window"])
    flags = Structure(*(tuple(i in held[p] for i in range(len(parts))) for p in Structure._fields))
    size = np.maximum(columns["Re"], 0.1 * seeing)
    return SourceStart(
        position=position[rows],
        effective_radius=shape["Re"],
        axis_ratio=shape["q"],
        position_angle=shape["pa"],
        index=shape["n"],
        flux=np.stack([columns[f"flux_{band}"] for band in bands])[:, rows],
        flux_error=np.stack([columns[f"flux_error_{band}"] for band in bands])[:, rows],
        position_error=0.25 * (size + seeing)[rows],
        names=tuple(part.name for part in parts),
        kinds=tuple("star" if part.is_star else "galaxy" for part in parts),
        parents=tuple(part.source for part in parts),
        owner=owner,
        held=flags,
        window=tuple(window[row] for row in rows),
        widths=widths,
    )


def _freedom(text: dict, parts: Sequence[Component], values: dict) -> tuple[Structure, dict]:
    """Who owns each component's parameters, and which are held, at which values."""
    cells = {column: [entries(cell) for cell in text[column]] for column in ("fixed", "tied")}
    for column, own in cells.items():
        check_entries(column, own, parts, text["name"])
    for name, fixed, tied in zip(text["name"], cells["fixed"], cells["tied"], strict=True):
        if both := fixed.keys() & tied.keys():
            raise ValueError(f"source {name!r}: {', '.join(sorted(both))} is both fixed and tied: keep one")
    held = held_values(cells["fixed"], parts, values)
    for i, part in enumerate(parts):
        if part.part and part.own("n") not in cells["tied"][part.row]:
            held["n"].setdefault(i, PARTS_OF_N[part.part])
    return owners(cells["tied"], parts), held


def _shapes(
    parts: Sequence[Component], columns: dict, held: dict[str, dict[int, float]], smallest: float
) -> dict[str, np.ndarray]:
    """Re, q, PA and n of each component: what is held at its value, the rest where its fit starts."""
    rows = np.array([part.row for part in parts])
    scale = np.array([{"bulge": BULGE, "disc": DISC}.get(part.part, 1.0) for part in parts])
    index = columns["n"][rows]
    found = {"q": columns["q"][rows], "pa": columns["pa"][rows]}
    found["n"] = np.clip(np.where(np.isnan(index), TYPICAL_N, index), *FREE_N)
    found["Re"] = np.maximum(scale * columns["Re"][rows], smallest)
    for parameter in SHAPE:
        for i, value in held[parameter].items():
            found[parameter][i] = value
    return found


def _windows(widths: np.ndarray) -> tuple[list[int], tuple[float, ...]]:
    """The number of each source's width, and the widths that are used: at most `SIZES`."""
    edges = widths.max() * 0.5 ** np.arange(SIZES)
    number = np.sum(widths[:, None] <= edges[None] * (1 + 1e-9), axis=1) - 1
    used = sorted(set(number.tolist()))
    return [used.index(w) for w in number.tolist()], tuple(float(edges[w]) for w in used)
