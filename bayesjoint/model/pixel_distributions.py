"""The distributions of an image's pixels about its model: Gaussian, under other noise, and correlated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayesjoint.data.whitening import Whitening, chi_squared, draw_correlated, whiten
from bayesjoint.light.noise import Noise
from bayesjoint.light.noise_density import draw_pixels, form_of, log_density, variance_of


class GaussianPixels(dist.Distribution):
    """Independent Gaussian noise of known inverse variance on every pixel of an image.

    Pixels of zero inverse variance carry no weight. An event is an image: unlike a masked `Normal`, the logarithms of
    the variances are summed once, when the image is read, not at every evaluation.

    Parameters
    ----------
    loc : array (..., ny, nx)
        Model pixels.
    invvar : array (..., ny, nx)
        Inverse variance.
    log_normaliser : array (...)
        Sum over the weighted pixels of 0.5 ln(invvar / 2 pi).

    Examples
    --------
    >>> noise = GaussianPixels(jnp.zeros((2, 2)), jnp.array([[1.0, 1.0], [1.0, 0.0]]), 3 * 0.5 * jnp.log(1 / (2 * jnp.pi)))
    >>> one = dist.Normal(0.0, 1.0)
    >>> pixels = jnp.array([[1.0, 2.0], [0.5, 99.0]])
    >>> print(f"{noise.log_prob(pixels):.4f} {one.log_prob(pixels.ravel()[:3]).sum():.4f}")
    -5.3818 -5.3818
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.independent(constraints.real, 2),
        "invvar": constraints.independent(constraints.nonnegative, 2),
        "log_normaliser": constraints.real,
    }
    support: Any = constraints.independent(constraints.real, 2)  # pyright: ignore[reportIncompatibleMethodOverride]

    def __init__(self, loc, invvar, log_normaliser, *, validate_args=None):
        self.loc, self.invvar, self.log_normaliser = loc, invvar, log_normaliser
        super().__init__(jnp.shape(loc)[:-2], jnp.shape(loc)[-2:], validate_args=validate_args)

    @property
    def mean(self):
        """Model pixels."""
        return self.loc

    def whiten(self, departure):
        """Departures from the mean (..., ny, nx), nJy, as numbers that scatter independently by 1."""
        return jnp.sqrt(self.invvar) * departure

    def sample(self, key: Any, sample_shape=()):
        """Simulated pixels; those without weight are noiseless."""
        noise = jax.random.normal(key, (*sample_shape, *self.batch_shape, *self.event_shape))
        weighted = self.invvar > 0
        sigma = jnp.where(weighted, 1 / jnp.sqrt(jnp.where(weighted, self.invvar, 1.0)), 0.0)
        return self.loc + sigma * noise

    def log_prob(self, value, intermediates=None):
        """Log density (...) of images (..., ny, nx)."""
        squares = self.invvar * (value - self.loc) ** 2
        # rows by a matrix-vector product, far quicker than a reduction
        rows = jnp.matmul(squares, jnp.ones(squares.shape[-1], squares.dtype), precision="highest")
        return self.log_normaliser - 0.5 * jnp.sum(rows, axis=-1)

    def pixel_log_prob(self, value):
        """Log density of each pixel (..., ny, nx); 0 where it carries no weight. They add up to `log_prob`."""
        return log_density((), value, self.loc, self.invvar)

    def deviations(self, value):
        """How far pixels (..., ny, nx) are off the model, in sigma; 0 where they carry no weight."""
        return jnp.sqrt(self.invvar) * (value - self.loc)


class NoisyPixels(GaussianPixels):
    """Independent pixels of an image under `noise`; their `loc` and `invvar` are those of `GaussianPixels`.

    Parameters
    ----------
    loc, invvar : array (..., ny, nx)
    log_normaliser : array (...)
        Added to the log density.
    noise : tuple of Noise
        In the order of `noise_among`; each parameter scalar, or (...).
    """

    pytree_data_fields = ("noise",)

    def __init__(self, loc, invvar, log_normaliser, noise: tuple[Noise, ...], *, validate_args=None):
        self.noise = noise
        super().__init__(loc, invvar, log_normaliser, validate_args=validate_args)

    @property
    def _noise_of_pixels(self) -> tuple[Noise, ...]:
        return jax.tree.map(lambda p: jnp.reshape(p, (*jnp.shape(p), 1, 1)), self.noise)

    def sample(self, key: Any, sample_shape=()):
        """Simulated pixels; those without weight are noiseless."""
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        return draw_pixels(self._noise_of_pixels, key, self.loc, self.invvar, shape)

    def log_prob(self, value, intermediates=None):
        """Log density (...) of images (..., ny, nx)."""
        return self.log_normaliser + jnp.sum(self.pixel_log_prob(value), axis=(-2, -1))

    def pixel_log_prob(self, value):
        """Log density of each pixel (..., ny, nx); 0 where it carries no weight."""
        return log_density(self._noise_of_pixels, value, self.loc, self.invvar)

    def deviations(self, value):
        """In sigma; of heavy tails in those of a Gaussian deviation that is as improbable relative to none."""
        noise, weighted = self._noise_of_pixels, self.invvar > 0
        u = (value - self.loc) / jnp.sqrt(jnp.maximum(variance_of(noise, self.loc, self.invvar), 1e-300))
        form = form_of(noise)
        if form.is_form:
            cost = form.log_density(jnp.zeros_like(u)) - form.log_density(u)
            u = jnp.sign(u) * jnp.sqrt(2 * jnp.maximum(cost, 0.0))
        return jnp.where(weighted, u, 0.0)


class CorrelatedPixels(GaussianPixels):
    """Pixels of an image whose Gaussian noise correlates, by `data.whitening`; `factor` times as wide as invvar says.

    Parameters
    ----------
    loc, invvar : array (..., ny, nx)
    log_normaliser : array (...)
        As of `GaussianPixels`, with the determinant of the correlation in it.
    whitening : Whitening
    factor : array (...)
    """

    arg_constraints = GaussianPixels.arg_constraints | {"factor": constraints.positive}
    pytree_data_fields = ("whitening", "factor")

    def __init__(self, loc, invvar, log_normaliser, whitening: Whitening, factor=1.0, *, validate_args=None):
        self.whitening, self.factor = whitening, jnp.asarray(factor, jnp.result_type(loc))
        super().__init__(loc, invvar, log_normaliser, validate_args=validate_args)

    def whiten(self, departure):
        """Departures from the mean (..., ny, nx), nJy, as numbers that scatter independently by 1, were `factor` 1."""
        return whiten(self.whitening, self.invvar, departure)

    def deviations(self, value):
        """How far pixels are off the mean, whitened: numbers that scatter independently by 1."""
        return self.whiten(value - self.loc) / self.factor[..., None, None]

    def sample(self, key: Any, sample_shape=()):
        """Simulated pixels; those without weight are noiseless."""
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        weighted = self.invvar > 0
        sigma = jnp.where(weighted, 1 / jnp.sqrt(jnp.where(weighted, self.invvar, 1.0)), 0.0)
        noise = draw_correlated(key, self.whitening, shape, jnp.result_type(self.loc))
        return self.loc + sigma * self.factor[..., None, None] * noise

    def log_prob(self, value, intermediates=None):
        """Log density (...) of images (..., ny, nx)."""
        chi2 = chi_squared(self.whitening, self.invvar, value - self.loc)
        used = jnp.sum(self.invvar > 0, axis=(-2, -1), dtype=self.factor.dtype)
        return self.log_normaliser - used * jnp.log(self.factor) - 0.5 * chi2 / self.factor**2
