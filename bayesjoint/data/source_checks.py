"""What can be wrong with a table of sources, and with the images that are told of it: one sentence each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.measure import pixel_of
from bayesjoint.data.source_ties import LIMITS, Component, Structure

if TYPE_CHECKING:
    from astropy.table import Table

    from bayesjoint.data.image import Image

KINDS = ("galaxy", "star", "bulge+disc")
WANTED = ("name", "kind", "Re", "q", "pa", "window")
OPTIONAL = ("n", "fixed", "tied", "ra", "dec", "east", "north", "snr", "label", "dropped")
APART = 1e-3  # arcsec, under which two places are one
AGREE = 0.01  # arcsec, to which two ways to say a place agree: text rounds them
_HINTS = {
    "n": "; where it is not known write nan",
    "flux": "; a row added by hand needs flux_<band> and flux_error_<band> of every band",
}


def check_columns(table: Table, bands: Sequence[str]) -> None:
    """Raise ValueError for a table without rows, for columns that are missing; warn of those that say nothing."""
    wanted = [*WANTED, *(f"{column}_{band}" for band in bands for column in ("flux", "flux_error"))]
    if not ({"ra", "dec"} <= set(table.colnames) or {"east", "north"} <= set(table.colnames)):
        wanted += ["ra", "dec"]
    missing = [name for name in wanted if name not in table.colnames]
    if missing:
        raise ValueError(
            f"the table of sources lacks {', '.join(missing)}: start from bj.find_sources(images, ...) of these images, and "
            "edit what it gives"
        )
    if all(words(table, "dropped")):
        raise ValueError("the table of sources is empty: lower find_sources' threshold, or add a row")
    unused = [n for n in table.colnames if n not in (*wanted, *OPTIONAL) and not n.startswith("flux_")]
    if unused:
        warnings.warn(
            f"columns {', '.join(unused)} of the table of sources are not used; what holds and ties parameters is called "
            "fixed and tied",
            stacklevel=4,
        )


def positions(table: Table, names: Sequence[str], frame: TangentFrame) -> np.ndarray:
    """Arcsec East and North (N, 2) of the sources: by ra and dec, or by east and north; of each row one pair is enough.

    Raises
    ------
    ValueError
        Where a row has both and they are not of one place.
    """
    sky = np.stack(frame.offsets(numbers(table, "ra"), numbers(table, "dec")), axis=1)
    plane = np.stack([numbers(table, "east"), numbers(table, "north")], axis=1)
    apart = np.nan_to_num(np.hypot(*(sky - plane).T))
    if apart.max() > AGREE:
        i = int(apart.argmax())
        raise ValueError(
            f"source {names[i]!r}: ra and dec are {apart[i]:.3g} arcsec from east and north, which count from "
            f"{frame.ra:.5f} {frame.dec:+.5f}: remove the pair that is not meant from the table "
            '(table.remove_columns(["east", "north"])), or, of a table found on other images, give these the frame '
            "of those (bj.ImageSet(images, frame=those.frame))"
        )
    return np.where(np.isfinite(sky), sky, plane)


def numbers(table: Table, name: str) -> np.ndarray:
    """A column of numbers; NaN where it is missing or masked."""
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    return np.ma.filled(np.ma.asarray(table[name], float), np.nan)


def words(table: Table, name: str) -> tuple[str, ...]:
    """A column of words; empty where it is missing or masked."""
    if name not in table.colnames:
        return ("",) * len(table)
    return tuple("" if x is np.ma.masked else str(x) for x in table[name])


def check_rows(names: Sequence[str], kinds: Sequence[str], columns: dict[str, np.ndarray]) -> None:
    """Raise ValueError for names given twice, unknown kinds, and numbers out of range."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{names.count(name)} sources are called {name!r}: give each its own name")
    for name, kind in zip(names, kinds, strict=True):
        if kind not in KINDS:
            cut = [known for known in KINDS if kind and known.startswith(kind)]
            hint = f'; if {cut[0]} was cut, widen the column: table["kind"].astype("U16")' if cut else ""
            raise ValueError(f"source {name!r} is a {kind!r}; a source is one of {', '.join(KINDS)}{hint}")
    positive = ["Re", "window", "n", *(column for column in columns if column.startswith("flux_error_"))]
    limits = dict.fromkeys(positive, (0.0, np.inf)) | {"q": LIMITS["q"]}
    for column, values in columns.items():
        low, high = limits.get(column, (-np.inf, np.inf))
        wrong = ~np.isfinite(values) | (values > high) | ((values <= low) if np.isfinite(low) else False)
        if wrong.any():
            i = int(np.argmax(wrong))
            bounds = f"over {low:g}" if np.isfinite(low) else "a finite number"
            bounds += f", up to {high:g}" if np.isfinite(high) else _HINTS.get(column.split("_")[0], "")
            raise ValueError(f"source {names[i]!r}: {column} is {values[i]:g}, wanted {bounds}")


def check_places(parts: Sequence[Component], place: np.ndarray, owner: Structure) -> None:
    """Raise ValueError for sources at one place, unless one centre is meant and they are not both stars."""
    here = place[[part.row for part in parts]]
    apart = np.hypot(*(here[:, None] - here[None]).T)
    centre, star = np.array(owner.centre), np.array([part.is_star for part in parts])
    meant = (centre[:, None] == centre) & ~(star[:, None] & star)
    apart[meant | np.eye(len(parts), dtype=bool)] = np.inf
    i, j = divmod(int(apart.argmin()), len(parts))
    if apart[i, j] < APART:
        both = f', or say that they share it (tied = "centre={parts[i].source}")'
        raise ValueError(
            f"sources {parts[i].source!r} and {parts[j].source!r} are at the same place ({apart[i, j]:.1g} arcsec apart): "
            f"keep one of them{', as nothing tells two stars apart there' if star[i] and star[j] else both}"
        )


def half_windows(table: Table, names: Sequence[str]) -> np.ndarray:
    """How far from its place each source of these names is drawn, arcsec: half its window, less the room for PSFs."""
    columns = words(table, "name"), words(table, "dropped"), numbers(table, "window")
    halves = {name: 0.5 * width for name, dropped, width in zip(*columns, strict=True) if not dropped}
    return np.array([halves[name] for name in names])


def check_seen(
    images: Sequence[Image], names: Sequence[str], places: np.ndarray, reaches: np.ndarray
) -> None:
    """Raise ValueError for a source that no image has pixels of, within its reach (arcsec)."""
    for name, place, reach in zip(names, np.asarray(places), reaches, strict=True):
        if not is_seen(images, place, reach):
            raise ValueError(
                f"source {name!r} at {place[0]:.1f}, {place[1]:.1f} arcsec lies outside all images, or where none has "
                "a valid pixel: drop it from the table, or give an image that shows it"
            )


def check_bands(
    images: Sequence[Image],
    bands: Sequence[str],
    names: Sequence[str],
    places: np.ndarray,
    reaches: np.ndarray,
) -> None:
    """Raise ValueError for a band that sees no source at all; warn of sources that a band has no pixels of."""
    for band in bands:
        own = [image for image in images if image.band == band]
        known = zip(names, np.asarray(places), reaches, strict=True)
        unseen = list(dict.fromkeys(name for name, *place in known if not is_seen(own, *place)))
        shown = ", ".join(image.name for image in own)
        if len(unseen) == len(set(names)):
            raise ValueError(
                f"band {band!r} (images: {shown}) sees none of the sources, so that nothing would be known of their fluxes: "
                "leave it out, check its WCS and mask, or add its sources to the table"
            )
        if unseen:
            some = ", ".join(unseen[:3]) + (f" and {len(unseen) - 3} more" if len(unseen) > 3 else "")
            warnings.warn(
                f"band {band!r} (images: {shown}) has no valid pixel of {some}: their fluxes in it are those of the prior",
                stacklevel=3,
            )


def is_seen(images: Sequence[Image], place: np.ndarray, reach: float) -> bool:
    """Whether any image has pixels with weight within a PSF of a place, or within a reach (arcsec) that is farther."""
    return any(np.any(image.invvar[pixels_about(image, place, reach)] > 0) for image in images)


def pixels_about(image: Image, place: np.ndarray, reach: float) -> tuple[slice, slice]:
    """The pixels (y, x) within a PSF of a place, or within a reach (arcsec) that is farther, and one more."""
    if not np.hypot(*(place - image.centre)) < np.hypot(*image.shape) * image.pixel_scale:
        return slice(0), slice(0)
    reach = max(reach, image.psf.fwhm_arcsec(image.pixel_scale)) / image.pixel_scale + 1
    middle = pixel_of(image, place)[::-1]
    low = np.clip(np.floor(middle - reach), 0, image.shape).astype(int)
    high = np.clip(np.ceil(middle + reach) + 1, 0, image.shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1])
