"""A field fitted block by block: each block of sources by Levenberg-Marquardt with all others as they are, in turn, until
a whole sweep gains next to nothing.

This is ascent of the field's own posterior, some of its latents at a time: a block's images are boxes of the field's without
the light of all other sources, and the sky in them is held by what the pixels outside say. No matrix is made of all latents
but the sparse curvature at the end, of blocks and what is about them, and no more slopes are held at once than a block's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.block_images import (
    boxes_of,
    cut_block,
    seeing_of,
    sky_from_outside,
    sky_precision,
    without_light,
    without_sky,
)
from bayesjoint.infer.covariance import KnownRows, SparseCovariance, curvature_of
from bayesjoint.infer.curvature import Quadratic
from bayesjoint.infer.linear import dense
from bayesjoint.infer.lm import Climb, climb
from bayesjoint.infer.partition import Block, partition
from bayesjoint.infer.pieces import SKY, Latent, latents_of, told_of_sky
from bayesjoint.infer.pixels import rendered
from bayesjoint.infer.space import Layout, find_latents
from bayesjoint.infer.start import starting_point
from bayesjoint.infer.windowed import expander
from bayesjoint.model.scene import Scene

SIZE = 40  # components of a block, but for those about it
_SLACK = 1e4, 10.0, 0.1  # of the first, second and later sweeps: others will mend what the first ones leave
_STEPS = 100  # of Levenberg-Marquardt in each visit of a block


class Swept(NamedTuple):
    """Where sweeps ended.

    Attributes
    ----------
    z : array (P,)
    covariance : SparseCovariance
    means : dict of array
        Model pixels of the observed sites.
    """

    z: np.ndarray
    log_posterior: float
    covariance: SparseCovariance
    means: dict[str, Any]
    path: list[dict[str, float]]
    converged: bool
    reason: str

    @property
    def iterations(self) -> int:
        """Sweeps."""
        return len(self.path)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do where sweeps did not converge."""
        return () if self.converged else ("raise max_iterations, or go on from here with start=fit",)


def field_of(program: Any, images: Any, starts: int, max_sweeps: int) -> Scene:
    """The program, where it can be fitted by blocks."""
    if not isinstance(program, Scene) or not isinstance(images, ImageSet):
        raise ValueError(
            'method="blocks" takes a program apart by its sources, which it knows of bj.scene_model() only, got '
            f'{program!r}: use method="joint"'
        )
    if starts != 1:
        raise ValueError(f'method="blocks" has one start, got starts={starts}: give start={{...}}')
    if max_sweeps < 1:
        raise ValueError(f'method="blocks" wants max_iterations, sweeps, from 1 on, got {max_sweeps}')
    return program


def sweep(
    program: Scene,
    images: ImageSet,
    layout: Layout,
    z: np.ndarray,
    max_sweeps: int,
    tolerance: float,
    report: Callable[[str], None],
) -> Swept:
    """Fit a field from z on; fluxes that are 0 start at what was measured of them."""
    field, path, left = _Field(program, images, layout, z), [], np.inf
    while left >= tolerance and len(path) < max_sweeps:
        gain = _once(field, tolerance * _SLACK[min(len(path), 2)], len(path), report)
        left, step = field.left()
        path.append({"gain": gain, "left": left})
        report(f"sweep {len(path)}  a full step would gain {left:.1e} in log posterior")
        if left >= tolerance:
            field.move(step)
    converged = bool(left < tolerance)
    reason = f"a full step would gain {left:.1e} in log posterior"
    if not converged:
        reason = f"stopped at {len(path)} sweeps with {left:.2g} in log posterior still to gain"
    value, means = field.pixels()
    return Swept(field.z, value, field.covariance(), means, path, converged, reason)


def _once(field: _Field, tolerance: float, number: int, report: Callable[[str], None]) -> float:
    """One sweep over all blocks; what it gained in log posterior."""
    total, count = 0.0, len(field.whole.blocks)
    for block in range(count):
        total += (gain := field.refit(block, tolerance))
        report(f"sweep {number + 1}  block {block + 1:3d} of {count}  log posterior raised by {gain:.4f}")
    return total


class _Field:
    """The state of sweeps: latents, the light of all sources on each image, and what each block knows of the curvature."""

    def __init__(self, program: Scene, images: ImageSet, layout: Layout, z: np.ndarray):
        self.program, self.images, self.layout = program, images, layout
        self.args, sources = jax.device_put((images,)), images.sources
        assert sources is not None
        self.latents = latents_of(layout, sources, program.name)
        self.place = {latent: k for k, latent in enumerate(self.latents)}
        self.component = np.array([latent.component for latent in self.latents])
        is_flux = np.array([latent.site == f"{program.name}_total" for latent in self.latents])
        self.waiting = is_flux & (z == 0)
        self.z = np.where(self.waiting, _measured(sources, self.latents), z)
        self.known: dict[int, KnownRows] = {}
        self.left_at: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # slopes, and z, that visits ended with
        self.whole = partition(sources, seeing_of(images), SIZE)
        self.boxes = boxes_of(images, self.whole, len(sources))
        self.light = without_sky(self.pixels()[1], images, self.sky(self.z, self.latents))
        self.made: tuple[Layout, list[Latent], Any] | None = None
        self.absent = np.zeros(
            0
        )  # where latents ended last of what the field does not have, by their place in blocks

    def pixels(self) -> tuple[float, dict[str, Any]]:
        """The log posterior, and the model pixels of observed sites."""
        value, means = rendered(self.program, self.layout, self.z, self.args)
        return float(value), jax.device_get(means)

    def sky(self, z: np.ndarray, latents: Sequence[Latent]) -> np.ndarray:
        """The sky of each image in a z with these latents; 0 where the program has none."""
        rows = [k for k, latent in enumerate(latents) if latent.site == SKY]
        return z[rows] if rows else np.zeros(len(self.images))

    def refit(self, number: int, tolerance: float) -> float:
        """Fit a block, all others as they are; what that gains in log posterior."""
        block = self.whole.blocks[number]
        boxes = self.boxes[number]
        cut = cut_block(self.images, self.whole, block, len(self.images.sources), boxes)  # type: ignore[arg-type]
        sky = self.sky(self.z, self.latents)
        cut.start = replace(cut.start, **sky_from_outside(self.images, self.light, sky, cut, boxes))
        args = jax.device_put((cut,))
        layout, latents, expand = self._make(cut, args)
        rows = self._rows(block, latents)
        inside = rows >= 0
        came = np.where(inside, self.z[rows], self._absent(layout, latents, args))
        before = without_sky(jax.device_get(rendered(self.program, layout, came, args)[1]), cut, sky)
        around = [light[box.slices] - own for light, box, own in zip(self.light, boxes, before, strict=True)]
        args = jax.device_put((without_light(cut, around),))
        z = np.where(inside & self.waiting[rows], 0.0, came)
        end = climb(
            self.program, layout, z, args, _STEPS, tolerance, lambda line: None, partial(expand, args=args)
        )
        self.z[rows[inside]] = end.z[inside]
        self.waiting[rows[inside]] = False
        after = without_sky(jax.device_get(end.here.means), cut, self.sky(end.z, latents))
        for light, box, others, own in zip(self.light, boxes, around, after, strict=True):
            light[box.slices] = others + own
        self.absent = np.where(inside, self.absent, end.z)
        return self._note(number, rows, end, came)

    def _absent(self, layout: Layout, latents: Sequence[Latent], args: tuple) -> np.ndarray:
        """Where a block's latents start of what the field does not have: at the prior's mode, once it has been found."""
        start = starting_point(self.program, layout, args, {})
        ways = [f"{self.program.name}_{way}" for way in ("east", "north")]
        is_place = np.array([latent.site in ways for latent in latents])
        if not self.absent.size:
            self.absent = np.full(start.size, np.nan)
        return np.where(is_place | np.isnan(self.absent), start, self.absent)

    def _note(self, number: int, rows: np.ndarray, end: Climb, came: np.ndarray) -> float:
        """Keep what a block knows of the curvature, and the slopes it ends with; what its move gained."""
        inside, curvature = rows >= 0, dense(end.curvature)
        own = inside & np.isin(self.component[rows], self.whole.blocks[number].own)
        self.known[number] = KnownRows(rows[own], rows[inside], curvature[np.ix_(own, inside)])
        self.left_at[number] = np.asarray(end.here.gradient)[own], end.z[inside]
        moved = np.where(inside, end.z - came, 0.0)
        # not the difference of two heights: what the field does not have climbs too
        return 0.5 * float(moved @ curvature @ moved)

    def _make(self, cut: ImageSet, args: tuple) -> tuple[Layout, list[Latent], Callable[..., Quadratic]]:
        """The latents of blocks, and how they are expanded: found out of the first, as all are alike."""
        if self.made is None:
            layout = find_latents(self.program, args)
            latents = latents_of(layout, cut.sources, self.program.name)  # type: ignore[arg-type]
            self.made = layout, latents, expander(self.program, layout, args)
        return self.made

    def _rows(self, block: Block, latents: Sequence[Latent]) -> np.ndarray:
        """Of each element of a block's z which one of the field's it is; -1 of what the field does not have."""
        there = [
            one if one.component < 0 else one._replace(component=int(block.members[one.component]))
            for one in latents
        ]
        return np.array([self.place.get(one, -1) for one in there])

    def left(self) -> tuple[float, np.ndarray]:
        """What a step of all latents together would gain in log posterior, and the step.

        Since a block was visited others have moved, above all the skies, which every block pulls at: by the curvature its
        slope is known here as well.
        """
        gradient, sky = np.zeros(self.layout.size), self.sky(self.z, self.latents)
        for number, known in self.known.items():
            slope, z = self.left_at[number]
            gradient[known.own] = slope - known.curvature @ (self.z[known.members] - z)
        skies = np.flatnonzero(self.component < 0)
        if skies.size:
            pixels = zip(self.images, self.light, sky, strict=True)
            residuals = [image.data - light - image.pixel_area * level for image, light, level in pixels]
            pull = sky_precision(self.images) * (np.asarray(self.images.start.sky) - sky)
            told = [told_of_sky(*each)[1] for each in zip(self.images, residuals, strict=True)]
            gradient[skies] = pull + told
        step = self.covariance().solve(gradient)
        return 0.5 * float(gradient @ step), step

    def move(self, step: np.ndarray) -> None:
        """Take a step of all latents together, if the log posterior rises by it."""
        before, z = self.pixels()[0], self.z
        self.z = z + step
        after, means = self.pixels()
        if not after > before:
            self.z = z
            return
        self.light = without_sky(means, self.images, self.sky(self.z, self.latents))

    def covariance(self) -> SparseCovariance:
        """From what blocks know of their own latents and of those about them, and what all pixels know of the skies."""
        skies = np.flatnonzero(self.component < 0)
        blocks = [known.own for known in self.known.values()]
        every = list(self.known.values())
        if skies.size:
            told = [told_of_sky(image, image.data)[0] for image in self.images]
            every.append(KnownRows(skies, skies, np.diag(sky_precision(self.images) + told)))
            blocks.append(skies)
        return SparseCovariance(curvature_of(every, self.layout.size), tuple(blocks))


def _measured(sources: Any, latents: Sequence[Latent]) -> np.ndarray:
    """The flux found of the component of each latent; of the parts of a source they share it."""
    flux, parts = np.asarray(sources.flux), Counter(sources.parents)
    share = np.array([flux[:, i] / parts[parent] for i, parent in enumerate(sources.parents)])
    return np.array(
        [share[one.component, one.place] if one.place < share.shape[1] else 0.0 for one in latents]
    )
