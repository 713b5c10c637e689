"""The evidence of a program, to compare it with other programs of the same images."""

from __future__ import annotations

from typing import Any

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.draws import LogEvidence
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.methods import LEAST_PARTICLES
from bayesjoint.infer.roads import Likelihood
from bayesjoint.infer.space import Program
from bayesjoint.report.counts import check_whole
from bayesjoint.report.sampling import sample


def evidence(
    program: Program,
    images: ImageSet,
    *more: Any,
    init: MapFit | None = None,
    runs: int = 4,
    particles: int = 500,
    seed: int = 0,
    likelihood: Likelihood = "auto",
) -> LogEvidence:
    """Natural log of the probability density of the images under a program, its priors and pixels normalised.

    By sequential Monte Carlo, as `sample(..., method="smc")`, which gives draws of the posterior too. The difference between
    two programs of the same images is the log of their Bayes factor; it depends on the widths of the priors.

    Parameters
    ----------
    program, images, *more, init, seed, likelihood
        As of `bayesjoint.sample`.
    runs, particles : int
        Independent runs, whose scatter is the error, and particles in each.

    Returns
    -------
    LogEvidence
        `value` and `error`.

    Raises
    ------
    ImportError
        Where blackjax is missing.
    ValueError
        For fewer than two runs, or than twenty particles.
    """
    check_whole("runs", runs, 2)
    check_whole("particles", particles, LEAST_PARTICLES)
    options: dict[str, Any] = {"init": init, "seed": seed, "likelihood": likelihood, "progress": False}
    return sample(program, images, *more, method="smc", chains=runs, draws=particles, **options).log_evidence
