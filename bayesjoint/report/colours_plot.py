"""The figure of photometry: magnitudes against band, and colours of neighbouring bands with their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesjoint.report.estimates import Estimate, rounded
from bayesjoint.report.plots import truth_of
from bayesjoint.report.quantities import Quantity
from bayesjoint.report.style import PAGE_WIDTH, PALETTE, paper_style
from bayesjoint.report.tables import colour_estimate, distinct_fluxes, magnitude_estimate

_TRUTH = {
    "marker": "D",
    "color": "none",
    "markeredgecolor": "black",
    "markersize": 6.5,
    "markeredgewidth": 0.9,
    "zorder": 5,
}


def plot_colours(
    found: Sequence[Quantity], truths: Mapping[str, Any] | None = None, axes: Sequence[Axes] | None = None
) -> Figure:
    """Total magnitudes by band (left), and colours of neighbouring bands about their medians (right).

    Thick bars hold 68.27 %, thin bars 95 %; limits are arrows towards where the value may lie.

    Parameters
    ----------
    found : sequence of Quantity
    truths : dict, optional
        True magnitudes, e.g. {"mag": {"NUV": 18.2, "r": 15.1}}, as open diamonds; see `plots.truth_of`.
    axes : sequence of two Axes, optional
        Where to draw magnitudes and colours.

    Returns
    -------
    Figure
    """
    sources = list(dict.fromkeys(q.source for q in found if q.parameter == "flux"))
    if not sources:
        raise ValueError(
            "no source has a flux in this posterior, so there are no magnitudes or colours to plot"
        )
    fluxes = {source: distinct_fluxes(found, source) for source in sources}
    with paper_style():
        if axes is None:
            rows = sum(len(f) - 1 for f in fluxes.values())
            fig = Figure(figsize=(PAGE_WIDTH, max(2.6, 0.6 + 0.26 * rows)), layout="constrained")
            axes = list(fig.subplots(1, 2, width_ratios=(1, 1.15)))
        truths_by_source = {
            source: [_true_magnitude(f, truths) for f in fluxes[source]] for source in sources
        }
        plot_magnitudes(axes[0], fluxes, truths_by_source)
        plot_neighbours(axes[1], fluxes, truths_by_source)
        figure = axes[0].get_figure()
    assert isinstance(figure, Figure)
    return figure


def _true_magnitude(flux: Quantity, truths: Mapping[str, Any] | None) -> float | None:
    return truth_of(Quantity("mag", flux.draws, flux.source, flux.band, flux.image), truths)


def plot_magnitudes(
    ax: Axes, fluxes: Mapping[str, Sequence[Quantity]], truths: Mapping[str, Sequence[float | None]]
) -> None:
    """Magnitude against band for each source, bright at the top; a limit is an arrow towards fainter."""
    names = list(dict.fromkeys(f.image or f.band for ones in fluxes.values() for f in ones))
    for i, (source, ones) in enumerate(fluxes.items()):
        colour, shift = PALETTE[i % len(PALETTE)], 0.12 * (i - (len(fluxes) - 1) / 2)
        for flux, truth in zip(ones, truths[source], strict=True):
            x, one = names.index(flux.image or flux.band) + shift, magnitude_estimate(flux)
            if one.limit is None:
                _bars(ax, one, one.draws, x, colour, upright=True)
            elif np.isfinite(one.limit.value):
                _arrow(ax, (x, one.limit.value), (0, -16), colour, "_")
            if truth is not None:
                ax.plot(x, truth, **_TRUTH)
        ax.plot([], [], "o", color=colour, markersize=4, label=source)
    if any(t is not None for ones in truths.values() for t in ones):
        ax.plot([], [], linestyle="none", label="truth", **_TRUTH)
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.6, len(names) - 0.4)
    if max(map(len, names)) > 4 and len(names) > 5:
        ax.set_xticks(ax.get_xticks(), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.margins(y=0.12)
    ax.invert_yaxis()
    ax.set_ylabel("total AB magnitude")
    ax.grid(axis="y", color="0.9", linewidth=0.5)
    ax.set_axisbelow(True)
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend()


def plot_neighbours(
    ax: Axes, fluxes: Mapping[str, Sequence[Quantity]], truths: Mapping[str, Sequence[float | None]]
) -> None:
    """A line for each colour of neighbouring bands: its spread about the median, and its value in figures."""
    labels: list[str] = []
    for i, (source, ones) in enumerate(fluxes.items()):
        for (one, two), (true_1, true_2) in zip(pairwise(ones), pairwise(truths[source]), strict=True):
            shade = colour_estimate(one, two)
            truth = true_1 - true_2 if true_1 is not None and true_2 is not None else None
            _colour_line(ax, len(labels), shade, truth, PALETTE[i % len(PALETTE)])
            labels.append((f"{source} " if len(fluxes) > 1 else "") + shade.name.replace(" - ", " $-$ "))
    if not labels:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "one band: no colours", transform=ax.transAxes, ha="center")
        return
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    reach = 1.15 * max(map(abs, ax.get_xlim()))
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("colour about its median [mag]")
    ax.tick_params(axis="y", length=0)


def _colour_line(ax: Axes, y: int, one: Estimate, truth: float | None, colour: str) -> None:
    if one.limit is None:
        _bars(ax, one, one.draws - one.median, y, colour, upright=False)
        median, above, below = rounded(one.median, one.upper - one.median, one.median - one.lower)
        text = f"${median}^{{+{above}}}_{{-{below}}}$"
        if truth is not None:
            ax.plot(truth - one.median, y, **_TRUTH)
    elif one.limit.direction == "undetermined":
        text = "undetermined"
    else:
        _arrow(ax, (0, y), (16 if one.limit.direction == ">" else -16, 0), colour, "|")
        text = f"${one.limit.direction}{one.limit.value:.2f}$ (95 %)"
    ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), va="center", size=7)


def _bars(ax: Axes, one: Estimate, draws: np.ndarray, place: float, colour: str, upright: bool) -> None:
    """The median with a 68 % (thick) and a 95 % bar (thin), along y if upright."""
    levels = [0.025, (1 - one.probability) / 2, 0.5, (1 + one.probability) / 2, 0.975]
    low, inner_low, middle, inner_high, high = np.nanquantile(draws, levels, method="nearest")
    marker = {
        "marker": "o",
        "color": colour,
        "markersize": 4,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
    }
    thick = {"color": colour, "linewidth": 2.6, "solid_capstyle": "butt"}
    for ends, style in (((low, high), {"color": colour, "linewidth": 0.9}), ((inner_low, inner_high), thick)):
        ax.plot(*(([place] * 2, ends) if upright else (ends, [place] * 2)), **style)
    ax.plot(*((place, middle) if upright else (middle, place)), zorder=6, **marker)


def _arrow(
    ax: Axes, start: tuple[float, float], points: tuple[float, float], colour: str, marker: str
) -> None:
    """A tick at `start` and an arrow from it, `points` long on paper, whatever the axes' directions."""
    ax.plot(*start, marker=marker, color=colour, markersize=7, markeredgewidth=1.4)
    style = {"arrowstyle": "<-", "color": colour, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.2}
    ax.annotate("", start, points, textcoords="offset points", arrowprops=style)
