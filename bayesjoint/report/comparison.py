"""`compare`: which of several models predicts the images better, block of pixels by block."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesjoint.infer.verdict import Finding, Verdict
from bayesjoint.report.loo import UNRELIABLE, Loo
from bayesjoint.report.posterior import Posterior

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.figure import Figure

CLEAR, CLEAR_ERRORS = 4.0, 2.0


def compare(
    models: Mapping[str, Posterior | Loo], *, draws: int = 400, block: float | None = None
) -> Comparison:
    """Compare models of the same images by leave-one-out predictions of blocks of pixels.

    Parameters
    ----------
    models : dict of Posterior or Loo
        Two or more, by name. A posterior from a file does not know its program: give `posterior.loo(program)`.
    draws, block
        As in `Posterior.loo`; blocks without a size given are those of the first posterior.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        For fewer than two models, and models of different images, pixels or blocks.

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
    >>> def sky(images, width):
    ...     bj.observe(images, bj.FlatSky(numpyro.sample("sky", dist.Normal(0.0, width))))
    >>> images = bj.ImageSet([image])
    >>> found = bj.compare({"any": bj.sample(sky, images, 100.0, draws=200), "dark": bj.sample(sky, images, 0.1, draws=200)})
    >>> found.best, found.is_clear
    ('any', True)
    """
    if len(models) < 2:
        raise ValueError(
            f"compare needs two models or more, by name, got {len(models)}: compare({{'a': a, 'b': b}})"
        )
    found = {}
    for name, model in models.items():
        if not isinstance(model, Posterior | Loo):
            raise TypeError(
                f"{name!r} is a {type(model).__name__}: give a Posterior, or what Posterior.loo gives"
            )
        found[name] = model if isinstance(model, Loo) else model.loo(draws=draws, block=block)
    _check_same(found)
    order = sorted(found, key=lambda name: -found[name].elpd)
    return Comparison({name: found[name] for name in order})


def _check_same(found: Mapping[str, Loo]) -> None:
    (first, one), *others = found.items()
    for name, other in others:
        if one.data != other.data:
            raise ValueError(
                f"{first!r} and {name!r} are models of different pixels ({', '.join(one.names)} and "
                f"{', '.join(other.names)}): sample both from the same images and masks"
            )
        if any(not np.array_equal(a, b) for a, b in zip(one.labels, other.labels, strict=True)):
            raise ValueError(f"{first!r} and {name!r} left out different blocks: give both the same block=")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models in the order of their elpd, the best first. Made by `compare`.

    Attributes
    ----------
    models : dict of Loo
    """

    models: dict[str, Loo]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models, the best first."""
        return tuple(self.models)

    @property
    def best(self) -> str:
        """The model of the highest elpd."""
        return self.names[0]

    def difference(self, a: str, b: str, reliable: bool = False) -> tuple[float, float]:
        """elpd of model a minus that of model b, and its standard error from the paired blocks.

        With `reliable` only of the blocks whose k-hat is at most 0.7 in both.
        """
        each = self.pointwise(a, b)
        if reliable:
            each = each[np.maximum(self.models[a].k_hat, self.models[b].k_hat) <= UNRELIABLE]
        return float(each.sum()), float(np.sqrt(each.size * np.var(each)))

    def pointwise(self, a: str, b: str) -> np.ndarray:
        """The same of each block (blocks,)."""
        return self.models[a].pointwise - self.models[b].pointwise

    @property
    def is_clear(self) -> bool:
        """Whether the best is better than the next by over 4 in elpd and over 2 standard errors.

        Also where only the blocks count whose k-hat is at most 0.7.
        """
        return all(_is_clear(*self.difference(*self.names[:2], reliable=only)) for only in (False, True))

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the differences can be trusted, and how clear they are."""
        findings = [finding for name, loo in self.models.items() for finding in loo.findings(name)]
        findings += [self._finding(a, b) for a, b in combinations(self.names, 2) if a == self.best]
        return Verdict.from_findings(findings, "the comparison")

    def _finding(self, a: str, b: str) -> Finding:
        difference, error = self.difference(a, b)
        what = f"{a} predicts better than {b} by {difference:.1f} +- {error:.1f} in elpd"
        without = self.difference(a, b, reliable=True)
        if _is_clear(difference, error) and not _is_clear(*without):
            figures = f"{without[0]:.1f} +- {without[1]:.1f}"
            what += f", but not clearly ({figures}) in the blocks whose k-hat is under {UNRELIABLE}"
            advice = "the preference hangs on pixels that cannot be left out: look at them"
            return Finding("warning", what, without[0], advice)
        if _is_clear(difference, error):
            return Finding("ok", f"{what}: clear", difference)
        advice = "keep the simpler one, or the one that physics asks for; what both agree on does not depend on the choice"
        return Finding(
            "note", f"{what}: not clear (over 4 and over 2 standard errors are)", difference, advice
        )

    @property
    def conclusion(self) -> str:
        """Which model is preferred, in words."""
        second = self.names[1]
        difference, error = self.difference(self.best, second)
        if not self.is_clear:
            return f"no clear preference: {self.best} is ahead of {second} by {difference:.1f} +- {error:.1f} in elpd"
        return f"{self.best} is preferred over {second}, clearly: by {difference:.1f} +- {error:.1f} in elpd"

    def table(self) -> QTable:
        """A row for each model: elpd, how far it is behind the best, p_loo, and how many blocks have a k-hat over 0.7."""
        from astropy.table import QTable

        behind = [self.difference(self.best, name) for name in self.names]
        loos = self.models.values()
        table = QTable(
            {
                "model": self.names,
                "elpd": [loo.elpd for loo in loos],
                "error": [loo.error for loo in loos],
                "behind": [difference for difference, _ in behind],
                "behind_error": [error for _, error in behind],
                "p_loo": [loo.p_loo for loo in loos],
                "k_over_0.7": [loo.unreliable for loo in loos],
            }
        )
        for name in table.colnames[1:6]:
            table[name].info.format = ".1f"  # type: ignore
        return table

    def plot(self, a: str | None = None, b: str | None = None) -> Figure:
        """Where in the images model a wins over b, by default the best over the next; see `comparison_plot.plot_comparison`."""
        from bayesjoint.report.comparison_plot import plot_comparison

        return plot_comparison(self, a, b)

    def __repr__(self) -> str:
        blocks, images = self.models[self.best].pointwise.size, len(self.models[self.best].names)
        lines = [f"Comparison of {len(self.names)} models over {blocks} blocks of pixels in {images} images"]
        lines += ["  " + line for line in self.table().pformat(max_width=-1)]
        return "\n".join([*lines, f"  {self.conclusion}", str(self.verdict)])

    def _repr_html_(self) -> str:
        lines = repr(self).splitlines()[: len(self.names) + 4]
        return f"<pre>{html.escape(chr(10).join(lines))}</pre>{self.verdict._repr_html_()}"


def _is_clear(difference: float, error: float) -> bool:
    return difference > CLEAR and difference > CLEAR_ERRORS * error
