"""More draws of the same chains: of a posterior that is there, or in batches until there are enough.

With its draws a posterior keeps how its chains go on: their states, their coordinates and the compressed likelihood, as the
arrays of a checkpoint.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.draws import Draws
from bayesjoint.infer.map_fit import MapFit, means_and_noises
from bayesjoint.infer.methods import sampler_of
from bayesjoint.infer.pixels import pixel_fits
from bayesjoint.infer.roads import Made
from bayesjoint.infer.sampler import chains_of, continue_program
from bayesjoint.infer.space import Layout, Program, find_latents
from bayesjoint.infer.target import Tuning
from bayesjoint.report.posterior import Posterior

STALE = 5  # batches in which the effective sample size may fail to grow


def extended(
    posterior: Posterior, program: Program, more: Sequence[Any], draws: int, progress: bool | None
) -> Posterior:
    """A posterior with more draws of each chain; see `Posterior.extend`."""
    known = posterior.continuation
    images, attrs = posterior.images, posterior.idata.attrs
    settings = json.loads(str(known.pop("settings")))
    args = jax.device_put((images, *more))
    layout = find_latents(program, args)
    _check_latents(settings.pop("latents"), layout)
    method = settings.pop("method", "nuts")
    centre, made = known["fit/unconstrained"], Made(settings.pop("road"), json.loads(attrs["seconds"]))
    have = posterior.idata.posterior.sizes["draw"]
    tuning, checkpoint = Tuning(**settings)._replace(draws=have + draws), Checkpoint(known=known)
    found = continue_program(
        program, args, layout, centre, made, tuning, progress, checkpoint, sampler=sampler_of(method)
    )
    found = replace(found, method=method, incompressible=str(attrs.get("incompressible", "")))
    kept = continuation(checkpoint, found, tuning, layout, centre)
    models, own = model_images(program, args, layout, images, found)
    new = Posterior.from_draws(found, images, None, None, models, own, kept)
    new.idata.attrs = {**attrs, **new.idata.attrs, "map_fit": attrs["map_fit"], "stopped": ""}
    new.program, new.more = program, tuple(more)
    return new


def _check_latents(before: dict[str, list[int]], layout: Layout) -> None:
    here = {name: list(shape) for name, shape in zip(layout.names, layout.shapes, strict=True)}
    if here != before:
        raise ValueError(
            f"this posterior was made by another program: its latents are {_told(before)}, those of the program given "
            f"{_told(here)}; give the program that it was made by"
        )


def _told(latents: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(name + (str(tuple(shape)) if shape else "") for name, shape in latents.items())


def continuation(
    checkpoint: Checkpoint, draws: Draws, tuning: Tuning, layout: Layout, centre: np.ndarray
) -> dict[str, np.ndarray]:
    """What a posterior keeps so that its chains can go on."""
    latents = dict(zip(layout.names, layout.shapes, strict=True))
    settings = {**tuning._asdict(), "road": draws.road, "method": draws.method, "latents": latents}
    about = {"settings": np.array(json.dumps(settings)), "fit/unconstrained": np.asarray(centre)}
    return chains_of(checkpoint, draws.road) | about


def model_images(
    program: Program, args: tuple, layout: Layout, images: ImageSet, draws: Draws
) -> tuple[list[np.ndarray] | None, list[tuple[np.ndarray, float]] | None]:
    """Model pixels of each image at the best draw, and its residuals where their noise is not as the images have it.

    None where the program does not render all of them.
    """
    best = draws.unconstrained.reshape(-1, layout.size)[np.argmax(draws.stats["lp"])]
    means, noises = means_and_noises(program, layout, best, args)
    fitted = pixel_fits(means, noises, images)
    if len(fitted) < len(images):
        return None, None
    models = [pixels.model for pixels in fitted]
    if any(noises.values()) or any(image.noise_correlation is not None for image in images):
        return models, [(pixels.residual, pixels.goodness.widened) for pixels in fitted]
    return models, None


class Ended(NamedTuple):
    """Why sampling ended before its number of draws, or after it, in words; and whether it was for want of time."""

    words: str = ""
    is_late: bool = False


def ended(draws: Draws, tuning: Tuning, is_auto: bool, max_seconds: float | None, deadline: float) -> Ended:
    """How a run of one batch ended."""
    if max_seconds is None or time.monotonic() < deadline:
        return Ended()
    count, passed = draws.stats["lp"].shape[1], f"max_seconds={max_seconds:g} passed"
    if is_auto and not draws.likelihood_holds:
        return Ended(f"{passed} before the compressed likelihood was made to hold", True)
    if count < tuning.draws:
        return Ended(f"{passed} after {count} of {tuning.draws} draws a chain", True)
    return Ended()


def run_until(
    draws: Draws,
    until_ess: float,
    tuning: Tuning,
    program: Program,
    args: tuple,
    images: ImageSet,
    fit: MapFit,
    progress: bool | None,
    checkpoint: Checkpoint,
    deadline: float,
) -> tuple[Draws, Ended]:
    """Batches of `tuning.draws` more, until the least bulk ESS reaches a number; with how it ended."""
    batch, method, obstacle = tuning.draws, draws.method, draws.incompressible
    best, stale = 0.0, 0
    while True:
        count = draws.stats["lp"].shape[1]
        label, least = Posterior.from_draws(draws, images).least_ess()
        now = f"least bulk ESS {least:.0f} ({label}), {count} draws a chain"
        if least >= until_ess:
            return draws, Ended(f"until_ess={until_ess:g} reached: {now}")
        if draws.interrupted:
            return draws, Ended(f"interrupted before until_ess={until_ess:g}: {now}")
        if time.monotonic() >= deadline:
            return draws, Ended(f"max_seconds passed before until_ess={until_ess:g}: {now}", True)
        best, stale = max(best, least), 0 if least > best else stale + 1
        if stale == STALE:
            words = f"until_ess={until_ess:g} not reached, in {STALE} batches it has not grown: {now}"
            return draws, Ended(words)
        tuning = tuning._replace(draws=count + batch)
        made = Made(draws.road, draws.seconds)
        where = fit.layout, fit.unconstrained
        try:
            draws = continue_program(
                program, args, *where, made, tuning, progress, checkpoint, deadline, sampler_of(method)
            )
        except KeyboardInterrupt:  # between chunks: the batches before are kept
            draws = replace(draws, interrupted=True)
        draws = replace(draws, method=method, incompressible=obstacle)
