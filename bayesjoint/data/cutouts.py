"""Parts of images: boxes of pixels with the geometry, noise and PSF that they have in the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from itertools import count, product
from typing import NamedTuple

import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.psf_basis import PolynomialWeights, StampBasisPSF
from bayesjoint.data.source_start import SourceStart
from bayesjoint.data.transfer import PointSpread


class Box(NamedTuple):
    """Pixels of an image: the first in x and y, and how many."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of arrays [y, x]."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def box_within(shape: tuple[int, int], low: np.ndarray, high: np.ndarray, side: int | None = None) -> Box:
    """A square box about the pixels from `low` to `high` (x, y), in the image; as wide as an image that is too small for it.

    Where no side, or too small a one, is given there are few, so that what is compiled for one box serves most others.
    """
    needed = float(np.max(high - low))
    if side is None or side < needed:
        side = next(size for size in _sides() if size >= needed)
    sides = [min(pixels, side) for pixels in shape[::-1]]
    firsts = [
        int(np.clip(np.floor(middle - own / 2), 0, pixels - own))
        for middle, own, pixels in zip((low + high) / 2, sides, shape[::-1], strict=True)
    ]
    return Box(*firsts, *sides)


def _sides() -> Iterator[int]:
    """32, 48, 64, 96, 128, ... pixels."""
    return (int(2**power * part) for power in count(5) for part in (1.0, 1.5))


def cut_image(image: Image, box: Box) -> Image:
    """The pixels of a box as an image; windows are those of the whole, on lattices of its size."""
    if (box.height, box.width) == image.shape:
        return image
    new = object.__new__(Image)
    new.__dict__.update(image.__dict__)
    new.data, new.invvar = image.data[box.slices], image.invvar[box.slices]
    new.wcs, new.shape = image.wcs.slice(box.slices), (box.height, box.width)
    new.psf = shifted_psf(image.psf, box.x, box.y)
    new._set_geometry(image.frame, f"image {image.name!r}")
    new.pixel_area = image.pixel_area  # a sky level means the same light a pixel, also where the WCS distorts
    new._set_noise(image.noise_correlation, f"image {image.name!r}")
    return new


def cut_images(images: ImageSet, boxes: Sequence[Box], sources: SourceStart) -> ImageSet:
    """A box of each image, with some of the sources and windows for these; what sets other priors stays as it was."""
    cut = (cut_image(image, box) for image, box in zip(images, boxes, strict=True))
    new = images.with_images(tuple(image.with_source_windows(sources.widths) for image in cut))
    new.sources = sources
    return new


def shifted_psf(psf: PointSpread, x: int, y: int) -> PointSpread:
    """The PSF of pixels cut out from (x, y) on: where it varies over the image, its places are counted from there.

    It is the polynomial's terms that change, not what weighs them, so that what is compiled for one cutout serves others.
    """
    if not (isinstance(psf, StampBasisPSF) and isinstance(psf.weights, PolynomialWeights)):
        return psf
    steps = psf.weights.scale * np.array(list(product((-1.0, 0.0, 1.0), repeat=2)))
    here, there = (
        np.stack([psf.nominal(place) for place in psf.weights.origin + steps + corner])
        for corner in (np.zeros(2), np.array([x, y], dtype=float))
    )
    new = copy(psf)
    vars(new).pop("_terms", None)
    new.stamps = np.tensordot(np.linalg.pinv(here) @ there, psf.stamps, axes=1)
    return new
