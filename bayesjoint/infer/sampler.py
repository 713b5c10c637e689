"""From a fit to draws of the posterior: which likelihood is sampled, and how its draws are checked.

The compressed likelihood (`compress.py`) is sampled, its brightnesses integrated out (`collapse.py`), and its log posterior
compared with the exact one at some of the draws. Where it does not hold it is made once more from those draws, which know
where the posterior lies. Where it then misses by little, importance ratios of all draws make them those of the exact
posterior; where it misses by more, the exact likelihood is sampled in the region of the draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.compress import Fitted, at_fit, exact_log_posteriors
from bayesjoint.infer.draws import Draws, constrain, value_dims
from bayesjoint.infer.fit import MapFit
from bayesjoint.infer.nuts import Chains, Tuning, run_nuts
from bayesjoint.infer.space import Layout, Program, latent_ends
from bayesjoint.infer.stage import Region, Stage, compressed_stage, exact_stage

Likelihood = Literal["auto", "compressed", "exact"]
# which likelihood was sampled in the end: the one compressed about the fit, or about the first draws, the latter made exact
# by importance ratios, the exact one, or the exact one in the region of earlier draws
Road = Literal["compressed", "recompressed", "corrected", "exact", "regional"]

TRAINING_DRAWS = 256
INFLATION = 1.5
CHECKED_DRAWS = 200
CORRECTED_ERROR = 0.3  # standard deviation of the log posterior's error up to which importance ratios mend it
SHORT: Any = {"target_accept": 0.65, "max_tree_depth": 2}
THOROUGH: Any = {"target_accept": 0.8, "max_tree_depth": 8}


@dataclass(frozen=True, eq=False)
class Run:
    """What all steps of sampling one program take.

    Attributes
    ----------
    layout : Layout
    fitted : Fitted
        The fit that compressed likelihoods depart from.
    checkpoint : Checkpoint
        What is known already; stages and chains are noted in it.
    deadline : float
        Of `time.monotonic`; sampling ends there, with the draws so far.
    """

    program: Program
    args: tuple
    layout: Layout
    fitted: Fitted
    tuning: Tuning
    progress: bool | None
    checkpoint: Checkpoint
    deadline: float = float("inf")

    def tuned(self, **values: Any) -> Run:
        """With these values of the tuning where none was given."""
        return replace(self, tuning=self.tuning.or_else(**values))

    def exact(self, z: np.ndarray) -> np.ndarray:
        """Exact log posterior (N,) of draws (N, P)."""
        return exact_log_posteriors(self.program, self.layout, self.fitted, z, self.args)

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.deadline


class Made(NamedTuple):
    """How draws were made: on which road, and the seconds of each step."""

    road: Road
    seconds: dict[str, float]


def sample_program(
    program: Program,
    args: tuple,
    fit: MapFit,
    tuning: Tuning,
    likelihood: Likelihood,
    progress: bool | None,
    checkpoint: Checkpoint | None = None,
    deadline: float = float("inf"),
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
    run = Run(program, args, fit.layout, fitted, tuning, progress, checkpoint, deadline)
    if likelihood == "exact" or not fitted.sites or fitted.obstacle:
        region = Region(fit.unconstrained, fit.covariance, fit.unconstrained[None])
        # short trajectories: in whitened space longer ones return where they came from
        draws = _sample_exact(run.tuned(**SHORT), "exact", lambda: region)
        return replace(draws, incompressible="" if likelihood == "exact" else fitted.obstacle)
    draws = _sample_compressed(run, "compressed", lambda: _around_fit(fit, tuning.seed))
    if draws.interrupted or draws.likelihood_holds or run.is_late:
        return draws
    try:
        spent, before = draws.seconds, draws
        draws = _sample_compressed(run, "recompressed", lambda: _around_draws(before), spent)
        if draws.interrupted or draws.likelihood_holds or likelihood == "compressed":
            return draws
        if draws.likelihood_error <= CORRECTED_ERROR:
            return _corrected(run, draws)
        if run.is_late:
            return draws
        spent, found = draws.seconds, draws
        return _sample_exact(run.tuned(**THOROUGH), "regional", lambda: _around_draws(found), spent)
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
    run = Run(program, args, layout, fitted, tuning, progress, checkpoint, deadline)
    known = checkpoint.recall(f"{_part(before.road)}/chains")
    spent = {name: s - float(known.get(f"{name}_seconds", 0.0)) for name, s in before.seconds.items()}
    if before.road in ("exact", "regional"):
        tuned = run.tuned(**(SHORT if before.road == "exact" else THOROUGH))
        return _sample_exact(tuned, before.road, _unknown, spent)
    draws = _sample_compressed(run, _part(before.road), _unknown, spent)
    return _corrected(run, draws) if before.road == "corrected" else draws


def _part(road: Road) -> Road:
    """The road whose chains are those of this one."""
    return "recompressed" if road == "corrected" else road


def _unknown() -> Region:
    raise ValueError("the chains to go on with are not there: sample anew with bj.sample")


def chains_of(checkpoint: Checkpoint, road: Road) -> dict[str, np.ndarray]:
    """What `continue_program` needs of a checkpoint: the road's stage and chains, and the program's log posterior."""
    parts = ("program", _part(road))
    return {f"{part}/{name}": a for part in parts for name, a in checkpoint.recall(part).items()}


def _corrected(run: Run, draws: Draws) -> Draws:
    """Draws of the exact posterior, from those of a nearby one: each chain resampled by its importance ratios."""
    began = time.perf_counter()
    chains, count, size = draws.unconstrained.shape
    exact = run.exact(draws.unconstrained.reshape(-1, size))
    log_ratios = exact.reshape(chains, count) - draws.stats["lp"]
    draws.stats["lp"] = exact.reshape(chains, count)
    rng = np.random.default_rng([draws.seed % 2**32, 3])
    kept = []
    for chain in log_ratios:
        ratio = np.exp(chain - chain.max())
        places = (np.arange(count) + rng.uniform()) / count
        kept.append(np.searchsorted(np.cumsum(ratio) / ratio.sum(), places))
    rows = np.arange(chains)[:, None], np.minimum(np.array(kept), count - 1)
    return replace(
        draws,
        values={name: value[rows] for name, value in draws.values.items()},
        stats={name: value[rows] for name, value in draws.stats.items()},
        unconstrained=draws.unconstrained[rows],
        seconds=draws.seconds | {"correct": time.perf_counter() - began},
        likelihood_errors=None,
        road="corrected",
    )


def _around_fit(fit: MapFit, seed: int) -> Region:
    """Draws of the fit's Gaussian, inflated."""
    noise = np.random.default_rng([seed % 2**32, 1]).normal(size=(TRAINING_DRAWS, fit.layout.size))
    points = fit.unconstrained + INFLATION * noise @ np.linalg.cholesky(fit.covariance).T
    return Region(fit.unconstrained, fit.covariance, points)


def _around_draws(draws: Draws) -> Region:
    """Draws that were made before, inflated about their mean."""
    z = draws.unconstrained.reshape(-1, draws.unconstrained.shape[-1])
    centre = z.mean(axis=0)
    return Region(centre, np.cov(z.T), centre + INFLATION * (_thinned(z, TRAINING_DRAWS) - centre))


def _thinned(z: np.ndarray, count: int) -> np.ndarray:
    return z[np.linspace(0, len(z) - 1, min(count, len(z))).astype(int)]


def _sample_exact(
    run: Run, road: Road, region: Callable[[], Region], spent: dict[str, float] | None = None
) -> Draws:
    stage = _stage(run, road, lambda: exact_stage(run.layout, region()))
    chains = _run_chains(run, road, stage)
    return _as_draws(run, road, chains._replace(seconds=_summed(chains.seconds, spent)), chains.x)


def _sample_compressed(
    run: Run, road: Road, region: Callable[[], Region], spent: dict[str, float] | None = None
) -> Draws:
    """Draws under the likelihood compressed over a region, with its errors at some of them."""
    began = time.perf_counter()
    run = run.tuned(**THOROUGH)
    made = run.program, run.layout, run.fitted
    stage = _stage(run, road, lambda: compressed_stage(*made, region(), run.args))
    compress_seconds = time.perf_counter() - began
    chains = _run_chains(run, road, stage)
    z = chains.x
    if stage.is_collapsed:
        z, chains.stats["lp"] = stage.complete(run.program, chains.x, run.args, run.tuning.seed)
    began = time.perf_counter()
    some, lp = (_thinned(a.reshape(-1, *a.shape[2:]), CHECKED_DRAWS) for a in (z, chains.stats["lp"]))
    errors = lp - run.exact(some)
    seconds = {"compress": compress_seconds, **chains.seconds, "check": time.perf_counter() - began}
    chains = chains._replace(seconds=_summed(seconds, spent))
    return _as_draws(run, road, chains, z, errors - errors.mean())


def _stage(run: Run, road: Road, make: Callable[[], Stage]) -> Stage:
    """The stage of a road, as the checkpoint has it, or made and noted."""
    part = f"{road}/stage"
    if known := run.checkpoint.recall(part):
        return Stage.unpack(known, run.layout)
    stage = make()
    run.checkpoint.note(part, stage.pack())
    return stage


def _run_chains(run: Run, road: Road, stage: Stage) -> Chains:
    target = stage.target(run.program, run.layout, run.args)
    return run_nuts(target, run.tuning, run.progress, run.checkpoint, f"{road}/chains", run.deadline)


def _summed(seconds: dict[str, float], spent: dict[str, float] | None) -> dict[str, float]:
    """Seconds of each step, with those spent before."""
    spent = spent or {}
    return {name: seconds.get(name, 0.0) + spent.get(name, 0.0) for name in (*spent, *seconds)}


def _as_draws(run: Run, road: Road, chains: Chains, z: np.ndarray, errors: np.ndarray | None = None) -> Draws:
    values = constrain(run.program, run.layout, z, run.args)
    return Draws(
        values=values,
        dims=value_dims(run.program, run.args, values),
        stats=chains.stats,
        unconstrained=z,
        step_size=chains.step_size,
        warmup=run.tuning.warmup,
        seed=run.tuning.seed,
        seconds=chains.seconds,
        interrupted=chains.interrupted,
        ends=latent_ends(run.program, run.args),
        likelihood_errors=errors,
        road=road,
    )
