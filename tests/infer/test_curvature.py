"""Gradient and curvature against automatic and finite differences and against a Jacobian of all pixels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from numpyro import handlers
from numpyro.infer.util import potential_energy

import bayesjoint as bj
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.space import find_latents, log_posterior, start_vector
from bayesjoint.model.observe import RecordLight

started = jax.jit(start_vector, static_argnames=("program", "layout"))


def four_likelihoods(images):
    """`observe`, and three sites of the program's own: Gaussian, Student-t and Poisson; a hierarchy over their fluxes."""
    width = numpyro.sample("width", dist.HalfNormal(300.0))
    with numpyro.plate("image", 4):
        flux = numpyro.sample("flux", dist.Normal(400.0, width))
    centre = numpyro.sample("centre", dist.Normal(jnp.zeros(2), 0.5).to_event(1))
    sky = numpyro.sample("sky", dist.LogNormal(3.0, 0.5))

    def model(k):
        return bj.render(images[k], bj.PointSource(centre, flux[k]), bj.FlatSky(sky))

    bj.observe(images[0], bj.PointSource(centre, flux[0]), bj.FlatSky(sky))
    numpyro.sample("gauss", dist.Normal(model(1), 2.0).to_event(2), obs=images[1].data)
    numpyro.sample("student", dist.StudentT(3.0, model(2), 1.5).to_event(2), obs=images[2].data)
    numpyro.sample("counts", dist.Poisson(model(3)).to_event(2), obs=images[3].data)


def expected_weight(name, mean, image):
    """Fisher information of each pixel's mean."""
    weights = {"gauss": 1 / 4, "student": (3 + 1) / (3 + 3) / 1.5**2, "counts": 1 / mean}
    return weights.get(name, image.invvar)


@pytest.fixture(scope="module")
def likelihoods():
    """Program, layout, z away from the maximum, arguments, and the quadratic form there."""
    rng = np.random.default_rng(4)
    options = {"shape": (20, 22), "scale": 0.4, "psf": bj.gaussian_psf(1.9)}
    blank = make_image(**options)
    mean = np.asarray(jax.jit(bj.render)(blank, bj.PointSource((0.1, 0.2), 500.0), bj.FlatSky(120.0)))
    weight = rng.uniform(0.2, 0.4, mean.shape) * (rng.random(mean.shape) > 0.1)
    data = [np.asarray(mean + 2 * rng.normal(size=mean.shape)) for _ in range(3)] + [
        rng.poisson(mean).astype(float)
    ]
    images = [make_image(data=d, invvar=weight, name=f"i{k}", **options) for k, d in enumerate(data)]
    full = make_image(data=data[3], name="i3", **options)
    return prepare(four_likelihoods, bj.ImageSet([*images[:3], full]), {"sky": 110.0, "width": 200.0})


def prepare(program, images, start):
    args = jax.device_put((images,))
    layout = find_latents(program, args)
    z = started(program, layout, args, start)
    z = z + 0.1 * np.random.default_rng(1).normal(size=layout.size)
    return program, layout, z, args, quadratic(program, layout, z, args)


def by_numpyro(program, layout, z, args):
    """The log density but for what `observe` renders, and the means of all observed sites, by NumPyro's own handlers;
    then the derivatives of both.
    """

    @jax.jit
    def values_and_slopes(z, args):
        def values(z):
            unconstrained = layout.unpack(z)
            pairs = zip(unconstrained.items(), transforms(program, args), strict=True)
            latents = {name: transform(u) for (name, u), transform in pairs}
            trace = handlers.trace(handlers.substitute(program, latents)).get_trace(*args)
            means = {n: s["fn"].mean for n, s in trace.items() if s["type"] == "sample" and s["is_observed"]}
            return -potential_energy(RecordLight(program), args, {}, unconstrained), means

        return values(z), jax.jacfwd(values)(z)

    return values_and_slopes(z, args)


def transforms(program, args):
    trace = handlers.trace(handlers.seed(program, 0)).get_trace(*args)
    sites = (s for s in trace.values() if s["type"] == "sample" and not s["is_observed"])
    return [dist.biject_to(site["fn"].support) for site in sites]


def test_gradient_of_every_likelihood(likelihoods):
    program, layout, z, args, found = likelihoods
    value, gradient = jax.jit(jax.value_and_grad(lambda z, args: log_posterior(program, layout, z, args)))(
        z, args
    )
    assert float(found.value) == pytest.approx(float(value), rel=1e-12)
    assert np.allclose(found.gradient, gradient, rtol=1e-8, atol=1e-9 * np.abs(gradient).max())


def masked(images):
    with handlers.mask(mask=jnp.array([True, False])):
        bj.joint_model()(images)


def other_pixels(images):
    stack = images.stacks[0]
    handlers.condition(bj.joint_model(), {f"pixels_{stack.name}": 2.0 * stack.data})(images)


def half(images):
    with handlers.scale(scale=0.5):
        bj.joint_model()(images)


@pytest.mark.parametrize("program", [masked, other_pixels, half])
def test_handlers_around_observe(scene, program):
    """Masks, other pixels and scales count in the fit as they do in NUTS."""
    images = scene.simulate()
    program, layout, z, args, found = prepare(program, images, {})
    value, gradient = jax.jit(jax.value_and_grad(lambda z, args: log_posterior(program, layout, z, args)))(
        z, args
    )
    assert float(found.value) == pytest.approx(float(value), rel=1e-10)
    assert np.allclose(found.gradient, gradient, rtol=1e-7, atol=1e-8 * np.abs(gradient).max())


def test_gradient_is_that_of_finite_differences(likelihoods):
    program, layout, z, args, found = likelihoods
    at = jax.jit(lambda z, args: log_posterior(program, layout, z, args))
    step = 1e-5
    for k, unit in enumerate(np.eye(layout.size)):
        slope = (float(at(z + step * unit, args)) - float(at(z - step * unit, args))) / (2 * step)
        assert float(found.gradient[k]) == pytest.approx(slope, rel=1e-5, abs=1e-3), layout.labels[k]


def test_curvature_is_the_weighted_square_of_the_jacobian(likelihoods):
    program, layout, z, args, found = likelihoods
    (images,) = args
    (_, means), (_, slopes) = by_numpyro(program, layout, z, args)
    assert len(means) == 4
    expected = np.zeros((layout.size, layout.size))
    for (name, mean), image in zip(means.items(), images, strict=True):
        columns = np.asarray(slopes[name]).reshape(-1, layout.size)
        weight = np.broadcast_to(np.asarray(expected_weight(name, mean, image)), mean.shape).reshape(-1)
        expected += (columns.T * weight) @ columns
        assert np.allclose(found.means[name], mean)
    assert np.allclose(found.likelihood_curvature, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())


def test_curvature_of_the_prior(likelihoods):
    """The hierarchy's funnel by hand: flux ~ Normal(400, w), w ~ HalfNormal(300) in z = ln w."""
    _, layout, z, _, found = likelihoods
    u = layout.unpack(z)
    width, flux = float(jnp.exp(u["width"])), np.asarray(u["flux"])
    k, f = layout.labels.index("width"), layout.labels.index("flux[0]")
    assert float(found.prior_curvature[f, f]) == pytest.approx(width**-2)
    assert float(found.prior_curvature[k, f]) == pytest.approx(-2 * (flux[0] - 400) / width**2)
    expected = 2 * np.sum((flux - 400) ** 2) / width**2 + 2 * width**2 / 300**2
    assert float(found.prior_curvature[k, k]) == pytest.approx(expected)


def scattered(data):
    """A mean and a scale, a factor on the mean, and a bound that curves nothing."""
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 5.0))
    numpyro.factor("known", -0.5 * ((mean - 3.0) / 0.1) ** 2)
    numpyro.factor("bound", jnp.where(mean > 100.0, -jnp.inf, 0.0))
    with numpyro.plate("datum", data.size):
        numpyro.sample("data", dist.Normal(mean, scale), obs=data)


def test_latent_scales_and_factors_have_curvature():
    """Against the closed forms, and the standard errors of the fit with them."""
    data = np.random.default_rng(2).normal(3.0, 2.0, 400)
    fit = bj.fit_map(scattered, data)
    assert fit.converged and fit.iterations < 15
    mean, scale = float(fit.values["mean"]), float(fit.values["scale"])
    found = quadratic(scattered, fit.layout, jnp.asarray(fit.unconstrained), (data,))
    expected = np.diag([400 / scale**2 + 1 / 0.1**2, 2 * 400.0])
    assert np.allclose(found.likelihood_curvature, expected, rtol=1e-9, atol=1e-6)
    assert scale == pytest.approx(np.sqrt(np.mean((data - mean) ** 2)), rel=1e-2)
    sd = np.sqrt(np.diag(fit.covariance))
    assert np.allclose(sd, [(expected[0, 0] + 0.01) ** -0.5, (800 + 1 / 25) ** -0.5], rtol=1e-3)


def test_galaxy_in_two_bands(images):
    program, layout, z, args, found = prepare(
        bj.joint_model(), images, {"galaxy_total": jnp.array([900.0, 1500.0])}
    )
    (dark, means), (prior_slope, slopes) = by_numpyro(program, layout, z, args)
    ((site, mean),) = means.items()
    stack, columns = images.stacks[0], np.asarray(slopes[site]).reshape(-1, layout.size)
    data, model, weight = (np.ravel(a) for a in (stack.data, mean, stack.invvar))
    value = float(dark) + 0.5 * np.sum(weight * (data**2 - (data - model) ** 2))
    assert float(found.value) == pytest.approx(value, rel=1e-11)
    gradient = np.asarray(prior_slope) + columns.T @ (weight * (data - model))
    assert np.allclose(found.gradient, gradient, rtol=1e-7, atol=1e-8 * np.abs(gradient).max())
    expected = (columns.T * weight) @ columns
    assert np.allclose(found.likelihood_curvature, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())
    assert np.allclose(found.means[site], mean)
