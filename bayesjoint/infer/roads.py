"""The roads to draws: each samples one likelihood in the region of a fit or of earlier draws, and says how it errs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import logsumexp

from bayesjoint.infer.checkpoint import Checkpoint
from bayesjoint.infer.compress import Fitted, exact_log_posteriors
from bayesjoint.infer.draws import Draws, Importance, constrain, value_dims
from bayesjoint.infer.importance import effective_number, smoothed
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.nuts import run_nuts
from bayesjoint.infer.space import Layout, Program, latent_ends
from bayesjoint.infer.stage import Region, Stage, compressed_stage, exact_stage
from bayesjoint.infer.target import Chains, Tuning

Likelihood = Literal["auto", "compressed", "exact"]
# which likelihood was sampled in the end: the one compressed about the fit, or about the first draws, the latter made exact
# by importance ratios, the exact one, or the exact one in the region of earlier draws
Road = Literal["compressed", "recompressed", "corrected", "exact", "regional"]
_IN_WORDS = {
    "compressed": "compressed about the fit",
    "recompressed": "compressed about draws",
    "corrected": "compressed, corrected by exact renders",
    "exact": "exact",
    "regional": "exact, in the region of earlier draws",
    "laplace": "exact, at draws of the fit's Gaussian",
    "svi": "exact, at draws of the variational Gaussian",
}
Sampler = Callable[..., Chains]

TRAINING_DRAWS = 256
INFLATION = 1.5
CHECKED_DRAWS = 200
NEARLY_EQUAL = 0.99  # effective number of importance ratios over their number


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
    sampler : function
        What draws from a target: takes and gives what `run_nuts` does.
    """

    program: Program
    args: tuple
    layout: Layout
    fitted: Fitted
    tuning: Tuning
    progress: bool | None
    checkpoint: Checkpoint
    deadline: float = float("inf")
    sampler: Sampler = run_nuts

    def exact(self, z: np.ndarray) -> np.ndarray:
        """Exact log posterior (N,) of draws (N, P)."""
        return exact_log_posteriors(self.program, self.layout, self.fitted, z, self.args)

    def are_enough(self, draws: Draws) -> bool:
        """Whether draws can tell where the posterior lies."""
        return draws.stats["lp"].size >= 20 + 3 * self.layout.size

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.deadline


class Made(NamedTuple):
    """How draws were made: on which road, and the seconds of each step."""

    road: Road
    seconds: dict[str, float]


def around_fit(fit: MapFit, seed: int) -> Region:
    """Draws of the fit's Gaussian, inflated."""
    noise = np.random.default_rng([seed % 2**32, 1]).normal(size=(TRAINING_DRAWS, fit.layout.size))
    points = fit.unconstrained + INFLATION * noise @ np.linalg.cholesky(np.asarray(fit.covariance)).T
    return Region(fit.unconstrained, np.asarray(fit.covariance), points)


def around_draws(draws: Draws) -> Region:
    """Draws that were made before, inflated about their mean."""
    z = draws.unconstrained.reshape(-1, draws.unconstrained.shape[-1])
    centre = z.mean(axis=0)
    return Region(
        centre, np.atleast_2d(np.cov(z.T)), centre + INFLATION * (_thinned(z, TRAINING_DRAWS) - centre)
    )


def _thinned(z: np.ndarray, count: int) -> np.ndarray:
    return z[np.linspace(0, len(z) - 1, min(count, len(z))).astype(int)]


def sample_exact(
    run: Run, road: Road, region: Callable[[], Region], spent: dict[str, float] | None = None
) -> Draws:
    """Draws under the exact likelihood, in the coordinates of a region."""
    stage = _stage(run, road, lambda: exact_stage(run.layout, region()))
    chains = _run_chains(run, road, stage)
    return as_draws(run, road, chains._replace(seconds=_summed(chains.seconds, spent)), chains.x)


def sample_compressed(
    run: Run, road: Road, region: Callable[[], Region], spent: dict[str, float] | None = None
) -> Draws:
    """Draws under the likelihood compressed over a region, with its errors at some of them."""
    began = time.perf_counter()
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
    if chains.log_evidence is not None:  # of the compressed likelihood, made that of the exact one
        chains = chains._replace(log_evidence=chains.log_evidence + logsumexp(-errors) - np.log(errors.size))
    seconds = {"compress": compress_seconds, **chains.seconds, "check": time.perf_counter() - began}
    chains = chains._replace(seconds=_summed(seconds, spent))
    return as_draws(run, road, chains, z, errors - errors.mean())


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
    part, short = f"{road}/chains", road == "exact"
    return run.sampler(target, run.tuning, short, run.progress, run.checkpoint, part, run.deadline)


def _summed(seconds: dict[str, float], spent: dict[str, float] | None) -> dict[str, float]:
    """Seconds of each step, with those spent before."""
    spent = spent or {}
    return {name: seconds.get(name, 0.0) + spent.get(name, 0.0) for name in (*spent, *seconds)}


def as_draws(run: Run, road: Road, chains: Chains, z: np.ndarray, errors: np.ndarray | None = None) -> Draws:
    """All that is known of draws z (chains, draws, P)."""
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
        log_evidence=chains.log_evidence,
    )


def corrected(run: Run, draws: Draws) -> Draws | None:
    """Draws of the exact posterior, from those of a nearby one: each chain resampled by its importance ratios.

    None where the ratios of all draws, smoothed, cannot be trusted: their tail is heavy, and they are not so nearly equal
    that no tail matters (by Cauchy and Schwarz a mean moves by at most a tenth of a standard deviation then).
    """
    began = time.perf_counter()
    chains, count, size = draws.unconstrained.shape
    exact = run.exact(draws.unconstrained.reshape(-1, size))
    exact = exact.reshape(chains, count)
    log_ratios = (exact - draws.stats["lp"]).ravel()
    weighted = smoothed(log_ratios)
    if not weighted.holds and effective_number(log_ratios) < NEARLY_EQUAL * exact.size:
        return None
    stats = draws.stats | {"lp": exact}
    rng = np.random.default_rng([draws.seed % 2**32, 3])
    kept = []
    for ratio in weighted.weights.reshape(chains, count):
        places = (np.arange(count) + rng.uniform()) / count
        kept.append(np.searchsorted(np.cumsum(ratio) / ratio.sum(), places))
    rows = np.arange(chains)[:, None], np.minimum(np.array(kept), count - 1)
    return replace(
        draws,
        values={name: value[rows] for name, value in draws.values.items()},
        stats={name: value[rows] for name, value in stats.items()},
        unconstrained=draws.unconstrained[rows],
        seconds=draws.seconds | {"correct": time.perf_counter() - began},
        likelihood_errors=None,
        road="corrected",
        importance=Importance(weighted.k_hat, weighted.effective, exact.size, True),
    )


def in_words(runs: Sequence[Draws]) -> str:
    """Which likelihoods made draws, and the largest k-hat of the importance ratios that had a part in it."""
    found = dict.fromkeys(_IN_WORDS.get(draws.road or draws.method, "") for draws in runs)
    k_hats = [draws.importance.k_hat for draws in runs if draws.importance is not None]
    return "; ".join(found) + (f" (PSIS k-hat {max(k_hats):.2f})" if k_hats else "")
