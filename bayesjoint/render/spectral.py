"""Model pixels of one image, exactly, by Fourier transform.

The effective PSF contains the pixel, so the model's pixels are samples of `light * PSF`, whose Fourier transform is
known in closed form: `flux f(k) exp(-i k x0) OTF(k)`. Sums of components share one inverse transform. The inverse
DFT returns the sum over a periodic lattice of such images; `lattice.py` removes all but the first.

Flux, place and shape enter by products of small matrices, one for each axis. Their derivatives then are such products
too, in both modes of differentiation, where sums over all modes would cost several times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.data.lattice import WindowLattice
from bayesjoint.data.psf_basis import PSFLatents
from bayesjoint.light.patch import PatchForm
from bayesjoint.light.profile import Kind
from bayesjoint.light.windowed import WindowedKind
from bayesjoint.render.far import product
from bayesjoint.render.lattice import Grid, spread
from bayesjoint.render.place import AT_ONCE, Place, Scene


def draw(
    image: Image, scene: Scene, grids: Sequence[Grid | None], kinds: Sequence[Kind | None], tables: Sequence
) -> jax.Array:
    """Model pixels (ny, nx) of one image, nJy.

    Parameters
    ----------
    image : Image
    scene : Scene
        The components on this image.
    grids : sequence of Grid or None
        The nodes of each source's smooth part.
    kinds : sequence of Kind or None
        The form of each source; None of a point.
    tables : sequence of array or None
        What its `transform_table` gave.
    """
    ny, nx = image.shape
    level, pixels, spectrum, windows = scene.level, None, None, []
    for source, grid, kind, table in zip(scene.sources, grids, kinds, tables, strict=True):
        if isinstance(kind, WindowedKind):
            windows.append(draw_windows(image, source, grid, kind, table, scene.psf))
            continue
        term = _spectrum(source, kind, table, image, _transfer(image, source, scene.psf))
        spectrum = term if spectrum is None else spectrum + term
        if grid is not None:
            smooth = spread(source.smooth + level, grid, image.shape)
            pixels = smooth if pixels is None else pixels + smooth
            level = jnp.zeros_like(level)
    if spectrum is not None:
        sharp = jnp.fft.irfft2(spectrum, s=image.fft_shape)[:ny, :nx]
        pixels = sharp + (level if pixels is None else pixels)
    if scene.surface is not None:
        pixels = _spread_surface(scene.surface, image.shape) + (level if pixels is None else pixels)
    for drawn in windows:
        pixels = drawn + (level if pixels is None else pixels)
    return jnp.broadcast_to(level, image.shape) if pixels is None else pixels


class _Canvas(NamedTuple):
    """What of an `Image` a source is drawn on: of the image itself, or of one of its windows."""

    shape: tuple[int, ...]
    fft_shape: tuple[int, ...]
    orders: tuple[tuple[int, int], ...]
    transfer: Any
    psf_weights: Any


def draw_windows(
    image: Image, sources: Place, grid, kind: WindowedKind, table, latents: PSFLatents
) -> jax.Array:
    """Model pixels (ny, nx) of sources (their arrays have a leading axis) each in a window of its own."""
    stamps = window_stamps(image, sources, grid, kind, table, latents)
    return add_windows(image, kind, sources.origin, stamps)


def window_stamps(
    image: Image, sources: Place, grid, kind: WindowedKind, table, latents: PSFLatents
) -> jax.Array:
    """Pixels (S, size, size) of sources, each in a window of its own."""

    def one(each):
        source, grid, table = each
        return draw_window(image, source, grid, kind, table, latents)

    return jax.lax.map(one, (sources, grid, table), batch_size=AT_ONCE)


def add_windows(image: Image, kind: WindowedKind, origin, stamps) -> jax.Array:
    """The image (ny, nx) that windows' pixels (S, size, size), from their first ones (S, 2) on, add up to."""
    size = image.window_lattices[kind.window].size
    if not size:
        return jnp.sum(stamps, axis=0)
    (ny, nx), limit = image.shape, jnp.asarray(image.shape[::-1], jnp.int32)
    # windows may hang over the edges, or lie beyond them, in a margin that is cut off
    corner = jnp.clip(origin.astype(jnp.int32) + size, 0, limit[None] + size)

    def add(pixels, window):
        (x, y), stamp = window
        there = jax.lax.dynamic_slice(pixels, (y, x), (size, size))
        return jax.lax.dynamic_update_slice(pixels, there + stamp, (y, x)), None

    blank = jnp.zeros((ny + 2 * size, nx + 2 * size), stamps.dtype)
    return jax.lax.scan(add, blank, (corner, stamps))[0][size : size + ny, size : size + nx]


def draw_window(
    image: Image, source: Place, grid, kind: WindowedKind, table, latents: PSFLatents
) -> jax.Array:
    """One source's pixels (size, size) in a window of its own; (ny, nx) where the image is no larger than that."""
    lattice: WindowLattice = image.window_lattices[kind.window]
    canvas = _Canvas(image.shape, image.fft_shape, image.orders, image.transfer, image.psf_weights)
    if size := lattice.size:
        transfer = image.windows[kind.window]
        canvas = _Canvas((size, size), lattice.fft_shape, lattice.orders, transfer, image.psf_weights)
    scene = Scene(jnp.zeros((), source.position.dtype), (source,), None, latents)
    return draw(canvas, scene, (grid,), (kind.inner,), (table,))  # type: ignore[arg-type]


def _spread_surface(coefficients, shape: tuple[int, int]) -> jax.Array:
    """The polynomial of coefficients (m, m) on all pixels (ny, nx)."""
    rows, columns = (
        jnp.asarray(np.vander((2 * np.arange(n) + 1) / n - 1, len(coefficients), True), coefficients.dtype)
        for n in shape
    )
    return product(rows, coefficients, columns)


def _transfer(image: Image, source: Place, latents: PSFLatents) -> jax.Array:
    """Transfer function (orders, ny, nx // 2 + 1) of the PSF at a source."""
    if image.psf_weights is None:
        return jnp.asarray(image.transfer)
    place = source.position if source.origin is None else source.position + source.origin
    weights = image.psf_weights(place, latents).astype(image.transfer.dtype)
    return jnp.tensordot(weights, image.transfer, 1, precision="highest")


def _spectrum(source: Place, kind: Kind | None, table, image: Image, transfer: jax.Array) -> jax.Array:
    """Half-plane spectrum (ny, nx // 2 + 1) of a source, folded orders summed."""
    kx, ky = _frequencies(image)
    is_real = not jnp.iscomplexobj(transfer)
    amplitude = transfer if is_real else jnp.ones(transfer.shape, kx.dtype)
    cosine, sine = _turns(source, kx, ky, lone=len(image.orders) == 1)
    if kind is not None:
        real, imaginary = _form(source, kind, table, kx, ky)
        amplitude = amplitude * real if is_real else real
        if imaginary is not None:
            both = jax.lax.complex(real, imaginary) * jax.lax.complex(cosine, sine)
            amplitude, cosine, sine = transfer if is_real else 1.0, both.real, both.imag
    orders = jax.lax.complex(amplitude * cosine, amplitude * sine)
    orders = orders if is_real else transfer * orders
    return orders[0] if len(image.orders) == 1 else jnp.sum(orders, axis=0)


def _form(source: Place, kind: Kind, table, kx, ky) -> tuple[jax.Array, jax.Array | None]:
    """Transform of the source's form over the modes, (orders, ny, nx), real and imaginary part."""
    if kind.is_radial:
        metric = jnp.matmul(source.axes.T, source.axes, precision="highest")
        return kind.radial_transform(_squared_frequency(metric, kx, ky), source.shape, table), None  # type: ignore[attr-defined]
    if isinstance(kind, PatchForm):
        return kind.modes_transform(source.axes, kx, ky, source.shape)
    k1, k2 = (axis[0] * kx[:, None, :] + axis[1] * ky[:, :, None] for axis in source.axes)
    return kind.plane_transform(k1, k2, source.shape, table)


def _frequencies(image: Image) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies kx (orders, nx // 2 + 1) and ky (orders, ny) of the folded orders, radians per pixel."""
    ny, nx = image.fft_shape
    order_x, order_y = np.array(image.orders).T
    dtype = jnp.finfo(image.transfer.dtype).dtype
    kx = 2 * np.pi * (np.fft.rfftfreq(nx) + order_x[:, None])
    ky = 2 * np.pi * (np.fft.fftfreq(ny) + order_y[:, None])
    return kx.astype(dtype), ky.astype(dtype)


def _squared_frequency(metric, kx, ky) -> jax.Array:
    """k^T metric k over the modes, (orders, ny, nx)."""
    zero = jnp.zeros_like(metric[0, 0])
    form = jnp.stack(
        [zero, zero, metric[0, 0], zero, 2 * metric[0, 1], zero, metric[1, 1], zero, zero]
    ).reshape(3, 3)
    powers_x = np.stack([np.ones_like(kx), kx, kx**2], axis=1)
    powers_y = np.stack([np.ones_like(ky), ky, ky**2], axis=2)
    return jnp.matmul(jnp.matmul(powers_y, form, precision="highest"), powers_x, precision="highest")


def _turns(source: Place, kx, ky, lone: bool) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary part of flux exp(-i (kx x0 + ky y0)), (orders, ny, nx), from one vector for each axis.

    A `lone` order stands for both +pi and -pi where the grid's size is even: there its phase is a cosine.
    """
    along, across = _phase(kx, source.position[0], lone), _phase(ky, source.position[1], lone)
    columns = source.flux * jnp.stack(along, axis=1)
    real, imaginary = across
    rows = jnp.stack([real, -imaginary], axis=2), jnp.stack([imaginary, real], axis=2)
    cosine, sine = (jnp.matmul(row, columns, precision="highest") for row in rows)
    return cosine, sine


def _phase(k, x, lone: bool) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary part of exp(-i k x) along one axis."""
    angle = k * x
    real, imaginary = jnp.cos(angle), -jnp.sin(angle)
    is_highest = np.abs(k) > np.pi * (1 - 1e-6)
    return real, jnp.where(is_highest, 0.0, imaginary) if lone else imaginary
