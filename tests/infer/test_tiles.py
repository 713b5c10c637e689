"""Fields compressed source by source: against the exact log posterior, whole and with brightnesses integrated out."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.fields import field

import bayesjoint as bj
from bayesjoint.infer.checkpoint import pack, unpack
from bayesjoint.infer.collapse import amplitudes, complete
from bayesjoint.infer.compress import at_fit, exact_log_posteriors
from bayesjoint.infer.form import compressed_log_posterior
from bayesjoint.infer.roads import around_fit
from bayesjoint.infer.stage import Stage, compressed_stage
from bayesjoint.model.scene import sample_sources


def corrected(images):
    """Sources under noise of a free width, and images that may be shifted."""
    light = sample_sources("source", images, images.sources)
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.1))
    light += [bj.NoiseScale(scale), bj.sample_registration(images, offset=0.1)]
    bj.observe(images, *light, bj.FlatSky(bj.sample_sky(images)))


@pytest.fixture(scope="module", params=[bj.scene_model(), corrected], ids=["plain", "corrected"])
def case(request):
    """Program, fit, arguments, what the fit is known by, its compressed stage, and fresh draws of the fit's Gaussian."""
    program, images = request.param, field()
    table = bj.find_sources(images)
    table["window"] = np.where(np.arange(len(table)) % 2, 9.0, 14.0)
    images = images.with_sources(table)
    fit = bj.fit_map(program, images)
    args = jax.device_put((images,))
    fitted = at_fit(program, fit.layout, fit.unconstrained, args)
    region = around_fit(
        fit, seed=0
    )  # twice as many points as bj.sample begins with: it makes the form anew where that does not hold
    region = region._replace(points=np.concatenate([region.points, around_fit(fit, seed=1).points]))
    stage = compressed_stage(program, fit.layout, fitted, region, args)
    noise = np.random.default_rng(7).normal(size=(60, fit.layout.size))
    fresh = fit.unconstrained + noise @ np.linalg.cholesky(fit.covariance).T
    return program, fit, args, fitted, stage, fresh


def test_it_is_the_exact_log_posterior(case):
    program, fit, args, fitted, stage, fresh = case
    short = jax.jit(lambda z, form: compressed_log_posterior(program, fit.layout, z, args, form))
    assert float(short(fit.unconstrained, stage.compressed)) == pytest.approx(fit.log_posterior, abs=1e-5)
    errors = np.array([short(z, stage.compressed) for z in fresh])
    exact = exact_log_posteriors(program, fit.layout, fitted, fresh, args)
    errors -= exact
    assert np.std(exact) > 1, "the draws must span a posterior for this to say something"
    assert np.std(errors) < 0.01 and np.max(np.abs(errors)) < 0.05
    form = stage.compressed.forms[0]
    assert len(form.waves.windows) and len(form.pairs) > form.slope.shape[1] - 1, "sources must overlap"


def test_brightnesses_are_integrated_out(case):
    """All are found; of their Gaussian given the rest, the mean is the peak, and the integral that of a Gaussian."""
    program, fit, args, _, stage, fresh = case
    split = stage.split
    labels = [fit.labels[i] for i in split.linear]
    assert sum("total" in label for label in labels) == 3 * 4 and sum("sky" in label for label in labels) == 3
    rest = fresh[0][list(split.rest)]
    found = amplitudes(program, split, rest, args, stage.compressed)

    def density(linear):
        return compressed_log_posterior(program, fit.layout, split.join(rest, linear), args, stage.compressed)

    slope, curvature = jax.jit(lambda a: (jax.grad(density)(a), jax.hessian(density)(a)))(found.mean)
    sigma = np.sqrt(np.diag(np.linalg.inv(found.precision)))
    np.testing.assert_allclose(slope * sigma, 0, atol=1e-6)
    scale = np.outer(sigma, sigma)
    np.testing.assert_allclose(-curvature * scale, found.precision * scale, rtol=1e-6, atol=1e-6)
    volume = 0.5 * (len(sigma) * np.log(2 * np.pi) - np.linalg.slogdet(found.precision)[1])
    assert float(found.log_integral) == pytest.approx(float(density(found.mean)) + volume, abs=1e-6)
    noise = np.random.default_rng(1).normal(size=(2, len(sigma)))
    z, whole, _ = complete(program, split, np.tile(rest, (2, 1)), noise, args, stage.compressed)
    np.testing.assert_allclose(whole, [density(one) for one in z[:, np.array(split.linear)]], atol=1e-6)


def test_it_is_kept_in_a_file(case):
    _, fit, _, _, stage, _ = case
    again = Stage.unpack(unpack(pack(stage.pack())), fit.layout)
    assert again.split == stage.split
    for a, b in zip(jax.tree.leaves(again.compressed), jax.tree.leaves(stage.compressed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(again.compressed) == jax.tree.structure(stage.compressed)
