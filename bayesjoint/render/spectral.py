"""Model pixels of one image, exactly, by Fourier transform.

The effective PSF contains the pixel, so the model's pixels are samples of `light * PSF`, whose Fourier transform is
known in closed form: `flux f(k) exp(-i k x0) OTF(k)`. Sums of components share one inverse transform. The inverse
DFT returns the sum over a periodic lattice of such images; `lattice.py` removes all but the first.

Derivatives are written so that both modes of differentiation cost a few passes over the modes: everything that sums
over them is a matrix product with powers of kx and ky.
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
    ny, nx = image.shape
    level, spectrum, smooth = jnp.zeros(()), None, None
    for component in components:
        if isinstance(component, FlatSky):
            level = level + component.level * image.pixel_area
            continue
        position, jacobian = image.pixel_map.linearise(component.centre)
        inside = _is_inside(position, image)
        flux = jnp.where(inside, component.flux, 0.0)
        term = _scaled(flux, _unit_spectrum(component, image, position, jacobian))
        spectrum = term if spectrum is None else spectrum + term
        if isinstance(component, Sersic):
            correction = lattice_correction(component, image, position, jacobian, inside)
            smooth = correction if smooth is None else smooth + correction
    pixels = level if smooth is None else level + smooth
    if spectrum is not None:
        pixels = pixels + jnp.fft.irfft2(spectrum, s=image.fft_shape)[:ny, :nx]
    return jnp.broadcast_to(pixels, image.shape)


def _is_inside(position, image: Image) -> jax.Array:
    """Whether the source's nearest periodic copy stays clear of the image: within half the padding of its edges."""
    size, padded = np.array(image.shape[::-1]), np.array(image.fft_shape[::-1])
    margin = (padded - size) / 2
    return jnp.all((position > -margin) & (position < size - 1 + margin))


def _unit_spectrum(component: Sersic | PointSource, image: Image, position, jacobian) -> jax.Array:
    """Half-plane spectrum (ny, nx // 2 + 1) of the component at unit flux, folded orders summed."""
    kx, ky = _frequencies(image)
    if isinstance(component, Sersic):
        axes = jnp.matmul(component.axes, jacobian.T, precision="highest")
        amplitude = component.radial_transform(_squared_frequency(axes, kx, ky))
    else:
        amplitude = jnp.ones((kx.shape[0], ky.shape[1], kx.shape[1]), kx.dtype)
    shifted = _shift(amplitude, position, kx, ky, len(image.orders) == 1)
    return jnp.sum(_scaled(image.transfer, shifted), axis=0)


def _frequencies(image: Image) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies kx (orders, nx // 2 + 1) and ky (orders, ny) of the folded orders, radians per pixel.

    They are numpy's, and so constants of the programs: `_shift` closes over them, which no traced array may suffer.
    """
    ny, nx = image.fft_shape
    order_x, order_y = np.array(image.orders).T
    dtype = jnp.finfo(image.transfer.dtype).dtype
    kx = 2 * np.pi * (np.fft.rfftfreq(nx) + order_x[:, None])
    ky = 2 * np.pi * (np.fft.fftfreq(ny) + order_y[:, None])
    return kx.astype(dtype), ky.astype(dtype)


def _squared_frequency(axes, kx, ky) -> jax.Array:
    """|A k|^2 over the modes, (orders, ny, nx): A (2, 2) has the half-light semi-axes in pixels as rows."""
    metric = jnp.matmul(axes.T, axes, precision="highest")
    zero = jnp.zeros_like(metric[0, 0])
    form = jnp.stack(
        [zero, zero, metric[0, 0], zero, 2 * metric[0, 1], zero, metric[1, 1], zero, zero]
    ).reshape(3, 3)
    powers_x = jnp.stack([jnp.ones_like(kx), kx, kx**2], axis=1)
    powers_y = jnp.stack([jnp.ones_like(ky), ky, ky**2], axis=2)
    return jnp.matmul(jnp.matmul(powers_y, form, precision="highest"), powers_x, precision="highest")


def _shift(amplitude, position, kx, ky, lone: bool) -> jax.Array:
    """amplitude exp(-i (kx x0 + ky y0)) over the modes (orders, ny, nx), its derivative by products with kx and ky.

    A `lone` order stands for both +pi and -pi where the grid's size is even: there its phase is a cosine.
    """

    @jax.custom_jvp
    def shift(amplitude, position):
        cosine, sine = _turns(position, kx, ky, lone)
        return jax.lax.complex(amplitude * cosine, amplitude * sine)

    @shift.defjvp
    def shift_jvp(primals, tangents):
        (amplitude, position), (d_amplitude, d_position) = primals, tangents
        cosine, sine = _turns(position, kx, ky, lone)
        real, imaginary = amplitude * cosine, amplitude * sine
        slope_x, slope_y = (np.where(_is_highest(k), 0, k) if lone else k for k in (kx, ky))
        rows = jnp.stack([jnp.ones_like(ky), slope_y], axis=2)
        columns = jnp.stack([jnp.ones_like(kx), slope_x], axis=1)
        zero = jnp.zeros_like(d_position[0])
        form = jnp.stack([zero, d_position[0], d_position[1], zero]).reshape(2, 2)
        angle = jnp.matmul(jnp.matmul(rows, form, precision="highest"), columns, precision="highest")
        tangent = jax.lax.complex(d_amplitude * cosine + angle * imaginary, d_amplitude * sine - angle * real)
        if lone:
            tangent = _with_highest_slopes(tangent, amplitude, position, d_position, kx, ky)
        return jax.lax.complex(real, imaginary), tangent

    return shift(amplitude, position)


def _is_highest(k) -> np.ndarray:
    """Whether a frequency is the Nyquist frequency, +pi or -pi."""
    return np.abs(k) > np.pi * (1 - 1e-6)


def _with_highest_slopes(tangent, amplitude, position, d_position, kx, ky) -> jax.Array:
    """Adds to a tangent what the cosines of the Nyquist frequencies change by: in the last column and a middle row."""
    (x, y), (dx, dy) = position, d_position
    if _is_highest(kx[0, -1]):
        real, imaginary = _phase(ky, y, True)
        change = amplitude[:, :, -1] * (-dx * np.pi * jnp.sin(np.pi * x))
        tangent = tangent.at[:, :, -1].add(jax.lax.complex(change * real, change * imaginary))
    middle = ky.shape[1] // 2
    if _is_highest(ky[0, middle]):
        real, imaginary = _phase(kx, x, True)
        change = amplitude[:, middle] * (-dy * np.pi * jnp.sin(np.pi * y))
        tangent = tangent.at[:, middle].add(jax.lax.complex(change * real, change * imaginary))
    return tangent


def _turns(position, kx, ky, lone: bool) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary part of exp(-i (kx x0 + ky y0)), (orders, ny, nx), as products of one vector for each axis."""
    along, across = _phase(kx, position[0], lone), _phase(ky, position[1], lone)
    columns = jnp.stack(along, axis=1)
    real, imaginary = across
    rows = jnp.stack([real, -imaginary], axis=2), jnp.stack([imaginary, real], axis=2)
    cosine, sine = (jnp.matmul(row, columns, precision="highest") for row in rows)
    return cosine, sine


def _phase(k, x, lone: bool) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary part of exp(-i k x) along one axis."""
    angle = k * x
    real, imaginary = jnp.cos(angle), -jnp.sin(angle)
    return real, jnp.where(_is_highest(k), 0.0, imaginary) if lone else imaginary


def _scaled(factor, spectrum) -> jax.Array:
    """Product of a spectrum with real or complex factors."""
    if jnp.iscomplexobj(factor):
        return factor * spectrum
    return jax.lax.complex(factor * spectrum.real, factor * spectrum.imag)
