"""By how much the model pixels of draws depart from a fit: of whole images, or of a field source by source.

What fills an image, and each source in a window of its own, is a tile: the part of the image it may fill, and its departures
there, in units of the noise. A field's draws so fill windows, not images.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image import Image
from bayesjoint.infer.form import density_and_pieces
from bayesjoint.infer.observed import in_sigma, observe_mean
from bayesjoint.infer.renders import CHUNK, for_draws, gathered
from bayesjoint.infer.space import Layout, Program
from bayesjoint.light.windowed import Windowed
from bayesjoint.render.parts import PixelParts, Stamps, render_parts

_MARGIN = 8  # pixels by which a source may be off its place in the fit


class Tile(NamedTuple):
    """Departures (N, pixels) in sigma of one part of an image's light, on the pixels of `box` (rows, columns)."""

    box: tuple[slice, slice]
    departures: np.ndarray


def flat(pixels) -> Any:
    """Images (..., ny, nx) as (images, pixels)."""
    return pixels.reshape(-1, pixels.shape[-2] * pixels.shape[-1])


def whole_tiles(
    program: Program, layout: Layout, draws: np.ndarray, means: dict, args: tuple
) -> tuple[dict[str, list[list[Tile]]], np.ndarray]:
    """Of each rendered site the one tile of each image, and log posteriors (N,) of any number of draws (N, P)."""
    departures = {
        name: np.empty((mean.shape[0], len(draws), mean.shape[1] * mean.shape[2]), np.float32)
        for name, mean in means.items()
    }

    def keep(rows: slice, found: dict) -> None:
        for name, values in found.items():
            departures[name][:, rows] = np.swapaxes(values, 0, 1)

    densities = for_draws(program, layout, draws, args, weighted_departures, means, keep)
    tiles = {
        name: [
            [Tile((slice(0, mean.shape[1]), slice(0, mean.shape[2])), image)] for image in departures[name]
        ]
        for name, mean in means.items()
    }
    return tiles, densities


def weighted_departures(trace: dict, means: dict) -> dict[str, jax.Array]:
    """Departures of each site's model pixels from `means`, in units of the noise (images, pixels)."""
    departures = {}
    for name, mean in means.items():
        departure = in_sigma(trace[name], observe_mean(trace[name]).mean - mean)  # type: ignore[union-attr]
        departures[name] = flat(departure).astype(jnp.float32)
    return departures


def field_tiles(
    program: Program, layout: Layout, centre: np.ndarray, draws: np.ndarray, roots: list, args: tuple
) -> tuple[list[list[list[Tile]]], np.ndarray]:
    """Of each light the tiles of each image: first what has no window, then the sources of each `Windowed`.

    Parameters
    ----------
    centre : array (P,)
        The fit.
    draws : array (N, P)
    roots : list of list of array (images, ny, nx)
        Of each light and stack the roots of the pixels' weights.

    Returns
    -------
    tiles, and log densities (N,) of all but the images: not finite where there is no light to draw.
    """
    places = _places(program, layout, centre, args)
    points = np.concatenate([centre[None], draws])
    densities, drawn, _ = gathered(lambda zs: _drawn(program, layout, zs, places, args), points)
    tiles = []
    for stacks, root in zip(drawn, roots, strict=True):
        tiles.append([each for stack in zip(stacks, root, strict=True) for each in _tiles_of_stack(*stack)])
    return tiles, densities[1:]


def _places(program: Program, layout: Layout, centre: np.ndarray, args: tuple) -> Any:
    """Of each light, stack and `Windowed` the first pixels (images, S, 2) of the boxes that sources may fill."""

    def rendered(z):
        return [render_parts(light) for light in density_and_pieces(program, layout, z, args)[1]]

    blank = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), _origins(jax.eval_shape(rendered, centre)))
    found = _drawn(program, layout, np.repeat(centre[None], CHUNK, axis=0), blank, args)[2]
    return jax.tree.map(lambda a: np.round(np.asarray(a)[0]) - _MARGIN, found)


def _origins(lights: Any) -> Any:
    return [[[stamps.origin for stamps in stack.windows] for stack in stacks] for stacks in lights]


@partial(quick_jit, static_argnames=("program", "layout"))
def _drawn(program: Program, layout: Layout, zs, places: Any, args: tuple) -> tuple[jax.Array, Any, Any]:
    """Log densities without the images; the parts of each light's stacks, each window's pixels in its box; the windows'
    own first pixels.
    """

    def one(z):
        density, lights = density_and_pieces(program, layout, z, args)
        found, drawn = [], [render_parts(light) for light in lights]
        for light, parts_of_light, where in zip(lights, drawn, places, strict=True):
            density = density + light.log_range()
            stacks = zip(light.stacks, parts_of_light, where, strict=True)
            windows = [
                c.window for c in jax.tree.unflatten(light.treedef, light.leaves) if isinstance(c, Windowed)
            ]
            found.append([_in_boxes(stack, parts, windows, boxes) for stack, parts, boxes in stacks])
        return density, found, _origins(drawn)

    return jax.lax.map(one, zs)


def _in_boxes(stack: Image, parts: PixelParts, windows: list[int], places: list) -> PixelParts:
    """The same with each window's pixels moved to where they belong in its box, which is wider by margins."""
    boxed = []
    for window, stamps, first in zip(windows, parts.windows, places, strict=True):
        if stack.window_lattices[window].size:
            stamps = Stamps(jax.vmap(jax.vmap(_in_box))(stamps.pixels, stamps.origin - first), first)
        boxed.append(Stamps(stamps.pixels.astype(jnp.float32), stamps.origin))
    return PixelParts(parts.whole.astype(jnp.float32), tuple(boxed))


def _in_box(pixels, shift) -> jax.Array:
    x, y = jnp.clip(jnp.round(shift).astype(jnp.int32), 0, 2 * _MARGIN)
    box = jnp.zeros((pixels.shape[0] + 2 * _MARGIN, pixels.shape[1] + 2 * _MARGIN), pixels.dtype)
    return jax.lax.dynamic_update_slice(box, pixels, (y, x))


def _tiles_of_stack(parts: Any, roots: np.ndarray) -> list[list[Tile]]:
    """Of each image its tiles; the first of the draws (N + 1, ...) is the fit."""
    found = []
    for i, root in enumerate(roots):
        tiles = [_tile(parts.whole[:, i], (0, 0), root)]
        for stamps in parts.windows:
            corners = stamps.origin[0, i]
            tiles += [_tile(stamps.pixels[:, i, s], corner, root) for s, corner in enumerate(corners)]
        found.append(tiles)
    return found


def _tile(pixels: np.ndarray, corner: Any, root: np.ndarray) -> Tile:
    """The part of pixels (N + 1, height, width), from (x, y) on, that lies on the image, less the first, in sigma."""
    (x, y), (height, width), (ny, nx) = (int(c) for c in corner), pixels.shape[1:], root.shape
    rows, columns = (
        slice(min(max(a, 0), n), max(min(a + m, n), 0)) for a, m, n in ((y, height, ny), (x, width, nx))
    )
    inside = pixels[:, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    departures = (inside[1:] - inside[:1]) * root[rows, columns].astype(np.float32)
    return Tile((rows, columns), departures.reshape(len(departures), -1))
