"""A sequence of images on one sky frame, stacked so that one compiled program renders all of a size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from astropy.coordinates import SkyCoord

from bayesjoint.data.frame import TangentFrame, position_degrees
from bayesjoint.data.image import Image
from bayesjoint.data.moments import StartingValues, starting_values
from bayesjoint.data.others import others_mask
from bayesjoint.data.source_checks import check_bands, check_seen, half_windows
from bayesjoint.data.source_start import SourceStart, source_start
from bayesjoint.data.stacking import members_of, stacks_of, unstack

if TYPE_CHECKING:
    from astropy.table import Table


@jax.tree_util.register_pytree_node_class
class ImageSet(Sequence[Image]):
    """Images of one piece of sky, sharing one tangent frame.

    Images that share a padded size are held as one stack (an `Image` whose arrays have a leading axis).

    Parameters
    ----------
    images : iterable of Image
    frame : TangentFrame or SkyCoord, optional
        Tangent point of the positions; default the centre of the first image.
    position : SkyCoord or (ra, dec) in degrees, optional
        Where the source is; by default it is searched around the images' common centre.

    Attributes
    ----------
    bands : tuple of str
        The bands, in order of appearance.
    band_index : tuple of int
        For each image, the index of its band.
    stacks : tuple of Image
        Stacked images; `members[s]` are the indices of the images in stack s.
    start : StartingValues
        Position, size and brightness measured on the images, from which default priors and fits start.
    sources : SourceStart or None
        The sources of a field, where it has been told of them (`with_sources`).

    Raises
    ------
    ValueError
        For no image, duplicate names, or images that do not overlap on the sky.
    """

    def __init__(self, images, frame: TangentFrame | SkyCoord | None = None, position=None):
        images = [images] if isinstance(images, Image) else list(images)
        if not images:
            raise ValueError("an ImageSet needs at least one image, got none")
        for image in images:
            if not isinstance(image, Image):
                raise TypeError(f"an ImageSet holds bj.Image objects, got {type(image).__name__}")
        if isinstance(frame, SkyCoord):
            frame = TangentFrame(*position_degrees(frame))
        self.frame = frame or images[0].frame
        _check_names(images)
        self.originals = tuple(image.with_frame(self.frame) for image in images)
        _check_overlap(self.originals)
        self._index(tuple((image.name, image.band, image.shape) for image in self.originals))
        self.members = members_of(self.originals)
        self.stacks = stacks_of([[self.originals[i] for i in m] for m in self.members])
        self.start: StartingValues = starting_values(self.originals, self.bands, self.frame, position)
        self.sources: SourceStart | None = None

    def _index(self, labels: tuple) -> None:
        self._labels = labels
        self.names = tuple(name for name, _, _ in labels)
        self.bands = tuple(dict.fromkeys(band for _, band, _ in labels))
        self.band_index = tuple(self.bands.index(band) for _, band, _ in labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int | str) -> Image:  # type: ignore[override]
        """The image at an index, or of a name."""
        if isinstance(index, slice):
            raise TypeError("an ImageSet has no slices: give bj.ImageSet([images[i] for i in ...])")
        if isinstance(index, str) and index not in self.names:
            raise KeyError(f"no image is called {index!r}; there are {', '.join(self.names)}")
        i = self.names.index(index) if isinstance(index, str) else range(len(self))[index]
        if hasattr(self, "originals"):
            return self.originals[i]
        s, row = next((s, m.index(i)) for s, m in enumerate(self.members) if i in m)
        return unstack(self.stacks[s], row, self._labels[i])

    def __iter__(self) -> Iterator[Image]:
        return (self[i] for i in range(len(self)))

    @property
    def times(self) -> jax.Array:
        """Of each image, days (n_images,): what light curves are functions of.

        Raises
        ------
        ValueError
            Where an image has none; names it.
        """
        times = [image.time for image in self]
        if any(time is None for time in times):
            names = ", ".join(name for name, time in zip(self.names, times, strict=True) if time is None)
            raise ValueError(
                f"times are needed, and these images have none: {names}; give Image(..., time=days), or MJD-OBS in "
                "the headers of their files"
            )
        return jnp.stack([jnp.asarray(time, float) for time in times])

    def __repr__(self) -> str:
        lines = "".join(f"\n  {image!r}" for image in self)
        return f"ImageSet of {len(self)} images in {len(self.bands)} bands:{lines}"

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{image._repr_html_()}</li>" for image in self)
        return f"ImageSet of {len(self)} images in {len(self.bands)} bands<ul>{rows}</ul>"

    def with_windows(self, *widths: float) -> ImageSet:
        """The same images with windows of these widths, arcsec: small sources, many, are drawn in them (`Windowed`).

        Images no larger than a window draw its sources as a whole.
        """
        return self.with_images(tuple(image.with_windows(*widths) for image in self.originals))

    def with_sources(self, table: Table, mask_others: bool = False) -> ImageSet:
        """The same images, with the sources of a field and windows to draw them in: what `scene_model` wants.

        Parameters
        ----------
        table : astropy.table.Table
            As `find_sources` gives it; rows may be dropped, added and changed.
        mask_others : bool
            Mask, in every image, what was detected and has no row in the table (and is not in its column `dropped`), with
            half a FWHM of the image's PSF about it.

        Raises
        ------
        ValueError
            For tables that lack columns, values out of range, coincident sources, sources outside all images, and bands
            that see none of them.
        """
        sources = source_start(table, self.bands, float(self.start.seeing), self.frame)
        known = sources.parents, sources.position, half_windows(table, sources.parents)
        check_seen(self.originals, *known)
        check_bands(self.originals, self.bands, *known)
        images = self._without_others(table) if mask_others else self.originals
        new = self.with_images(tuple(image.with_source_windows(sources.widths) for image in images))
        new.sources = sources
        return new

    def _without_others(self, table: Table) -> list[Image]:
        """The images with what a table does not have masked."""
        meta: Any = table.meta
        where = meta.get("image")
        if where not in self.names or "segmentation" not in meta or "label" not in table.colnames:
            raise ValueError(
                "mask_others needs the table's meta['segmentation'], its column label, and meta['image'], the name of the "
                f"image that it belongs to ({where!r} here, of {', '.join(self.names)}): take the one that find_sources gave"
            )
        return [image.with_mask(others_mask(image, self[where], table)) for image in self.originals]

    def without_data(self) -> ImageSet:
        """The same images with their pixels unknown: `observe` then samples them.

        For prior and posterior predictions: `Predictive(program, draws)(key, images.without_data())`.
        """
        new = object.__new__(ImageSet)
        new.__dict__.update(self.__dict__)
        for group in {"stacks", "originals"} & set(self.__dict__):
            setattr(new, group, tuple(image.without_data() for image in getattr(self, group)))
        return new

    def with_data(self, pixels: Sequence[np.ndarray]) -> ImageSet:
        """The same images with other pixels: weights, PSFs and starting values, which set the priors, stay as they were.

        Parameters
        ----------
        pixels : sequence of array (ny, nx)
            Of each image, nJy.
        """
        new = object.__new__(ImageSet)
        new.__dict__.update(self.__dict__)
        new.originals = tuple(image.with_data(each) for image, each in zip(self, pixels, strict=True))
        new.stacks = stacks_of([[new.originals[i] for i in m] for m in self.members])
        return new

    def with_noise_correlations(self, correlations: Sequence[Any]) -> ImageSet:
        """The same images with noise that correlates between pixels; starting values stay as they were.

        Parameters
        ----------
        correlations : sequence of array (odd, odd), NoiseCorrelation or None
            Of each image, as `Image(noise_correlation=)` has it.
        """
        if len(correlations) != len(self):
            raise ValueError(
                f"got {len(correlations)} correlations for {len(self)} images: give one for each, or None"
            )
        pairs = zip(self, correlations, strict=True)
        return self.with_images(tuple(image.with_noise_correlation(each) for image, each in pairs))

    def with_images(self, images: tuple[Image, ...]) -> ImageSet:
        """Other images of the same names, bands and frame; starting values, which set the priors, and sources stay."""
        new = object.__new__(ImageSet)
        new.__dict__.update(self.__dict__, originals=images, members=members_of(images))
        new._index(tuple((image.name, image.band, image.shape) for image in images))
        new.stacks = stacks_of([[images[i] for i in members] for members in new.members])
        return new

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """Stacks and starting values, and what is static: the protocol of JAX pytrees."""
        return (self.stacks, self.start, self.sources), (self._labels, self.members)

    @classmethod
    def tree_unflatten(cls, static: tuple, arrays: Any) -> ImageSet:
        """An image set inside a compiled program."""
        new = object.__new__(cls)
        new.stacks, new.start, new.sources = arrays
        labels, new.members = static
        new._index(labels)
        return new


def _check_names(images: list[Image]) -> None:
    names = [image.name for image in images]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{names.count(name)} images are called {name!r}: give each its own name= "
                "(images of one band may share band=)"
            )


def _check_overlap(images: Sequence[Image]) -> None:
    """Each image must reach the first: the distance between centres is under the sum of half-diagonals."""
    first = images[0]
    for other in images[1:]:
        reach = sum(0.5 * np.hypot(*image.shape) * image.pixel_scale for image in (first, other))
        distance = float(np.hypot(*(other.centre - first.centre)))
        if not distance < reach:
            raise ValueError(
                f"images {first.name!r} and {other.name!r} do not overlap on the sky "
                f"(centres {distance:.0f} arcsec apart): give images of one piece of sky, or check their WCS"
            )
