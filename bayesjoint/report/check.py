"""`Check`: whether the model describes the images, and what each parameter rests on."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.infer.predictive import STATISTICS, Prediction
from bayesjoint.infer.predictive_verdict import is_extreme, judge_predictions
from bayesjoint.infer.verdict import Finding, Verdict, named
from bayesjoint.report.scores import Scores

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.figure import Figure

SENSITIVE = 0.05
LARGE_SHIFT = 0.3


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """How each scalar's posterior moves when prior or likelihood are raised to a power near one.

    Attributes
    ----------
    labels : tuple of str
    prior, likelihood : array (scalars,)
        Rate of the cumulative Jensen-Shannon distance per doubling of the power; over 0.05 counts as sensitive.
    shift : array (scalars,)
        How far the mean would move, in standard deviations, if the prior counted twice (to first order).
    """

    labels: tuple[str, ...]
    prior: np.ndarray
    likelihood: np.ndarray
    shift: np.ndarray

    @property
    def words(self) -> tuple[str, ...]:
        """What that means for each scalar: "", "prior-data conflict" or "weak likelihood"."""
        told = {(True, True): "prior-data conflict", (True, False): "weak likelihood"}
        pairs = zip(self.prior > SENSITIVE, self.likelihood > SENSITIVE, strict=True)
        return tuple(told.get((bool(p), bool(l)), "") for p, l in pairs)

    def findings(self) -> list[Finding]:
        """Scalars that the prior moves."""
        found = []
        for word, advice in (
            (
                "prior-data conflict",
                "prior and data pull apart, or both matter: state the prior in the paper, and see what a wider one gives",
            ),
            (
                "weak likelihood",
                "the interval is the prior's rather than the data's: say so, fix the parameter, or share it between bands",
            ),
        ):
            names = [label for label, each in zip(self.labels, self.words, strict=True) if each == word]
            if names:
                rows = [self.labels.index(name) for name in names]
                most = float(np.max(np.abs(self.shift[rows])))
                what = f"{word} in {named(names)}: a prior that counts twice moves the mean by up to {most:.2f} sd"
                found.append(Finding("warning" if most > LARGE_SHIFT else "note", what, most, advice))
        if not found:
            found.append(
                Finding("ok", "no parameter depends on its prior", float(np.max(self.prior, initial=0)))
            )
        return found


@dataclass(frozen=True, eq=False)
class Information:
    """Fisher information: what of each scalar's precision is lost without an image, or without the prior.

    Attributes
    ----------
    labels, symbols : tuple of str
        Of the scalars, and these as figures write them.
    names : tuple of str
        Of the images, and last "prior".
    errors : array (scalars,)
        Standard errors from everything, by the curvature at the best draw.
    without : array (scalars, images + 1)
        With one thing left out; very large where nothing else tells.
    """

    labels: tuple[str, ...]
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    errors: np.ndarray
    without: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """1 - (error / error without)^2: the part of the precision 1/error^2 that is lost, (scalars, images + 1).

        Of a scalar with no partners these are the shares of the images in its information, and sum to one. Otherwise they
        need not: two images may tell together what neither tells alone.
        """
        return np.clip(1 - (self.errors[:, None] / self.without) ** 2, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Check:
    """Whether a posterior's model describes its images, and what its parameters rest on. Made by `Posterior.check`.

    Attributes
    ----------
    predictions : tuple of Prediction
        Of each image: discrepancies of the data and of replicated data, and the mean residual map.
    sensitivity : Sensitivity
    information : Information
    scores : Scores
        Whether images ask for another PSF, place, zero point or sky.
    images : tuple of Image
    draws : int
        At how many draws the images were rendered.

    Examples
    --------
    >>> import numpy as np, numpyro, numpyro.distributions as dist
    >>> numpyro.enable_x64()
    >>> import bayesjoint as bj
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    >>> wcs.wcs.crpix, wcs.wcs.cdelt = [8.5, 8.5], [-0.5 / 3600, 0.5 / 3600]
    >>> noise = np.random.default_rng(1).normal(size=(16, 16))
    >>> image = bj.Image(noise + 2.0, wcs=wcs, zeropoint=31.4, psf=bj.gaussian_psf(1.2), invvar=np.ones((16, 16)), band="r")
    >>> def sky(images):
    ...     bj.observe(images, bj.FlatSky(numpyro.sample("sky", dist.Normal(0.0, 100.0))))
    >>> posterior = bj.sample(sky, bj.ImageSet([image]), draws=200, chains=2)
    >>> check = posterior.check()
    >>> check.verdict.trusted
    True
    >>> print(check.information.share.round(2))
    [[1. 0.]]
    """

    predictions: tuple[Prediction, ...]
    sensitivity: Sensitivity
    information: Information
    scores: Scores
    images: tuple[Image, ...]
    draws: int

    @cached_property
    def verdict(self) -> Verdict:
        """Whether to trust the model, and what to do about it, in plain words."""
        return Verdict.from_findings(
            judge_predictions(self.predictions) + self.scores.findings() + self.sensitivity.findings(),
            "the model of the images",
        )

    def table(self) -> QTable:
        """Posterior predictive p-values, a row for each image: near 0 or 1 the data are unlike predicted ones."""
        columns: dict[str, Any] = {"image": [one.name for one in self.predictions]}
        for statistic in STATISTICS:
            columns[f"p {statistic}"] = [one.p_value(statistic) for one in self.predictions]
        for statistic in STATISTICS[:3]:
            pairs = [one.means(statistic) for one in self.predictions]
            columns[f"{statistic} / predicted"] = [observed / expected for observed, expected in pairs]
        return _table(columns, 3)

    def score_table(self) -> QTable:
        """What each image may be off by: amplitude, error and significance, a row for each; see `Score`."""
        return self.scores.table()

    def sensitivity_table(self) -> QTable:
        """Sensitivity to prior and likelihood, a row for each scalar; see `Sensitivity`."""
        found = self.sensitivity
        columns = {"name": found.labels, "prior": found.prior, "likelihood": found.likelihood}
        return _table({**columns, "shift": found.shift, "diagnosis": list(found.words)}, 3)

    def information_table(self) -> QTable:
        """Standard errors, and of each image and the prior the share of the precision; see `Information`."""
        found = self.information
        shares = dict(zip(found.names, found.share.T, strict=True))
        return _table({"name": found.labels, "error": found.errors, **shares}, 3)

    def plot_residuals(self) -> Figure:
        """Mean residual of each image and its autocorrelation; see `check_plot.plot_residuals`."""
        from bayesjoint.report.check_plot import plot_residuals

        return plot_residuals(self.images, self.predictions)

    def plot_information(self, parameters: Sequence[str] | None = None) -> Figure:
        """Which image constrains which parameter; see `check_plot.plot_information`."""
        from bayesjoint.report.check_plot import plot_information

        return plot_information(self.information, parameters)

    def _statistics(self) -> str:
        """What was measured of each image, as text."""
        lines = [
            f"Check of {len(self.predictions)} images by {self.draws} draws; posterior predictive p-values"
        ]
        width = max(len(one.name) for one in self.predictions)
        lines.append("  " + " " * width + "".join(f"  {statistic:>14}" for statistic in STATISTICS))
        for one in self.predictions:
            numbers = [one.p_value(statistic) for statistic in STATISTICS]
            cells = (_cell(p) for p in numbers)
            lines.append(f"  {one.name:<{width}}" + "".join(f"  {cell:>14}" for cell in cells))
        return "\n".join([*lines, str(self.scores)])

    def __repr__(self) -> str:
        return f"{self._statistics()}\n{self.verdict}"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._statistics())}</pre>{self.verdict._repr_html_()}"


def _cell(p: float) -> str:
    if np.isnan(p):
        return "-"
    return f"{p:.3f}" + ("*" if is_extreme(p) else "")


def _table(columns: dict[str, Any], digits: int) -> QTable:
    """A table whose numbers are written with so many digits after the point, or that many significant ones where smaller."""
    from astropy.table import QTable

    table = QTable(columns)
    for name in (name for name, column in columns.items() if not isinstance(column[0], str)):
        table[name].info.format = f".{digits}f" if name != "error" else f".{digits}g"  # type: ignore
    return table
