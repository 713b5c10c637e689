"""Structure that changes with wavelength: smooth in its logarithm, and drawn towards none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.polynomial import legendre

from bayesjoint.data.image_set import ImageSet
from bayesjoint.model.priors import sample_or_given

_JITTER = 1e-6


def sample_trend(
    site: str,
    images: ImageSet,
    wavelengths: Mapping[str, float],
    prior: Any,
    *,
    order: int = 1,
    length: float | None = None,
    width: Any = 0.3,
    additive: bool = False,
):
    """Sample one value of a parameter in each band, by a trend in log wavelength about a value that `prior` is of.

    The logarithm of the value (the value itself where `additive`) departs from that of the pivot by a sum of Legendre
    polynomials of degree 1 to `order` in ln wavelength, from -1 to 1 over the bands, whose coefficients are Normal about 0
    and `width` wide. With `length` it departs by a Gaussian process instead, of width `width` and Matern-3/2 covariance
    with this length in ln wavelength (0: each band on its own, as in a hierarchy). What the images say little of shrinks
    to the pivot.

    Sites: `<site>_pivot` (from `prior`), `<site>_slopes` (order,) or `<site>_whitened` (n_bands,), both standard Normal, and
    `<site>_width` where that is a distribution; `<site>`, (n_bands,), is deterministic.

    Parameters
    ----------
    site : str
        As `"galaxy_n"`: the value goes by this name.
    images : ImageSet
    wavelengths : dict of float
        Of each band, in any unit.
    prior : Distribution or number
        Of the pivot.
    order : int
        0: the same in all bands.
    length : float, optional
        In e-folds of wavelength.
    width : float or Distribution
    additive : bool
        For what may be negative, as a position.

    Returns
    -------
    array (n_bands,)
        For `sample_structure("galaxy", images, n=...)` and its like.

    Raises
    ------
    ValueError
        For bands without a wavelength, wavelengths that are not positive, and orders or lengths that make no sense.

    Examples
    --------
    A Sersic index that rises or falls with wavelength:

    >>> import numpyro.distributions as dist
    >>> def program(images):
    ...     n = sample_trend("galaxy_n", images, {"g": 0.48, "r": 0.62, "z": 0.91}, dist.LogNormal(0.5, 0.8))
    """
    x = _positions(site, images, wavelengths)
    if not (isinstance(order, int) and order >= 0) or (length is not None and not length >= 0):
        raise ValueError(
            f"{site}: order must be a whole number from 0 on, and length from 0 on, got {order!r}, {length!r}"
        )
    pivot = sample_or_given(f"{site}_pivot", prior, images, False)
    width = (
        sample_or_given(f"{site}_width", width, images, False)
        if isinstance(width, dist.Distribution)
        else width
    )
    basis = _polynomials(x, order) if length is None else _process_root(x, length)
    departure = jnp.zeros(len(x))
    if basis.shape[1]:
        name = f"{site}_{'slopes' if length is None else 'whitened'}"
        drawn = numpyro.sample(name, dist.Normal(jnp.zeros(basis.shape[1]), 1.0).to_event(1))
        departure = width * jnp.matmul(jnp.asarray(basis), drawn, precision="highest")
    return numpyro.deterministic(site, pivot + departure if additive else pivot * jnp.exp(departure))


def _positions(site: str, images: ImageSet, wavelengths: Mapping[str, float]) -> np.ndarray:
    """ln wavelength of each band."""
    missing = [band for band in images.bands if band not in wavelengths]
    if missing:
        raise ValueError(
            f"{site}: wavelengths lacks {', '.join(missing)}; it must have all of {', '.join(images.bands)}"
        )
    values = np.array([float(wavelengths[band]) for band in images.bands])
    if not np.all((values > 0) & np.isfinite(values)):
        raise ValueError(f"{site}: wavelengths must be positive numbers, got {dict(wavelengths)}")
    return np.log(values)


def _polynomials(x: np.ndarray, order: int) -> np.ndarray:
    """Legendre polynomials (n, order) of degree 1 and up, x from -1 to 1."""
    span = np.ptp(x)
    scaled = (2 * x - x.min() - x.max()) / (span if span > 0 else 1.0)
    return legendre.legvander(scaled, order)[:, 1:]


def _process_root(x: np.ndarray, length: float) -> np.ndarray:
    """Lower root (n, n) of the correlations of a Matern-3/2 process (Rasmussen & Williams 2006, eq. 4.17)."""
    if length == 0:
        return np.eye(len(x))
    apart = np.sqrt(3) * np.abs(x[:, None] - x) / length
    return np.linalg.cholesky((1 + apart) * np.exp(-apart) + _JITTER * np.eye(len(x)))
