"""Fluxes of one source in images of several times, with their covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesjoint.report.panel_grid import figure_of
from bayesjoint.report.photometry import ONE_SIGMA, interval, interval_words, is_detected, upper_flux
from bayesjoint.report.quantities import Quantity
from bayesjoint.report.style import COLUMN_WIDTH, PALETTE, paper_style
from bayesjoint.report.tables import magnitude_estimate, show


@dataclass(frozen=True, eq=False, repr=False)
class LightCurve:
    """A source's flux in each image, in the order of time.

    Attributes
    ----------
    source : str
    images, bands : tuple of str
    times : array (n,)
        Days; NaN, and last, where an image has none.
    draws : array (chains, draws, n)
        nJy.
    """

    source: str
    images: tuple[str, ...]
    bands: tuple[str, ...]
    times: np.ndarray
    draws: np.ndarray

    @property
    def flux(self) -> np.ndarray:
        """Median (n,), nJy; may be negative where nothing is detected."""
        return np.median(self.draws, axis=(0, 1))

    @property
    def error(self) -> np.ndarray:
        """Standard deviation (n,), nJy."""
        return self.draws.std(axis=(0, 1))

    @property
    def covariance(self) -> np.ndarray:
        """Of the fluxes (n, n), nJy^2: what they share with each other, the host's light above all, is in it."""
        return np.atleast_2d(np.cov(self.draws.reshape(-1, len(self.times)).T))

    @property
    def limit(self) -> np.ndarray:
        """Upper limit (n,) at 95 %, nJy, where the source is not detected; NaN where it is, or is dark.

        Never under 1.645 sigma, so that noise which happens to be negative makes no limit that the data could not set.
        """
        columns = np.moveaxis(self.draws, -1, 0)
        return np.array([np.nan if np.ptp(c) == 0 or is_detected(c) else upper_flux(c) for c in columns])

    def table(self, probability: float = ONE_SIGMA) -> QTable:
        """A row for each image.

        Returns
        -------
        QTable
            time (days), image, band; flux, error (standard deviation), lower, upper (the ends of the interval, which
            `meta["interval"]` says in words) and limit (95 %, NaN where detected), nJy; mag, mag_lower, mag_upper (AB, NaN
            where undetected or dark), and mag_limit (fainter than this at 95 %).
        """
        lower, upper = interval(self.draws, probability, axis=(0, 1))
        fluxes = {"flux": self.flux, "error": self.error, "lower": lower, "upper": upper, "limit": self.limit}
        table = QTable({"time": self.times * u.day, "image": list(self.images), "band": list(self.bands)})
        for name, values in fluxes.items():
            table[name] = values * u.nJy
        magnitudes = np.array([self._magnitude(i, probability) for i in range(len(self.times))])
        for name, values in zip(("mag", "mag_lower", "mag_upper", "mag_limit"), magnitudes.T, strict=True):
            table[name] = values * u.ABmag
        table.meta = {"source": self.source, "interval": interval_words(probability)}
        show(
            table,
            dict.fromkeys(fluxes, ".5g") | {name: ".4f" for name in table.colnames if name.startswith("mag")},
        )
        return table

    def _magnitude(self, i: int, probability: float) -> tuple[float, float, float, float]:
        """Of an image: the median and the ends of its interval, or a limit."""
        quantity = Quantity("flux", self.draws[..., i], self.source, self.bands[i], self.images[i])
        if np.ptp(quantity.draws) == 0:
            return np.nan, np.nan, np.nan, np.nan
        one = magnitude_estimate(quantity, probability)
        if one.limit is not None:
            return np.nan, np.nan, np.nan, one.limit.value
        return (one.median, *one.interval, np.nan)

    def plot(self, axes: Axes | None = None) -> Figure:
        """Fluxes with their 68.27 % intervals against time, one colour a band.

        Parameters
        ----------
        axes : Axes, optional
            Where to draw.

        Raises
        ------
        ValueError
            For images without a time; names them.
        """
        timeless = [name for name, time in zip(self.images, self.times, strict=True) if np.isnan(time)]
        if timeless:
            raise ValueError(
                f"{self.source!r} cannot be drawn against time: {', '.join(timeless)} have none; give Image(..., "
                "time=days), or MJD-OBS in the headers of their files"
            )
        lower, upper = interval(self.draws, ONE_SIGMA, axis=(0, 1))
        bars = np.maximum([self.flux - lower, upper - self.flux], 0)
        with paper_style():
            if axes is None:
                axes = Figure(figsize=(COLUMN_WIDTH, 2.4), layout="constrained").add_subplot()
            for i, band in enumerate(dict.fromkeys(self.bands)):
                own, ink = np.array(self.bands) == band, PALETTE[i % len(PALETTE)]
                style: dict[str, Any] = {"fmt": "o", "markersize": 3, "capsize": 1.5, "color": ink}
                axes.errorbar(self.times[own], self.flux[own], bars[:, own], label=band, **style)
            axes.axhline(0.0, color="0.6", linewidth=0.7, zorder=0)
            axes.set(xlabel="time [days]", ylabel="flux [nJy]")
            axes.legend(title=self.source)
        return figure_of([axes])

    def __repr__(self) -> str:
        return f"LightCurve of {self.source!r}: {len(self.times)} images in {', '.join(dict.fromkeys(self.bands))}"


def light_curve_of(
    found: Sequence[Quantity],
    source: str,
    band: str | None,
    images: Sequence[Any],
    image_bands: Sequence[str],
) -> LightCurve:
    """The light curve among a posterior's quantities.

    Raises
    ------
    ValueError
        For an unknown band, and a source with one flux a band, which does not vary.
    """
    if band is not None and band not in image_bands:
        raise ValueError(f"no band {band!r}: there are {', '.join(dict.fromkeys(image_bands))}")
    fluxes = [q for q in found if q.parameter == "flux" and q.source == source]
    rows = []
    for image, own in zip(images, image_bands, strict=True):
        alone = list(image_bands).count(own) == 1
        mine = [q for q in fluxes if q.band == own and (q.image == image.name or (alone and not q.image))]
        if not mine:
            raise ValueError(
                f"{source!r} has one flux a band, no light curve: give it a flux an image, as by bj.sample_light_curve"
            )
        if band in (None, own):
            rows.append((np.nan if image.time is None else float(image.time), image.name, own, mine[0].draws))
    rows.sort(key=lambda row: (np.isnan(row[0]), row[0]))
    times, names, bands, draws = zip(*rows, strict=True)
    return LightCurve(source, names, bands, np.array(times), np.stack(draws, axis=-1))
