"""Sources at places that are known: which pixels are whose, where positions come from a catalogue and not from detection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from scipy import ndimage

from bayesjoint.data.detection import DISTINCT
from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.measure import Sky, pixel_of, signal_to_noise
from bayesjoint.data.source_checks import numbers, pixels_about, words

if TYPE_CHECKING:
    from bayesjoint.data.image import Image

_DEPTH = 2**16 - 2
_UNITS = {"ra": "deg", "dec": "deg", "Re": "arcsec", "pa": "deg"}


def catalogue_places(catalogue: Any, frame: TangentFrame) -> np.ndarray:
    """Arcsec East and North (N, 2) of a catalogue's positions.

    Parameters
    ----------
    catalogue : SkyCoord or Table
        With columns ra and dec, degrees.

    Raises
    ------
    TypeError, ValueError
        For what has no positions, or none that is finite.
    """
    if isinstance(catalogue, SkyCoord):
        sky: Any = catalogue.icrs
        ra, dec = np.atleast_1d(sky.ra.deg), np.atleast_1d(sky.dec.deg)
    elif isinstance(catalogue, Table):
        missing = [name for name in ("ra", "dec") if name not in catalogue.colnames]
        if missing:
            raise ValueError(
                f"the catalogue lacks {', '.join(missing)}: it has {', '.join(catalogue.colnames)}; rename those of the "
                "positions, degrees, to ra and dec"
            )
        ra, dec = (np.ma.filled(np.ma.asarray(catalogue[name], float), np.nan) for name in ("ra", "dec"))
    else:
        raise TypeError(
            f"catalogue must be a SkyCoord or a table with ra and dec, got {type(catalogue).__name__}"
        )
    places = np.stack(frame.offsets(ra, dec), axis=1)
    if not len(places) or not np.all(np.isfinite(places)):
        row = int(np.argmax(~np.isfinite(places).all(axis=1))) if len(places) else -1
        what = f"row {row} has no finite position near these images" if len(places) else "it is empty"
        raise ValueError(f"the catalogue cannot be used: {what}")
    return places


def without_units(catalogue: Any) -> Any:
    """A catalogue of plain numbers: degrees, and Re in arcsec, where its columns have units.

    Raises
    ------
    ValueError
        For units of something else.
    """
    if not isinstance(catalogue, Table):
        return catalogue
    plain: Any = Table(catalogue)
    for name, wanted in _UNITS.items():
        unit = plain[name].unit if name in plain.colnames else None
        if unit is not None:
            try:
                plain[name] = numbers(plain, name) * unit.to(wanted)
            except ValueError:
                raise ValueError(f"the catalogue has {name} in {unit}: give it in {wanted}") from None
    return plain


def catalogue_sizes(catalogue: Any, count: int) -> np.ndarray:
    """What a catalogue says of Re (N,), arcsec; 0 where that is nothing, and of stars."""
    if not isinstance(catalogue, Table):
        return np.zeros(count)
    is_star = np.array(words(catalogue, "kind")) == "star"
    return np.where(is_star, 0.0, np.nan_to_num(numbers(catalogue, "Re"), posinf=0.0))


def is_said(value: Any) -> bool:
    """Whether a cell holds something: it is neither masked nor NaN."""
    return not (np.ma.is_masked(value) or (isinstance(value, float | np.floating) and np.isnan(value)))


def as_catalogued(catalogue: Table, row: int, measured: dict[str, Any]) -> dict[str, Any]:
    """What a catalogue's row says of a source's kind, size and shape, as `Detected.measure` gives them.

    Raises
    ------
    ValueError
        For sizes and axis ratios that are none.
    """
    told: dict[str, Any] = {
        c: catalogue[c][row] for c in ("kind", "Re", "q", "pa") if c in catalogue.colnames
    }
    told = {column: value for column, value in told.items() if is_said(value)}
    found: dict[str, Any] = {"kind": str(told["kind"])} if "kind" in told else {}
    if "Re" in told:
        found["Re"] = float(told["Re"])
    if not found.get("Re", 1.0) > 0 or not 0 < float(told.get("q", 1.0)) <= 1:
        raise ValueError(
            f"row {row} of the catalogue has Re {told.get('Re', 'unsaid')}, q {told.get('q', 'unsaid')}; Re must be "
            "positive and q lie in (0, 1]: mend it, or mask what is not known"
        )
    eta, twice = np.hypot(*measured["shape"]), np.arctan2(*measured["shape"][::-1])
    eta = -np.log(float(told["q"])) if "q" in told else eta
    twice = np.radians(2 * float(told["pa"])) if "pa" in told else twice
    return found | {"shape": np.array([eta * np.cos(twice), eta * np.sin(twice)])}


def claim_pixels(
    image: Image, sky: Sky, places: np.ndarray, sizes: np.ndarray, threshold: float
) -> np.ndarray:
    """Labels (ny, nx) of pixels over a threshold: 1 for those of the first place, and so on; higher ones for others' light.

    Light runs down from each place to where it meets another's (a watershed); each island that has no place in it gets a
    number beyond those of the places, unless it is as faint as noise.
    """
    snr = np.where(image.invvar > 0, signal_to_noise(image, sky), 0.0)
    markers = _mark(image, places, sizes)
    bright = snr > threshold
    height = np.arcsinh(np.maximum(snr, 0.0))
    depth = (_DEPTH * (1 - height / max(float(height.max()), 1e-12))).astype(np.uint16)
    flooded: Any = ndimage.watershed_ift(depth, markers, structure=np.ones((3, 3), int))
    found: Any = ndimage.label(bright, np.ones((3, 3)))
    islands = np.asarray(found[0])
    # a watershed floods everything: light of an island without a place is nobody's
    homes = np.unique(islands[(markers > 0) & bright])
    home = np.zeros(len(places) + 1, int)
    home[markers[markers > 0]] = islands[markers > 0]
    labels = np.where(bright & (home[flooded] == islands), flooded, 0)
    peaks: Any = ndimage.maximum(snr, islands, np.arange(islands.max() + 1))
    others = np.isin(islands, homes, invert=True) & bright & (np.asarray(peaks)[islands] > DISTINCT)
    labels[others] = len(places) + islands[others]
    return np.where(markers > 0, markers, labels)


def _mark(image: Image, places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The number of each place (ny, nx), at the nearest pixel with weight: it may lie in a mask, or in another's pixel.

    Nowhere if that is farther than a PSF and than its size (arcsec).
    """
    markers = np.zeros(image.shape, np.int32)
    for number, (place, size) in enumerate(zip(places, sizes, strict=True), start=1):
        box = pixels_about(image, place, size)
        y, x = np.nonzero((image.invvar[box] > 0) & (markers[box] == 0))
        if y.size:
            middle = pixel_of(image, place) - (box[1].start, box[0].start)
            nearest = int(np.argmin(np.hypot(x - middle[0], y - middle[1])))
            markers[box][y[nearest], x[nearest]] = number
    return markers
