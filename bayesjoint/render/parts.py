"""The light of images drawn apart: what is drawn on whole images, and each source that has a window of its own."""

from __future__ import annotations

from typing import NamedTuple

import jax

from bayesjoint.light.windowed import WindowedKind
from bayesjoint.render.images import Light, either, place_all
from bayesjoint.render.spectral import draw, window_stamps


class Stamps(NamedTuple):
    """Sources in windows: pixels (images, S, size, size), nJy, from pixel (x, y) (images, S, 2) on.

    Of images no larger than a window (images, S, ny, nx), from (0, 0) on.
    """

    pixels: jax.Array
    origin: jax.Array


class PixelParts(NamedTuple):
    """Of the images of one stack: the pixels (images, ny, nx) of what has no window, and each `Windowed`."""

    whole: jax.Array
    windows: tuple[Stamps, ...]


def render_parts(light: Light) -> tuple[PixelParts, ...]:
    """The parts of each stack's model pixels, which add up to those of `render_light`."""
    placed = place_all(light)
    own, shared = light.tables()

    def draw_one(image, scene, grids, own):
        each = list(zip(scene.sources, grids, light.kinds, either(own, shared), strict=True))
        rest = [one for one in each if not isinstance(one[2], WindowedKind)]
        sources, nodes, kinds, tables = zip(*rest, strict=True) if rest else ((),) * 4
        whole = draw(image, scene._replace(sources=sources), nodes, kinds, tables)
        windows = [
            Stamps(window_stamps(image, source, grid, kind, table, scene.psf), source.origin)
            for source, grid, kind, table in each
            if isinstance(kind, WindowedKind)
        ]
        return PixelParts(whole, tuple(windows))

    return tuple(
        jax.vmap(draw_one)(stack, *jax.tree.map(lambda a, rows=rows: a[rows], (*placed, own)))
        for stack, rows in zip(light.stacks, light.rows(), strict=True)
    )
