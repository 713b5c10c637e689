"""A field taken apart into groups of sources whose errors do not correlate, each a small field that can be sampled alone.

Two sources belong to one group where the fit's errors of any of their parameters correlate by more than a given number, or
where they share parameters. A group's images are boxes cut about its windows, from which the light of all other sources,
as fitted, is taken away; the sky's prior is what the pixels outside the boxes say of it. So the cost of a field's posterior
grows with the number of its sources. What is left out is how errors of one group widen those of another: `Group.narrowing`
says by how much, from the fit's covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bayesjoint.data.cutouts import Box, cut_images
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.source_start import SourceStart
from bayesjoint.infer.covariance import correlated, variances_alone, within
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.pieces import SKY, Latent, box_about, latents_of, shared_pairs, told_of_sky
from bayesjoint.infer.pixels import places_of
from bayesjoint.infer.space import Layout, Program, find_latents
from bayesjoint.infer.windowed import expansion

_LEAST_LEFT = 0.05  # of the precision of a sky


class Group(NamedTuple):
    """Sources that are sampled together.

    Attributes
    ----------
    members : tuple of int
        The numbers of their components.
    narrowing : float
        The largest part by which an error of theirs is too small where all other sources stay as fitted.
    """

    members: tuple[int, ...]
    narrowing: float


def find_groups(fit: MapFit, sources: SourceStart, name: str, coupling: float) -> list[Group]:
    """The sources of a field in groups beyond which no two errors of the fit correlate by more than `coupling`."""
    component = np.array([latent.component for latent in latents_of(fit.layout, sources, name)])
    coupled = component[np.stack(correlated(fit.covariance, coupling))]
    pairs = np.concatenate([coupled[:, np.all(coupled >= 0, axis=0)], *shared_pairs(sources)], axis=1)
    graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(len(sources),) * 2)
    label = connected_components(graph, directed=False)[1]
    numbers = range(label.max() + 1)
    rows = [np.flatnonzero((component >= 0) & (label[component] == number)) for number in numbers]
    alone = variances_alone(fit.covariance, np.flatnonzero(component < 0), rows)
    variances = fit.covariance.diagonal()
    narrowing = [1 - np.sqrt(a / variances[own]) for a, own in zip(alone, rows, strict=True)]
    return [
        Group(_in_order(np.flatnonzero(label == k), sources), float(np.max(narrowing[k], initial=0.0)))
        for k in numbers
    ]


def _in_order(members: np.ndarray, sources: SourceStart) -> tuple[int, ...]:
    """Members by kind, window and brightness, so that groups that are alike share what is compiled."""
    brightness = np.max(np.abs(np.asarray(sources.flux)), axis=0)
    found = sorted(members, key=lambda i: (sources.kinds[i], sources.window[i], -brightness[i]))
    whole = {parent: k for k, parent in reversed(list(enumerate(sources.parents[i] for i in found)))}
    return tuple(int(i) for i in sorted(found, key=lambda i: whole[sources.parents[i]]))


class Piece(NamedTuple):
    """A group as a field of its own: its images, where its fit starts, and which elements of the field's z are its own.

    `rows` gives for each element of the group's z that of the field's, and `is_own` whether it is one of its sources'.
    """

    images: ImageSet
    values: dict[str, np.ndarray]
    rows: np.ndarray
    is_own: np.ndarray


def piece_of(program: Program, images: ImageSet, fit: MapFit, group: Group, name: str) -> Piece:
    """Cut a group out of a field."""
    sources = images.sources
    assert sources is not None
    subset = sources.subset(group.members)
    boxes = [box_about(image, sources, group.members) for image in images]
    cut = cut_images(images, boxes, subset)
    layout = find_latents(program, (cut,))
    place = {latent: k for k, latent in enumerate(latents_of(fit.layout, sources, name))}
    latents = latents_of(layout, subset, name)
    rows = np.array([place[_in_field(latent, group)] for latent in latents])
    is_own = np.array([latent.component >= 0 for latent in latents])
    cut.start = replace(cut.start, **_sky_prior(images, cut, fit, boxes, rows[is_own]))
    cut = _without_others(program, cut, layout, fit.unconstrained[rows], fit, boxes)
    return Piece(cut, _values(fit, layout, rows), rows, is_own)


def _in_field(latent: Latent, group: Group) -> Latent:
    """A latent of a group as the field has it."""
    return latent if latent.component < 0 else latent._replace(component=group.members[latent.component])


def _values(fit: MapFit, layout: Layout, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The fit's values of a group's sites, which are of the same shapes as what is sampled of them."""
    flat = np.concatenate([np.ravel(fit.values[site]) for site in fit.layout.names])[rows]
    ends = np.cumsum([int(np.prod(shape)) for shape in layout.shapes])
    parts = zip(layout.names, np.split(flat, ends[:-1]), layout.shapes, strict=True)
    return {site: part.reshape(shape) for site, part, shape in parts}


def _sky_prior(
    images: ImageSet, cut: ImageSet, fit: MapFit, boxes: Sequence[Box], own: np.ndarray
) -> dict[str, np.ndarray]:
    """What all but the boxes' pixels say of each sky, as starting values that set its prior.

    The fit's precision of a sky, given the group's own latents, without what the boxes' pixels add to it. In the fit the
    pull of all pixels on a sky is nought, so that the mean is found from the pull of the boxes' pixels there.
    """
    sites = np.array([k for k, label in enumerate(fit.layout.labels) if label.split("[")[0] == SKY], int)
    if not sites.size:
        return {}
    information, pull = np.zeros(sites.size), np.zeros(sites.size)
    for k, (image, pixels, box) in enumerate(zip(cut, fit.images, boxes, strict=True)):
        # the box's own noise, so that what is left of correlated noise is what pixels outside add to it
        information[k], pull[k] = told_of_sky(image, image.data - pixels.model[box.slices])
    both = np.concatenate([own, sites])
    precision = np.diag(np.linalg.inv(within(fit.covariance, both)))[own.size :]
    # of an image that is hardly cut next to nothing is left, and the field's own prior does
    is_told = precision - information > _LEAST_LEFT * precision
    left = np.where(is_told, precision - information, 1.0)
    width = images.start.sky_scatter + images.start.sky_error
    return {
        "sky": np.where(is_told, fit.unconstrained[sites] - pull / left, images.start.sky),
        "sky_scatter": np.where(is_told, 1 / np.sqrt(left), width),
        "sky_error": np.zeros(sites.size),
    }


def _without_others(
    program: Program, cut: ImageSet, layout: Layout, start: np.ndarray, fit: MapFit, boxes: Sequence[Box]
) -> ImageSet:
    """The images without the light that the fit has beyond the group's own."""
    means: Any = jax.device_get(expansion(program, layout, (jax.device_put(cut),))(start).means)
    pixels = []
    for (image, site, row), whole, box in zip(places_of(means, cut), fit.images, boxes, strict=True):
        own = means[site][row][..., : box.height, : box.width]
        pixels.append(np.where(image.invvar > 0, image.data - (whole.model[box.slices] - own), 0.0))
    return cut.with_data(pixels)
