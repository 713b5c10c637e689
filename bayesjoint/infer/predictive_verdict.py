"""Whether data look like data that a posterior predicts: findings for a verdict, from the discrepancies of each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayesjoint.infer.goodness import CHI2_FAILURE, SOURCE_FAILURE
from bayesjoint.infer.predictive import STATISTICS, Prediction
from bayesjoint.infer.verdict import Finding, Severity

EXTREME = 0.005
SLIGHT_CHI2, SLIGHT_SOURCE, SLIGHT_MEAN, SLIGHT_CORRELATION = 0.05, 0.03, 0.03, 0.05


def judge_predictions(found: Sequence[Prediction]) -> list[Finding]:
    """Judge the data of each image beside what the posterior would have them be."""
    return [finding for one in found for finding in _judge(one)]


def _judge(one: Prediction) -> list[Finding]:
    """One finding at most of each kind; of the two of a kind the one that stands out more."""
    odd = [name for name in STATISTICS if is_extreme(one.p_value(name))]
    if not odd:
        return [Finding("ok", f"{one.name}: the data look like data that the posterior predicts")]
    findings = [_judge_chi2(one)] if "chi2" in odd else []
    for kind, judge in (("source", _judge_source), ("largest", _judge_largest)):
        of_kind = [name for name in odd if name in (kind, f"smooth {kind}")]
        if of_kind:
            findings.append(judge(one, max(of_kind, key=lambda name: np.divide(*one.means(name)))))
    findings += [_judge_mean(one)] if "source mean" in odd else []
    return findings + ([_judge_correlation(one)] if "correlation" in odd else [])


def is_extreme(p: float) -> bool:
    """Whether a p-value says that the data are unlike predicted ones; not where it is NaN."""
    return bool(p < EXTREME or p > 1 - EXTREME)


def _told(one: Prediction, statistic: str) -> str:
    return f"p = {one.p_value(statistic):.3f}"


def _judge_chi2(one: Prediction) -> Finding:
    observed, expected = one.means("chi2")
    ratio = observed / expected
    what = f"{one.name}: chi2 is {ratio:.3f} times that of predicted data ({_told(one, 'chi2')})"
    if abs(ratio - 1) < SLIGHT_CHI2:
        return Finding("note", what, ratio, "a few per cent: the error bars are off by half as much")
    if ratio < 1:
        return Finding("warning", what, ratio, "the noise is overstated, or smoothed by resampling")
    advice = (
        "where the residual map looks like noise, the noise is understated: sample its scale (sample_noise_scale); where it "
        "does not, mask what is not modelled, or mend PSF or model"
    )
    return Finding("fail" if ratio > CHI2_FAILURE else "warning", what, ratio, advice)


def _judge_source(one: Prediction, statistic: str) -> Finding:
    observed, expected = one.means(statistic)
    ratio, smooth = observed / expected, statistic != "source"
    of = "chi2 of smoothed residuals" if smooth else "chi2"
    what = f"{one.name}: {of} on the source is {ratio:.2f} times that of predicted data ({_told(one, statistic)})"
    if ratio < 1:
        return Finding(
            "note", what, ratio, "the noise of the source is overstated, and so are its error bars"
        )
    severity: Severity = "note" if ratio - 1 < SLIGHT_SOURCE else "warning"
    advice = (
        "the model or its PSF is wrong where the light is: look at the residual map (rings: PSF or profile, a second "
        "component; arms or lumps: structure that the model lacks), or noise of the source is missing"
    )
    return Finding("fail" if ratio > SOURCE_FAILURE and not smooth else severity, what, ratio, advice)


def _judge_largest(one: Prediction, statistic: str) -> Finding:
    observed, expected = one.means(statistic)
    smooth = statistic != "largest"
    residual = one.smoothed if smooth else one.residual
    y, x = np.unravel_index(np.argmax(np.abs(residual)), residual.shape)
    what = (
        f"{one.name}: the largest {'smoothed ' if smooth else ''}residual is {observed:.1f} sigma, at pixel x={x}, y={y}; "
        f"predicted data have {expected:.1f} ({_told(one, statistic)})"
    )
    if observed < expected:
        return Finding("note", what, observed, "outliers were clipped, or the noise is overstated")
    advice = "a star, cosmic ray or neighbour: mask it, model it, or let noise have tails (sample_outliers)"
    return Finding("warning", what, observed, advice)


def _judge_mean(one: Prediction) -> Finding:
    observed, expected = one.means("source mean")
    side = "brighter" if observed > expected else "fainter"
    what = (
        f"{one.name}: the source is {side} than the model by {abs(observed):.3f} sigma a pixel on average "
        f"({_told(one, 'source mean')})"
    )
    advice = "flux or sky cannot follow the data: look at priors and fixed parameters, sky and neighbours"
    return Finding("note" if abs(observed) < SLIGHT_MEAN else "warning", what, observed, advice)


def _judge_correlation(one: Prediction) -> Finding:
    observed, expected = one.means("correlation")
    excess = observed - expected
    what = (
        f"{one.name}: neighbouring residuals correlate by {observed:.3f}, predicted ones by {expected:.3f} "
        f"({_told(one, 'correlation')})"
    )
    advice = (
        "light that is not modelled, a wrong PSF, or noise correlated by resampling: error bars are too small, by about the "
        "root of 1 + 4 times the correlation if it is noise"
    )
    return Finding("note" if abs(excess) < SLIGHT_CORRELATION else "warning", what, excess, advice)
