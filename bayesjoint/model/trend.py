"""Structure that changes with wavelength: a value in each band about a shared one, and drawn towards it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.polynomial import legendre
from numpyro.distributions import biject_to, constraints
from scipy.interpolate import CubicSpline

from bayesjoint.data.image_set import ImageSet

_JITTER = 1e-6


@dataclass(frozen=True)
class Trend:
    """How a parameter changes from band to band, for `sample_structure(..., per_band={"n": trend})`.

    A band's value departs from that of the pivot, which has the parameter's prior, by `width` times a sum of functions of
    the wavelength with standard Normal coefficients: what the images say little of shrinks to the pivot. Departures are
    in the logarithm of what is positive (Re) and the logit of what has two ends (n, q), so that values stay in their range;
    of anything else (ellipticity, centre) in standard deviations of its prior. The functions of ln wavelength are

    - Legendre polynomials of degree 1 to `order`, from -1 to 1 over the wavelengths given (0: no change);
    - or a natural cubic spline through free values at `knots`, straight beyond the outer ones;
    - or a Gaussian process of Matern-3/2 covariance with this `length` (Rasmussen & Williams 2006, eq. 4.17);
    - or, without wavelengths, nothing smooth: each band departs on its own, as in a hierarchy.

    Parameters
    ----------
    wavelengths : dict of float, optional
        Of each band, in any unit. It may have more bands than the images: what they would have is then known, too.
    order : int, optional
        1 where nothing else is given.
    knots : int or sequence of float, optional
        How many, evenly spaced in ln wavelength; or at which wavelengths.
    length : float, optional
        In e-folds of wavelength.
    width : float or Distribution
        How far bands depart; a distribution is sampled, so that the images tell.
    centred : bool
        Of a sampled width: draw departures as they are, not over their width. The posterior is the same; it is sampled with
        ease where images measure departures far better than how wide they may be, as of bright galaxies, and with pain where
        they hardly measure them, which is better left as it is (Betancourt & Girolami 2015).

    Raises
    ------
    ValueError
        For wavelengths that are not positive, fewer of them than there is to learn, and options that do not go together.

    Examples
    --------
    >>> wavelengths = {"g": 0.48, "r": 0.62, "z": 0.91}
    >>> Trend(wavelengths, order=1).basis("galaxy_n", ("g", "z"))
    array([[-1.],
           [ 1.]])
    """

    wavelengths: Any = None
    order: int | None = None
    knots: Any = None
    length: float | None = None
    width: Any = 0.3
    centred: bool = False

    def __post_init__(self):
        given = [name for name in ("order", "knots", "length") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"a trend is of one form: give one of order, knots, length, got {', '.join(given)}"
            )
        if self.wavelengths is None and given:
            raise ValueError(
                f"a trend with {given[0]}= wants wavelengths: give those of all bands, as a dict"
            )
        if self.wavelengths is not None:
            object.__setattr__(self, "wavelengths", _checked_wavelengths(self.wavelengths))
            if not given:
                object.__setattr__(self, "order", 1)
        if isinstance(self.knots, Sequence | np.ndarray):
            object.__setattr__(self, "knots", tuple(float(knot) for knot in self.knots))
        self._check_form()

    def _check_form(self) -> None:
        count = 0 if self.wavelengths is None else len(self.wavelengths)
        if self.order is not None:
            _check_count("order", self.order, 0, count - 1, count)
        if isinstance(self.knots, tuple):
            _check_count("number of knots", len(self.knots), 2, count, count)
            if not (min(self.knots) > 0 and np.all(np.diff(self.knots) > 0)):
                raise ValueError(f"knots are wavelengths in ascending order, got {list(self.knots)}")
        elif self.knots is not None:
            _check_count("number of knots", self.knots, 2, count, count)
        if self.length is not None and not (np.isfinite(self.length) and self.length > 0):
            raise ValueError(
                f"length is a positive number of e-folds of wavelength, got {self.length!r}; without wavelengths each "
                "band departs on its own"
            )
        if not isinstance(self.width, dist.Distribution) and not self.width > 0:
            raise ValueError(f"width must be a positive number or a distribution, got {self.width!r}")

    def basis(self, site: str, bands: Sequence[str]) -> np.ndarray:
        """The functions of which a departure is the sum: their values in each band, (n_bands, coefficients)."""
        if self.wavelengths is None:
            return np.eye(len(bands))
        known = [band for band, _ in self.wavelengths]
        missing = [band for band in bands if band not in known]
        if missing:
            raise ValueError(
                f"{site}: the trend has no wavelength of {', '.join(missing)}, it has those of {', '.join(known)}: "
                "give it one of each band, Trend(wavelengths={...})"
            )
        return self._functions(np.log([value for _, value in self.wavelengths]))[
            [known.index(b) for b in bands]
        ]

    def _functions(self, x: np.ndarray) -> np.ndarray:
        """At all ln wavelengths (n,): (n, coefficients)."""
        if self.length is not None:
            apart = np.sqrt(3) * np.abs(x[:, None] - x) / self.length
            return np.linalg.cholesky((1 + apart) * np.exp(-apart) + _JITTER * np.eye(len(x)))
        if self.knots is not None:
            own = isinstance(self.knots, tuple)
            knots = np.log(self.knots) if own else np.linspace(x.min(), x.max(), self.knots)
            spline = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
            inside = np.clip(x, knots[0], knots[-1])
            return spline(inside) + (x - inside)[:, None] * spline(inside, 1)
        span = np.ptp(x)
        scaled = (2 * x - x.min() - x.max()) / (span if span > 0 else 1.0)
        return legendre.legvander(scaled, self.order or 0)[:, 1:]


def sample_trend(site: str, images: ImageSet, trend: Trend, prior: Any, start: Any = None):
    """Sample one value of a parameter in each band, by a trend about a value that `prior` is of.

    What `sample_structure(..., per_band={...: trend})` does for each parameter, for others. Sites:
    `<site>_pivot` (from `prior`), `<site>_departures` (coefficients, *event), standard Normal (times the width, where the
    trend is centred), and `<site>_width` where that is a distribution; `<site>`, (n_bands, *event), is deterministic.

    Parameters
    ----------
    site : str
        As `"galaxy_n"`: the value goes by this name.
    images : ImageSet
    trend : Trend
    prior : Distribution
        Of the pivot. The values of all bands lie in its support.
    start : array, optional
        Of the pivot, where fits start.

    Returns
    -------
    array (n_bands, *event)

    Raises
    ------
    ValueError
        For bands without a wavelength, and a prior that is no distribution.

    Examples
    --------
    A truncation radius that may rise or fall with wavelength:

    >>> def program(images):
    ...     trend = Trend({"g": 0.48, "r": 0.62, "z": 0.91})
    ...     radius = sample_trend("disc_end", images, trend, dist.LogNormal(2.0, 0.5))
    """
    if not isinstance(prior, dist.Distribution):
        raise ValueError(
            f"{site}: a trend is about a value that has a prior, got {prior!r}: give a distribution, or no trend"
        )
    basis = jnp.asarray(trend.basis(site, images.bands))
    pivot = numpyro.sample(f"{site}_pivot", prior, infer={} if start is None else {"start": start})
    event, transform = jnp.shape(pivot), biject_to(prior.support)
    middle = jnp.broadcast_to(transform.inv(pivot), (len(images.bands), *event))
    if basis.shape[1]:
        width = trend.width
        if isinstance(width, dist.Distribution):
            width = numpyro.sample(f"{site}_width", width)
        within, beyond = (width, 1.0) if trend.centred else (1.0, width)
        coefficients = dist.Normal(jnp.zeros((basis.shape[1], *event)), within).to_event(1 + len(event))
        drawn = numpyro.sample(f"{site}_departures", coefficients)
        middle += beyond * _unit_of(prior) * jnp.tensordot(basis, drawn, 1, precision="highest")
    return numpyro.deterministic(site, transform(middle))


def _unit_of(prior: dist.Distribution) -> Any:
    """Of departures: the standard deviation of a prior of any real number; 1 of a logarithm or logit."""
    support: Any = prior.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return jnp.sqrt(prior.variance) if support is constraints.real else 1.0


def _checked_wavelengths(given: Any) -> tuple[tuple[str, float], ...]:
    pairs = tuple((str(b), float(w)) for b, w in (given.items() if isinstance(given, Mapping) else given))
    if not pairs or not all(np.isfinite(w) and w > 0 for _, w in pairs):
        raise ValueError(f"wavelengths must be a positive number for each band, got {dict(pairs)}")
    return pairs


def _check_count(name: str, value: Any, least: int, most: int, wavelengths: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number from {least} on, got {value!r}")
    if value > most:
        raise ValueError(
            f"a trend over {wavelengths} wavelengths can have {name} up to {most}, got {value}: give fewer, or more bands"
        )
