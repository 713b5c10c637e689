"""Predictive discrepancies, Fisher information and block densities where the posterior is a Gaussian in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from scipy import stats

import bayesjoint as bj
from bayesjoint.infer.blocks import block_labels, block_log_densities
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.draws import constrain
from bayesjoint.infer.information import errors_without
from bayesjoint.infer.latents import prior_densities, unconstrain
from bayesjoint.infer.pixels import places_of
from bayesjoint.infer.predictive import STATISTICS, predictions
from bayesjoint.infer.predictive_verdict import judge_predictions
from bayesjoint.infer.simulate import simulate
from bayesjoint.infer.space import find_latents

pytestmark = pytest.mark.loose
PLACE = jnp.zeros(2)
SHAPE, SIGMA = (24, 22), {"a": 2.0, "b": 1.0}
FLUX, SKY = (800.0, 30.0), (3.0, 2.0)  # priors: mean, sd


def parameters(images):
    """A star of one flux in both images, and the sky of each: linear, with Normal priors."""
    flux = numpyro.sample("flux", dist.Normal(*FLUX))
    with numpyro.plate("image", len(images)):
        sky = numpyro.sample("sky", dist.Normal(*SKY))
    return flux, sky


def star(images):
    flux, sky = parameters(images)
    bj.observe(images, bj.PointSource(PLACE, flux), bj.FlatSky(sky))


def one_by_one(images):
    """The same, image by image, the last by a site of the program's own."""
    flux, sky = parameters(images)
    bj.observe(images[0], bj.PointSource(PLACE, flux), bj.FlatSky(sky[0]))
    model = bj.render(images[1], bj.PointSource(PLACE, flux), bj.FlatSky(sky[1]))
    numpyro.sample("own", dist.Normal(model, SIGMA["b"]).to_event(2), obs=images[1].data)


def tailed(images):
    flux, sky = parameters(images)
    bj.observe(
        images, bj.PointSource(PLACE, flux), bj.FlatSky(sky), bj.StudentTNoise(3.0), bj.NoiseScale(1.7)
    )


def blank(masked=False):
    images = []
    for name, sigma in SIGMA.items():
        invvar = np.full(SHAPE, sigma**-2)
        if masked:
            invvar[4:7, 5:9] = 0.0
        images.append(make_image(SHAPE, psf=bj.gaussian_psf(1.1), invvar=invvar, name=name, band=name))
    return bj.ImageSet(images)


def design(images):
    """Columns of flux and both skies in all weighted pixels, and the sigma and image of each."""
    columns, sigmas, member = [], [], []
    for i, image in enumerate(images):
        used = np.asarray(image.invvar) > 0
        light = np.asarray(bj.render(image, bj.PointSource((0.0, 0.0), 1.0)))[used]
        own = np.zeros((used.sum(), 2))
        own[:, i] = float(image.pixel_area)
        columns.append(np.column_stack([light, own]))
        sigmas.append(1 / np.sqrt(np.asarray(image.invvar)[used]))
        member.append(np.full(used.sum(), i))
    return np.concatenate(columns), np.concatenate(sigmas), np.concatenate(member)


PRIOR_MEAN, PRIOR_SD = np.array([FLUX[0], SKY[0], SKY[0]]), np.array([FLUX[1], SKY[1], SKY[1]])


def exact_posterior(images, kept=slice(None), prior=1.0):
    """Mean and covariance of (flux, skies) from some of the pixels."""
    columns, sigmas, _ = design(images)
    data = np.concatenate([np.asarray(i.data)[np.asarray(i.invvar) > 0] for i in images])
    white = (columns / sigmas[:, None])[kept]
    covariance = np.linalg.inv(white.T @ white + prior * np.diag(PRIOR_SD**-2.0))
    mean = covariance @ (white.T @ (data / sigmas)[kept] + prior * PRIOR_MEAN / PRIOR_SD**2)
    return mean, covariance


def prepared(program, images):
    args = jax.device_put((images,))
    layout = find_latents(program, args)
    means = jax.device_get(quadratic(program, layout, np.array([800.0, 3.0, 3.0]), args).means)
    return layout, args, places_of(means, images), means


def predicted(program, images, seed=0, draws=160):
    """Discrepancies at draws of the exact posterior."""
    layout, args, places, means = prepared(program, images)
    mean, covariance = exact_posterior(images)
    z = np.random.default_rng(seed).multivariate_normal(mean, covariance, draws)
    return predictions(program, layout, z, args, places, means, seed)


@pytest.fixture(scope="module")
def right():
    """p-values of 60 simulations of the very model, (simulations, images, statistics)."""
    images = blank(masked=True)
    made = [predicted(star, simulate(star, images, seed=(1, i)).images, i) for i in range(60)]
    return np.array([[[one.p_value(s) for s in STATISTICS] for one in each] for each in made])


def test_p_values_of_the_right_model(right):
    """Those that no parameter is fitted to are uniform; the others lie about one half."""
    for column in ("chi2", "largest", "correlation"):
        p = right[:, :, STATISTICS.index(column)].ravel()
        assert stats.kstest(p, "uniform").pvalue > 0.01, column
    assert np.all(np.abs(right.mean(axis=(0, 1)) - 0.5) < 0.12)
    assert np.mean((right < 0.005) | (right > 0.995)) < 0.02


def test_discrepancies_by_numpy():
    """Each number at one draw, from pixels and model alone."""
    images = simulate(star, blank(masked=True), seed=3).images
    layout, args, places, means = prepared(star, images)
    z = np.array([[790.0, 2.5, 3.5]])
    for i, one in enumerate(predictions(star, layout, z, args, places, means, 0)):
        image, used = images[i], np.asarray(images[i].invvar) > 0
        model = np.asarray(bj.render(image, bj.PointSource((0.0, 0.0), 790.0), bj.FlatSky(z[0, 1 + i])))
        residual = np.where(used, (image.data - model) / SIGMA[image.name], 0.0)
        neighbours = np.sum(residual[1:] * residual[:-1]) + np.sum(residual[:, 1:] * residual[:, :-1])
        pairs = np.sum(used[1:] & used[:-1]) + np.sum(used[:, 1:] & used[:, :-1])
        weights = np.array([1, 4, 6, 4, 1])
        found = dict(zip(STATISTICS, one.observed[0], strict=False))
        assert found["chi2"] == pytest.approx(np.sum(residual**2))
        assert found["largest"] == pytest.approx(np.max(np.abs(residual)))
        assert found["correlation"] == pytest.approx(neighbours / pairs / np.mean(residual[used] ** 2))
        assert found["source"] == pytest.approx(np.mean(residual[one.source] ** 2))
        assert found["source mean"] == pytest.approx(np.mean(residual[one.source]))
        np.testing.assert_allclose(one.residual, residual, atol=1e-12)
        patch = residual[12:17, 10:15]
        kernel = np.outer(weights, weights)
        wanted = np.sum(kernel * patch) / np.sqrt(np.sum(kernel**2))
        assert one.smoothed[14, 12] == pytest.approx(wanted)


def test_image_by_image_and_own_sites():
    """The same discrepancies of the data whichever way the program observes them."""
    images = simulate(star, blank(), seed=4).images
    stacked, apart = predicted(star, images), predicted(one_by_one, images)
    for a, b in zip(stacked, apart, strict=True):
        np.testing.assert_allclose(a.observed, b.observed, rtol=1e-8, atol=1e-10)
        assert 0.02 < b.p_value("chi2") < 0.98


def test_replicates_follow_the_noise():
    """Heavy-tailed noise as wide as it is fits its own model; taken for Gaussian it stands out."""
    images = blank()
    p = []
    for i in range(12):
        simulated = simulate(tailed, images, seed=(7, i)).images
        p += [[one.p_value(s) for s in STATISTICS] for one in predicted(tailed, simulated, i)]
    assert np.all(np.abs(np.mean(p, axis=0) - 0.5) < 0.25)
    assert np.mean((np.array(p) < 0.005) | (np.array(p) > 0.995)) < 0.05
    findings = judge_predictions(predicted(star, simulated))
    assert any(f.severity in ("warning", "fail") and "largest residual" in f.what for f in findings)
    assert any(f.severity == "fail" and "chi2 is" in f.what for f in findings)


def test_same_draw_same_noise():
    """Replicates do not depend on how many draws are rendered, nor on the order; the seed changes them."""
    images = simulate(star, blank(), seed=4).images
    layout, args, places, means = prepared(star, images)
    z = np.random.default_rng(0).multivariate_normal(*exact_posterior(images), 20)
    made = star, layout, z, args, places, means
    all_of_them = predictions(*made, 5)[0].replicated
    some = predictions(star, layout, z[17:4:-3], args, places, means, 5)[0].replicated
    np.testing.assert_array_equal(some, all_of_them[17:4:-3])
    assert not np.any(predictions(*made, 6)[0].replicated[:, 0] == all_of_them[:, 0])


def test_errors_without_an_image():
    """In closed form: with everything, without each image, without the prior."""
    images = simulate(star, blank(masked=True), seed=5).images
    layout, args, places, means = prepared(star, images)
    member = design(images)[2]
    found = errors_without(star, layout, np.array([780.0, 3.0, 2.0]), args, places, means)
    wanted = [exact_posterior(images)] + [exact_posterior(images, member != i) for i in (0, 1)]
    wanted.append(exact_posterior(images, prior=0.0))
    errors = [np.sqrt(np.diag(covariance)) for _, covariance in wanted]
    np.testing.assert_allclose(
        [found.full["flux"], *found.without["flux"]], [e[0] for e in errors], rtol=1e-6
    )
    np.testing.assert_allclose(
        np.concatenate([found.full["sky"][None], found.without["sky"]]), np.array(errors)[:, 1:], rtol=1e-6
    )


def own_star(images):
    """A flux in each image, one of which nothing but its image determines."""
    with numpyro.plate("image", 2):
        flux = numpyro.sample("flux", dist.Normal(0.0, 1e9))
    bj.observe(images, bj.PointSource(PLACE, flux))


def test_errors_of_what_nothing_else_tells():
    images = blank()
    args = jax.device_put((images,))
    layout = find_latents(own_star, args)
    means = jax.device_get(quadratic(own_star, layout, np.zeros(2), args).means)
    found = errors_without(own_star, layout, np.zeros(2), args, places_of(means, images), means)
    growth = found.without["flux"] / found.full["flux"]
    assert growth[0, 0] > 1e5 and growth[1, 1] > 1e5
    np.testing.assert_allclose(growth[[0, 1, 2, 2], [1, 0, 0, 1]], 1.0, rtol=1e-6)


@pytest.mark.parametrize("program", [star, one_by_one])
def test_block_densities(program):
    """Against SciPy, block by block; masked pixels are in none."""
    images = simulate(star, blank(masked=program is star), seed=6).images
    layout, args, places, means = prepared(program, images)
    z = np.array([[790.0, 2.5, 3.5], [805.0, 3.5, 2.5]])
    labels = [block_labels(image, 5) for image in images]
    found = block_log_densities(program, layout, z, args, places, labels, means)
    for i, image in enumerate(images):
        for row in range(2):
            light = bj.PointSource((0.0, 0.0), z[row, 0]), bj.FlatSky(z[row, 1 + i])
            each = stats.norm.logpdf(image.data, np.asarray(bj.render(image, *light)), SIGMA[image.name])
            wanted = [each[labels[i] == number].sum() for number in range(labels[i].max() + 1)]
            np.testing.assert_allclose(found[i][row], wanted, rtol=1e-9)
    assert labels[0].max() == 24 and np.all((labels[0] < 0) == (np.asarray(images[0].invvar) == 0))


class Together(bj.GaussianPixels):
    """Noise that pixels share: no pixel has a density of its own."""

    def log_prob(self, value, intermediates=None):
        return super().log_prob(value) - 0.1 * jnp.sum(value - self.loc, axis=(-2, -1)) ** 2


def shared_noise(images):
    flux, sky = parameters(images)
    for i, image in enumerate(images):
        model = bj.render(image, bj.PointSource(PLACE, flux), bj.FlatSky(sky[i]))
        numpyro.sample(
            f"pixels_{image.name}", Together(model, image.invvar, image.log_normaliser), obs=image.data
        )


def test_blocks_of_shared_noise_are_refused():
    images = simulate(star, blank(), seed=6).images
    layout, args, places, means = prepared(shared_noise, images)
    labels = [block_labels(image, 5) for image in images]
    with pytest.raises(ValueError, match="not independent"):
        block_log_densities(shared_noise, layout, np.array([[790.0, 2.5, 3.5]]), args, places, labels, means)


def many_supports(images):
    size = numpyro.sample("size", dist.LogNormal(0.3, 0.5))
    top = numpyro.sample("top", dist.Uniform(1.0, 4.0))
    numpyro.sample("below", dist.Uniform(0.0, top))
    numpyro.sample("shares", dist.Dirichlet(jnp.ones(3)))
    bj.observe(images, bj.PointSource(PLACE, size))


def test_values_back_to_the_unconstrained():
    """A support that depends on another latent, and one of fewer numbers; prior densities against SciPy."""
    args = jax.device_put((blank(),))
    layout = find_latents(many_supports, args)
    z = np.random.default_rng(2).normal(size=(3, 5, layout.size))
    values = {
        name: v.reshape(15, *v.shape[2:]) for name, v in constrain(many_supports, layout, z, args).items()
    }
    np.testing.assert_allclose(unconstrain(many_supports, layout, values, args), z.reshape(15, -1), atol=1e-9)
    density, jacobian = prior_densities(many_supports, layout, z.reshape(15, -1), args)
    wanted = (
        stats.lognorm.logpdf(values["size"], 0.5, scale=np.exp(0.3)) - np.log(3 * values["top"]) + np.log(2)
    )
    np.testing.assert_allclose(density, wanted, rtol=1e-9)
    assert np.std(jacobian) > 0.1
    del values["top"]
    with pytest.raises(ValueError, match=r"'top'.*give the program"):
        unconstrain(many_supports, layout, values, args)
