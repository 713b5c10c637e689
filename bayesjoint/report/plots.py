"""Figures of a posterior's numbers: corner and trace.

Each function takes quantities and returns a figure that no window holds, to be shown by a notebook or saved.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayesjoint.report.estimates import rounded
from bayesjoint.report.photometry import unwrap_axial
from bayesjoint.report.quantities import STRUCTURE, Quantity
from bayesjoint.report.style import DRAWS_COLOUR, PAGE_WIDTH, PALETTE, TRUTH_COLOUR, axis_label, paper_style
from bayesjoint.report.tables import estimate

Truths = Mapping[str, Any]
_LETTER = 0.062  # inches, of a trace's labels


def select(
    found: Sequence[Quantity], parameters: Sequence[str] | None = None, sky: bool = False
) -> list[Quantity]:
    """The quantities a figure shows: structure and magnitudes, and other sites.

    Where a band is not detected, or a draw of its flux is zero or less, the flux takes the place of the magnitude.

    Parameters
    ----------
    found : sequence of Quantity
    parameters : sequence of str, optional
        Names (`n`, `mag`, `sky`) or labels (`galaxy mag r`) to show instead.
    sky : bool
        Whether sky levels are shown by default.

    Raises
    ------
    ValueError
        For a name that is not there, or when nothing that varies is left.
    """
    if parameters is not None:
        names = {name for q in found for name in (q.parameter, q.label)}
        if missing := [name for name in parameters if name not in names]:
            raise ValueError(f"no parameter {missing[0]!r} to plot: there are {', '.join(sorted(names))}")
        chosen = [q for name in parameters for q in found if name in (q.parameter, q.label)]
    else:
        faint = {
            (q.source, q.band, q.image)
            for q in found
            if q.parameter == "flux" and not (q.detected and np.all(q.draws > 0))
        }

        def shown(q: Quantity) -> bool:
            if q.parameter in ("mag", "flux") and q.source:
                return ((q.source, q.band, q.image) in faint) == (q.parameter == "flux")
            return q.parameter in STRUCTURE or (not q.source and (sky or not q.is_sky))

        chosen = _by_band([q for q in found if shown(q)], list(dict.fromkeys(q.band for q in found)))
    endless = [q.label for q in chosen if not np.isfinite(q.draws).all()]
    if endless:
        warnings.warn(
            f"{', '.join(endless)} left out of the figure, as not all draws are finite: of a band so faint plot the flux",
            stacklevel=3,
        )
    chosen = [q for q in chosen if q.label not in endless and q.varies]
    if not chosen:
        raise ValueError("no parameter that varies is left to plot: name some by parameters=")
    return chosen


def _by_band(chosen: Sequence[Quantity], bands: Sequence[str]) -> list[Quantity]:
    """Fluxes of undetected bands put among the magnitudes of the others, in the order of bands."""
    brightness = [i for i, q in enumerate(chosen) if q.source and q.parameter in ("mag", "flux")]
    sources = list(dict.fromkeys(chosen[i].source for i in brightness))
    ordered = sorted(
        (chosen[i] for i in brightness), key=lambda q: (sources.index(q.source), bands.index(q.band))
    )
    moved = dict(zip(brightness, ordered, strict=True))
    return [moved.get(i, q) for i, q in enumerate(chosen)]


def truth_of(quantity: Quantity, truths: Truths | None) -> float | None:
    """The true value of a quantity from a dict by label, `source_parameter`, `parameter_band` or parameter.

    Values by band may be dicts, e.g. {"mag": {"r": 16.2}}.
    """
    if not truths:
        return None
    q, where = quantity, quantity.image or quantity.band
    for key in (
        q.label,
        f"{q.source}_{q.parameter}_{where}",
        f"{q.source}_{q.parameter}",
        f"{q.parameter}_{where}",
        q.parameter,
    ):
        value = truths.get(key)
        value = value.get(where, value.get(q.band)) if isinstance(value, Mapping) else value
        if value is not None and np.ndim(value) == 0:
            value = float(value)
            return (
                value if q.parameter != "pa" else float(unwrap_axial([value] + [np.median(q.draws)] * 2)[0])
            )
    return None


def plot_corner(
    found: Sequence[Quantity],
    truths: Truths | None = None,
    parameters: Sequence[str] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Joint and marginal distributions, with 39 % and 86 % contours (1 and 2 sigma in two dimensions).

    Parameters
    ----------
    found : sequence of Quantity
    truths : dict, optional
        True values to mark by lines; see `truth_of`.
    parameters : sequence of str, optional
        What to show; default structure and magnitudes.
    fig : matplotlib Figure, optional
        An empty figure to draw on.
    """
    chosen = select(found, parameters)
    several = len({q.source for q in chosen if q.source}) > 1
    number = len(chosen)
    side = max(PAGE_WIDTH, 1.0 * number)
    with paper_style():
        fig = fig or Figure(figsize=(side, side))
        _corner(chosen, fig, [axis_label(q, several, "\n") for q in chosen])
        axes = np.array(fig.axes).reshape(number, number)
        _mark_truths(axes, [truth_of(q, truths) for q in chosen])
        for i, q in enumerate(chosen):
            one = estimate(q)
            median, above, below = rounded(one.median, one.upper - one.median, one.median - one.lower)
            axes[i, i].set_title(f"${median}^{{+{above}}}_{{-{below}}}$", fontsize=7, pad=3)
        _tidy_corner(fig, axes)
    return fig


def _corner(chosen: Sequence[Quantity], fig: Figure, labels: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # corner imports ArviZ, which announces changes to come
        from corner import corner

        corner(
            np.stack([q.draws.ravel() for q in chosen], axis=1),
            fig=fig,
            labels=labels,
            color=DRAWS_COLOUR,
            levels=(0.393, 0.865),
            smooth=1.1,
            bins=24,
            range=[0.999] * len(chosen),
            plot_datapoints=False,
            fill_contours=True,
            max_n_ticks=3,
            hist_kwargs={"linewidth": 1.0},
            contour_kwargs={"linewidths": 0.7},
        )


def _mark_truths(axes: np.ndarray, truths: Sequence[float | None]) -> None:
    """Lines at the true values, on axes widened so that they can be seen."""
    for i, value in enumerate(truths):
        if value is None:
            continue
        for j in range(len(truths)):
            if j >= i:
                _widen(axes[j, i].set_xlim, axes[j, i].get_xlim(), value)
                axes[j, i].axvline(value, color=TRUTH_COLOUR, linewidth=0.9)
            if j < i:
                _widen(axes[i, j].set_ylim, axes[i, j].get_ylim(), value)
                axes[i, j].axhline(value, color=TRUTH_COLOUR, linewidth=0.9)


def _widen(set_limits: Callable, limits: tuple[float, float], value: float) -> None:
    low, high = limits
    room = 0.08 * (high - low)
    set_limits(min(low, value - room), max(high, value + room))


def _tidy_corner(fig: Figure, axes: np.ndarray) -> None:
    """Few, slanted tick labels; labels of rows and columns in line."""
    number = len(axes)
    for ax in fig.axes:
        ax.tick_params(labelsize=6, length=2)
        for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
            label.set_rotation(45)
    width, height = fig.get_size_inches()
    fig.subplots_adjust(
        left=0.85 / width,
        right=1 - 0.1 / width,
        bottom=0.85 / height,
        top=1 - 0.25 / height,
        wspace=0.06,
        hspace=0.06,
    )
    panel = axes[0, 0].get_position().width * width
    for i in range(number):
        axes[-1, i].xaxis.set_label_coords(0.5, -0.4 / panel)
        axes[i, 0].yaxis.set_label_coords(-0.45 / panel, 0.5)


def plot_trace(
    found: Sequence[Quantity],
    diagnose: Callable[[np.ndarray], tuple[float, float, float]],
    truths: Truths | None = None,
    parameters: Sequence[str] | None = None,
) -> Figure:
    """Each chain's draws in order beside its marginal, with R-hat and effective sample size over each row.

    Parameters
    ----------
    found : sequence of Quantity
    diagnose : callable
        Gives (r_hat, ess_bulk, ess_tail) of draws (chains, draws).
    truths, parameters
        As in `plot_corner`.
    """
    chosen = select(found, parameters, sky=True)
    several = len({q.source for q in chosen if q.source}) > 1
    with paper_style():
        height = 0.65 + 0.75 * len(chosen)
        fig = Figure(figsize=(PAGE_WIDTH, height))
        axes = fig.subplots(len(chosen), 2, squeeze=False, sharey="row", width_ratios=(4, 1))
        labels = [axis_label(q, several, "\n") for q in chosen]
        # placed by hand: a layout engine would take longer than all of the drawing
        left = (0.5 + _LETTER * max(map(_letters, labels))) / PAGE_WIDTH
        edges = {"left": left, "right": 0.99, "top": 1 - 0.2 / height, "bottom": 0.4 / height}
        fig.subplots_adjust(**edges, wspace=0.02, hspace=0.35)
        for row, q, label in zip(axes, chosen, labels, strict=True):
            _trace_row(row, q, truth_of(q, truths))
            # upright: turned, long names would run into the rows above and below
            row[0].set_ylabel(label, fontsize=7, rotation=0, ha="right", va="center")
            r_hat, bulk, tail = diagnose(q.draws)
            mixing = "" if np.isnan(r_hat) else f"R-hat {r_hat:.3f}, "
            title = f"{mixing}ESS {bulk:.0f} bulk, {tail:.0f} tail"
            row[0].set_title(title, fontsize=7, loc="right", pad=2)
        for ax in axes[:-1, 0]:
            ax.tick_params(labelbottom=False)
        axes[-1, 0].set_xlabel("draw")
        fig.align_ylabels(axes[:, 0])
    return fig


def _letters(label: str) -> int:
    """About how many letters the longest line of a label is wide, in figures of mathematics too.

    Examples
    --------
    >>> _letters("s12 $R_\\\\mathrm{e}$\\n[arcsec]")
    8
    """
    plain = re.sub(r"\\mathrm|[\\${}^_]", "", label)
    return max(map(len, plain.split("\n")))


def _trace_row(row: Sequence[Axes], quantity: Quantity, truth: float | None) -> None:
    trace, marginal = row
    edges = np.histogram_bin_edges(quantity.draws, bins=30)
    for chain, draws in enumerate(quantity.draws):
        colour = PALETTE[chain % len(PALETTE)]
        trace.plot(draws, color=colour, linewidth=0.4, alpha=0.8)
        style = {"orientation": "horizontal", "histtype": "step", "color": colour, "linewidth": 0.8}
        marginal.hist(draws, bins=list(edges), density=True, **style)
    if truth is not None:
        for ax in row:
            ax.axhline(truth, color="black", linewidth=0.8, linestyle="--")
    trace.set_xlim(0, max(quantity.draws.shape[1] - 1, 1))
    trace.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
    marginal.set_xticks([])
