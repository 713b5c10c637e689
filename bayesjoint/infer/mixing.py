"""Whether chains mixed: R-hat, effective sample sizes, divergences, energy and piled-up parameters.

Nothing here knows where the numbers came from: R-hat and effective sample sizes are computed by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import chdtri

from bayesjoint.infer.draws import TOLERATED_ERROR
from bayesjoint.infer.verdict import Finding, Severity, counted, named

R_HAT_LIMIT = 1.01
R_HAT_FAILURE = 1.05
ESS_WANTED = 400
ESS_FAILURE = 100
BFMI_LIMIT = 0.3
TOLERATED_NARROWING = 0.02
Q_THIN, Q_ROUND = 0.05, 0.98


def judge_convergence(
    r_hat: Mapping[str, float], ess_bulk: Mapping[str, float], ess_tail: Mapping[str, float], chains: int
) -> list[Finding]:
    """Judge the mixing of chains from rank-normalised split R-hat and effective sample sizes, by parameter.

    Parameters whose numbers are NaN (they do not vary) are left out; when all are NaN, that is a fail.
    """
    names = [name for name in r_hat if np.isfinite(r_hat[name])]
    if not names:
        advice = "draw more (at least 8 in each chain), and check that the program samples anything"
        return [Finding("fail", "R-hat and effective sample size cannot be computed", advice=advice)]
    limits = {name: r_hat_limit(min(ess_bulk[name], ess_tail[name]), chains) for name in names}
    findings = [_judge_r_hat({name: r_hat[name] for name in names}, limits)]
    for kind, ess, part in (("bulk", ess_bulk, "medians and means"), ("tail", ess_tail, "interval ends")):
        findings.append(_judge_ess(kind, {name: ess[name] for name in names}, part))
    if chains < 2:
        advice = "sample with chains=4: chains started apart are what shows a posterior of several peaks"
        findings.append(Finding("warning", "there is a single chain", chains, advice))
    return findings


def r_hat_limit(ess: float, chains: int) -> float:
    """What split R-hat of chains that agree stays under in 999 of 1000 cases, at least 1.01 and at most 1.05.

    The means of the m = 2 `chains` half-chains of an effective size ess / m scatter by chance: R-hat^2 is 1 plus
    m / ess times a chi-squared of m - 1 degrees of freedom over m - 1 (Gelman & Rubin 1992, Stat. Sci. 7, 457, sec. 3).
    """
    halves = 2 * chains
    if not np.isfinite(ess) or ess <= 0:
        return R_HAT_LIMIT
    by_chance = halves / ess * chdtri(halves - 1, 0.001) / (halves - 1)
    return float(np.clip(np.sqrt(1 + by_chance), R_HAT_LIMIT, R_HAT_FAILURE))


def _judge_r_hat(r_hat: Mapping[str, float], limits: Mapping[str, float]) -> Finding:
    bad = sorted((name for name in r_hat if r_hat[name] >= limits[name]), key=lambda name: -r_hat[name])
    worst = max(r_hat.values())
    if not bad:
        return Finding("ok", f"chains agree (largest R-hat {worst:.4f})", worst)
    severity: Severity = "fail" if worst >= R_HAT_FAILURE else "warning"
    what = f"chains disagree: R-hat up to {worst:.3f} (wanted under {limits[bad[0]]:.3f}) in {named(bad)}"
    advice = (
        "draw more; if it stays, look at the trace: chains may sit on different peaks (several starts help)"
    )
    return Finding(severity, what, worst, advice)


def _judge_ess(kind: str, ess: Mapping[str, float], part: str) -> Finding:
    name = min(ess, key=lambda key: ess[key] if np.isfinite(ess[key]) else np.inf)
    worst = ess[name]
    if worst >= ESS_WANTED:
        return Finding("ok", f"{kind} effective sample size is at least {worst:.0f}", worst)
    severity: Severity = "fail" if worst < ESS_FAILURE else "warning"
    what = (
        f"{kind} effective sample size is only {worst:.0f} for {name} (wanted {ESS_WANTED}): "
        f"{part} carry a sampling error of {100 / np.sqrt(max(worst, 1)):.0f} % of the posterior's width"
    )
    advice = (
        f"draw about {np.ceil(ESS_WANTED / max(worst, 1)):.0f} times as many; where that does not help the posterior is "
        "far from the fit's Gaussian: trajectories of the exact likelihood may run longer (max_tree_depth=8)"
    )
    return Finding(severity, what, worst, advice)


def bfmi(energy: np.ndarray) -> np.ndarray:
    """Bayesian fraction of missing information of each chain (Betancourt 2016, arXiv:1604.00695).

    Parameters
    ----------
    energy : array (chains, draws)

    Returns
    -------
    array (chains,)
        Mean squared step of the energy over its variance; under 0.3 the energy explores too slowly.
    """
    variance = np.var(energy, axis=1)
    steps = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
    return steps / np.where(variance > 0, variance, np.nan)


def judge_sampler(
    diverging: np.ndarray,
    energy: np.ndarray | None = None,
    interrupted: bool = False,
) -> list[Finding]:
    """Judge the Hamiltonian trajectories: divergences and energy, each (chains, draws)."""
    findings = [_judge_divergences(np.asarray(diverging))]
    if energy is not None:
        findings.append(_judge_energy(np.asarray(energy)))
    if interrupted:
        what = f"sampling was stopped early, after {np.shape(diverging)[1]} draws of each chain"
        findings.append(Finding("note", what, np.shape(diverging)[1], "sample on if the error bars need it"))
    return findings


def _judge_divergences(diverging: np.ndarray) -> Finding:
    count = int(diverging.sum())
    if count == 0:
        return Finding("ok", "no divergences", 0)
    share = count / diverging.size
    severity: Severity = "fail" if share > 0.01 else "warning"
    what = f"{counted(count, 'divergence')} ({100 * share:.2g} % of the draws)"
    advice = (
        "raise target_accept (0.9); look where they cluster in the corner plot: often q near 1, n or Re at "
        "its prior's end, or a hierarchy that wants its other form (of bj.Trend: centred=)"
    )
    return Finding(severity, what, count, advice)


def _judge_energy(energy: np.ndarray) -> Finding:
    values = bfmi(energy) if energy.shape[1] > 1 else np.array([np.nan])
    if not np.isfinite(values).any():
        return Finding("note", "the energy does not vary, so BFMI says nothing")
    worst = float(np.nanmin(values))
    if worst >= BFMI_LIMIT:
        return Finding("ok", f"energy is explored well (BFMI at least {worst:.2f})", worst)
    advice = "tails may be missed: narrow a very broad prior, or write a hierarchy in its other form"
    return Finding("warning", f"BFMI is {worst:.2f} (wanted over {BFMI_LIMIT})", worst, advice)


def judge_likelihood(errors: np.ndarray, k_hat: float) -> Finding:
    """Judge a compressed log posterior by its errors at some of the draws, and the shape of its importance ratios' tail."""
    rms, largest = float(np.std(errors)), float(np.max(np.abs(errors)))
    if not np.isfinite(rms):
        lost = int(np.sum(~np.isfinite(errors)))
        what = f"the exact log posterior is not finite at {lost} of {errors.size} draws of the compressed one"
        return Finding("fail", what, rms, 'check the priors\' ends, and sample with likelihood="exact"')
    what = f"compressed log posterior is within {largest:.1g} of the exact one at {errors.size} draws"
    if rms <= TOLERATED_ERROR:
        return Finding("ok", what, rms)
    what = f"{what} (rms {rms:.2g}, PSIS k-hat {k_hat:.2f})"
    severity: Severity = "warning" if rms <= 0.3 and k_hat <= 0.7 else "fail"
    return Finding(severity, what, rms, 'sample with likelihood="exact", or "auto", which does so by itself')


def judge_groups(narrowing: float) -> Finding:
    """Judge what sampling a field in groups left out: by how much errors are too small at most, as a part of them."""
    what = f"sources were sampled in groups: by the fit's covariance no error is too small by over {narrowing:.1%}"
    if narrowing <= TOLERATED_NARROWING:
        return Finding("ok", what, narrowing)
    return Finding("warning", what, narrowing, "sample in larger groups: give a smaller coupling=")


def judge_edges(
    bounded: Mapping[str, tuple[np.ndarray, float, float]] | None = None,
    axis_ratios: Mapping[str, np.ndarray] | None = None,
) -> list[Finding]:
    """Judge whether posterior mass is piled against an end of what is allowed.

    Parameters
    ----------
    bounded : dict of (draws, low, high)
        Draws of each parameter whose prior has two ends, such as a Sersic index, and these.
    axis_ratios : dict of array
        Draws of each q: round is only a note, under 0.05 is not believable for a galaxy.
    """
    bounded = dict(bounded or {})
    findings = [f for name, (d, low, high) in bounded.items() for f in _piled(name, np.asarray(d), low, high)]
    for name, draws in (axis_ratios or {}).items():
        findings += _judge_axis_ratio(name, np.asarray(draws))
    if not findings and (bounded or axis_ratios):
        findings.append(Finding("ok", "no parameter leans on an end of its range"))
    return findings


def _piled(name: str, draws: np.ndarray, low: float, high: float) -> list[Finding]:
    """More than 10 % of the mass within 2 % of the range from an end."""
    margin = 0.02 * (high - low)
    found = []
    for end, share in ((low, np.mean(draws < low + margin)), (high, np.mean(draws > high - margin))):
        if share > 0.1:
            what = f"{100 * share:.0f} % of the posterior of {name} leans on its end at {end:g}"
            advice = (
                "its interval is set by the prior, not by the data: check PSF, sky and neighbours, think of "
                "a second component (a point source, a disk), or fix the parameter and say so"
            )
            found.append(Finding("warning", what, float(share), advice))
    return found


def _judge_axis_ratio(name: str, draws: np.ndarray) -> list[Finding]:
    round_share, thin_share = float(np.mean(draws > Q_ROUND)), float(np.mean(draws < Q_THIN))
    found = []
    if round_share > 0.1:
        what = (
            f"{100 * round_share:.0f} % of the posterior of {name} is over {Q_ROUND}: the galaxy looks round"
        )
        found.append(
            Finding("note", what, round_share, "its position angle means little; nothing else suffers")
        )
    if thin_share > 0.1:
        what = (
            f"{100 * thin_share:.0f} % of the posterior of {name} is under {Q_THIN}, thinner than any galaxy"
        )
        found.append(
            Finding("warning", what, thin_share, "look for a satellite trail, a bad column or a wrong PSF")
        )
    return found
