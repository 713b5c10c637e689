"""A patch of free light: values on a grid, interpolated linearly between its nodes.

For what no profile describes: arms, tidal debris, the host of a lens. It is linear in its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.geometry import semi_axes
from bayesjoint.light.profile import Profile
from bayesjoint.light.pytree import parameters_are


@dataclass(frozen=True)
class PatchForm:
    """The `Kind` of patches of one number of nodes: in a plane whose unit vectors lead from node to node."""

    rows: int
    columns: int
    is_radial: ClassVar[bool] = False

    @property
    def nodes(self) -> np.ndarray:
        """Places (rows * columns, 2) of the nodes about the patch's centre, along both axes."""
        row, column = np.mgrid[: self.rows, : self.columns].reshape(2, -1)
        return np.stack([row - (self.rows - 1) / 2, column - (self.columns - 1) / 2], axis=1)

    def plane_form(self, x, shape) -> jax.Array:
        """Values interpolated at x (2, ...); 0 from one spacing outside the outermost nodes on."""
        at = [x[0] + (self.rows - 1) / 2, x[1] + (self.columns - 1) / 2]
        values = jnp.asarray(shape).reshape(self.rows, self.columns)
        return jax.scipy.ndimage.map_coordinates(values, at, order=1, mode="constant")

    def plane_transform(self, k1, k2, shape, table=None) -> tuple[jax.Array, jax.Array]:
        """Fourier transform of the form: that of the tent about a node, times the sum over nodes of their phases.

        Unlike that of other forms it is not of unit flux, for the flux of a patch may be 0.
        """
        values, window = jnp.asarray(shape).reshape(self.rows, self.columns), _tent(k1) * _tent(k2)
        (c1, s1), (c2, s2) = (
            _phases(k[..., None] * _axis(k, n)) for k, n in ((k1, self.rows), (k2, self.columns))
        )
        along, across = (jnp.matmul(part, values.T, precision="highest") for part in (c2, s2))
        real, imaginary = (
            jnp.sum(c1 * along - s1 * across, axis=-1),
            jnp.sum(s1 * along + c1 * across, axis=-1),
        )
        return window * real, -window * imaginary

    def transform_table(self, shape, dtype) -> None:
        """Nothing makes it quicker."""
        return None

    def modes_transform(self, axes, kx, ky, shape) -> tuple[jax.Array, jax.Array]:
        """As `plane_transform`, over all modes of an image at once: the sum over nodes is a product of matrices.

        Parameters
        ----------
        axes : array (2, 2)
            Steps from node to node, as rows, pixels.
        kx, ky : array (orders, nx), (orders, ny)
            Radians per pixel.
        shape : array (rows * columns,)

        Returns
        -------
        Real and imaginary part, (orders, ny, nx).
        """
        nodes = jnp.matmul(jnp.asarray(self.nodes, axes.dtype), axes, precision="highest")
        (cx, sx), (cy, sy) = (_phases(k[..., None] * nodes[:, i][None, None]) for i, k in ((0, kx), (1, ky)))
        columns = jnp.concatenate([cx, sx], axis=-1)
        cy, sy = cy * shape[None, None], sy * shape[None, None]
        pairs = jnp.concatenate([cy, -sy], axis=-1), jnp.concatenate([-sy, -cy], axis=-1)
        real, imaginary = (jnp.einsum("oyc,oxc->oyx", rows, columns, precision="highest") for rows in pairs)
        tents = [_tent(axis[0] * kx[:, None, :] + axis[1] * ky[:, :, None]) for axis in axes]
        window = tents[0] * tents[1]
        return window * real, window * imaginary


@parameters_are("centre", "pa", "scale", "values")
@dataclass(frozen=True, eq=False)
class Patch(Profile):
    """Free light on a grid: its values at the nodes, linear in between, falling to 0 within one spacing outside.

    At pa = 0 it lies as an image of the sky does, North up and East left: the first axis of `values` runs North, the
    second West. With a position angle the first axis runs towards it, and the second towards pa - 90.

    A node is drawn where it lies within half of an image's padding (8 pixels or more) of it. So spacings should not
    exceed that, in pixels, where a patch hangs over an image's edge.

    It has no half-light radius and no curve of growth: its light may be negative, and has no ellipses. Modifiers refuse it.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre : array (2,)
        Of the grid: arcsec East and North of the images' tangent point.
    pa : float
        Position angle of the first axis of `values`, degrees East of North; period 360.
    scale : float
        From node to node, arcsec.
    values : array (rows, columns)
        Surface brightness at the nodes, nJy/arcsec^2; may be negative.
    name : str, optional
        Names the source's derived sites, e.g. `debris_flux`.

    Raises
    ------
    ValueError
        For a scale that is not positive; inside a compiled program `observe` gives minus infinity.

    Examples
    --------
    >>> patch = Patch((0.0, 0.0), pa=0.0, scale=0.5, values=[[1.0, 2.0], [3.0, 6.0]])
    >>> print(patch.flux, patch.brightness(jnp.array([0.25, 0.0]), jnp.array([-0.25, 0.0])))
    3.0 [1. 3.]
    """

    centre: Any
    pa: Any
    scale: Any
    values: Any
    name: str | None = None

    amplitude: ClassVar[str] = "values"
    radius: ClassVar[str] = "scale"
    shape: ClassVar[tuple[str, ...]] = ("values",)
    events: ClassVar[Mapping[str, int]] = {"centre": 1, "values": 2}

    @property
    def kind(self) -> PatchForm:
        """Its number of nodes."""
        return PatchForm(*self.values.shape[-2:])

    @property
    def axes(self) -> jax.Array:
        """Steps from node to node (2, 2), arcsec: towards the position angle, and 90 degrees clockwise on the sky."""
        towards, aside = semi_axes(1.0, self.pa, self.scale)
        return jnp.stack([towards, -aside])

    @property
    def flux(self) -> jax.Array:
        """Total flux, nJy: sum of the values times scale^2."""
        return jnp.sum(self.values, axis=(-2, -1)) * self.drawn_flux

    @property
    def drawn_flux(self) -> jax.Array:
        """Area of a cell, arcsec^2."""
        return jnp.asarray(self.scale) ** 2

    @property
    def brightness_scale(self) -> float:
        """1: the form is the brightness."""
        return 1.0


def _axis(k, size: int) -> jax.Array:
    """Places of the nodes along one axis, with as many axes before as k has."""
    return jnp.asarray(np.arange(size) - (size - 1) / 2, k.dtype).reshape(*(1,) * k.ndim, size)


def _phases(angle) -> tuple[jax.Array, jax.Array]:
    return jnp.cos(angle), jnp.sin(angle)


def _tent(k) -> jax.Array:
    """Fourier transform of max(1 - |x|, 0)."""
    return jnp.sinc(k / (2 * jnp.pi)) ** 2
