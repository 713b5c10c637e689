"""From a fit to draws of the posterior: which likelihood is sampled, and how its draws are checked.

The compressed likelihood (`compress.py`) is sampled, its brightnesses integrated out (`collapse.py`), and its log posterior
compared with the exact one at some of the draws. Where it does not hold it is made once more from those draws, which know
where the posterior lies. Where it then misses by little, importance ratios of all draws make them those of the exact
posterior; where it misses by more, the exact likelihood is sampled in the region of the draws.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.compress import at_fit
from bayesjoint.infer.draws import Draws
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.nuts import run_nuts
from bayesjoint.infer.roads import (
    Likelihood,
    Made,
    Road,
    Run,
    Sampler,
    around_draws,
    around_fit,
    corrected,
    sample_compressed,
    sample_exact,
)
from bayesjoint.infer.space import Layout, Program
from bayesjoint.infer.stage import Region
from bayesjoint.infer.target import Tuning

CORRECTED_ERROR = 0.3  # standard deviation of the log posterior's error up to which importance ratios mend it


def sample_program(
    program: Program,
    args: tuple,
    fit: MapFit,
    tuning: Tuning,
    likelihood: Likelihood,
    progress: bool | None,
    checkpoint: Checkpoint | None = None,
    deadline: float = float("inf"),
    sampler: Sampler = run_nuts,
) -> Draws:
    """Sample a program's posterior; see `bayesjoint.sample`.

    What the checkpoint knows is not done again: the steps before are gone through, with the numbers they had.

    Returns
    -------
    Draws
        With fewer draws, and `interrupted` set, when Ctrl-C was pressed during sampling.
    """
    checkpoint = checkpoint or Checkpoint()
    fitted = at_fit(program, fit.layout, fit.unconstrained, args)
    if fitted.obstacle and likelihood == "compressed":
        raise ValueError(
            f"{fitted.obstacle} leaves no likelihood to compress, for it is no quadratic form of the light: give "
            'likelihood="exact", or "auto", which goes there by itself'
        )
    checkpoint.check_density(fitted.log_posterior)
    run = Run(program, args, fit.layout, fitted, tuning, progress, checkpoint, deadline, sampler)
    region = Region(fit.unconstrained, np.asarray(fit.covariance), fit.unconstrained[None])
    if likelihood == "exact" or not fitted.sites or fitted.obstacle:
        draws = sample_exact(run, "exact", lambda: region)
        return replace(draws, incompressible="" if likelihood == "exact" else fitted.obstacle)
    draws = sample_compressed(run, "compressed", lambda: around_fit(fit, tuning.seed))
    if draws.interrupted or draws.likelihood_holds or run.is_late:
        return draws
    if not run.are_enough(draws):
        spent = draws.seconds
        return draws if likelihood == "compressed" else sample_exact(run, "exact", lambda: region, spent)
    try:
        spent, before = draws.seconds, draws
        draws = sample_compressed(run, "recompressed", lambda: around_draws(before), spent)
        if draws.interrupted or draws.likelihood_holds or likelihood == "compressed":
            return draws
        if run.is_late:
            return draws
        if draws.likelihood_error <= CORRECTED_ERROR and (made := corrected(run, draws)) is not None:
            return made
        spent, found = draws.seconds, draws
        return sample_exact(run, "regional", lambda: around_draws(found), spent)
    except KeyboardInterrupt:
        return replace(draws, interrupted=True)


def continue_program(
    program: Program,
    args: tuple,
    layout: Layout,
    centre: np.ndarray,
    before: Made,
    tuning: Tuning,
    progress: bool | None,
    checkpoint: Checkpoint,
    deadline: float = float("inf"),
    sampler: Sampler = run_nuts,
) -> Draws:
    """More draws of the chains that a checkpoint has: `tuning.draws` of each chain in all.

    Parameters
    ----------
    centre : array (P,)
        The fit's place.
    before : Made
        How the draws so far were made.
    """
    fitted = at_fit(program, layout, centre, args)
    checkpoint.check_density(fitted.log_posterior)
    run = Run(program, args, layout, fitted, tuning, progress, checkpoint, deadline, sampler)
    known = checkpoint.recall(f"{_part(before.road)}/chains")
    spent = {name: s - float(known.get(f"{name}_seconds", 0.0)) for name, s in before.seconds.items()}
    if before.road in ("exact", "regional"):
        return sample_exact(run, before.road, _unknown, spent)
    draws = sample_compressed(run, _part(before.road), _unknown, spent)
    return (corrected(run, draws) or draws) if before.road == "corrected" else draws


def _part(road: Road) -> Road:
    """The road whose chains are those of this one."""
    return "recompressed" if road == "corrected" else road


def _unknown() -> Region:
    raise ValueError("the chains to go on with are not there: sample anew with bj.sample")


def chains_of(checkpoint: Checkpoint, road: Road) -> dict[str, np.ndarray]:
    """What `continue_program` needs of a checkpoint: the road's stage and chains, and the program's log posterior."""
    parts = ("program", _part(road))
    return {f"{part}/{name}": a for part in parts for name, a in checkpoint.recall(part).items()}
