"""The likelihood compressed: for each image a small quadratic form in place of its pixels.

Around the fit the model images of a program fill a tiny space. Some two hundred of them are rendered, and the principal
components of their departures from the fit, weighted by the noise, are an orthonormal basis in which chi-squared is a
quadratic form in as many coefficients. The coefficients are linear in the light, so they follow from its Fourier transform
at some forty wave vectors, which is known in closed form: no image is rendered while sampling. This is the reduced-order
quadrature of gravitational-wave inference (Antil et al. 2013, arXiv:1210.0577; Smith et al. 2016, arXiv:1604.08253), with
the map from transform to coefficients found by least squares.

The images of a field of many sources fill no such space: two hundred draws do not span what thirty sources can do together.
But each source's own light does. So each source in a window has a basis of its own, and the products of the bases of sources
that meet couple them: what it takes grows with the number of sources, not with what they can do together.

How well it holds is measured, by exact log posteriors at draws that had no part in making it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.basis import (
    RANK,
    at_waves,
    bases_of_tiles,
    linear_map,
    log_likelihood_errors,
    pairs_that_meet,
    telling_waves,
)
from bayesjoint.infer.curvature import site_weights
from bayesjoint.infer.features import Parts, light_features, light_waves, pieces_of, term_count
from bayesjoint.infer.form import Compressed, Form, density_and_pieces, incompressible, noise_precision
from bayesjoint.infer.observed import in_sigma
from bayesjoint.infer.renders import for_draws
from bayesjoint.infer.space import (
    Layout,
    Program,
    density_and_light,
    prior_and_light,
)
from bayesjoint.infer.tiles import Tile, field_tiles, flat, weighted_departures, whole_tiles
from bayesjoint.infer.windowed import expansion
from bayesjoint.render.images import Light

LEAST_KEPT = 16  # models from which a basis can be made
FEW_WAVES = 40, 64  # of the hundred, tried first
FEWER_WAVES = (24, *FEW_WAVES)  # where there are as many sets of them as sources
TOLERATED = 2e-3  # standard deviation of the log likelihood that fewer waves may add, at points wider than the posterior


class Fitted(NamedTuple):
    """The fit that departures are measured from: its place (P,), log posterior, and model pixels of each rendered site.

    `sites` are the rendered sites of each form; `obstacle` names the noise that cannot be compressed, if any.
    """

    centre: np.ndarray
    log_posterior: float
    sites: tuple[tuple[str, ...], ...]
    means: dict[str, jax.Array]
    obstacle: str = ""


def at_fit(program: Program, layout: Layout, centre: np.ndarray, args: tuple) -> Fitted:
    """What `compress` needs to know of the fit at z = centre (P,); without sites where nothing is rendered."""
    sites, obstacles = [], set()

    def run(z):
        lights = prior_and_light(program, layout, z, args)[1]
        sites.extend(names for names, _ in _named_pieces(lights))
        obstacles.add(incompressible(light for _, light in lights))

    jax.eval_shape(run, centre)
    exact = expansion(program, layout, args)(centre)  # compiled by the fit
    means = {name: exact.means[name] for names in sites for name in names}
    return Fitted(centre, float(exact.value), tuple(sites), means, obstacles.pop())


def compress(program: Program, layout: Layout, fitted: Fitted, draws: np.ndarray, args: tuple) -> Compressed:
    """Compress the likelihood of what a program observes by `observe`.

    Parameters
    ----------
    fitted : Fitted
    draws : array (N, P)
        Points that span the region where the form is to hold.
    """
    points = np.concatenate([fitted.centre[None], draws])
    starts, density = jax.device_get(_features(program, layout, points, fitted.means, args))
    if any(start.waves.windows for start in starts):
        roots = [start.roots for start in starts]
        tiles, densities = field_tiles(program, layout, fitted.centre, draws, roots, args)
    else:
        by_site, densities = whole_tiles(program, layout, draws, fitted.means, args)
        tiles = [[image for name in names for image in by_site[name]] for names in fitted.sites]
    kept = np.flatnonzero(np.isfinite(densities))
    if len(kept) < LEAST_KEPT:
        raise ValueError(
            f"only {len(kept)} of {len(draws)} models about the fit have a finite log posterior, too few to compress the "
            "likelihood: look at the fit's verdict, and at priors that reach beyond a profile's range"
        )
    forms = [_form(start, kept, len(draws), own) for start, own in zip(starts, tiles, strict=True)]
    # at the fit nothing departs: what is left of the log likelihoods are the factors on the noise
    scaled = sum(
        np.sum(0.5 * (form.chi2 * (1 - start.precision) + form.count * np.log(start.precision)))
        for form, start in zip(forms, starts, strict=True)
    )
    return Compressed(tuple(forms), np.asarray(fitted.log_posterior - density - scaled))


def exact_log_posteriors(
    program: Program, layout: Layout, fitted: Fitted, draws: np.ndarray, args: tuple
) -> np.ndarray:
    """Exact log posterior (N,) of any number of draws (N, P)."""
    reduce = weighted_departures  # not wanted, but compiled already
    return for_draws(program, layout, draws, args, reduce, fitted.means, keep=lambda rows, found: None)


def _form(start: _Start, kept: np.ndarray, count: int, tiles: list[list[Tile]]) -> Form:
    """The form of one light, from its tiles of each image at the points that were kept of `count`."""
    residuals = [image for stack in start.residuals for image in stack]
    found = []
    for image, residual in zip(tiles, residuals, strict=True):
        if len(kept) < count:
            image = [tile._replace(departures=tile.departures[kept]) for tile in image]
        found.append(bases_of_tiles(image, residual))
    rank = max(bases.rank for bases in found) if start.waves.windows else RANK
    pairs = pairs_that_meet(tiles)
    products = np.stack([bases.products(pairs, rank) for bases in found])
    slope = np.stack([bases.slope[:, :rank] for bases in found])
    coefficients = np.stack([bases.coefficients[..., :rank] for bases in found])  # (images, parts, N, rank)
    chi2 = np.array([np.sum(residual**2) for residual in residuals])
    ends = np.cumsum([1, *(waves.shape[1] for waves in start.waves.windows)])
    told = [
        _told(
            start,
            start.waves.whole[:, None],
            start.features.whole[:, :, None],
            kept,
            coefficients[:, :1],
            slope[:, :1],
        )
    ]
    for k, (waves, features) in enumerate(zip(start.waves.windows, start.features.windows, strict=True)):
        own = slice(ends[k], ends[k + 1])
        told.append(_told(start, waves, features, kept, coefficients[:, own], slope[:, own]))
    waves, origin, matrix = (Parts(parts[0][:, 0], tuple(parts[1:])) for parts in zip(*told, strict=True))
    return Form(waves, origin, matrix, slope, pairs, products, chi2, start.count)


def _told(start: _Start, waves, features, kept: np.ndarray, coefficients, slope) -> tuple:
    """Waves, features at the fit, and the map to coefficients, of parts (images, parts, ...) that are alike.

    At as few wave vectors as tell the departures well enough, at the points that were kept. The coefficients follow from
    what the light is at these; the fewer they are, the quicker is a step of the sampler.
    """
    made, error = _told_at(waves.shape[-1], start, waves, features, kept, coefficients, slope)
    for number in FEW_WAVES if waves.shape[1] == 1 else FEWER_WAVES:
        fewer, more_error = _told_at(number, start, waves, features, kept, coefficients, slope)
        if more_error < max(TOLERATED, error):
            return fewer
    return made


def _told_at(number: int, start: _Start, waves, features, kept, coefficients, slope) -> tuple[tuple, float]:
    """The same at the `number` of waves that tell most, and the standard deviation of the log likelihood's error."""
    terms, count = int(start.terms), waves.shape[-1]
    parts, error = [], np.zeros(len(kept))
    for i, s in np.ndindex(waves.shape[:2]):
        origin, departures = features[0, i, s], features[1:, i, s][kept] - features[0, i, s]
        chosen = telling_waves(departures, terms, count, number)
        told = at_waves(departures, terms, count, chosen)
        matrix = linear_map(told, coefficients[i, s])
        error += log_likelihood_errors(told, matrix, coefficients[i, s], slope[i, s])
        parts.append((waves[i, s][:, chosen], at_waves(origin[None], terms, count, chosen)[0], matrix))
    stacked = (np.stack(part) for part in zip(*parts, strict=True))
    return tuple(a.reshape(*waves.shape[:2], *a.shape[1:]) for a in stacked), float(np.std(error))


def _named_pieces(lights: list[tuple[tuple[str, ...], Light]]) -> list[tuple[tuple[str, ...], Light]]:
    """The light of each form, with its sites."""
    named = []
    for sites, light in lights:
        pieces = pieces_of(light)
        named += zip([sites] if len(pieces) == 1 else [(site,) for site in sites], pieces, strict=True)
    return named


class _Start(NamedTuple):
    """Of one light: its waves, its features at points (N, images, F), each stack's weighted residuals at the first and, of a
    field, the roots of its weights; the number of weighted pixels of each image, of how many terms their PSFs are sums,
    and 1 / f^2 of their noise at the first.
    """

    waves: Parts
    features: Parts
    residuals: list
    roots: list
    count: Any
    terms: Any
    precision: Any


@partial(quick_jit, static_argnames=("program", "layout"))
def _features(
    program: Program, layout: Layout, points, means: dict, args: tuple
) -> tuple[list[_Start], jax.Array]:
    """Of each light what there is to know of all points, and the log density of all else at the first of them."""
    _, lights, trace = prior_and_light(program, layout, points[0], args)
    lights = _named_pieces(lights)
    waves, residuals, counts = [], [], []
    for sites, light in lights:
        waves.append(light_waves(light))
        departures = [in_sigma(trace[site], trace[site]["value"] - means[site]) for site in sites]
        counts.append(
            jnp.concatenate(
                [
                    site_weights(trace[site], len(stack.invvar)) * jnp.sum(stack.invvar > 0, axis=(1, 2))
                    for site, stack in zip(sites, light.stacks, strict=True)
                ]
            )
        )
        residuals.append([flat(departure) for departure in departures])
    is_field = any(each.windows for each in waves)
    roots = [
        [in_sigma(trace[site], jnp.ones_like(means[site])) for site in sites] if is_field else []
        for sites, _ in lights
    ]

    def at(z):
        lights = density_and_pieces(program, layout, z, args)[1]
        return [light_features(light, w) for light, w in zip(lights, waves, strict=True)]

    features = jax.lax.map(at, points)
    terms = [jnp.asarray(term_count(light)) for _, light in lights]
    precisions = [
        jnp.broadcast_to(jnp.asarray(noise_precision(light), float), count.shape)
        for (_, light), count in zip(lights, counts, strict=True)
    ]
    parts = zip(waves, features, residuals, roots, counts, terms, precisions, strict=True)
    return [_Start(*each) for each in parts], density_and_light(program, layout, points[0], args)[0]
