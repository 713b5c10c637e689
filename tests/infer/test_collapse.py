"""Amplitudes: which latents are found to be linear, and their integral against the closed form of a Gaussian model."""

from __future__ import annotations

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

import bayesjoint as bj
from bayesjoint.infer import collapse, compress, stage
from bayesjoint.infer.form import compressed_log_posterior
from bayesjoint.infer.roads import around_fit

WIDTHS = {"brightness": 200.0, "level": 2.0}


def one_index(images):
    """A galaxy of known shape but for its index: brightness, level and a scale of the level's prior."""
    n = numpyro.sample("n", dist.LogNormal(np.log(1.5), 0.2))
    brightness = numpyro.sample("brightness", dist.Normal(0.0, WIDTHS["brightness"]))
    level = numpyro.sample("level", dist.Normal(0.0, WIDTHS["level"]))
    bj.observe(images, bj.Sersic((0.15, -0.1), 0.6, 40.0, n, 2.0, brightness), bj.FlatSky(level))


@pytest.fixture(scope="module")
def collapsed(scene):
    images = scene.simulate(seed=2, brightness={"r": 30.0})
    fit = bj.fit_map(one_index, images)
    args = jax.device_put((images,))
    region = around_fit(fit, seed=0).points
    fitted = compress.at_fit(one_index, fit.layout, fit.unconstrained, args)
    form = compress.compress(one_index, fit.layout, fitted, region, args)
    split = collapse.split_linear(one_index, fit.layout, region, args)
    return images, fit, split, args, form


def design(image, n):
    galaxy = bj.Sersic((0.15, -0.1), 0.6, 40.0, n, 2.0, 1.0)
    return np.stack(
        [np.asarray(bj.render(image, part)).ravel() for part in (galaxy, bj.FlatSky(1.0))], axis=1
    )


def closed_form(image, n):
    """Mean and covariance of brightness and level, and the log evidence of the image, at an index."""
    columns, weight = design(image, n), image.invvar.ravel()
    prior = np.array([WIDTHS["brightness"], WIDTHS["level"]])
    covariance = np.linalg.inv(columns.T @ (weight[:, None] * columns) + np.diag(prior**-2))
    mean = covariance @ (columns.T @ (weight * image.data.ravel()))
    chi2 = np.sum(weight * (image.data.ravel() - columns @ mean) ** 2) + np.sum((mean / prior) ** 2)
    evidence = -0.5 * chi2 + 0.5 * np.linalg.slogdet(covariance)[1] - np.sum(np.log(prior))
    return mean, covariance, evidence + float(image.log_normaliser)


def test_which_latents_are_linear(collapsed):
    _, fit, split, *_ = collapsed
    assert [fit.labels[i] for i in split.linear] == ["brightness", "level"]
    assert [fit.labels[i] for i in split.rest] == ["n"]
    z = np.array([0.1, 0.2, 0.3])
    assert np.array_equal(split.join(z[list(split.rest)], z[list(split.linear)]), z)


def test_the_integral_is_the_evidence_of_a_gaussian_model(collapsed):
    """Prior of n included, against the closed form, at indices all over its posterior."""
    images, fit, split, args, form = collapsed
    width = float(np.sqrt(fit.covariance[split.rest[0], split.rest[0]]))
    for shift in (-2.0, -0.5, 0.0, 1.5):
        z = float(fit.unconstrained[split.rest[0]]) + shift * width
        mean, covariance, evidence = closed_form(images[0], np.exp(z))
        wanted = evidence + stats.norm.logpdf(z, np.log(1.5), 0.2)
        found = collapse.amplitudes(one_index, split, np.array([z]), args, form)
        assert float(found.log_integral) == pytest.approx(wanted, abs=5e-3)
        sigma = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose((found.mean - mean) / sigma, 0, atol=5e-3)
        np.testing.assert_allclose(
            np.linalg.inv(found.precision) / np.outer(sigma, sigma),
            covariance / np.outer(sigma, sigma),
            atol=1e-3,
        )


def test_too_many_amplitudes_are_sampled(collapsed, monkeypatch):
    """In the coordinates of all latents, under the likelihood that is not integrated."""
    _, fit, split, args, _ = collapsed
    fitted = compress.at_fit(one_index, fit.layout, fit.unconstrained, args)
    monkeypatch.setattr(stage, "MOST_AMPLITUDES", len(split.linear) - 1)
    made = stage.compressed_stage(one_index, fit.layout, fitted, around_fit(fit, seed=0), args)
    assert not made.is_collapsed and len(made.whitening.centre) == fit.layout.size
    value, _ = made.target(one_index, fit.layout, args).start(fit.unconstrained)
    assert float(value) == pytest.approx(fit.log_posterior, abs=1e-6)


def test_amplitudes_are_drawn_from_their_gaussian(collapsed):
    images, fit, split, args, form = collapsed
    rest = fit.unconstrained[list(split.rest)]
    noise = np.random.default_rng(1).normal(size=(4000, 2))
    z, whole, alone = collapse.complete(one_index, split, np.tile(rest, (4000, 1)), noise, args, form)
    mean, covariance, _ = closed_form(images[0], np.exp(float(rest[0])))
    white = np.linalg.solve(np.linalg.cholesky(covariance), (np.asarray(z)[:, list(split.linear)] - mean).T)
    assert np.all(np.abs(white.mean(axis=1)) < 4 / np.sqrt(4000))
    np.testing.assert_allclose(np.cov(white), np.eye(2), atol=0.1)
    assert all(stats.kstest(w, "norm").pvalue > 1e-3 for w in white)
    wanted = [compressed_log_posterior(one_index, fit.layout, one, args, form) for one in z[:3]]
    np.testing.assert_allclose(whole[:3], wanted, atol=1e-6)
    assert np.ptp(alone) == 0


def hierarchy(images):
    """Brightnesses about a common latent mean (linear), one by its logarithm (not), a sky tied to a latent (not)."""
    structure = bj.sample_structure("galaxy", images, n=1.5, q=0.6, pa=40.0)
    mean = numpyro.sample("mean", dist.Normal(50.0, 50.0))
    spread = numpyro.sample("spread", dist.LogNormal(2.0, 1.0))
    first = numpyro.sample("first", dist.Normal(mean, spread))
    second = numpyro.sample("second", dist.LogNormal(4.0, 1.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    bj.observe(images[0], bj.Sersic(**structure, Ie=first), bj.FlatSky(slope**2))
    bj.observe(
        images[1],
        bj.Sersic(**structure, Ie=second),
        bj.FlatSky(numpyro.sample("sky", dist.StudentT(3.0, 0.0, 1.0))),
    )


def test_what_is_not_linear_is_left_alone(images):
    """A logarithm, a square, and a prior that is no Gaussian."""
    fit = bj.fit_map(hierarchy, images)
    region = around_fit(fit, seed=0).points
    split = collapse.split_linear(hierarchy, fit.layout, region, jax.device_put((images,)))
    assert [fit.labels[i] for i in split.linear] == ["first"]
