"""`compare`: which of several models predicts the images better, block of pixels by block."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayesjoint.infer.verdict import Finding, Verdict
from bayesjoint.report.likelihood_ratio import noise_scatter
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
    if not isinstance(models, Mapping):
        raise TypeError(
            f"compare needs models by name, got a {type(models).__name__}: compare({{'a': a, 'b': b}})"
        )
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
        if isinstance(model, Posterior) and model.program is None:
            raise ValueError(
                f"{name!r} is a posterior from a file, which does not know its program: give posterior.loo(program) for it"
            )
    for name, model in models.items():
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

    def noise_error(self, a: str, b: str) -> float:
        """How far the difference in elpd would scatter by the noise of the pixels alone.

        Each pixel adds the scatter of the difference of its two log densities: under Gaussian noise of one width, its noise
        times the difference of the two models, over its variance. Where their noise differs, data scatter as the model has
        them under which that is less: tails add to the difference whatever they add to its scatter. The standard error of
        `difference` also takes for scatter that models differ in some blocks and not in others: where few blocks carry the
        difference it is far larger, and depends on their size.
        """
        pair = min(a, b), max(a, b)
        if pair not in self._noise_errors:
            one, other = (self.models[name] for name in pair)
            self._noise_errors[pair] = min(noise_scatter(one, other), noise_scatter(other, one))
        return self._noise_errors[pair]

    @cached_property
    def _noise_errors(self) -> dict[tuple[str, str], float]:
        """Those known already."""
        return {}

    def clearly(self, a: str, b: str) -> bool:
        """Whether a is better than b by over 4 in elpd and over 2 standard errors of noise.

        Also where only the blocks count whose k-hat is at most 0.7 in both.
        """
        least = max(CLEAR, CLEAR_ERRORS * self.noise_error(a, b))
        return all(self.difference(a, b, reliable=only)[0] > least for only in (False, True))

    @property
    def is_clear(self) -> bool:
        """Whether the best is clearly better than the next."""
        return self.clearly(*self.names[:2])

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the differences can be trusted, and how clear they are."""
        findings = [finding for name, loo in self.models.items() for finding in loo.findings(name)]
        findings += [self._finding(self.best, name) for name in self.names[1:]]
        return Verdict.from_findings(findings, "the comparison")

    def _finding(self, a: str, b: str) -> Finding:
        (difference, error), noise = self.difference(a, b), self.noise_error(a, b)
        what = f"{a} predicts better than {b} by {difference:.1f} +- {noise:.1f} in elpd"
        least = max(CLEAR, CLEAR_ERRORS * noise)
        if difference <= least:
            advice = "keep the simpler one, or the one that physics asks for: what both agree on does not depend on it"
            return Finding("note", f"{what}: not clear (over 4 and over 2 errors are)", difference, advice)
        if not self.clearly(a, b):
            without = self.difference(a, b, reliable=True)[0]
            what += f", but only by {without:.1f} in the blocks whose k-hat is under {UNRELIABLE}"
            advice = "the preference hangs on pixels that cannot be left out: look at them"
            return Finding("warning", what, without, advice)
        if difference < CLEAR_ERRORS * error:
            advice = "look at the map: a few blocks carry it, which should be where the models differ, and no artefact"
            return Finding("note", f"{what}: clear, but +- {error:.1f} between blocks", difference, advice)
        return Finding("ok", f"{what}: clear, also between blocks (+- {error:.1f})", difference)

    @property
    def conclusion(self) -> str:
        """Which model is preferred, in words."""
        second = self.names[1]
        difference, noise = self.difference(self.best, second)[0], self.noise_error(self.best, second)
        told = f"by {difference:.1f} +- {noise:.1f} in elpd"
        if not self.is_clear:
            return f"no clear preference: {self.best} is ahead of {second} {told}"
        return f"{self.best} is preferred over {second}, clearly: {told}"

    def table(self) -> QTable:
        """A row for each model: elpd, how far it is behind the best, p_loo, and how many blocks have a k-hat over 0.7.

        `noise` and `between` are standard errors of what it is behind by: of the pixels' noise, and from the scatter
        between blocks.
        """
        from astropy.table import QTable

        behind = [self.difference(self.best, name) for name in self.names]
        loos = self.models.values()
        table = QTable(
            {
                "model": self.names,
                "elpd": [loo.elpd for loo in loos],
                "error": [loo.error for loo in loos],
                "behind": [difference for difference, _ in behind],
                "noise": [self.noise_error(self.best, name) for name in self.names],
                "between": [error for _, error in behind],
                "p_loo": [loo.p_loo for loo in loos],
                "k_over_0.7": [loo.unreliable for loo in loos],
            }
        )
        for name in table.colnames[1:7]:
            table[name].info.format = ".1f"  # type: ignore
        return table

    def plot(self, a: str | None = None, b: str | None = None) -> Figure:
        """Where in the images a model wins over another; see `comparison_plot.plot_comparison`."""
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
