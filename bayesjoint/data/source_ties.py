"""Which parameters of a field's sources are free: what the columns `fixed` and `tied` of its table say.

A cell holds entries between commas: `fixed` "n=4, q" holds n at 4 and q at the table's value; `tied` "n=s1" takes n from
source s1, "bulge_q=disc_q" from another part of the same source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

PARTS = ("bulge", "disc")
SHAPE = ("q", "pa", "n", "Re")
LIMITS = {"q": (0.0, 1.0), "pa": (-np.inf, np.inf), "n": (0.3, 8.0), "Re": (0.0, np.inf)}


class Structure(NamedTuple):
    """One entry of each structural parameter."""

    centre: tuple
    q: tuple
    pa: tuple
    n: tuple
    Re: tuple


class Component(NamedTuple):
    """One profile of a source: the whole of it, or its bulge or disc."""

    row: int
    source: str
    part: str
    is_star: bool

    @property
    def name(self) -> str:
        """That of the source, with its part."""
        return f"{self.source}_{self.part}" if self.part else self.source

    def own(self, parameter: str) -> str:
        """What the source's row calls a parameter of this component."""
        return f"{self.part}_{parameter}" if self.part and parameter != "centre" else parameter

    @property
    def parameters(self) -> tuple[str, ...]:
        """The structural parameters that it has, as the row calls them."""
        return ("centre",) if self.is_star else ("centre", *map(self.own, SHAPE))


def components_of(names: Sequence[str], kinds: Sequence[str]) -> list[Component]:
    """One component of each source, two of one that is a bulge in a disc."""
    return [
        Component(row, name, part, kind == "star")
        for row, (name, kind) in enumerate(zip(names, kinds, strict=True))
        for part in (PARTS if kind == "bulge+disc" else ("",))
    ]


def entries(cell: object) -> dict[str, str]:
    """What a cell says of each parameter.

    Examples
    --------
    >>> entries("n=4, q")
    {'n': '4', 'q': ''}
    """
    pieces = [piece.strip() for piece in str(cell).split(",")]
    pairs = [piece.partition("=") for piece in pieces if piece]
    return {key.strip(): value.strip() for key, _, value in pairs}


def check_entries(
    column: str, cells: Sequence[Mapping[str, str]], parts: Sequence[Component], names: Sequence[str]
) -> None:
    """Raise ValueError for entries of parameters that their source does not have."""
    for row, cell in enumerate(cells):
        known = list(dict.fromkeys(p for part in parts if part.row == row for p in part.parameters))
        for key in cell:
            if key not in known:
                raise ValueError(
                    f"source {names[row]!r}: {column} names {key!r}; its parameters are {', '.join(known)} "
                    '(write fixed = "n=4, q", tied = "n=s2")'
                )


def held_values(
    cells: Sequence[Mapping[str, str]], parts: Sequence[Component], values: Mapping[str, np.ndarray]
) -> dict[str, dict[int, float]]:
    """Of each parameter the components that hold it, and at which value; `values` (N,) are the table's, NaN for none."""
    held: dict[str, dict[int, float]] = {"centre": {}} | {p: {} for p in SHAPE}
    for i, part in enumerate(parts):
        for parameter in held:
            text = cells[part.row].get(part.own(parameter))
            if text is not None:
                held[parameter][i] = _held_value(part, parameter, text, values)
    return held


def _held_value(part: Component, parameter: str, text: str, values: Mapping[str, np.ndarray]) -> float:
    own = part.own(parameter)
    if parameter == "centre":  # held where the table has it
        if text:
            raise ValueError(
                f"source {part.source!r}: fixed says centre={text}; a centre is held where the table has it: write "
                "centre alone, and change the table's ra and dec"
            )
        return np.nan
    try:
        value = float(text) if text else float("nan" if part.part else values[parameter][part.row])
    except ValueError:
        value = np.nan
    low, high = LIMITS[parameter]
    if not np.isfinite(value):
        said = f"{own}={text}, which is no number" if text else f"{own}, for which the table has no value"
        raise ValueError(f"source {part.source!r}: fixed says {said}: write {own}=2, say")
    if value > high or value < low or (value == low and parameter != "n"):
        raise ValueError(
            f"source {part.source!r}: fixed says {own}={value:g}, wanted over {low:g}, up to {high:g}"
        )
    return value


def owners(cells: Sequence[Mapping[str, str]], parts: Sequence[Component]) -> Structure:
    """For each component the number of the one whose value each parameter has: its own where nothing ties it.

    Raises
    ------
    ValueError
        For ties to what is not there, and ties that go round in a circle.
    """
    found = {}
    for parameter in Structure._fields:
        first = [_told_owner(cells, parts, i, parameter) for i in range(len(parts))]
        found[parameter] = tuple(_last(first, i, parts, parameter) for i in range(len(parts)))
    return Structure(**found)


def _told_owner(
    cells: Sequence[Mapping[str, str]], parts: Sequence[Component], i: int, parameter: str
) -> int:
    """The component from which one takes a parameter."""
    part = parts[i]
    text = cells[part.row].get(part.own(parameter))
    if text is None:
        # both parts of a source have one centre
        return i - 1 if parameter == "centre" and part.part == PARTS[1] else i
    owner = _named(part, parameter, text, parts)
    if owner is not None:
        return owner
    has = [other.name for other in parts if other.own(parameter) in other.parameters and other != part]
    raise ValueError(
        f"source {part.source!r}: tied says {part.own(parameter)}={text}; {parameter} may be taken from "
        f"{', '.join(has[:6]) or 'no other source'}{', ...' if len(has) > 6 else ''}"
    )


def _named(part: Component, parameter: str, text: str, parts: Sequence[Component]) -> int | None:
    """The component that a cell names for one to take a parameter from; None where there is none such."""
    for j, other in enumerate(parts):
        if other == part or other.own(parameter) not in other.parameters:
            continue
        ways = {other.name, f"{other.name}_{parameter}"}
        ways |= {other.source} if parameter == "centre" or not other.part else set()
        ways |= {other.own(parameter)} if other.row == part.row else set()
        if text in ways:
            return j
    return None


def lasting(column: str, cell: object, row: int, parts: Sequence[Component]) -> str:
    """A cell without entries of what its source, or the one that it is tied to, has not among these components.

    Examples
    --------
    >>> parts = components_of(["s1", "s2"], ["galaxy", "star"])
    >>> lasting("fixed", "centre, n=4", 1, parts), lasting("tied", "n=s3", 0, parts)
    ('centre', '')
    """
    kept = []
    for key, value in entries(cell).items():
        own = [(p, w) for p in parts for w in Structure._fields if p.row == row and p.own(w) == key]
        own = [(part, parameter) for part, parameter in own if key in part.parameters]
        if own and (column == "fixed" or _named(*own[0], value, parts) is not None):
            kept.append(f"{key}={value}" if value else key)
    return ", ".join(kept)


def _last(first: Sequence[int], i: int, parts: Sequence[Component], parameter: str) -> int:
    """The end of a chain of ties."""
    seen = [i]
    while first[seen[-1]] != seen[-1]:
        seen.append(first[seen[-1]])
        if seen[-1] in seen[:-1]:
            circle = " from ".join(parts[k].name for k in seen)
            raise ValueError(f"tied goes round in a circle: {parameter} of {circle}: let one of them be free")
    return seen[-1]
