"""PSFs that are sums of fixed terms: varying over the image, or with a width or a shape that a program samples.

The transfer function of each term is laid out once; what varies is a handful of weights, of the place in the image or of
a program's latents.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.analytic_psf import AnalyticPSF
from bayesjoint.data.psf import PSF
from bayesjoint.data.transfer import PointSpread, pixel_response

SCALE_NODES = 8


class PSFLatents(NamedTuple):
    """What a program may sample of an image's PSF.

    Attributes
    ----------
    seeing : array () or None
        Factor on the FWHM.
    coefficients : array (K,) or None
        Of the eigen-PSFs.
    """

    seeing: Any = None
    coefficients: Any = None


@dataclass(frozen=True)
class PolynomialWeights:
    """Powers x^i y^j, i + j <= order, of the place in the image from `origin` in units of `scale`, pixels."""

    order: int
    origin: tuple[float, float]
    scale: float

    def __call__(self, position, latents: PSFLatents) -> jax.Array:
        x, y = ((position[i] - self.origin[i]) / self.scale for i in (0, 1))
        return jnp.stack([x**i * y**j for i, j in _powers(self.order)])


@dataclass(frozen=True)
class EigenWeights:
    """One, and the coefficients of `count` eigen-PSFs: 0 where the program has none."""

    count: int

    def __call__(self, position, latents: PSFLatents) -> jax.Array:
        if latents.coefficients is None:
            return jnp.zeros(self.count + 1, position.dtype).at[0].set(1.0)
        return jnp.append(jnp.ones(1, position.dtype), latents.coefficients.astype(position.dtype))


@dataclass(frozen=True)
class ScaleWeights:
    """Interpolation, between Chebyshev nodes in its logarithm, of a function of the factor on the FWHM."""

    spread: float

    @property
    def nodes(self) -> np.ndarray:
        """Logarithms of the factors at the nodes."""
        return np.log(self.spread) * np.cos(np.pi * (np.arange(SCALE_NODES) + 0.5) / SCALE_NODES)

    def __call__(self, position, latents: PSFLatents) -> jax.Array:
        factor = jnp.ones((), position.dtype) if latents.seeing is None else latents.seeing
        # held to the range of the terms: beyond, the polynomial would run away
        ln = jnp.clip(jnp.log(factor), -np.log(self.spread), np.log(self.spread)).astype(position.dtype)
        others = [np.delete(self.nodes, j) for j in range(SCALE_NODES)]
        return jnp.stack(
            [
                jnp.prod((ln - rest.astype(ln.dtype)) / (node - rest).astype(ln.dtype))
                for node, rest in zip(self.nodes, others, strict=True)
            ]
        )


class BasisPSF(PointSpread):
    """A sum of terms.

    Attributes
    ----------
    weights : callable (position, latents) -> array (terms,)
        A constant of compiled programs: hashable.
    """

    weights: Any

    def nominal(self, position) -> np.ndarray:
        """The weights at a place (x, y), pixels, for the latents' nominal values."""
        return np.asarray(self.weights(jnp.asarray(position, float), PSFLatents()), float)


class ScalablePSF(BasisPSF):
    """A PSF in closed form whose FWHM, in each image, is a program's to sample: see `Seeing`.

    Parameters
    ----------
    psf : GaussianPSF, MoffatPSF or another in closed form
    spread : float
        The largest factor on its FWHM, and one over the smallest; beyond, the nearest is taken.

    Examples
    --------
    >>> from bayesjoint.data.analytic_psf import gaussian_psf
    >>> ScalablePSF(gaussian_psf(0.8), spread=1.2)
    ScalablePSF(GaussianPSF(fwhm=0.8), spread=1.2)
    """

    weights: Any

    def __init__(self, psf: AnalyticPSF, spread: float = 1.25):
        if not isinstance(psf, AnalyticPSF):
            raise TypeError(
                f"ScalablePSF wants a PSF in closed form, such as bj.moffat_psf(0.8, 3.5), got {type(psf).__name__}"
            )
        if not 1 < spread <= 1.5:
            raise ValueError(f"ScalablePSF: spread must lie in (1, 1.5], got {spread}")
        self.psf, self.spread = psf, float(spread)
        self.weights = ScaleWeights(self.spread)

    def __repr__(self) -> str:
        return f"ScalablePSF({self.psf!r}, spread={self.spread:g})"

    def transfer(self, kx, ky, jacobian) -> np.ndarray:
        """Effective transfer functions of the terms, (terms, ...)."""
        east, north = (jacobian[0, i] * kx + jacobian[1, i] * ky for i in (0, 1))
        k = np.hypot(east, north)
        pixel = pixel_response(kx, ky)
        return np.stack([self.psf.optical(k * np.exp(ln)) * pixel for ln in self.weights.nodes])

    def fwhm_arcsec(self, pixel_scale: float) -> float:
        """FWHM for a factor of 1, before the pixel."""
        return self.psf.fwhm

    def half_width(self, pixel_scale: float) -> float:
        """Of the widest, pixels."""
        return self.psf.half_width(pixel_scale) * self.spread


class StampBasisPSF(BasisPSF):
    """Base of sums of stamps, on the samples of the first term."""

    def __init__(self, first: PSF, stamps: np.ndarray, weights: Callable[..., jax.Array]):
        self.first, self.stamps, self.weights = first, stamps, weights
        self.includes_pixel = first.includes_pixel

    @classmethod
    def of_terms(cls, first: PSF, stamps: np.ndarray, weights: Callable[..., jax.Array]) -> Self:
        """What was made before, from its terms as they were then."""
        found = cls.__new__(cls)
        StampBasisPSF.__init__(found, first, stamps, weights)
        return found

    @property
    def max_order(self) -> float:
        """That of the first term."""
        return self.first.max_order

    @cached_property
    def _terms(self) -> list[PSF]:
        return [self.first._with_stamp(stamp) for stamp in self.stamps]

    def transfer(self, kx, ky, jacobian) -> np.ndarray:
        """Effective transfer functions of the terms, (terms, ...)."""
        return np.stack([term.transfer(kx, ky, jacobian) for term in self._terms])

    def fwhm_arcsec(self, pixel_scale: float) -> float:
        """That of the first term, arcsec."""
        return self.first.fwhm_arcsec(pixel_scale)

    def half_width(self, pixel_scale: float) -> float:
        """That of the stamps, pixels."""
        return self.first.half_width(pixel_scale)


class EigenPSF(StampBasisPSF):
    """A mean stamp and eigen-PSFs whose coefficients, in each image, are a program's to sample: see `PSFCoefficients`.

    Parameters
    ----------
    mean : array (ny, nx)
        As the stamp of `PSF`.
    components : array (K, ny, nx)
        What is added to the mean, normalised to sum 1, for coefficients of 1; what their sum is off from 0 is taken out
        with the mean, so that fluxes stay.
    oversampling, includes_pixel
        As those of `PSF`.

    Examples
    --------
    >>> y, x = np.mgrid[-12:13, -12:13]
    >>> narrow, wide = (np.exp(-(x**2 + y**2) / (2 * s**2)) / (2 * np.pi * s**2) for s in (1.7, 1.9))
    >>> EigenPSF(narrow, [wide - narrow])
    EigenPSF(25x25, 1 component, FWHM 4.02 px)
    """

    def __init__(self, mean, components, oversampling: int = 1, includes_pixel: bool = True):
        first = PSF(mean, oversampling, includes_pixel)
        components = np.array(components, dtype=float)
        if (
            components.ndim != 3
            or components.shape[1:] != first.stamp.shape
            or not np.isfinite(components).all()
        ):
            raise ValueError(
                f"EigenPSF: components must be finite stamps (K, {first.stamp.shape[0]}, {first.stamp.shape[1]}), as the "
                f"mean, got shape {components.shape}"
            )
        components = components - components.sum(axis=(1, 2), keepdims=True) * first.stamp
        super().__init__(first, np.stack([first.stamp, *components]), EigenWeights(len(components)))

    def __repr__(self) -> str:
        ny, nx = self.first.stamp.shape
        count = len(self.stamps) - 1
        return (
            f"EigenPSF({nx}x{ny}, {count} component{'s' * (count > 1)}, FWHM {self.first.fwhm_pixels:.2f} px)"
        )


class VaryingPSF(StampBasisPSF):
    """Stamps at several places of an image, and between them a polynomial in each sample of the stamp.

    Each source has the PSF of its own place.

    Parameters
    ----------
    stamps : array (K, ny, nx)
        Each is normalised to sum 1.
    positions : array (K, 2)
        Where each was measured: (x, y), 0-based pixels of the image.
    order : int
        1 or 2, of the polynomial: with 3 or 6 terms, of which there must be no more than places.
    oversampling, includes_pixel
        As those of `PSF`.

    Raises
    ------
    ValueError
        For places too few, or all on one line.

    Examples
    --------
    >>> y, x = np.mgrid[-12:13, -12:13]
    >>> stamps = [np.exp(-(x**2 + y**2) / (2 * s**2)) for s in (1.7, 1.9, 1.8, 2.0)]
    >>> VaryingPSF([s / s.sum() for s in stamps], [(0, 0), (99, 0), (0, 99), (99, 99)])
    VaryingPSF(25x25 at 4 places, order 1, FWHM 4.31 px)
    """

    def __init__(self, stamps, positions, order: int = 1, oversampling: int = 1, includes_pixel: bool = True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once, of their mean
            each = [PSF(stamp, oversampling, includes_pixel).stamp for stamp in stamps]
        if len(shapes := {stamp.shape for stamp in each}) != 1:
            raise ValueError(
                f"VaryingPSF: stamps must be one or more of one shape, got {len(each)} of shapes {sorted(shapes)}: cut "
                "them to the smallest"
            )
        each = np.stack(each)
        positions = np.array(positions, dtype=float)
        if order not in (1, 2) or positions.shape != (len(each), 2):
            raise ValueError(
                f"VaryingPSF wants order 1 or 2 and one (x, y) for each of {len(each)} stamps, got order {order!r} and "
                f"positions of shape {positions.shape}"
            )
        low, high = positions.min(axis=0), positions.max(axis=0)
        origin, scale = (low + high) / 2, max(float(np.max(high - low)) / 2, 1.0)
        weights = PolynomialWeights(order, (float(origin[0]), float(origin[1])), scale)
        u = (positions - origin) / scale
        design = np.stack([u[:, 0] ** i * u[:, 1] ** j for i, j in _powers(order)], axis=1)
        if np.linalg.matrix_rank(design) < design.shape[1]:
            raise ValueError(
                f"VaryingPSF: {len(each)} places cannot tell the {design.shape[1]} terms of order {order}: give more of "
                "them, not on one line, or a lower order"
            )
        terms = np.tensordot(np.linalg.pinv(design), each, axes=1)
        super().__init__(PSF(each.mean(axis=0), oversampling, includes_pixel), terms, weights)
        self.places = len(each)

    def __repr__(self) -> str:
        ny, nx = self.first.stamp.shape
        return (
            f"VaryingPSF({nx}x{ny} at {self.places} places, order {self.weights.order}, "  # type: ignore[attr-defined]
            f"FWHM {self.first.fwhm_pixels:.2f} px)"
        )


def _powers(order: int) -> list[tuple[int, int]]:
    return [(total - j, j) for total in range(order + 1) for j in range(total + 1)]
