"""From a posterior to its `Check`: what needs the program, rendered at some of the draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from bayesjoint.infer.curvature import moved_values, values_and_errors
from bayesjoint.infer.descriptions import directions
from bayesjoint.infer.information import Errors, errors_without, root_of
from bayesjoint.infer.latents import prior_densities, unconstrain
from bayesjoint.infer.linear import dense
from bayesjoint.infer.lm import climb
from bayesjoint.infer.pixels import Place, places_of
from bayesjoint.infer.predictive import predictions
from bayesjoint.infer.score import score_tests
from bayesjoint.infer.space import Layout, Program, find_latents
from bayesjoint.infer.windowed import expansion
from bayesjoint.report.check import Check, Information, Sensitivity
from bayesjoint.report.counts import check_whole
from bayesjoint.report.products import Products
from bayesjoint.report.quantities import Quantity, quantities
from bayesjoint.report.scores import Scores, mixtures, scores_of
from bayesjoint.report.statistics import power_sensitivity
from bayesjoint.report.style import axis_label

LEAST_DRAWS = 50
_STEPS, _NEAR = 5, 1e-4


class Rendering(NamedTuple):
    """What is needed to render a posterior's images at its draws.

    Attributes
    ----------
    draws : array (N, P)
        All of them, unconstrained, one chain after the other.
    best : array (P,)
        The one of the highest log posterior.
    means : dict of array
        Model pixels of each observed site there.
    noises : dict of tuple of Noise
        The noise of those that `observe` made.
    """

    program: Program
    layout: Layout
    args: tuple
    draws: np.ndarray
    best: np.ndarray
    means: dict[str, np.ndarray]
    noises: dict[str, Any]
    places: list[Place]

    def some(self, count: int) -> np.ndarray:
        """So many of the draws, or all, spread over the chains."""
        rows = np.linspace(0, len(self.draws) - 1, min(count, len(self.draws)))
        return self.draws[rows.astype(int)]


def rendering(
    posterior: Products, program: Program, more: Sequence[Any], draws: int, least: int
) -> Rendering:
    """What `check` and `loo` need of a posterior.

    Raises
    ------
    ValueError
        For fewer draws than `least`, asked for or there, another program, and programs that render none of the images.
    """
    sizes = posterior.idata.posterior.sizes
    have = sizes["chain"] * sizes["draw"]
    check_whole("draws", draws, least)
    if have < least:
        raise ValueError(
            f"this posterior has {have} draws, at least {least} are wanted: make more with posterior.extend"
        )
    layout, args, z = latent_draws(posterior, program, more)
    best = z[np.argmax(posterior.idata.sample_stats["lp"].values)]
    there = expansion(program, layout, args)(best)
    means, noises = jax.device_get((there.means, there.noises))
    places = places_of(means, posterior.images)
    if not places:
        raise ValueError("none of the program's observed sites is one of the images: end it with bj.observe")
    return Rendering(program, layout, args, z, best, means, noises, places)


def latent_draws(
    posterior: Products, program: Program, more: Sequence[Any]
) -> tuple[Layout, tuple, np.ndarray]:
    """The latents of a posterior's program, its arguments, and all draws (N, P), one chain after the other."""
    args = jax.device_put((posterior.images, *more))
    layout = find_latents(program, args)
    sites = posterior.idata.posterior.data_vars
    values = {name: sites[name].values for name in layout.names if name in sites}
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
    return layout, args, unconstrain(program, layout, flat, args)


def checked(posterior: Products, program: Program, more: Sequence[Any], draws: int, seed: int) -> Check:
    """Posterior predictive checks of each image, sensitivity to prior and likelihood, what each image tells, and score tests
    of what images may be off by.

    Returns
    -------
    Check
    """
    known = rendering(posterior, program, more, draws, LEAST_DRAWS)
    some = known.some(int(draws))
    made = known.program, known.layout
    found = predictions(*made, some, known.args, known.places, known.means, seed)
    return Check(
        tuple(found),
        sensitivity(posterior, known),
        information(posterior, known),
        scores(posterior, known),
        tuple(place.image for place in known.places),
        len(some),
    )


def sensitivity(posterior: Products, known: Rendering) -> Sensitivity:
    """Power-scaling sensitivity of every scalar, by all draws.

    The log likelihood is what the prior leaves of the log posterior.
    """
    log_posterior = posterior.idata.sample_stats["lp"].values
    shape = log_posterior.shape
    log_prior, determinant = (
        part.reshape(shape) for part in prior_densities(known.program, known.layout, known.draws, known.args)
    )
    log_likelihood = log_posterior - log_prior - determinant
    chosen = {q.label: q.draws for q in _scalars(posterior.quantities) if q.varies}
    by_prior, by_likelihood = power_sensitivity(chosen, log_prior, log_likelihood)
    centred = log_prior - log_prior.mean()
    shift = {label: np.mean(d * centred) * np.log(2) / np.std(d) for label, d in chosen.items()}
    return Sensitivity(tuple(chosen), *map(_array, (by_prior, by_likelihood, shift)))


def information(posterior: Products, known: Rendering) -> Information:
    """Standard errors of every scalar from all images, and without each of them, by the curvature at the best draw."""
    made = known.program, known.layout, known.best, known.args
    scalars, errors = _of_scalars(posterior, errors_without(*made, known.places, known.means))
    names = *(place.image.name for place in known.places), "prior"
    several = len(posterior.sources) > 1
    plain = (replace(q, unit="", source=q.source.replace("_", " ")) for q in scalars)
    symbols = tuple(axis_label(q, several) for q in plain)
    return Information(tuple(q.label for q in scalars), symbols, names, errors[0], errors[1:].T)


def scores(posterior: Products, known: Rendering) -> Scores:
    """Score tests of what each image may be off by, at the maximum that a few steps from the best draw reach."""
    made = known.program, known.layout
    top = climb(*made, known.best, known.args, _STEPS, _NEAR, lambda line: None)
    along = directions(*made, top.z, known.args, known.places)
    tests, mixture = mixtures([place.image for place in known.places])
    found = score_tests(*made, top.here, top.z, known.args, known.places, along).along(mixture)
    scale = np.sqrt(np.diag(found.covariance))
    errors = values_and_errors(*made, top.z, root_of(dense(top.curvature), scale), known.args)[1]
    moved = moved_values(*made, top.z, found.shift, known.args)
    scalars, rows = _of_scalars(posterior, Errors(errors, moved))
    # skies and what images are off by are not what a paper is about
    chosen = [i for i, q in enumerate(scalars) if q.source] or list(range(len(scalars)))
    labels = tuple(scalars[i].label for i in chosen)
    return scores_of(tests, found, labels, rows[1:, chosen] / rows[0, chosen])


def _of_scalars(posterior: Products, errors: Errors) -> tuple[list[Quantity], np.ndarray]:
    """The scalars that have an error, and their errors from everything and with one thing left out (images + 2, scalars)."""
    sites = [name for name in posterior.layout.dims if name in errors.full]
    columns = [np.concatenate([errors.full[n][None], errors.without[n]]) for n in sites]
    flat = np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)
    # the number of each, in place of its draws, says which one a scalar is; in parts of one: an angle would be unwrapped
    numbers, count = np.arange(1, flat.shape[1] + 1), flat.shape[1] + 1
    ends = np.cumsum([errors.full[n].size for n in sites])[:-1]
    parts = zip(sites, np.split(numbers / count, ends), strict=True)
    numbered = {n: part.reshape(1, 1, *errors.full[n].shape) for n, part in parts}
    found = [(q, round(q.draws.item() * count) - 1) for q in _scalars(quantities(numbered, posterior.layout))]
    found = [(q, column) for q, column in found if flat[0, column] > 0]
    return [q for q, _ in found], flat[:, [column for _, column in found]]


def _scalars(found: Sequence[Quantity]) -> list[Quantity]:
    """Without magnitudes and surface brightnesses, which say what fluxes say."""
    fluxes = {q.source for q in found if q.parameter == "flux"}
    return [q for q in found if q.parameter != "mag" and not (q.parameter == "Ie" and q.source in fluxes)]


def _array(by_label: dict[str, float]) -> np.ndarray:
    return np.array(list(by_label.values()))
