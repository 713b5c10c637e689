"""What was detected on an image, measured source by source: place, size and shape, and whether it is a star."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import ndimage

from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.image import Image
from bayesjoint.data.measure import (
    Sky,
    measure_shape,
    offset_of,
    pixel_of,
    shape_of_light,
    signal_to_noise,
    star_at,
)
from bayesjoint.data.psf_basis import BasisPSF

POINTLIKE = 0.35  # half-light radius over that of a Gaussian PSF, below which a source is taken for a star
FAINT = 12.0  # S/N within a PSF, below which a source has no shape to speak of
_ROOM = 12.0  # sigma of the PSF, and
_WIDER = 2.0  # sizes of what was detected of a source, that are looked at about it


@dataclass(frozen=True, eq=False)
class Detected:
    """Sources on an image, by their labels.

    Attributes
    ----------
    labels : int array (ny, nx)
        0 where there is none.
    snr : array (ny, nx)
        Signal to noise, within a PSF.
    boxes : dict
        The pixels (y, x) between which each label lies.
    """

    image: Image
    sky: Sky
    labels: np.ndarray
    frame: TangentFrame
    snr: np.ndarray
    boxes: dict[int, tuple[slice, slice]]

    @classmethod
    def on(cls, image: Image, sky: Sky, labels: np.ndarray, frame: TangentFrame) -> Detected:
        """All that was detected on an image."""
        numbers = np.unique(labels)
        boxes: Any = ndimage.find_objects(np.searchsorted(numbers, labels) + 1)
        found = dict(zip(numbers.tolist(), boxes, strict=True))
        return cls(image, sky, labels, frame, signal_to_noise(image, sky), found)

    def measure(self, number: int, place: Any = None) -> dict[str, Any]:
        """Place, size and shape of one source; near a `place` where that is known."""
        image, sky = self.image, self.sky
        if (box := self._about(number)) is None:  # of a catalogue, where this image has no pixels
            alone = {"label": number, "centre": place, "shape": np.zeros(2), "snr": 0.0, "kind": "star"}
            return alone | {"Re": 0.1 * image.pixel_scale}
        labels = self.labels[box]
        own = (labels == number) & (image.invvar[box] > 0)
        snr = np.where(own, self.snr[box], -np.inf)
        corner = np.array([box[1].start, box[0].start])
        pixel = corner + np.unravel_index(int(np.argmax(snr)), snr.shape)[::-1]
        blank = ~ndimage.binary_dilation((labels != 0) & (labels != number))  # pyright: ignore[reportOperatorIssue]
        used = own | blank
        centre, radius, shape = measure_shape(image, sky, pixel.astype(float), self.frame, used, box)
        moved = np.hypot(*(pixel_of(image, centre) - pixel))
        if moved > 2 * max(sky.sigma, 1.0) + 0.5 * radius / image.pixel_scale:
            centre, shape = offset_of(image, pixel.astype(float), self.frame), np.zeros(2)
        peak = float(snr.max())
        # a PSF is no Gaussian: what counts is how much larger the source is than a star measured in its place
        star = self._star_radius(pixel, used, box)
        larger = np.sqrt(max(radius**2 - star**2, 0.0))
        is_star = peak < FAINT or larger / (1.18 * sky.sigma * image.pixel_scale) < POINTLIKE
        return {
            "label": number,
            "centre": centre,
            "Re": max(radius if peak < FAINT else larger, 0.1 * image.pixel_scale),
            "shape": shape,
            "snr": peak,
            "kind": "star" if is_star else "galaxy",
        }

    def _about(self, number: int) -> tuple[slice, slice] | None:
        """The pixels about a source; None where none of its own has weight."""
        if number not in self.boxes:
            return None
        tight = self.boxes[number]
        if not np.any((self.labels[tight] == number) & (self.image.invvar[tight] > 0)):
            return None
        size = max(part.stop - part.start for part in tight)
        reach = int(np.ceil(_ROOM * max(self.sky.sigma, 1.0) + _WIDER * size))
        y, x = (
            slice(max(part.start - reach, 0), min(part.stop + reach, count))
            for part, count in zip(tight, self.image.shape, strict=True)
        )
        return y, x

    def _star_radius(self, pixel: np.ndarray, used: np.ndarray, box: tuple[slice, slice]) -> float:
        """The size (arcsec) that a star as high as a pixel (x, y), in the middle of that, seems to have there."""
        image, sky = self.image, self.sky
        star = self._star if self._star is not None else star_at(image, pixel)
        y, x = (
            (np.arange(part.start, part.stop) - middle) % count
            for part, middle, count in zip(box, pixel[::-1], image.fft_shape, strict=True)
        )
        height = max(float(image.data[tuple(pixel[::-1])] - sky.level), sky.rms)
        used = used & (image.invvar[box] > 0)
        light = np.where(used, height / star.max() * star[np.ix_(y, x)], 0.0)
        middle = pixel - np.array([box[1].start, box[0].start])
        return shape_of_light(light, used, middle.astype(float), image, sky)[1]

    @cached_property
    def _star(self) -> np.ndarray | None:
        """The pixels of a star about (0, 0); None where they change over the image."""
        return None if isinstance(self.image.psf, BasisPSF) else star_at(self.image, np.zeros(2))
