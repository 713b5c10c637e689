"""Each rule of the verdict, triggered and not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bayesjoint.infer.goodness import goodness, judge_fit, judge_images, lag_one_correlation
from bayesjoint.infer.mixing import bfmi, judge_convergence, judge_edges, judge_sampler, r_hat_limit
from bayesjoint.infer.verdict import Finding, Verdict

RNG = np.random.default_rng(7)


def severities(findings):
    return [finding.severity for finding in findings]


def converge(r_hat=1.001, bulk=2000.0, tail=1500.0, chains=4):
    return judge_convergence(
        {"n": r_hat, "q": 1.0}, {"n": bulk, "q": 3000.0}, {"n": tail, "q": 3000.0}, chains
    )


def test_good_chains():
    assert severities(converge()) == ["ok"] * 3


def test_r_hat_limit_is_what_chance_allows():
    """Independent draws in agreeing chains pass it 999 times of 1000, and by no wide margin."""
    rng, chains, draws = np.random.default_rng(4), 4, 100
    halves = rng.normal(size=(20000, 2 * chains, draws // 2))
    within, between = halves.var(axis=2, ddof=1).mean(axis=1), halves.mean(axis=2).var(axis=1, ddof=1)
    r_hat = np.sqrt((draws // 2 - 1) / (draws // 2) + between / within)
    limit = r_hat_limit(chains * draws, chains)
    assert 1e-5 < np.mean(r_hat >= limit) < 2e-3
    assert r_hat_limit(1e6, 4) == 1.01 and r_hat_limit(10.0, 4) == 1.05


@pytest.mark.parametrize(("r_hat", "severity"), [(1.009, "ok"), (1.02, "warning"), (1.2, "fail")])
def test_r_hat(r_hat, severity):
    finding = converge(r_hat=r_hat)[0]
    assert finding.severity == severity
    if severity != "ok":
        assert "in n" in finding.what and "q" not in finding.what.split("in ")[-1] and finding.advice


@pytest.mark.parametrize(("ess", "severity"), [(400, "ok"), (399, "warning"), (1.0, "fail")])
def test_effective_sample_size(ess, severity):
    bulk, tail = converge(bulk=ess)[1], converge(tail=ess)[2]
    assert bulk.severity == tail.severity == severity
    if severity == "fail":
        assert "only 1 for n" in bulk.what and "400 times" in bulk.advice


def test_numbers_that_cannot_be_had_are_not_trust():
    nan = float("nan")
    assert severities(judge_convergence({"n": nan}, {"n": nan}, {"n": nan}, 4)) == ["fail"]
    partly = judge_convergence(
        {"n": 1.0, "fixed": nan}, {"n": 900.0, "fixed": nan}, {"n": 900.0, "fixed": nan}, 4
    )
    assert severities(partly) == ["ok"] * 3


def test_single_chain_is_named():
    assert "single chain" in converge(chains=1)[-1].what


@pytest.mark.parametrize(("count", "severity"), [(0, "ok"), (3, "warning"), (100, "fail")])
def test_divergences(count, severity):
    diverging = np.zeros((4, 500), bool)
    diverging.flat[:count] = True
    assert judge_sampler(diverging)[0].severity == severity


def test_bfmi():
    independent = RNG.normal(size=(2, 20_000))
    assert bfmi(independent) == pytest.approx([2, 2], rel=0.05)
    slow = np.cumsum(independent, axis=1)
    quiet = np.zeros((2, 20_000), bool)
    assert severities(judge_sampler(quiet, independent)) == ["ok", "ok"]
    assert severities(judge_sampler(quiet, slow)) == ["ok", "warning"]
    assert judge_sampler(quiet, np.ones((2, 20_000)))[1].severity == "note"


def test_interruption_is_noted():
    finding = judge_sampler(np.zeros((4, 123), bool), interrupted=True)[-1]
    assert finding.severity == "note" and "123" in finding.what


def test_edges():
    middle = RNG.normal(2, 0.1, 1000)
    assert severities(judge_edges({"n": (middle, 0.3, 8.0)}, {"q": np.full(1000, 0.7)})) == ["ok"]
    for end in (0.31, 7.95):
        found = judge_edges({"galaxy n": (np.full(1000, end), 0.3, 8.0)})
        assert severities(found) == ["warning"] and "galaxy n" in found[0].what
    assert severities(judge_edges(axis_ratios={"q": np.full(10, 0.995)})) == ["note"]
    assert severities(judge_edges(axis_ratios={"q": np.full(10, 0.02)})) == ["warning"]
    assert "at 5" in judge_edges({"beta": (np.full(10, 4.99), 1.0, 5.0)})[0].what
    assert judge_edges() == []


def noisy(scale=1.0, shape=(120, 120), smooth=False, source=0.0):
    noise = np.random.default_rng(3).normal(size=shape)
    if smooth:
        noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 2
    y, x = np.mgrid[: shape[0], : shape[1]]
    model = 60 * np.exp(-((x - 60) ** 2 + (y - 60) ** 2) / 50)
    return goodness("r", model * (1 + source) + scale * noise, model, np.ones(shape))


def test_good_image():
    assert severities(judge_images([noisy()])) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("scale", "severity", "words"),
    [
        (1.005, "ok", ""),
        (1.04, "note", ""),
        (1.15, "warning", "understated"),
        (0.8, "warning", "overstated"),
        (2, "fail", "PSF"),
    ],
)
def test_chi2(scale, severity, words):
    finding = judge_images([noisy(scale)])[0]
    assert finding.severity == severity and words in finding.advice


def test_chi2_of_few_pixels_is_given_its_scatter():
    assert judge_images([noisy(1.08, shape=(12, 12))])[0].severity == "ok"


def test_misfit_of_the_source_is_not_hidden_by_the_sky():
    findings = judge_images([noisy(source=0.05)])
    assert findings[0].severity in ("ok", "note")
    assert findings[1].severity == "warning" and "where the source stands out" in findings[1].what


def test_correlated_residuals():
    finding = judge_images([noisy(smooth=True)])[-1]
    assert finding.severity == "warning" and finding.figure == pytest.approx(0.5, abs=0.03)
    assert "too small" in finding.advice


def test_sharpened_residuals():
    noise = np.random.default_rng(3).normal(size=(120, 120))
    sharp = noise - 0.25 * (np.roll(noise, 1, 0) + np.roll(noise, 1, 1))
    sharp /= sharp.std()
    (*_, finding) = judge_images([goodness("r", sharp, 0 * sharp, np.ones(sharp.shape))])
    assert finding.severity == "warning" and finding.figure < -0.15
    assert "sharpened" in finding.advice and "faint light" not in finding.advice


def test_correlation_passes_over_masked_pixels():
    residual = RNG.normal(size=(200, 200))
    used = np.zeros((200, 200), bool)
    used[::2, ::2] = True
    assert lag_one_correlation(residual, used) == (0.0, np.inf)
    value, error = lag_one_correlation(residual, np.ones_like(used))
    assert abs(value) < 4 * error and error == pytest.approx(1 / np.sqrt(2 * 200 * 199))


def test_image_without_pixels_fails():
    empty = np.zeros((5, 5))
    assert severities(judge_images([goodness("r", empty, empty, empty)])) == ["fail"]


def test_fit():
    assert severities(judge_fit(True, "predicted gain under 1e-4", 1.0)) == ["ok"]
    assert severities(judge_fit(False, "too many iterations", 1.0)) == ["fail"]
    assert severities(judge_fit(True, chi2_per_dof=1.3)) == ["ok", "warning"]
    assert severities(judge_fit(True, chi2_per_dof=5.0)) == ["ok", "fail"]
    assert severities(judge_fit(True, chi2_per_dof=1.0, largest_error=100.0)) == ["ok", "warning"]
    assert severities(judge_fit(True, chi2_per_dof=0.85, parameters=10, pixels=266)) == ["ok"]
    assert severities(judge_fit(True, parameters=22, pixels=23)) == ["ok"]
    assert "22 parameters for 16 pixels" in judge_fit(True, parameters=22, pixels=16)[1].what
    assert "start at q = 0.8" in str(judge_fit(False, "stuck", advice=("start at q = 0.8",))[0])


def test_advice_shared_by_many_images_is_given_once():
    verdict = Verdict.from_findings(judge_images([noisy(1.2), noisy(1.3)]))
    text = " ".join(str(verdict).split())
    assert text.count("r: chi2/pixel") == 2 and text.count("look at the residuals") == 1
    assert max(map(len, str(verdict).splitlines())) <= 100


def test_verdict_in_words():
    fine, warned, failed = (
        Finding("ok", "fine"),
        Finding("warning", "careful", 1.0, "look"),
        Finding("fail", "bad"),
    )
    good = Verdict.from_findings([fine])
    assert good.trusted and str(good) == good.headline
    mixed = Verdict.from_findings([fine, warned])
    assert (
        mixed.trusted
        and "with care" in mixed.headline
        and "careful" in str(mixed)
        and "-> look" in str(mixed)
        and "fine" not in str(mixed)
    )
    both = mixed + Verdict.from_findings([failed])
    assert not both.trusted and "NOT to be trusted" in both.headline and both.findings[0].severity == "fail"
    assert json.loads(json.dumps(both.as_dict()))["findings"][0]["figure"] is None


def test_a_factor_that_shrinks_errors_of_correlated_noise_is_warned_of():
    """The floor of the power makes chi2/pixel less than 1 where the errors are right."""
    noise, flat = np.random.default_rng(0).normal(size=(80, 80)), np.zeros((80, 80))
    for whitened, widened, severity in (
        (True, 0.8, "warning"),
        (True, 0.96, "warning"),
        (False, 0.8, "note"),
    ):
        found = judge_images([goodness("r", noise, flat, flat + 1, noise, widened, whitened)])[1]
        assert found.severity == severity
        assert ("leave NoiseScale out" in found.advice) == whitened


def test_what_the_floor_leaves_correlated_is_no_alarm():
    noise, flat = np.random.default_rng(0).normal(size=(80, 80)), np.zeros((80, 80))
    noise = noise + 0.3 * np.roll(noise, 1, 0) + 0.3 * np.roll(noise, 1, 1)
    for size, severity in ((0.8, "note"), (1.0, "warning")):
        found = judge_images([goodness("r", flat, flat, flat + 1, size * noise, 1.0, True)])[-1]
        assert found.severity == severity
        assert ("chi2/pixel below 1" in found.advice) == (severity == "note")
