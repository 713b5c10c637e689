"""Photometry on posterior draws: magnitudes, colours, limits, and statistics of angles.

Pure functions of arrays. A flux that is consistent with zero is a result: its magnitude is a limit, and
colours with it are limits too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesjoint.units import AB_ZEROPOINT_NJY

ONE_SIGMA = 0.6827
LIMIT_PROBABILITY = 0.95
ONE_SIDED_95 = 1.6449
DETECTION_SNR = 3.0
LARGEST_SHARE_BELOW_ZERO = 0.01

Direction = Literal[">", "<", "undetermined"]


@dataclass(frozen=True)
class Limit:
    """A bound in place of a value.

    Attributes
    ----------
    direction : {">", "<", "undetermined"}
        Whether the quantity lies above (a magnitude: is fainter) or below `value`.
    value : float
        NaN when undetermined.
    probability : float
        Of lying on that side.
    why : str
        In words.
    """

    direction: Direction
    value: float
    probability: float
    why: str

    def __str__(self) -> str:
        if self.direction == "undetermined":
            return f"undetermined ({self.why})"
        return f"{self.direction} {self.value:.2f} at {100 * self.probability:.0f} % ({self.why})"


def magnitude(flux):
    """AB magnitude of a flux in nJy (any shape); faint beyond measure (inf) for a flux of zero or less.

    Examples
    --------
    >>> print(f"{magnitude(1000.0):.2f} {magnitude(-1.0)}")
    23.90 inf
    """
    flux = np.asarray(flux, dtype=float)
    positive = flux > 0
    return np.where(positive, AB_ZEROPOINT_NJY - 2.5 * np.log10(np.where(positive, flux, 1.0)), np.inf)[()]


def colour(flux_1, flux_2):
    """Magnitude in band 1 minus magnitude in band 2, draw by draw, from fluxes of any one unit and shape.

    It is inf where only band 1 has no positive flux, -inf where only band 2 has none, NaN where both.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(magnitude(flux_1) - magnitude(flux_2))[()]


def interval(draws, probability: float = ONE_SIGMA, axis=None) -> tuple:
    """Equal-tailed interval that holds `probability` of the draws: its lower and upper ends.

    Examples
    --------
    >>> low, high = interval(np.linspace(0, 1, 1001), 0.9)
    >>> print(f"{low:.2f} {high:.2f}")
    0.05 0.95
    """
    if not 0 < probability < 1:
        raise ValueError(f"a probability between 0 and 1 is wanted for an interval, got {probability!r}")
    tail = (1 - probability) / 2
    lower, upper = _quantiles(draws, [tail, 1 - tail], axis)
    return lower, upper


def _quantiles(draws, levels, axis=None) -> np.ndarray:
    """Quantiles of draws that may be infinite: no interpolation between a number and infinity."""
    draws = np.asarray(draws, dtype=float)
    finite = np.isfinite(draws).all()
    return np.quantile(draws, levels, axis=axis, method="linear" if finite else "nearest")


def interval_words(probability: float = ONE_SIGMA) -> str:
    """How an interval is stated, e.g. '68.27 % equal-tailed'."""
    return f"{100 * probability:.4g} % equal-tailed"


def signal_to_noise(flux) -> float:
    """Posterior median over standard deviation of a flux: inf for one that does not vary, 0 for one that is 0."""
    flux = np.asarray(flux, dtype=float)
    spread, middle = np.std(flux), np.median(flux)
    return float(middle / spread) if spread > 0 else float(middle and np.sign(middle) * np.inf)


def is_detected(flux) -> bool:
    """Whether draws of a flux stand for a detection: signal to noise over 3, under 1 % at zero or less."""
    below = float(np.mean(np.asarray(flux) <= 0))
    return signal_to_noise(flux) >= DETECTION_SNR and below < LARGEST_SHARE_BELOW_ZERO


def upper_flux(flux, probability: float = LIMIT_PROBABILITY) -> float:
    """Upper limit of an undetected flux, nJy: the draws' quantile, but never under 1.645 sigma.

    The floor keeps a downward fluctuation of the noise (a posterior mostly below zero) from making a limit
    that the data could not have set.
    """
    flux = np.asarray(flux, dtype=float)
    return float(max(np.quantile(flux, probability), ONE_SIDED_95 * np.std(flux)))


def magnitude_limit(flux) -> Limit | None:
    """The faint limit of a band's magnitude: none where it is detected, undetermined where the band is dark."""
    if is_detected(flux):
        return None
    if not np.any(flux):
        return Limit("undetermined", np.nan, LIMIT_PROBABILITY, "dark: the flux is 0 in all draws")
    why = f"not detected: flux at {signal_to_noise(flux):.1f} sigma"
    return Limit(">", float(magnitude(upper_flux(flux))), LIMIT_PROBABILITY, why)


def colour_limit(
    flux_1, flux_2, bands: tuple[str, str] = ("the first band", "the second band")
) -> Limit | None:
    """The limit of the colour band 1 - band 2, or None where both are detected.

    With band 1 undetected the colour is redder than the limit; with band 2 undetected, bluer; with both, or with a
    band that is dark, it is undetermined.
    """
    seen_1, seen_2 = is_detected(flux_1), is_detected(flux_2)
    if seen_1 and seen_2:
        return None
    dark = [band for band, flux in zip(bands, (flux_1, flux_2), strict=True) if not np.any(flux)]
    if dark or not (seen_1 or seen_2):
        why = f"{dark[0]} is dark" if dark else f"neither {bands[0]} nor {bands[1]} is detected"
        return Limit("undetermined", np.nan, LIMIT_PROBABILITY, why)
    faint, bright, sign = (flux_2, flux_1, -1.0) if seen_1 else (flux_1, flux_2, 1.0)
    draws = colour(faint, bright)
    draws = draws[~np.isnan(draws)]  # where neither has a positive flux
    floor = float(magnitude(ONE_SIDED_95 * np.std(faint)) - magnitude(np.median(bright)))
    value = min(float(_quantiles(draws, 1 - LIMIT_PROBABILITY)), floor)
    return Limit(
        "<" if seen_1 else ">",
        sign * value,
        LIMIT_PROBABILITY,
        f"{bands[1 if seen_1 else 0]} is not detected",
    )


def axial_mean(angles, period: float = 180.0) -> float:
    """Mean of angles of a given period (degrees), in [0, period).

    Examples
    --------
    >>> print(f"{axial_mean([179.0, 3.0]):.1f}")
    1.0
    """
    phase = np.asarray(angles, dtype=float) * (2 * np.pi / period)
    mean = np.arctan2(np.mean(np.sin(phase)), np.mean(np.cos(phase)))
    return float(np.mod(mean * period / (2 * np.pi), period))


def axial_concentration(angles, period: float = 180.0) -> float:
    """How tightly angles cluster, from 0 (spread evenly over the period) to 1 (all alike)."""
    phase = np.asarray(angles, dtype=float) * (2 * np.pi / period)
    return float(np.hypot(np.mean(np.sin(phase)), np.mean(np.cos(phase))))


def unwrap_axial(angles, period: float = 180.0) -> np.ndarray:
    """Angles shifted by whole periods to lie within half a period of their mean, median in [0, period).

    Draws of 179 and 1 degrees become 179 and 181, or -1 and 1: medians, intervals and histograms then mean
    something. The ends of an interval may run past 0 or `period`.
    """
    angles = np.asarray(angles, dtype=float)
    mean = axial_mean(angles, period)
    near = mean + np.mod(angles - mean + period / 2, period) - period / 2
    return near - period * np.floor(np.median(near) / period)
