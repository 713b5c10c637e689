"""Model pixels of one image, exactly, by Fourier transform.

The effective PSF contains the pixel, so the model's pixels are samples of `light * PSF`, whose Fourier transform is
known in closed form: `flux f(k) exp(-i k x0) OTF(k)`. Sums of components share one inverse transform. The inverse
DFT returns the sum over a periodic lattice of such images; `lattice.py` removes all but the first.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky
from bayesjoint.render.lattice import lattice_correction


def render_pixels(image: Image, components: tuple) -> jax.Array:
    """Model pixels (ny, nx) of one image, nJy, of components whose parameters are scalars."""
    pixels = jnp.zeros((), jnp.result_type(float))
    spectrum = None
    for component in components:
        if isinstance(component, FlatSky):
            pixels = pixels + component.level * image.pixel_area
            continue
        position, jacobian = image.pixel_map.linearise(component.centre)
        inside = _is_inside(position, image)
        term = jnp.where(inside, component.flux, 0.0) * _unit_spectrum(component, image, position, jacobian)
        spectrum = term if spectrum is None else spectrum + term
        if isinstance(component, Sersic):
            pixels = pixels + lattice_correction(component, image, position, jacobian, inside)
    if spectrum is not None:
        ny, nx = image.shape
        pixels = pixels + jnp.fft.irfft2(spectrum, s=image.fft_shape)[:ny, :nx]
    return jnp.broadcast_to(pixels, image.shape)


def _is_inside(position, image: Image) -> jax.Array:
    """Whether the source's nearest periodic copy stays clear of the image: within half the padding of its edges."""
    ny, nx = image.shape
    py, px = image.fft_shape
    x, y = position
    margin_x, margin_y = (px - nx) / 2, (py - ny) / 2
    return (x > -margin_x) & (x < nx - 1 + margin_x) & (y > -margin_y) & (y < ny - 1 + margin_y)


def _unit_spectrum(component: Sersic | PointSource, image: Image, position, jacobian) -> jax.Array:
    """Half-plane spectrum (ny, nx // 2 + 1) of the component at unit flux, all folded orders summed."""
    return sum(
        _order_spectrum(component, image.transfer[i], image.fft_shape, order, position, jacobian, len(image.orders))
        for i, order in enumerate(image.orders)
    )  # type: ignore[return-value]


def _order_spectrum(component, transfer, fft_shape, order, position, jacobian, number_of_orders) -> jax.Array:
    kx, ky = _frequencies(fft_shape, order, jnp.real(transfer).dtype)
    shift_x, shift_y = jnp.exp(-1j * kx * position[0]), jnp.exp(-1j * ky * position[1])
    if number_of_orders == 1:
        # a lone order stands for both +pi and -pi where the size is even
        shift_x = jnp.where(jnp.abs(kx) > np.pi * (1 - 1e-6), shift_x.real, shift_x)
        shift_y = jnp.where(jnp.abs(ky) > np.pi * (1 - 1e-6), shift_y.real, shift_y)
    amplitude = transfer
    if isinstance(component, Sersic):
        amplitude = transfer * component.radial_transform(_squared_frequency(component.axes @ jacobian.T, kx, ky))
    return amplitude * shift_y[:, None] * shift_x


def _frequencies(fft_shape, order, dtype) -> tuple[jax.Array, jax.Array]:
    """Frequencies kx (nx // 2 + 1,) and ky (ny,) of a folded order, radians per pixel."""
    ny, nx = fft_shape
    kx = 2 * np.pi * (np.fft.rfftfreq(nx) + order[0])
    ky = 2 * np.pi * (np.fft.fftfreq(ny) + order[1])
    return jnp.asarray(kx, dtype), jnp.asarray(ky, dtype)


def _squared_frequency(axes, kx, ky) -> jax.Array:
    """|A k|^2 over the lattice, (ny, nx): A (2, 2) has the half-light semi-axes in pixels as rows."""
    metric = axes.T @ axes
    k2 = metric[0, 0] * kx**2 + 2 * metric[0, 1] * kx * ky[:, None] + (metric[1, 1] * ky**2)[:, None]
    return jnp.maximum(k2, 0.0)
