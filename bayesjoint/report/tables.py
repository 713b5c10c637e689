"""Tables of a posterior: the summary of every parameter, all colours, and a catalogue by band."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from bayesjoint.data.frame import TangentFrame
from bayesjoint.report.estimates import Estimate, rounded
from bayesjoint.report.photometry import (
    ONE_SIGMA,
    axial_concentration,
    colour,
    colour_limit,
    interval_words,
    magnitude,
    magnitude_limit,
)
from bayesjoint.report.quantities import STRUCTURE, Quantity, find

Diagnose = Callable[[np.ndarray], tuple[float, float, float]]

_SUMMARY = {
    "parameter": "str",
    "source": "str",
    "band": "str",
    "image": "str",
    "unit": "str",
    **dict.fromkeys(("median", "mean", "sd", "lower", "upper"), "float"),
    "interval": "str",
    **dict.fromkeys(("ess_bulk", "ess_tail", "r_hat"), "float"),
}
_COLOURS = {
    **dict.fromkeys(("source", "band_1", "band_2", "colour", "unit"), "str"),
    **dict.fromkeys(("median", "mean", "sd", "lower", "upper"), "float"),
    "limit": "str",
    "interval": "str",
}


def estimate(quantity: Quantity, flux: Quantity | None = None, probability: float = ONE_SIGMA) -> Estimate:
    """A quantity with its error bar; a magnitude, with its limit when the band's `flux` is not detected."""
    limit = magnitude_limit(flux.draws) if flux is not None and quantity.parameter == "mag" else None
    return Estimate(
        quantity.label, quantity.unit.replace("mag(AB)", "mag"), quantity.draws, probability, limit
    )


def magnitude_estimate(flux: Quantity, probability: float = ONE_SIGMA) -> Estimate:
    """The AB magnitude of a flux, or its limit."""
    where = (flux.source, flux.band, flux.image)
    return estimate(Quantity("mag", magnitude(flux.draws), *where, unit="mag(AB)"), flux, probability)


def colour_estimate(flux_1: Quantity, flux_2: Quantity, probability: float = ONE_SIGMA) -> Estimate:
    """The colour of two bands from the joint draws of their fluxes, so that shared structure cancels."""
    bands = (flux_1.image or flux_1.band, flux_2.image or flux_2.band)
    limit = colour_limit(flux_1.draws, flux_2.draws, bands)
    return Estimate(" - ".join(bands), "mag", colour(flux_1.draws, flux_2.draws), probability, limit)


def fluxes_by_label(found: Sequence[Quantity]) -> dict[tuple[str, str, str], Quantity]:
    """Each flux, by source, band and image: where a magnitude finds the flux it was made of."""
    return {(q.source, q.band, q.image): q for q in found if q.parameter == "flux"}


def summary_table(found: Sequence[Quantity], diagnose: Diagnose, probability: float = ONE_SIGMA) -> QTable:
    """One row per scalar.

    Parameters
    ----------
    found : sequence of Quantity
    diagnose : callable
        Gives (r_hat, ess_bulk, ess_tail) of draws (chains, draws).
    probability : float
        Of the equal-tailed interval (lower, upper).

    Returns
    -------
    QTable
        parameter, source, band, image, unit, median, mean, sd, lower, upper, interval, ess_bulk, ess_tail,
        r_hat. `interval` says in words what lower and upper are: for an undetected band's magnitude, a limit.
        Position angles have their median in [0, 180); lower and upper may run past it.
    """
    fluxes = fluxes_by_label(found)
    rows = []
    for q in found:
        flux = fluxes.get((q.source, q.band, q.image)) if q.parameter == "mag" else None
        one = estimate(q, flux, probability)
        r_hat, bulk, tail = diagnose(q.draws if flux is None else flux.draws)
        named = (q.parameter, q.source, q.band, q.image, q.unit)
        rows.append((*named, *_numbers(one), _interval_of(q, one), bulk, tail, r_hat))
    return _table(rows, _SUMMARY)


def summary_text(table: QTable) -> str:
    """A summary table in few columns, rounded to what the errors allow: for a terminal."""
    rows: list[tuple[str, ...]] = [("parameter", "median", "+", "-", "unit", "ESS", "R-hat")]
    row: Any
    for row in table:
        where = row["image"] or row["band"]
        name = " ".join(part for part in (row["source"], row["parameter"], where) if part)
        if np.isnan(row["median"]):
            numbers = (f"> {row['lower']:.2f}", "", "")
        else:
            errors = (row["upper"] - row["median"], row["median"] - row["lower"])
            numbers = rounded(row["median"], *errors)
        ess = min(row["ess_bulk"], row["ess_tail"])
        mixing = (f"{ess:.0f}", f"{row['r_hat']:.3f}") if np.isfinite(ess) else ("-", "-")
        rows.append((name, *numbers, row["unit"].replace("mag(AB)", "mag"), *mixing))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ("<", ">", ">", ">", "<", ">", ">")
    layout = "  ".join(f"{{:{side}{width}}}" for side, width in zip(aligned, widths, strict=True))
    return "\n".join(layout.format(*line) for line in rows)


def _numbers(one: Estimate) -> tuple[float, ...]:
    """median, mean, sd, lower, upper; a limit has only its bounds."""
    if one.limit is not None:
        return (np.nan, np.nan, np.nan, *one.interval)
    return (one.median, one.mean, one.sd, *one.interval)


def _interval_of(quantity: Quantity, one: Estimate) -> str:
    if one.limit is not None:
        return f"limit: {quantity.parameter} {one.limit}"
    if not quantity.varies:
        return "fixed: it does not vary in this program"
    words = interval_words(one.probability)
    if quantity.parameter == "pa" and axial_concentration(quantity.draws) < 0.5:
        return f"{words}; hardly determined (round source)"
    return words


def in_brief(flux: Quantity) -> str:
    """A band's magnitude in a few characters, e.g. 'r 16.877 +- 0.002', 'NUV > 25.55' or 'g1 dark'."""
    one, band = magnitude_estimate(flux), flux.image or flux.band
    if not np.any(flux.draws):
        return f"{band} dark"
    if one.limit is not None:
        return f"{band} > {one.limit.value:.2f}"
    return f"{band} {one.median:.3f} +- {one.sd:.3f}"


def colours_table(found: Sequence[Quantity], probability: float = ONE_SIGMA) -> QTable:
    """Every pair of bands of every source, in the order of the bands.

    Returns
    -------
    QTable
        source, band_1, band_2, colour, unit, median, mean, sd, lower, upper, limit (empty, >, < or
        undetermined), interval (in words).
    """
    rows = []
    for source in dict.fromkeys(q.source for q in found if q.parameter == "flux"):
        for flux_1, flux_2 in combinations(distinct_fluxes(found, source), 2):
            one = colour_estimate(flux_1, flux_2, probability)
            names = (source, flux_1.image or flux_1.band, flux_2.image or flux_2.band, one.name, one.unit)
            words = interval_words(probability) if one.limit is None else f"limit: {one.limit}"
            rows.append((*names, *_numbers(one), one.limit.direction if one.limit else "", words))
    return _table(rows, _COLOURS)


def distinct_fluxes(found: Sequence[Quantity], source: str) -> list[Quantity]:
    """The fluxes of a source, one per band; images of a band count apart only where their fluxes differ."""
    kept: list[Quantity] = []
    for flux in find(found, "flux", source):
        if not any(flux.band == other.band and np.array_equal(flux.draws, other.draws) for other in kept):
            kept.append(flux)
    bands = [flux.band for flux in kept]
    return [
        f if bands.count(f.band) > 1 else Quantity(f.parameter, f.draws, f.source, f.band, unit=f.unit)
        for f in kept
    ]


def _table(rows: list[tuple], columns: dict[str, str]) -> QTable:
    kinds = [str if kind == "str" else float for kind in columns.values()]
    if not rows:
        return QTable(names=list(columns), dtype=kinds)
    by_column = zip(*rows, strict=True)
    return QTable(
        {
            name: np.array(values, dtype=kind)
            for name, kind, values in zip(columns, kinds, by_column, strict=True)
        }
    )


def catalogue(
    found: Sequence[Quantity], probability: float = ONE_SIGMA, frame: TangentFrame | None = None
) -> QTable:
    """One row per source and band, with units: the form to stack over many galaxies.

    Parameters
    ----------
    found : sequence of Quantity
    probability : float
        Of the equal-tailed interval (lower, upper).
    frame : TangentFrame, optional
        That of east and north, which ra and dec then are of.

    Returns
    -------
    QTable
        source, band, ra and dec (ICRS; their errors are those of east and north), and for each parameter p (east, north, q,
        pa, n, Re, Ie, flux, mag): p, p_lower, p_upper and p_sd as quantities, NaN where a source does not have it, or
        is dark, or where a magnitude is a limit: then `mag_limit` has it (fainter than this at 95 %).
    """
    sources = dict.fromkeys(q.source for q in found if q.parameter == "flux")
    fluxes = [flux for source in sources for flux in distinct_fluxes(found, source)]
    names = {"source": [f.source for f in fluxes], "band": [f.image or f.band for f in fluxes]}
    table = QTable({name: np.array(texts, dtype=str) for name, texts in names.items()})
    for parameter in (*STRUCTURE, "Ie", "flux", "mag"):
        ones = [_in_band(found, parameter, flux, probability) for flux in fluxes]
        units = {one.unit for one in ones if one is not None}
        if not units:
            continue
        unit = u.ABmag if parameter == "mag" else u.Unit(units.pop())
        numbers = np.array([_numbers(one) if one is not None else [np.nan] * 5 for one in ones])
        if parameter == "mag":
            limits = [one.limit.value if one is not None and one.limit else np.nan for one in ones]
            numbers[np.isnan(numbers[:, 0])] = np.nan
            table["mag_limit"] = limits * u.ABmag
        for column, suffix in ((0, ""), (3, "_lower"), (4, "_upper"), (2, "_sd")):
            table[parameter + suffix] = _with_unit(numbers[:, column], unit, parameter + suffix)
    table.meta = {"interval": interval_words(probability)}
    table = table if frame is None else _on_the_sky(table, frame)
    digits = {"ra": ".6f", "dec": ".6f"} | {
        f"mag{end}": ".4f" for end in ("", "_lower", "_upper", "_sd", "_limit")
    }
    show(table, {name: digits.get(name, ".6g") for name in table.colnames[2:]})
    return table


def _on_the_sky(table: QTable, frame: TangentFrame) -> QTable:
    """With right ascensions and declinations, and the point that east and north are counted from."""
    table.meta = {**(table.meta or {}), "tangent_point": [frame.ra, frame.dec]}
    if "east" in table.colnames and "north" in table.colnames:
        offsets: list[Any] = [table[way] for way in ("east", "north")]
        places = frame.sky(*(offset.to_value("arcsec") for offset in offsets))
        table.add_columns([each * u.deg for each in places], indexes=[2, 2], names=["ra", "dec"])
    return table


def show(table: QTable, formats: Mapping[str, str]) -> None:
    """Print columns in so many digits; they are kept, and written, as they are."""
    for name, digits in formats.items():
        column: Any = table[name]
        column.info.format = digits


def _with_unit(values: np.ndarray, unit: Any, name: str) -> u.Quantity:
    """A column as a quantity; the error of a magnitude is in plain mag."""
    return u.Quantity(values, u.mag) if name == "mag_sd" else values * unit


def _in_band(
    found: Sequence[Quantity], parameter: str, flux: Quantity, probability: float
) -> Estimate | None:
    """The value of a parameter of the flux's source that holds in its band."""
    if parameter == "mag":
        return magnitude_estimate(flux, probability)
    own = [
        q
        for q in find(found, parameter, flux.source)
        if not q.band or (q.band == flux.band and q.image in ("", flux.image))
    ]
    return estimate(own[0], None, probability) if own else None
