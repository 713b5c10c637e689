"""The figure of a calibration: histograms of the truth's ranks, and coverage against probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from bayesjoint.report.style import DRAWS_COLOUR, PAGE_WIDTH, paper_style

if TYPE_CHECKING:
    from bayesjoint.report.calibration import Calibration

_COLUMNS = 5
_GREY = "#d9d9d9"


def plot_calibration(
    found: Calibration, names: Sequence[str] | None = None, bins: int | None = None
) -> Figure:
    """Ranks of the truth among the draws, one histogram a scalar, and last the coverage of all.

    Grey bands hold 95 % of what uniform ranks would give.

    Parameters
    ----------
    found : Calibration
    names : sequence of str, optional
        Scalars to show; all by default.
    bins : int, optional
        Of each histogram; by default some 10 simulations to a bin, 4 to 20 bins.

    Raises
    ------
    ValueError
        For a name that is not there.
    """
    names = found.names if names is None else tuple(names)
    if missing := [name for name in names if name not in found.names]:
        raise ValueError(f"no scalar {missing[0]!r} was calibrated: there are {', '.join(found.names)}")
    columns = [found.names.index(name) for name in names]
    bins = bins or int(np.clip(len(found.rank) // 10, 4, 20))
    rows = -(-(len(columns) + 1) // _COLUMNS)
    with paper_style():
        fig = Figure(figsize=(PAGE_WIDTH, 1.25 * rows + 0.3), layout="constrained")
        axes = list(np.atleast_1d(fig.subplots(rows, _COLUMNS)).ravel())
        for ax, column in zip(axes, columns, strict=False):
            _histogram(ax, found.rank[:, column], bins)
            ax.set_title(found.names[column], fontsize=7)
        _coverage(axes[len(columns)], found.rank[:, columns])
        for ax in axes[len(columns) + 1 :]:
            ax.remove()
        fig.supxlabel("rank of the truth among the draws", fontsize=7)
        fig.supylabel("simulations", fontsize=7)
    return fig


def _histogram(ax: Axes, rank: np.ndarray, bins: int) -> None:
    rank = rank[~np.isnan(rank)]
    low, high = stats.binom.interval(0.95, max(rank.size, 1), 1 / bins)
    ax.axhspan(low, high, color=_GREY, lw=0)
    ax.hist(rank, bins=bins, range=(0, 1), histtype="stepfilled", color=DRAWS_COLOUR, alpha=0.55)
    ax.hist(rank, bins=bins, range=(0, 1), histtype="step", color=DRAWS_COLOUR, lw=0.8)
    ax.set(xlim=(0, 1), xticks=(0, 0.5, 1), ylim=(0, None))
    ax.set_xticklabels(("0", "0.5", "1"))


def _coverage(ax: Axes, rank: np.ndarray) -> None:
    """Share within each interval minus its probability, a line for every scalar."""
    probability = np.linspace(0.01, 0.99, 99)
    distance = 2 * np.abs(rank - 0.5)
    count = max(len(rank), 1)
    band = 1.96 * np.sqrt(probability * (1 - probability) / count)
    ax.fill_between(probability, -band, band, color=_GREY, lw=0)
    for column in distance.T:
        column = column[~np.isnan(column)]
        share = np.mean(column[:, None] < probability, axis=0) if column.size else np.full(99, np.nan)
        ax.plot(probability, share - probability, lw=0.5, color=DRAWS_COLOUR, alpha=0.6)
    ax.axhline(0, color="black", lw=0.6)
    ax.set(xlim=(0, 1), xticks=(0, 0.5, 1))
    ax.set_xticklabels(("0", "0.5", "1"))
    ax.set_xlabel("probability", fontsize=6)
    ax.set_title("coverage $-$ probability, each", fontsize=7)
