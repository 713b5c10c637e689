"""The images of a block of sources: boxes without the light of all others, and a sky that pixels outside know of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bayesjoint.data.cutouts import Box, cut_images
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.source_start import SourceStart
from bayesjoint.infer.partition import Block, Partition
from bayesjoint.infer.pieces import box_about, reach, told_of_sky
from bayesjoint.infer.pixels import places_of

_STEP = 16  # pixels, of which sides are multiples


def boxes_of(images: ImageSet, whole: Partition, count: int) -> list[list[Box]]:
    """Of each block and image the pixels that its sources reach, of which the field has `count`; as many in all blocks."""
    members = [[int(i) for i in block.members if i < count] for block in whole.blocks]
    sides = [_side(image, whole.sources, members) for image in images]
    pairs = list(zip(images, sides, strict=True))
    return [[box_about(image, whole.sources, own, side) for image, side in pairs] for own in members]


def _side(image: Image, sources: SourceStart, members: Sequence[Sequence[int]]) -> int | None:
    """The widest box, in pixels, that sets of sources need; None where that is the image."""
    ends = [reach(image, sources, own) for own in members]
    widest = max((float(np.max(high - low)) for low, high in filter(None, ends)), default=0.0)
    return int(np.ceil(widest / _STEP)) * _STEP if widest else None


def cut_block(images: ImageSet, whole: Partition, block: Block, count: int, boxes: Sequence[Box]) -> ImageSet:
    """A block's images, the light of all others still in them; what is not among the field's `count` is put outside them."""
    cut = cut_images(images, boxes, whole.sources.subset(block.members.tolist()))
    sources: Any = cut.sources
    is_absent = block.members[:, None] >= count
    cut.sources = replace(sources, position=np.where(is_absent, _outside(cut), sources.position))
    return cut


def _outside(images: ImageSet) -> np.ndarray:
    """A place that no image, and no window of a source on one, shows."""
    first, sources = np.asarray(images[0].centre), images.sources
    away = [
        np.hypot(*(image.centre - first)) + np.hypot(*image.shape) * image.pixel_scale for image in images
    ]
    room = max(sources.widths) + 8 * seeing_of(images)[1]  # type: ignore[union-attr]
    return first + np.array([max(away) + room, 0.0])


def seeing_of(images: ImageSet) -> tuple[float, float]:
    """The smallest and the largest FWHM of the images' PSFs, arcsec."""
    found = [image.psf.fwhm_arcsec(image.pixel_scale) for image in images]
    return min(found), max(found)


def without_sky(means: Mapping[str, Any], images: ImageSet, sky: np.ndarray) -> list[np.ndarray]:
    """Model pixels of observed sites, image by image, without the sky (images,)."""
    rows = zip(places_of(means, images), sky, strict=True)
    return [
        np.array(means[site][row])[..., : image.shape[0], : image.shape[1]] - image.pixel_area * level
        for (image, site, row), level in rows
    ]


def without_light(cut: ImageSet, light: Sequence[np.ndarray]) -> ImageSet:
    """A block's images less some light."""
    pairs = zip(cut, light, strict=True)
    return cut.with_data([np.where(image.invvar > 0, image.data - own, 0.0) for image, own in pairs])


def sky_precision(images: ImageSet) -> np.ndarray:
    """That of the prior of each sky."""
    return (np.asarray(images.start.sky_scatter) + np.asarray(images.start.sky_error)) ** -2.0


def sky_from_outside(
    images: ImageSet, light: Sequence[np.ndarray], sky: np.ndarray, cut: ImageSet, boxes: Sequence[Box]
) -> dict[str, np.ndarray]:
    """What the prior and all pixels outside boxes say of each sky, all sources as they are: starting values that set it."""
    precision = sky_precision(images)
    pull = precision * (np.asarray(images.start.sky) - sky)
    for k, (image, part, box) in enumerate(zip(images, cut, boxes, strict=True)):
        residual = image.data - light[k] - image.pixel_area * sky[k]
        whole, inside = told_of_sky(image, residual), told_of_sky(part, residual[box.slices])
        # where noise correlates a box may seem to know more than all
        precision[k] += max(whole[0] - inside[0], 0.0)
        pull[k] += whole[1] - inside[1]
    mean = sky + pull / precision
    return {"sky": mean, "sky_scatter": precision**-0.5, "sky_error": np.zeros(sky.size)}
