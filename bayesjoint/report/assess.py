"""The verdict on a posterior: its numbers handed to the rules of `infer.verdict` and `infer.goodness`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bayesjoint.infer.draws import Importance
from bayesjoint.infer.goodness import Goodness, judge_fit, judge_images
from bayesjoint.infer.importance import judge_importance
from bayesjoint.infer.microcanonical import judge_bias
from bayesjoint.infer.mixing import (
    judge_convergence,
    judge_edges,
    judge_groups,
    judge_likelihood,
    judge_sampler,
)
from bayesjoint.infer.verdict import Finding, Verdict
from bayesjoint.report.quantities import Quantity


def assess(
    found: Sequence[Quantity],
    diagnose: Callable[[np.ndarray], tuple[float, float, float]],
    stats: Mapping[str, np.ndarray],
    measured: Sequence[Goodness],
    fit: Mapping[str, Any] | None = None,
    interrupted: bool = False,
    ends: Mapping[str, tuple[float, float]] | None = None,
    likelihood_errors: tuple[np.ndarray, float] | None = None,
    incompressible: str = "",
    importance: Importance | None = None,
    method: str = "nuts",
    narrowing: float | None = None,
    road: str = "",
) -> Verdict:
    """Whether to trust a posterior.

    Parameters
    ----------
    found : sequence of Quantity
        Its scalars; magnitudes are left out, as they say what their fluxes say.
    diagnose : callable
        Gives (r_hat, ess_bulk, ess_tail) of draws (chains, draws).
    stats : dict of array (chains, draws)
        Of the sampler: diverging, energy.
    measured : sequence of Goodness
        Of each image; may be empty.
    fit : dict, optional
        Record of the fit that sampling started from.
    interrupted : bool
        Whether the user stopped the sampler.
    ends : dict of (low, high)
        The ends of the sites whose prior has two.
    likelihood_errors : (array, float), optional
        Errors of a compressed log posterior at some of the draws, and the PSIS k-hat of its importance ratios.
    incompressible : str
        The noise for which the exact likelihood was sampled, by name.
    importance : Importance, optional
        Of draws of a Gaussian, which are judged by that instead of by the mixing of chains.
    method : str
        What made the draws.
    narrowing : float, optional
        Of a field sampled in groups: see `infer.groups`.
    road : str
        Which likelihood made the draws, in words.
    """
    scalars = [q for q in found if q.parameter != "mag"]
    if importance is not None:
        findings = judge_importance(*importance, method)
    else:
        findings = _mixing(scalars, diagnose)
        diverging = stats.get(
            "diverging", np.zeros(scalars[0].draws.shape if scalars else (1, 1), dtype=bool)
        )
        is_biased = method == "mclmc"  # whose energies are errors of each step
        energy = None if is_biased else stats.get("energy")
        findings += judge_sampler(diverging, energy, interrupted=interrupted)
        findings += [judge_bias(stats["energy"], len(scalars))] if is_biased else []
    if likelihood_errors is not None:
        findings.append(judge_likelihood(*likelihood_errors))
    findings += [] if narrowing is None else [judge_groups(narrowing)]
    if incompressible:
        findings.append(
            Finding("note", f"the exact likelihood was sampled, as {incompressible} cannot be compressed")
        )
    elif road and likelihood_errors is None and importance is None:
        findings.append(Finding("note", f"the likelihood that made the draws: {road}"))
    ratios = {q.label: q.draws for q in scalars if q.source and q.parameter == "q"}
    bounded = {q.label: (q.draws, *(ends or {})[q.site]) for q in scalars if q.site in (ends or {})}
    findings += judge_edges({label: b for label, b in bounded.items() if label not in ratios}, ratios)
    findings += judge_images(measured)
    if fit is not None and not fit.get("converged", True):
        findings += judge_fit(False, str(fit.get("reason") or ""), advice=fit.get("advice") or ())
    return Verdict.from_findings(findings, "the posterior")


def _mixing(
    scalars: Sequence[Quantity], diagnose: Callable[[np.ndarray], tuple[float, float, float]]
) -> list[Finding]:
    numbers = {q.label: diagnose(q.draws) for q in scalars}
    r_hat, bulk, tail = ({label: three[i] for label, three in numbers.items()} for i in range(3))
    return judge_convergence(r_hat, bulk, tail, chains=len(scalars[0].draws) if scalars else 0)
