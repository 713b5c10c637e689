"""The figure of structure against wavelength: posterior bands, and what single bands say on their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesjoint.infer.map_fit import MapFit
from bayesjoint.report.photometry import ONE_SIGMA, interval
from bayesjoint.report.quantities import Quantity, find
from bayesjoint.report.results import Results
from bayesjoint.report.style import COLUMN_WIDTH, DRAWS_COLOUR, axis_label, paper_style

Single = MapFit | Results


def plot_wavelength(
    found: Sequence[Quantity],
    source: str,
    wavelengths: Mapping[str, float],
    parameters: Sequence[str] = ("Re", "n"),
    singles: Mapping[str, Single] | None = None,
    axes: Sequence[Axes] | None = None,
    colour: str = DRAWS_COLOUR,
    label: str | None = None,
) -> Figure:
    """Each parameter against wavelength: median, 68.27 % and 95 % of its draws, straight between bands.

    What is shared by all bands is level. Single-band fits lie beside, as points with 68.27 % errors.

    Parameters
    ----------
    found : sequence of Quantity
    source : str
    wavelengths : dict of float
        Of each band.
    parameters : sequence of str
        One panel each.
    singles : dict, optional
        Of some bands, the fit (`bj.fit_map`) or posterior of its image alone, with the same name of the source.
    axes : sequence of Axes, optional
        Where to draw, one for each parameter: to lay posteriors over one another.
    colour, label : str
        Of the bands.

    Raises
    ------
    ValueError
        For parameters that are not there, and bands without a wavelength.
    """
    bands = list(dict.fromkeys(q.band for q in found if q.source == source and q.parameter == "flux"))
    missing = [band for band in (*bands, *(singles or {})) if band not in wavelengths]
    if missing:
        raise ValueError(f"wavelengths lacks {', '.join(missing)}; it must have all of {', '.join(bands)}")
    with paper_style():
        if axes is None:
            figure = Figure(figsize=(COLUMN_WIDTH, 0.5 + 1.7 * len(parameters)), layout="constrained")
            axes = list(np.atleast_1d(np.asarray(figure.subplots(len(parameters), 1, sharex=True))))
        for parameter, ax in zip(parameters, axes, strict=True):
            _plot_draws(ax, _by_band(found, parameter, source, bands), wavelengths, colour, label)
            for band, single in (singles or {}).items():
                _plot_single(ax, single, f"{source}_{parameter}", wavelengths[band])
            ax.set(
                xscale="log",
                ylabel=axis_label(Quantity(parameter, np.zeros(1), unit=_unit(found, parameter))),
            )
        _name_bands(axes[0], {band: wavelengths[band] for band in bands})
        axes[-1].set_xlabel("wavelength")
        owner = axes[0].get_figure()
    assert isinstance(owner, Figure)
    return owner


def _by_band(
    found: Sequence[Quantity], parameter: str, source: str, bands: Sequence[str]
) -> dict[str, np.ndarray]:
    """Draws of a parameter in each band."""
    own = find(found, parameter, source)
    if not own:
        there = dict.fromkeys(q.parameter for q in found if q.source == source)
        raise ValueError(f"{source!r} has no {parameter!r} to plot: there are {', '.join(there)}")
    return {band: next(q.draws for q in own if q.band in ("", band)) for band in bands}


def _unit(found: Sequence[Quantity], parameter: str) -> str:
    return next(q.unit for q in found if q.parameter == parameter)


def _plot_draws(
    ax: Axes,
    draws: Mapping[str, np.ndarray],
    wavelengths: Mapping[str, float],
    colour: str,
    label: str | None,
) -> None:
    bands = sorted(draws, key=lambda band: wavelengths[band])
    x, each = [wavelengths[band] for band in bands], [draws[band] for band in bands]
    for probability, alpha in ((0.95, 0.18), (ONE_SIGMA, 0.35)):
        low, high = zip(*(interval(one, probability) for one in each), strict=True)
        ax.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0)
    ax.plot(x, [np.median(one) for one in each], color=colour, label=label)


def _plot_single(ax: Axes, single: Any, site: str, wavelength: float) -> None:
    """One band alone: its value, with the errors of a fit or the interval of a posterior."""
    if isinstance(single, Results):
        draws = single.values(site)
        low, high = interval(draws, ONE_SIGMA)
        middle = np.median(draws)
    else:
        middle, error = (np.ravel(numbers[site])[0] for numbers in (single.values, single.errors))
        low, high = middle - error, middle + error
    bars = np.array([[middle - low], [high - middle]])
    ax.errorbar([wavelength], [middle], bars, fmt="o", ms=3, color="black", capsize=1.5, lw=0.8, zorder=5)


def _name_bands(ax: Axes, wavelengths: Mapping[str, float]) -> None:
    """Over the axes, by what follows the camera: SDSS_g is g."""
    there = {text.get_text() for text in ax.texts}  # of a posterior that was drawn before
    for band, wavelength in wavelengths.items():
        name = band.rpartition("_")[2]
        if name not in there:
            place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            ax.annotate(name, (wavelength, 1.0), (0, 3), ha="center", fontsize=7, **place)
