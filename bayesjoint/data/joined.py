"""Images on which structure was measured and others, put together: as one set, and the others alone on the same sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.moments import StartingValues, contains
from bayesjoint.data.source_start import SourceStart

_BY_BAND_OR_IMAGE = ("flux", "flux_error", "sky", "sky_error", "sky_scatter")


def join_images(first: ImageSet, others: ImageSet | Sequence[Image]) -> tuple[ImageSet, ImageSet]:
    """The others in the frame of the first, and all of them, the first before the others.

    Where fits start, which sets priors, is that of the first for structure and for their own bands and skies.

    Raises
    ------
    ValueError
        For bands and names that are among the first already, and fields whose sources are not those of the first.
    """
    told: Any = getattr(others, "sources", None)
    if first.sources is not None:
        _check_sources(first.sources, told)
    own = ImageSet(others, first.frame, _place(first, others))
    if again := [band for band in own.bands if band in first.bands]:
        raise ValueError(
            f"band {again[0]!r} is among those that structure was measured in, {', '.join(first.bands)}: fluxes are forced "
            "in other bands; give images of the same band another band= to measure them apart"
        )
    whole = ImageSet([*first, *own], first.frame, first.frame.sky(*np.asarray(first.start.position)))
    own.start, whole.start = _starts(first.start, own.start)
    if first.sources is not None:
        own.sources, whole.sources = _sources(first.sources, told)
    return own, whole


def _place(first: ImageSet, others: ImageSet | Sequence[Image]) -> tuple | None:
    """Where the first images have their source, degrees; None for others that show another part of a field."""
    place = np.asarray(first.start.position)
    if first.sources is not None and isinstance(others, ImageSet):
        moved = [image.with_frame(first.frame) for image in others]
        if not any(contains(image, place) for image in moved):
            return None
    return first.frame.sky(*place)


def _starts(first: StartingValues, others: StartingValues) -> tuple[StartingValues, StartingValues]:
    both = {name: np.concatenate([getattr(s, name) for s in (first, others)]) for name in _BY_BAND_OR_IMAGE}
    return replace(first, **{name: getattr(others, name) for name in both}), replace(first, **both)


def _check_sources(first: SourceStart, others: SourceStart | None) -> None:
    if others is None or others.names != first.names or others.kinds != first.kinds:
        raise ValueError(
            "the images that structure was measured on know of sources, the others must know of the same: find sources on "
            "all images, sources = bj.find_sources([*images, *others]), and give that table to both, "
            "images.with_sources(sources) and bj.ImageSet(others, frame=images.frame).with_sources(sources)"
        )


def _sources(first: SourceStart, others: SourceStart) -> tuple[SourceStart, SourceStart]:
    both = {
        name: np.concatenate([getattr(s, name) for s in (first, others)]) for name in ("flux", "flux_error")
    }
    return replace(first, flux=others.flux, flux_error=others.flux_error), replace(first, **both)
