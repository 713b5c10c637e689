"""`Calibration`: ranks and coverage of many simulated fits, as a table, a figure and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.figure import Figure

LEVELS = (0.6827, 0.95)
REJECTED = 0.01


@dataclass(frozen=True, eq=False)
class Calibration:
    """What became of simulated fits.

    Made by `bj.calibrate`.

    Attributes
    ----------
    names : tuple of str
        Labels of the scalars, colours among them.
    rank, pull : array (simulations, names)
        Share of the draws below the truth, and the truth's distance from their mean in standard deviations; NaN where a
        simulation had no such scalar.
    seconds : array (simulations,)
    trusted : array (simulations,)
        Whether the verdict on each was good.
    failures : tuple of str
        What the simulations that could not be fitted said.
    """

    names: tuple[str, ...]
    rank: np.ndarray
    pull: np.ndarray
    seconds: np.ndarray
    trusted: np.ndarray
    failures: tuple[str, ...] = ()

    @classmethod
    def from_results(cls, results: Sequence[dict[str, Any]]) -> Calibration:
        """From what each simulation left: its `quantities`, or how it `failed`."""
        done = [result for result in results if "failed" not in result]
        names = tuple(dict.fromkeys(name for result in done for name in result["quantities"]))

        def gathered(key: str) -> np.ndarray:
            rows = [[r["quantities"].get(name, {}).get(key, np.nan) for name in names] for r in done]
            return np.array(rows, float).reshape(len(done), len(names))

        return cls(
            names,
            gathered("rank"),
            gathered("pull"),
            np.array([result["seconds"] for result in results]),
            np.array([result["trusted"] for result in done], bool),
            tuple(result["failed"] for result in results if "failed" in result),
        )

    def coverage(self, probability: float = LEVELS[0]) -> np.ndarray:
        """Share of the simulations whose equal-tailed interval of this probability holds the truth, (names,)."""
        inside = np.abs(self.rank - 0.5) < 0.5 * probability
        return np.where(np.isnan(self.rank), np.nan, inside).mean(axis=0, where=~np.isnan(self.rank))

    def uniformity(self) -> np.ndarray:
        """p-value of each scalar's ranks being uniform, by Kolmogorov and Smirnov's test, (names,)."""
        columns = (column[~np.isnan(column)] for column in self.rank.T)
        return np.array([stats.kstest(c, "uniform").pvalue if c.size else np.nan for c in columns])

    @property
    def is_uniform(self) -> bool:
        """Whether no scalar's ranks are rejected, at 1 % over all of them together."""
        return bool(np.nanmin(self.uniformity(), initial=1.0) > REJECTED / max(len(self.names), 1))

    def table(self) -> QTable:
        """One row for each scalar: how many simulations, coverage at 68 and 95 %, mean and scatter of the pulls, p-value."""
        from astropy.table import QTable

        count = np.sum(~np.isnan(self.rank), axis=0)
        columns = {
            "name": self.names,
            "simulations": count,
            "within_68": self.coverage(LEVELS[0]),
            "within_95": self.coverage(LEVELS[1]),
            "mean_pull": np.nanmean(self.pull, axis=0),
            "sd_pull": np.nanstd(self.pull, axis=0),
            "p_uniform": self.uniformity(),
        }
        table = QTable(columns)
        for name in table.colnames[2:]:
            table[name].info.format = ".3f"  # type: ignore
        return table

    def plot(self, **options: Any) -> Figure:
        """Rank histograms and coverage; see `calibration_plot.plot_calibration`."""
        from bayesjoint.report.calibration_plot import plot_calibration

        return plot_calibration(self, **options)

    def __repr__(self) -> str:
        done = len(self.rank)
        lines = [f"Calibration of {len(self.names)} scalars by {done} simulated fits"]
        if self.failures:
            lines[0] += f", and {len(self.failures)} that failed"
            lines.append(f"  failed, the first by: {self.failures[0]}")
        if done:
            within, worst = self.coverage(), int(np.nanargmin(self.uniformity()))
            lines += [
                f"  68 % intervals hold {np.nanmin(within):.2f} to {np.nanmax(within):.2f}, 95 % intervals "
                f"{np.nanmin(self.coverage(LEVELS[1])):.2f} to {np.nanmax(self.coverage(LEVELS[1])):.2f} "
                f"(one sd of such a share: {np.sqrt(0.6827 * 0.3173 / done):.2f}, {np.sqrt(0.95 * 0.05 / done):.2f})",
                f"  ranks {'uniform' if self.is_uniform else 'not uniform'}: least p {self.uniformity()[worst]:.2g} of "
                f"{self.names[worst]}; {np.mean(self.trusted):.0%} of the verdicts good; "
                f"{np.median(self.seconds):.1f} s a fit",
            ]
        return "\n".join(lines)
