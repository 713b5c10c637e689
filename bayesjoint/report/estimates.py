"""Numbers with error bars: what `colour`, `magnitude` and `flux` of a posterior return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesjoint.report.photometry import ONE_SIGMA, Limit, interval, interval_words, signal_to_noise


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """One quantity, as its posterior draws.

    Attributes
    ----------
    name : str
    unit : str
    draws : array (chains, draws)
        Infinite where a magnitude's flux is zero or less; NaN where that is so of both fluxes of a colour, which median and
        interval leave out.
    probability : float
        That the equal-tailed interval (lower, upper) holds.
    limit : Limit or None
        Where the quantity is bounded only: then median, mean, sd and draws are not to be quoted.

    Examples
    --------
    >>> draws = 2.413 + 0.021 * np.random.default_rng(0).normal(size=(4, 50000))
    >>> Estimate("NUV - r", "mag", draws)
    NUV - r = 2.413 +0.021 -0.021 mag (median and 68.27 % equal-tailed interval)
    """

    name: str
    unit: str
    draws: np.ndarray
    probability: float = ONE_SIGMA
    limit: Limit | None = None

    @property
    def median(self) -> float:
        """Median of the draws."""
        return float(np.median(self._told))

    @property
    def mean(self) -> float:
        """Mean of the finite draws."""
        return float(np.mean(self._finite)) if self._finite.size else np.nan

    @property
    def sd(self) -> float:
        """Standard deviation of the finite draws."""
        return float(np.std(self._finite)) if self._finite.size else np.nan

    @property
    def lower(self) -> float:
        """Lower end of the interval."""
        return self.interval[0]

    @property
    def upper(self) -> float:
        """Upper end of the interval."""
        return self.interval[1]

    @property
    def interval(self) -> tuple[float, float]:
        """Equal-tailed interval of the stated probability; where there is a limit, from there to infinity."""
        if self.limit is None:
            lower, upper = interval(self._told, self.probability)
            return float(lower), float(upper)
        bounds = {">": (self.limit.value, np.inf), "<": (-np.inf, self.limit.value)}
        return bounds.get(self.limit.direction, (-np.inf, np.inf))

    @property
    def covariance(self) -> np.ndarray:
        """Variance of the draws as a matrix (1, 1)."""
        return np.array([[self.sd**2]])

    @property
    def _told(self) -> np.ndarray:
        """The draws that are numbers; all where none is."""
        told = self.draws[~np.isnan(self.draws)]
        return told if told.size else self.draws

    @property
    def _finite(self) -> np.ndarray:
        return self.draws[np.isfinite(self.draws)]

    def __repr__(self) -> str:
        if self.limit is not None:
            if self.limit.direction == "undetermined":
                return f"{self.name}: {self.limit}"
            value = f"{self.name} {self.limit.direction} {self.limit.value:.2f} {self.unit}"
            return f"{value} at {100 * self.limit.probability:.0f} % ({self.limit.why})"
        median, above, below = rounded(self.median, self.upper - self.median, self.median - self.lower)
        unit = f" {self.unit}" if self.unit else ""
        words = interval_words(self.probability)
        return f"{self.name} = {median} +{above} -{below}{unit} (median and {words} interval)"


@dataclass(frozen=True, eq=False, repr=False)
class FluxEstimate:
    """Total fluxes of one source in several bands, with their full covariance.

    Attributes
    ----------
    source : str
    bands : tuple of str
        In the order of the last axis of `draws`; names of images where each has its own flux.
    draws : array (chains, draws, bands)
        nJy.
    probability : float
        That each band's equal-tailed interval holds.
    """

    source: str
    bands: tuple[str, ...]
    draws: np.ndarray
    probability: float = ONE_SIGMA
    unit: str = "nJy"

    def __getitem__(self, band: str) -> Estimate:
        """The flux of one band."""
        if band not in self.bands:
            raise ValueError(f"no flux of band {band!r}: there are {', '.join(self.bands)}")
        draws = self.draws[..., self.bands.index(band)]
        return Estimate(f"{self.source} flux in {band}", self.unit, draws, self.probability)

    @property
    def median(self) -> np.ndarray:
        """Medians (bands,), nJy."""
        return np.median(self.draws, axis=(0, 1))

    @property
    def mean(self) -> np.ndarray:
        """Means (bands,), nJy."""
        return np.mean(self.draws, axis=(0, 1))

    @property
    def sd(self) -> np.ndarray:
        """Standard deviations (bands,), nJy."""
        return np.std(self.draws, axis=(0, 1))

    @property
    def signal_to_noise(self) -> np.ndarray:
        """Median over standard deviation (bands,)."""
        return np.array([signal_to_noise(self.draws[..., i]) for i in range(len(self.bands))])

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Equal-tailed interval of each band: lower ends (bands,), upper ends (bands,)."""
        lower, upper = interval(self.draws, self.probability, axis=(0, 1))
        return lower, upper

    @property
    def lower(self) -> np.ndarray:
        """Lower ends (bands,)."""
        return self.interval[0]

    @property
    def upper(self) -> np.ndarray:
        """Upper ends (bands,)."""
        return self.interval[1]

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the fluxes (bands, bands), nJy^2: shared structure correlates them."""
        return np.atleast_2d(np.cov(self.draws.reshape(-1, len(self.bands)), rowvar=False, ddof=0))

    @property
    def correlation(self) -> np.ndarray:
        """Correlation matrix (bands, bands)."""
        sd = np.where(self.sd > 0, self.sd, 1.0)
        return self.covariance / np.outer(sd, sd)

    def __repr__(self) -> str:
        lines = []
        for band in self.bands:
            one = self[band]
            median, above, below = rounded(one.median, one.upper - one.median, one.median - one.lower)
            lines.append(f"  {band}: {median} +{above} -{below}")
        words = interval_words(self.probability)
        return "\n".join([f"{self.source} total flux, {self.unit} (median and {words} interval)", *lines])


def rounded(value: float, above: float, below: float, most: int = 6) -> tuple[str, str, str]:
    """A value and its errors as text, rounded so that the smaller error has two digits.

    Examples
    --------
    >>> rounded(2.41331, 0.0212, 0.0199)
    ('2.413', '0.021', '0.020')
    >>> rounded(15234.2, 310.0, 290.0)
    ('15230', '310', '290')
    """
    errors = [e for e in (above, below) if np.isfinite(e) and e > 0]
    scale = min(errors) if errors else (abs(value) * 1e-3 if value else 1.0)
    digits = int(min(1 - np.floor(np.log10(scale)), most)) if np.isfinite(scale) else 2
    decimals = max(digits, 0)
    value_text, above_text, below_text = (
        f"{np.round(x, digits):.{decimals}f}" for x in (value, above, below)
    )
    return (
        value_text.replace("-0." + "0" * decimals, "0." + "0" * decimals)
        if float(value_text) == 0
        else value_text,
        above_text,
        below_text,
    )
