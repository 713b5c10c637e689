"""Surface brightness and colour against radius, as posterior draws: with quantiles, gradients, a table and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes

from bayesjoint.infer.isophotes import brightness_along_ellipses
from bayesjoint.report.checking import latent_draws
from bayesjoint.report.photometry import ONE_SIGMA, colour, interval, interval_words, magnitude
from bayesjoint.report.products import Products
from bayesjoint.report.quantities import UNITS, pick_source
from bayesjoint.report.style import DRAWS_COLOUR, paper_style


@dataclass(frozen=True, eq=False, repr=False)
class RadialProfile:
    """A quantity along ellipses of some semi-major axes, draw by draw. Without the PSF: what the galaxy is, not the image.

    Attributes
    ----------
    name, unit : str
    radii : array (n,)
        Semi-major axes, arcsec.
    draws, slopes : array (chains, draws, n)
        The quantity, and its change with log10 of the radius. Magnitudes and colours are infinite, or NaN, where there is
        no positive brightness.
    """

    name: str
    unit: str
    radii: np.ndarray
    draws: np.ndarray
    slopes: np.ndarray

    @property
    def median(self) -> np.ndarray:
        """Of the draws (n,)."""
        return np.median(self.draws, axis=(0, 1))

    def interval(self, probability: float = ONE_SIGMA) -> tuple[np.ndarray, np.ndarray]:
        """The ends (n,) of the equal-tailed interval at each radius."""
        low, high = interval(self.draws, probability, axis=(0, 1))
        return low, high

    @property
    def gradient(self) -> RadialProfile:
        """The change per dex of radius, d/d(log10 r), at each radius; its own change is not known (NaN)."""
        above, _, below = self.unit.partition(" / ")
        return replace(
            self,
            name=f"d({self.name})/dlog r",
            unit=f"{above} / ({below} dex)" if below else f"{above} / dex",
            draws=self.slopes,
            slopes=np.full_like(self.slopes, np.nan),
        )

    @property
    def magnitudes(self) -> RadialProfile:
        """A surface brightness in AB magnitudes per arcsec^2."""
        if self.unit != UNITS["Ie"]:
            raise ValueError(f"{self.name} is in {self.unit}, no surface brightness: it has no magnitudes")
        slopes = magnitude_slope(self.draws, self.slopes)
        return replace(self, unit="mag / arcsec2", draws=magnitude(self.draws), slopes=slopes)

    def table(self, probability: float = ONE_SIGMA) -> QTable:
        """A row for each radius (arcsec): median, and the ends of the interval that `meta["interval"]` says in words."""
        low, high = self.interval(probability)
        table = QTable({"radius": self.radii * u.arcsec})
        for name, values in {"median": self.median, "lower": low, "upper": high}.items():
            table[name] = values * u.Unit(self.unit)
        table.meta = {"profile": self.name, "interval": interval_words(probability)}
        return table

    def plot(self, ax: Axes | None = None, colour: str = DRAWS_COLOUR, label: str | None = None) -> Axes:
        """Median, 68.27 % and 95 % bands against radius; magnitudes per arcsec^2 have the bright at the top."""
        import matplotlib.pyplot as plt

        with paper_style():
            if ax is None:
                _, ax = plt.subplots(figsize=(3.4, 2.6), constrained_layout=True)
            for probability, alpha in ((0.95, 0.2), (ONE_SIGMA, 0.35)):
                ax.fill_between(
                    self.radii, *self.interval(probability), color=colour, alpha=alpha, linewidth=0
                )
            ax.plot(self.radii, self.median, color=colour, label=label)
            ax.set(xscale="log", xlabel="semi-major axis [arcsec]", ylabel=f"{self.name} [{self.unit}]")
            if self.unit == "mag / arcsec2" and not ax.yaxis_inverted():
                ax.invert_yaxis()
        return ax

    def __repr__(self) -> str:
        low, high = self.interval()
        rows = zip(self.radii, self.median, low, high, strict=True)
        lines = (f"  {r:.3g} arcsec: {m:.4g} +{b - m:.2g} -{m - a:.2g}" for r, m, a, b in rows)
        return "\n".join([f"{self.name}, {self.unit} (median and 68.27 % equal-tailed interval)", *lines])


def magnitude_slope(brightness, by_dex) -> np.ndarray:
    """Change of a magnitude with log10 radius, from that of a brightness; NaN where this is not positive.

    Examples
    --------
    >>> print(f"{magnitude_slope(2.0, 2.0 * np.log(10)):.3f}")  # in proportion to radius
    -2.500
    """
    safe = np.where(np.asarray(brightness) > 0, brightness, np.nan)
    return -2.5 / np.log(10) * by_dex / safe


def surface_brightness(
    posterior: Products, program: Any, more: Sequence[Any], bands: Sequence[str], radii: Any, source: Any
) -> list[RadialProfile]:
    """Profiles in some bands, all on the ellipses of the first source in the first band.

    Raises
    ------
    ValueError
        For radii that are not positive, bands and sources that are not there.
    """
    radii = np.atleast_1d(np.asarray(radii, float))
    if radii.ndim != 1 or not np.all((radii > 0) & np.isfinite(radii)):
        raise ValueError(f"radii must be positive numbers, arcsec, got {radii.tolist()}")
    sources = source if isinstance(source, tuple) else (pick_source(posterior.quantities, source),)
    images = [image_of(posterior, band) for band in bands]
    layout, args, draws = latent_draws(posterior, program, more)
    found = brightness_along_ellipses(program, layout, draws, args, images, sources, radii)
    sizes = posterior.idata.posterior.sizes
    shape = (sizes["chain"], sizes["draw"], len(bands), len(radii))
    light, slope = (part.reshape(shape) for part in found)
    return [
        RadialProfile(
            f"{' + '.join(sources)} {band}", UNITS["Ie"], radii, light[:, :, i], np.log(10) * slope[:, :, i]
        )
        for i, band in enumerate(bands)
    ]


def colour_profile(one: RadialProfile, two: RadialProfile, bands: tuple[str, str]) -> RadialProfile:
    """The colour of two bands' surface brightnesses, draw by draw, with its gradient."""
    slopes = magnitude_slope(one.draws, one.slopes) - magnitude_slope(two.draws, two.slopes)
    return RadialProfile(" - ".join(bands), "mag", one.radii, colour(one.draws, two.draws), slopes)


def image_of(posterior: Products, band: str) -> str:
    """The first image of a band, or that of this name."""
    for name, own in zip(posterior.image_names, posterior.image_bands, strict=True):
        if band in (name, own):
            return name
    raise ValueError(f"no band {band!r} in this posterior: there are {', '.join(posterior.bands)}")
