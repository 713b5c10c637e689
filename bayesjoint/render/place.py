"""What every component is on every image, before there are pixels: where it falls, its shape there, its smooth part.

All of it is small and none of it depends on the number of pixels, so it is written for one image and mapped over
all images of a set at once, whatever their sizes: programs stay small however many images they join.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.frame import PixelMap
from bayesjoint.data.image import Image
from bayesjoint.data.psf_basis import PSFLatents
from bayesjoint.light.noise import Noise
from bayesjoint.light.patch import Patch
from bayesjoint.light.profile import Profile
from bayesjoint.light.psf_state import PSFCoefficients, Seeing
from bayesjoint.light.registration import Registration
from bayesjoint.light.sky import Sky
from bayesjoint.light.windowed import Windowed
from bayesjoint.render.far import FarPlaces, far_places
from bayesjoint.render.forwards import forwards
from bayesjoint.render.lattice import Grid, smooth_part

AT_ONCE = 1


class Frame(NamedTuple):
    """The geometry of one image; of all images of a set where its arrays have a leading axis.

    Attributes
    ----------
    pixel_map : PixelMap
    pixel_area : array ()
        arcsec^2.
    centre : array (2,)
        Of the image, arcsec East and North.
    psf_covariance : array (2, 2)
        Of the effective PSF's core, pixels^2.
    size, padded : array (2,)
        Pixels along x and y, of the stack the image is in and of its Fourier lattice.
    far : FarPlaces
    windows : tuple of Window
    """

    pixel_map: PixelMap
    pixel_area: Any
    centre: Any
    psf_covariance: Any
    size: Any
    padded: Any
    far: FarPlaces
    windows: tuple[Any, ...] = ()


class Window(NamedTuple):
    """What windows of an image have of their own; of an image no larger, the image's: `is_whole`."""

    size: Any
    padded: Any
    far: FarPlaces
    is_whole: Any

    @property
    def lattice(self) -> dict[str, Any]:
        """What a `Frame` takes over from it."""
        return {"size": self.size, "padded": self.padded, "far": self.far}


class Place(NamedTuple):
    """A source on one image.

    Attributes
    ----------
    flux : array ()
        What the spectrum draws, nJy: 0 for a source well outside the image.
    position : array (2,)
        Pixels (x, y).
    axes : array (2, 2) or None
        The semi-axes, the unit vectors of its form, as rows, pixels; None for a point.
    shape : array (parameters,) or None
        What else its transform depends on.
    smooth : array (nodes, nodes) or None
        What to add to the spectrum's pixels, nJy per pixel on the nodes of a `Grid`; None for a point or a patch.
    origin : array (2,) or None
        Of sources in windows, which have an axis over them: the window's first pixel (x, y), from which `position` counts.
    """

    flux: Any
    position: Any
    axes: Any = None
    shape: Any = None
    smooth: Any = None
    origin: Any = None


class Scene(NamedTuple):
    """All components on one image: the sky, nJy per pixel, and the sources.

    Attributes
    ----------
    level : array ()
        Of the sky.
    sources : tuple of Place
    surface : array (m, m) or None
        What else there is of the sky: coefficients of v^i u^j, with u and v from -1 to 1 over the stack's x and y.
    psf : PSFLatents
        What the program has of the PSF.
    """

    level: Any
    sources: tuple[Place, ...]
    surface: Any = None
    psf: PSFLatents = PSFLatents()


def frames_of(stacks: Sequence[Image]) -> Frame:
    """The frames of all images of all stacks, one after the other."""

    def of_stack(stack: Image) -> Frame:
        count = stack.invvar.shape[0]
        dtype = jnp.result_type(stack.invvar)
        lattice = _lattice_of(stack.shape, stack.fft_shape, count, dtype)
        windows = []
        for window in stack.window_lattices:
            own = ((window.size,) * 2, window.fft_shape) if window.size else (stack.shape, stack.fft_shape)
            is_whole = np.full(count, not window.size)
            windows.append(Window(**_lattice_of(own[0], own[1], count, dtype), is_whole=is_whole))
        return Frame(
            stack.pixel_map,
            stack.pixel_area,
            stack.centre,
            stack.psf_covariance,
            **lattice,
            windows=tuple(windows),
        )

    return jax.tree.map(lambda *each: jnp.concatenate(each), *map(of_stack, stacks))


def _lattice_of(shape, fft_shape, count: int, dtype) -> dict[str, Any]:
    """Size, padded size and far places of each of `count` images of a shape."""
    far = far_places(shape[::-1], fft_shape[::-1])
    own = {"size": np.array(shape[::-1]), "padded": np.array(fft_shape[::-1]), "far": far}
    return jax.tree.map(lambda a: np.broadcast_to(a.astype(dtype), (count, *a.shape)), own)


def place(frame: Frame, components: tuple) -> tuple[Scene, tuple[Grid | None, ...]]:
    """The components, with scalar parameters, on one image; and the nodes of their smooth parts.

    The nodes follow the sources but are no function of the parameters as far as derivatives go.
    """
    skies = [c for c in components if isinstance(c, Sky)]
    corrections = [c for c in components if isinstance(c, Registration)]
    placed = [place_source(c, frame, corrections) for c in components if is_source(c)]
    level = frame.pixel_area * sum((sky.level for sky in skies), jnp.zeros_like(frame.pixel_area))
    sources, grids = tuple(source for source, _ in placed), tuple(grid for _, grid in placed)
    return Scene(level, sources, _surface(skies, frame), psf_latents(components)), grids


def is_source(component: Any) -> bool:
    """Whether a component is light under the PSF."""
    return not isinstance(component, Sky | Registration | Seeing | PSFCoefficients | Noise)


def psf_latents(components: tuple) -> PSFLatents:
    """What the components say of the PSF."""
    seeing = next((c.factor for c in components if isinstance(c, Seeing)), None)
    return PSFLatents(seeing, next((c.values for c in components if isinstance(c, PSFCoefficients)), None))


def place_source(
    source: Any,
    frame: Frame,
    corrections: Sequence[Registration],
    window: Window | None = None,
    about: Any = None,
) -> tuple[Place, Grid | None]:
    """A source on one image, or in a window of it about a place (2,) or else about itself, and the nodes of its smooth part
    where it has one.
    """
    if isinstance(source, Windowed):
        own = frame.windows[source.window]
        return jax.lax.map(
            lambda one: place_source(one[0], frame, corrections, own, one[1]),
            (source.sources, source.places),
            batch_size=AT_ONCE,
        )
    if isinstance(source, Patch):
        return _placed((source, tuple(corrections)), (frame, window, about))
    placed, grid = forwards(_placed)((source, tuple(corrections)), (frame, window, about))
    return placed, jax.lax.stop_gradient(grid)


def _placed(moving: tuple, still: tuple) -> tuple[Place, Grid | None]:
    """A source, under corrections, on one image or in a window of it: `moving` and `still`."""
    (source, corrections), (frame, window, about) = moving, still
    centre, turn, flux_scale = source.centre, None, 1.0
    for correction in corrections:
        centre, flux_scale = correction.move(centre, frame.centre), flux_scale * correction.flux_scale
        turn = correction.turn() if turn is None else jnp.matmul(correction.turn(), turn, precision="highest")
    position, jacobian = frame.pixel_map.linearise(centre)
    if turn is not None:
        jacobian = jnp.matmul(jacobian, turn, precision="highest")
    origin = None
    if window is not None:
        middle = position if about is None else frame.pixel_map.linearise(about)[0]
        first = jnp.round(jax.lax.stop_gradient(middle)) - jnp.floor(window.size / 2)
        origin = jnp.where(window.is_whole, 0.0, first)
        position, frame = position - origin, frame._replace(**window.lattice)
    inside = _is_inside(position, frame)
    drawn = Place(jnp.where(inside, flux_scale * source.drawn_flux, 0.0), position, origin=origin)
    if not isinstance(source, Profile):
        return drawn, None
    axes = jnp.matmul(source.axes, jacobian.T, precision="highest")
    drawn = drawn._replace(axes=axes, shape=source.shape_values)
    if isinstance(source, Patch):
        return _place_patch(source, drawn, frame, flux_scale), None
    brightness, grid = smooth_part(source, frame, position, axes, inside)
    determinant = jacobian[0, 0] * jacobian[1, 1] - jacobian[0, 1] * jacobian[1, 0]
    return drawn._replace(smooth=flux_scale * brightness / jnp.abs(determinant)), grid


def _place_patch(patch: Patch, drawn: Place, frame: Frame, flux_scale) -> Place:
    """Without the nodes that would come back on the image's other side: each is drawn where a point would be."""
    nodes = jnp.matmul(jnp.asarray(patch.kind.nodes, drawn.axes.dtype), drawn.axes, precision="highest")
    inside = _is_inside(nodes + drawn.position[None], frame)
    return drawn._replace(flux=flux_scale * patch.drawn_flux, shape=jnp.where(inside, drawn.shape, 0.0))


def _surface(skies: Sequence[Sky], frame: Frame) -> jax.Array | None:
    """The sum of skies but for their levels, `Scene.surface`; None where all are flat."""
    uneven = [sky for sky in skies if not sky.is_flat]
    if not uneven:
        return None
    middle, jacobian = frame.pixel_map.linearise(frame.centre)
    size = jnp.round(2 * middle + 1)
    surfaces = [sky.surface(size, jacobian) for sky in uneven]
    order = max(len(surface) for surface in surfaces)
    total = sum(jnp.pad(surface, (0, order - len(surface))) for surface in surfaces)
    # an image may be smaller than its stack
    along, across = (_stretched(ratio, order) for ratio in frame.size / size)
    turned = jnp.matmul(jnp.matmul(across.T, total, precision="highest"), along, precision="highest")
    return frame.pixel_area * turned


def _stretched(ratio, order: int) -> jax.Array:
    """Matrix (order, order): row j has the powers of u in (ratio u + ratio - 1)^j."""
    row = jnp.zeros(order, ratio.dtype).at[0].set(1.0)
    rows = [row]
    for _ in range(order - 1):
        row = ratio * jnp.roll(row, 1).at[0].set(0.0) + (ratio - 1) * row
        rows.append(row)
    return jnp.stack(rows)


def _is_inside(position, frame: Frame) -> jax.Array:
    """Whether the periodic copies of light at (..., 2) stay clear of the image: it lies within half the padding."""
    margin = (frame.padded - frame.size) / 2
    low, high = (edge.reshape(*(1,) * (position.ndim - 1), 2) for edge in (-margin, frame.size - 1 + margin))
    return jnp.all((position > low) & (position < high), axis=-1)
