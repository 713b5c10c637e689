"""Sources that vary: a flux in each image, free or a Gaussian process in time."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayesjoint.data.image_set import ImageSet
from bayesjoint.model.priors import sample_or_given

_JITTER = 1e-6  # of a correlation matrix's diagonal, which it makes positive


def sample_light_curve(
    name: str, images: ImageSet, *, before: float | None = None, scale: Any = None, timescale: Any = None
):
    """Sample the flux of a source in each image, nJy: for a `PointSource` (or any amplitude) that varies in time.

    Without `timescale` each image's flux is free: the site `<name>_total`, in the plate "image", is Normal about 0, as wide
    as `scale`. With it the fluxes of each band are a Gaussian process in time of that width, whose Matern-3/2 covariance
    falls with |dt| / timescale (Rasmussen & Williams 2006, eq. 4.17); the site then is `<name>_whitened`, standard Normal.
    A light curve that is a function of time needs no more than `images.times`.

    Parameters
    ----------
    name : str
    images : ImageSet
        Each with its `time`, days.
    before : float, optional
        Time before which the source is dark: images of earlier times have a flux of 0, and show its host alone.
    scale : number, array (n_images,) or Distribution, optional
        Width of the prior, nJy; by default the flux found in the image's band, and what noise could hide.
    timescale : number or Distribution, optional
        Days; of one scalar.

    Returns
    -------
    array (n_images,)

    Raises
    ------
    ValueError
        For images without a time, where one is needed.

    Examples
    --------
    In programs: a flux of its own in each image, dark before it appeared; a Gaussian process of unknown timescale; and any
    function of time, with latents of its own, which needs none of this::

        flux = bj.sample_light_curve("supernova", images, before=58000.0)
        flux = bj.sample_light_curve("nucleus", images, timescale=dist.LogNormal(3.0, 0.5))
        flux = peak[np.array(images.band_index)] * jnp.exp(-((images.times - middle) / width) ** 2)
    """
    needed = before is not None or timescale is not None
    times = images.times if needed else jnp.zeros(len(images))
    band = np.array(images.band_index)
    if scale is None:
        start = images.start
        scale = (jnp.abs(start.flux) + 5 * start.flux_error)[band]
    scale = sample_or_given(f"{name}_scale", scale, images, False) if _is_prior(scale) else jnp.asarray(scale)
    lit = 1.0 if before is None else jnp.where(times >= before, 1.0, 0.0)
    if timescale is None:
        with numpyro.plate("image", len(images)):
            flux = numpyro.sample(f"{name}_total", dist.Normal(0.0, scale))
        return lit * flux
    days = (
        sample_or_given(f"{name}_timescale", timescale, images, False) if _is_prior(timescale) else timescale
    )
    with numpyro.plate("image", len(images)):
        whitened = numpyro.sample(f"{name}_whitened", dist.Normal(0.0, 1.0))
    apart = jnp.sqrt(3.0) * jnp.abs(times[:, None] - times[None]) / days
    related = jnp.where(band[:, None] == band[None], (1 + apart) * jnp.exp(-apart), 0.0)
    root = jnp.linalg.cholesky(related + _JITTER * jnp.eye(len(images), dtype=related.dtype))
    return lit * scale * jnp.matmul(root, whitened, precision="highest")


def _is_prior(value: Any) -> bool:
    return isinstance(value, dist.Distribution)
