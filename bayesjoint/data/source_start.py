"""Sources as a set of images carries them: what they are, in which windows they are drawn, and where fits start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesjoint.data.measure import pixel_of

if TYPE_CHECKING:
    from astropy.table import Table

    from bayesjoint.data.image import Image

KINDS = ("galaxy", "star")
PSF_ROOM = 4.0  # FWHM of an image's PSF, by which its windows are wider than sources
SIZES = 3  # of windows, each half as wide as the one before

_FIELDS = ["position", "effective_radius", "ellipticity", "flux", "flux_error", "position_error"]


@partial(
    jax.tree_util.register_dataclass, data_fields=_FIELDS, meta_fields=["names", "kinds", "window", "widths"]
)
@dataclass(frozen=True, eq=False)
class SourceStart:
    """Sources in the order of a table, as float64 arrays.

    Attributes
    ----------
    position : array (N, 2)
        Arcsec East and North in the images' frame.
    effective_radius : array (N,)
        Semi-major half-light radius, arcsec.
    ellipticity : array (N, 2)
        (eta cos 2PA, eta sin 2PA) with eta = -ln q.
    flux, flux_error : array (n_bands, N)
        nJy.
    position_error : array (N,)
        How far a source may be from where it was found, arcsec.
    names, kinds : tuple of str
    window : tuple of int
        For each source the number of its windows' width.
    widths : tuple of float
        Of the windows, arcsec; every image adds what its PSF needs.
    """

    position: Any
    effective_radius: Any
    ellipticity: Any
    flux: Any
    flux_error: Any
    position_error: Any
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    window: tuple[int, ...]
    widths: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.names)

    def of_kind(self, kind: str) -> tuple[int, ...]:
        """The numbers of the sources of a kind."""
        return tuple(i for i, own in enumerate(self.kinds) if own == kind)

    def names_in(self, window: int, kind: str) -> tuple[str, ...]:
        """The names of the sources of a kind that are drawn in windows of this number."""
        return tuple(self.names[i] for i in self.of_kind(kind) if self.window[i] == window)


def source_start(table: Table, bands: Sequence[str], seeing: float) -> SourceStart:
    """A table of sources, as `find_sources` gives it, as arrays.

    Raises
    ------
    ValueError
        For missing columns, unknown kinds, names given twice, coincident sources, or numbers that make no sense.
    """
    wanted = ["name", "kind", "east", "north", "Re", "q", "pa", "window"]
    wanted += [f"{column}_{band}" for band in bands for column in ("flux", "flux_error")]
    missing = [name for name in wanted if name not in table.colnames]
    if missing:
        raise ValueError(
            f"the table of sources lacks {', '.join(missing)}: start from bj.find_sources(images, ...) of these images, and "
            "edit what it gives"
        )
    if not len(table):
        raise ValueError("the table of sources is empty: lower find_sources' threshold, or add a row")
    columns: dict[str, np.ndarray] = {n: np.asarray(table[n], float) for n in wanted[2:]}
    names, kinds = (tuple(str(x) for x in table[column]) for column in ("name", "kind"))
    _check(names, kinds, columns)
    eta, angle = -np.log(columns["q"]), np.radians(2 * columns["pa"])
    position = np.stack([columns["east"], columns["north"]], axis=1)
    widths = columns["window"].max() * 0.5 ** np.arange(SIZES)
    window = np.sum(columns["window"][:, None] <= widths[None] * (1 + 1e-9), axis=1) - 1
    used = sorted(set(window.tolist()))
    size = np.maximum(columns["Re"], 0.1 * seeing)
    return SourceStart(
        position=position,
        effective_radius=size,
        ellipticity=np.stack([eta * np.cos(angle), eta * np.sin(angle)], axis=1),
        flux=np.stack([columns[f"flux_{band}"] for band in bands]),
        flux_error=np.stack([columns[f"flux_error_{band}"] for band in bands]),
        position_error=0.25 * (size + seeing),
        names=names,
        kinds=kinds,
        window=tuple(used.index(w) for w in window.tolist()),
        widths=tuple(float(widths[w]) for w in used),
    )


def _check(names: tuple[str, ...], kinds: tuple[str, ...], columns: dict[str, np.ndarray]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{names.count(name)} sources are called {name!r}: give each its own name")
    for name, kind in zip(names, kinds, strict=True):
        if kind not in KINDS:
            raise ValueError(f"source {name!r} is a {kind!r}; a source is one of {', '.join(KINDS)}")
    limits = {"q": (0.0, 1.0), "Re": (0.0, np.inf), "window": (0.0, np.inf)}
    for column, values in columns.items():
        low, high = limits.get(column, (-np.inf, np.inf))
        wrong = ~np.isfinite(values) | (values > high) | ((values <= low) if np.isfinite(low) else False)
        if wrong.any():
            i = int(np.argmax(wrong))
            bounds = f"wanted over {low:g}, up to {high:g}" if np.isfinite(low) else "wanted a finite number"
            raise ValueError(f"source {names[i]!r}: {column} is {values[i]:g}, {bounds}")
    place = np.stack([columns["east"], columns["north"]], axis=1)
    apart = np.hypot(*(place[:, None] - place[None]).T) + np.where(np.eye(len(place)), np.inf, 0)
    if len(place) > 1 and apart.min() < 1e-3:
        i, j = np.unravel_index(int(apart.argmin()), apart.shape)
        raise ValueError(
            f"sources {names[i]!r} and {names[j]!r} are at the same place ({apart.min():.1g} arcsec apart): keep one of them"
        )


def check_seen(images: Sequence[Image], sources: SourceStart) -> None:
    """Raise ValueError for a source that no image has pixels of."""
    for name, place in zip(sources.names, np.asarray(sources.position), strict=True):
        if not any(_sees(image, place) for image in images):
            raise ValueError(
                f"source {name!r} at {place[0]:.1f}, {place[1]:.1f} arcsec lies outside all images, or where none has "
                "a valid pixel: drop it from the table, or give an image that shows it"
            )


def _sees(image: Image, place: np.ndarray) -> bool:
    """Whether an image has pixels with weight within a PSF of a place."""
    (x, y), reach = pixel_of(image, place), image.psf.fwhm_arcsec(image.pixel_scale) / image.pixel_scale + 1
    if not np.hypot(*(place - image.centre)) < np.hypot(*image.shape) * image.pixel_scale:
        return False
    low, high = np.floor([y - reach, x - reach]).astype(int), np.ceil([y + reach, x + reach]).astype(int) + 1
    return bool(np.any(image.invvar[max(low[0], 0) : max(high[0], 0), max(low[1], 0) : max(high[1], 0)] > 0))
