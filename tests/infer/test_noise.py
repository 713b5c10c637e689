"""Noise in fits and samples: truth and coverage over simulated images, outliers, and the compressed likelihood."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image

import bayesjoint as bj
from bayesjoint.infer import compress
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.draws import TOLERATED_ERROR
from bayesjoint.infer.form import compressed_log_posterior
from bayesjoint.infer.space import log_posterior

OPTIONS = {"shape": (24, 24), "scale": 0.4, "psf": bj.gaussian_psf(1.8), "name": "r"}
FLUX, SKY = 2000.0, 6.0
REALISATIONS = 40
slope_of = jax.jit(jax.grad(log_posterior, 2), static_argnums=(0, 1))


def star(images, *noise):
    """A star of unknown flux on an unknown sky."""
    flux = numpyro.sample("flux", dist.Normal(0.0, 1e4), infer={"start": 1500.0})
    sky = numpyro.sample("sky", dist.Normal(5.0, 10.0))
    bj.observe(images, bj.PointSource((0.1, -0.2), flux), bj.FlatSky(sky), *noise)


def scaled(images):
    star(images, bj.sample_noise_scale(images, width=0.5))


def floored(images):
    star(images, bj.sample_noise_floor(images, width=0.2))


def heavy(images):
    star(images, bj.StudentTNoise(numpyro.sample("df", dist.LogNormal(1.0, 1.0))))


def contaminated(images):
    star(images, bj.sample_outliers(images, 0.05))


def counted(images):
    star(images, bj.PoissonNoise(2.0))


def read_out(images):
    star(images, bj.PoissonNoise(numpyro.sample("gain", dist.LogNormal(0.5, 0.5)), 6.0))


def plain(images):
    star(images)


@pytest.fixture(scope="module")
def mean():
    pixels = jax.jit(bj.render)(make_image(**OPTIONS), bj.PointSource((0.1, -0.2), FLUX), bj.FlatSky(SKY))
    return np.asarray(pixels)


def image_set(data, weight=1.0):
    return bj.ImageSet([make_image(data=data, invvar=np.full(data.shape, weight), **OPTIONS)])


# what draws the data from the mean, and the noise's parameters
TRUTHS = {
    "scaled": (scaled, lambda rng, m: rng.normal(m, 1.5), {"noise_scale": 1.5}),
    "floored": (floored, lambda rng, m: rng.normal(m, np.hypot(1, 0.1 * m)), {"noise_floor": 0.1}),
    "heavy": (heavy, lambda rng, m: m + rng.standard_t(3.0, m.shape), {"df": 3.0}),
    "contaminated": (
        contaminated,
        lambda rng, m: m + rng.normal(size=m.shape) * np.where(rng.random(m.shape) < 0.05, 12.0, 1.0),
        {"outlier_fraction": 0.05, "outlier_excess": 11.0},
    ),
    "counted": (counted, lambda rng, m: rng.poisson(2 * m) / 2.0, {}),
    "read_out": (
        read_out,
        lambda rng, m: (rng.poisson(2 * m) + rng.normal(0, 6, m.shape)) / 2,
        {"gain": 2.0},
    ),
}


@pytest.mark.parametrize("kind", TRUTHS)
def test_truth_and_coverage(mean, kind):
    """Deviations over errors have mean zero and width one, of the flux, the sky and the noise's own parameters.

    Positive parameters are compared in their logarithms, where the fit's Gaussian is one.
    """
    program, simulate, own = TRUTHS[kind]
    rng, pulls = np.random.default_rng(7), {}
    for _ in range(REALISATIONS):
        fit = bj.fit_map(program, image_set(simulate(rng, mean)), progress=False)
        assert fit.converged
        for name, truth in ({"flux": FLUX, "sky": SKY} | own).items():
            value, error = (float(np.ravel(each[name])[0]) for each in (fit.values, fit.errors))
            pull = (value - truth) / error if name not in own else np.log(value / truth) / (error / value)
            pulls.setdefault(name, []).append(pull)
    for name, found in pulls.items():
        print(f"{kind} {name}: mean {np.mean(found):.2f}, width {np.std(found):.2f}")
        assert abs(np.mean(found)) < (0.5 if name in ("flux", "sky") else 0.8), (name, np.mean(found))
        assert 0.7 < np.std(found) < 1.35, (name, np.std(found))
    assert 0.8 < fit.chi2_per_dof < 1.25 and fit.verdict.trusted


@pytest.mark.parametrize("kind", TRUTHS)
def test_gradient_is_that_of_the_log_posterior(mean, kind):
    program, simulate, _ = TRUTHS[kind]
    images = image_set(simulate(np.random.default_rng(1), mean))
    fit = bj.fit_map(program, images, progress=False)
    z = jnp.asarray(fit.unconstrained + 0.3 * np.sqrt(np.diag(fit.covariance)))
    found = quadratic(program, fit.layout, z, (images,))
    exact = slope_of(program, fit.layout, z, (images,))
    np.testing.assert_allclose(found.gradient, exact, rtol=1e-8, atol=1e-7 * np.abs(exact).max())
    assert float(found.value) == pytest.approx(
        float(log_posterior(program, fit.layout, z, (images,))), rel=1e-11
    )
    assert np.all(np.linalg.eigvalsh(found.likelihood_curvature) > 0)


def test_outliers_bias_the_gaussian_fit_only(mean):
    """A neighbour that is not masked, and cosmic rays: pulls of the flux in 20 images."""
    rng = np.random.default_rng(5)
    neighbour = np.asarray(jax.jit(bj.render)(make_image(**OPTIONS), bj.PointSource((2.2, 1.6), 600.0)))
    pulls = {program.__name__: [] for program in (plain, heavy, contaminated)}
    for _ in range(20):
        data = rng.normal(mean + neighbour, 1.0)
        data[rng.random(data.shape) < 0.01] += 60.0
        for program in (plain, heavy, contaminated):
            fit = bj.fit_map(program, image_set(data), progress=False)
            pulls[program.__name__].append((float(fit.values["flux"]) - FLUX) / float(fit.errors["flux"]))
    medians = {name: float(np.median(found)) for name, found in pulls.items()}
    print(medians)
    assert abs(medians["plain"]) > 3 and abs(medians["heavy"]) < 1 and abs(medians["contaminated"]) < 1


def galaxy(images, *noise):
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images, structure)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(bj.sample_sky(images)), *noise)


def scaled_galaxy(images):
    galaxy(images, bj.sample_noise_scale(images))


def heavy_galaxy(images):
    galaxy(images, bj.StudentTNoise(4.0), bj.sample_noise_scale(images))


def test_noise_scale_is_compressed(images):
    """Exactly, with brightnesses integrated out; the scatter of 1 is found, and the errors' width that follows."""
    posterior = bj.sample(scaled_galaxy, images, draws=300, chains=2, progress=False)
    assert posterior.idata.attrs["likelihood"] == "compressed"
    errors = posterior.likelihood_errors
    assert errors is not None and np.std(errors) < TOLERATED_ERROR
    factor = posterior.idata.posterior["noise_scale"].values
    assert np.all(np.abs(factor.mean(axis=(0, 1)) - 1) < 0.07)
    assert np.allclose(factor.std(axis=(0, 1)), 1 / np.sqrt(2 * 1024), rtol=0.2)
    assert all(abs(each.chi2_per_pixel - 1) < 0.05 and each.widened != 1 for each in posterior.goodness())


def test_what_cannot_be_compressed_is_sampled_exactly(images):
    fit = bj.fit_map(heavy_galaxy, images, progress=False)
    posterior = bj.sample(heavy_galaxy, images, init=fit, draws=20, chains=1, warmup=20, progress=False)
    assert posterior.idata.attrs["likelihood"] == "exact"
    assert "the exact likelihood was sampled, as StudentTNoise cannot be compressed" in str(posterior.verdict)
    with pytest.raises(ValueError, match="StudentTNoise leaves no likelihood to compress, for it"):
        bj.sample(heavy_galaxy, images, init=fit, draws=20, likelihood="compressed", progress=False)


def test_noise_per_band_and_predictions(images):
    """A parameter for each band; pixels drawn under it scatter by it."""

    def program(images):
        bj.observe(images, bj.FlatSky(0.0), bj.NoiseScale(jnp.array([2.0, 3.0])), bj.StudentTNoise(50.0))

    drawn = numpyro.handlers.seed(program, 3)
    trace = numpyro.handlers.trace(drawn).get_trace(images.without_data())
    (pixels,) = (site["value"] for site in trace.values() if site["type"] == "sample")
    assert np.allclose(np.std(pixels, axis=(1, 2)), np.array([2.0, 3.0]) * np.sqrt(50 / 48), rtol=0.1)


def test_compressed_weights_sizes_and_masks(images):
    """Images of two sizes, one in part masked, each counted half: the form holds at draws that had no part in making it."""
    small = make_image(
        data=np.asarray(images[0].data)[:28, :30],
        invvar=np.where(np.arange(30) < 3, 0.0, 1.0) * np.ones((28, 1)),
        shape=(28, 30),
        scale=0.4,
        psf=bj.gaussian_psf(1.8),
        name="g",
    )
    both = bj.ImageSet([images[1], small])

    def program(images):
        with numpyro.handlers.scale(scale=0.5):
            scaled_galaxy(images)

    fit = bj.fit_map(program, both, progress=False)
    fitted = compress.at_fit(program, fit.layout, fit.unconstrained, (both,))
    noise = (
        np.random.default_rng(2).normal(size=(300, fit.layout.size)) @ np.linalg.cholesky(fit.covariance).T
    )
    form = compress.compress(program, fit.layout, fitted, fit.unconstrained + 1.5 * noise[:256], (both,))
    draws = fit.unconstrained + noise[256:]
    exact = compress.exact_log_posteriors(program, fit.layout, fitted, draws, (both,))
    found = jax.vmap(lambda z: compressed_log_posterior(program, fit.layout, z, (both,), form))(draws)
    assert np.std(exact) > 1 and np.std(np.asarray(found) - exact) < TOLERATED_ERROR
