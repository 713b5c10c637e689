"""Correlated noise in fits and samples: against the dense covariance, coverage, compression, and the verdict."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.correlations import RESAMPLED, dense_covariance
from helpers.scenes import make_image
from scipy import stats

import bayesjoint as bj
from bayesjoint.infer import compress
from bayesjoint.infer.checkpoint import fingerprint
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.draws import TOLERATED_ERROR
from bayesjoint.infer.form import compressed_log_posterior
from bayesjoint.infer.goodness import goodness, judge_images
from bayesjoint.infer.simulate import simulate
from bayesjoint.infer.space import log_posterior
from bayesjoint.model.pixel_distributions import CorrelatedPixels

OPTIONS = {"shape": (24, 24), "scale": 0.4, "psf": bj.gaussian_psf(1.2), "name": "r"}
TRUTH = {"flux": 300.0, "sky": 6.0, "east": 0.1}
MILD, SMOOTH = RESAMPLED["bilinear by 0.3 px"], RESAMPLED["Gaussian of 0.7 px"]
WEIGHT = np.where(np.hypot(*(np.mgrid[:24, :24] - np.array([5, 17])[:, None, None])) < 3, 0.0, 1.0)


def star(images, *noise):
    """A star of unknown flux and place on an unknown sky."""
    flux = numpyro.sample("flux", dist.Normal(0.0, 1e4), infer={"start": 250.0})
    sky = numpyro.sample("sky", dist.Normal(5.0, 10.0))
    east = numpyro.sample("east", dist.Normal(0.1, 1.0))
    bj.observe(images, bj.PointSource((east, -0.2), flux), bj.FlatSky(sky), *noise)


def scaled(images):
    star(images, bj.sample_noise_scale(images, width=0.5))


@pytest.fixture(scope="module")
def mean():
    source = bj.PointSource((TRUTH["east"], -0.2), TRUTH["flux"])
    return np.asarray(jax.jit(bj.render)(make_image(**OPTIONS), source, bj.FlatSky(TRUTH["sky"])))


def image_of(data, stamp=None, **changed):
    return make_image(**(OPTIONS | {"data": data, "invvar": WEIGHT, "noise_correlation": stamp} | changed))


def correlated(mean, stamp, count, seed=0):
    """Noisy images with a dense covariance."""
    used = WEIGHT > 0
    root = np.linalg.cholesky(dense_covariance(stamp, WEIGHT) + 1e-9 * np.eye(used.sum()))
    data = np.repeat(mean[None], count, axis=0)
    data[:, used] += np.random.default_rng(seed).normal(size=(count, used.sum())) @ root.T
    return data


def as_given(image):
    return np.asarray(image.noise_correlation)


@pytest.mark.parametrize("stamp", [MILD, SMOOTH], ids=["mild", "smooth"])
def test_log_density_is_the_dense_one(mean, stamp):
    """Value to 1e-3 a pixel, differences between models to 1 %; nothing from masked pixels."""
    (data,) = correlated(mean, stamp, 1)
    image, used = image_of(data, stamp), WEIGHT > 0
    covariance = dense_covariance(as_given(image), WEIGHT)
    models = np.stack([mean, 0.99 * mean, mean + 0.05])
    exact = np.array([stats.multivariate_normal.logpdf(data[used], m[used], covariance) for m in models])
    for value in (data, np.where(used, data, 1e9), np.where(used, data, np.nan)):
        pixels = CorrelatedPixels(jnp.asarray(models), image.invvar, image.log_normaliser, image.whitening)
        found = np.asarray(pixels.log_prob(value))
        assert np.abs(found - exact).max() < 1e-3 * used.sum()
        assert np.abs(np.diff(found) - np.diff(exact)).max() < 0.01 * np.abs(np.diff(exact)).max() + 0.01
    wider = CorrelatedPixels(mean, image.invvar, image.log_normaliser, image.whitening, 1.5).log_prob(data)
    wanted = stats.multivariate_normal.logpdf(data[used], mean[used], 1.5**2 * covariance)
    assert float(wider) == pytest.approx(wanted, abs=1e-3 * used.sum())


@pytest.mark.parametrize("program", [star, scaled])
def test_gradient_and_curvature_of_the_log_posterior(mean, program):
    """The gradient is that of the log posterior, which is that of its differences; the curvature the dense covariance's."""
    images = bj.ImageSet([image_of(correlated(mean, SMOOTH, 1)[0], SMOOTH)])
    fit = bj.fit_map(program, images, progress=False)
    z = jnp.asarray(fit.unconstrained + 0.3 * np.sqrt(np.diag(fit.covariance)))
    args = (images,)
    found = quadratic(program, fit.layout, z, args)
    value, slope = jax.jit(jax.value_and_grad(log_posterior, 2), static_argnums=(0, 1))(
        program, fit.layout, z, args
    )
    assert float(found.value) == pytest.approx(float(value), rel=1e-11)
    np.testing.assert_allclose(found.gradient, slope, rtol=1e-7, atol=1e-7 * np.abs(slope).max())
    for way in np.diag(1e-4 * np.sqrt(np.diag(fit.covariance))):
        up, down = (float(log_posterior(program, fit.layout, z + s * way, args)) for s in (1, -1))
        assert (up - down) / 2 == pytest.approx(float(slope @ way), abs=2e-8 + 1e-5 * abs(float(slope @ way)))
    if program is star:
        columns = jax.jacfwd(lambda z: _pixels(fit.layout, z, images[0]))(z)[WEIGHT > 0]
        dense = columns.T @ np.linalg.solve(dense_covariance(as_given(images[0]), WEIGHT), columns)
        unit = np.sqrt(np.outer(np.diag(dense), np.diag(dense)))
        np.testing.assert_allclose(found.likelihood_curvature / unit, dense / unit, atol=0.005)


def _pixels(layout, z, image):
    values = layout.unpack(z)
    return bj.render(image, bj.PointSource((values["east"], -0.2), values["flux"]), bj.FlatSky(values["sky"]))


@pytest.mark.parametrize("stamp", [MILD, SMOOTH], ids=["mild", "smooth"])
def test_coverage_with_and_without(mean, stamp):
    """Deviations over errors are one wide where the correlation is given, as much wider as it says where not."""
    stamp = as_given(image_of(mean, stamp))
    pulls, chi2 = {True: [], False: []}, []
    for data in correlated(mean, stamp, 60):
        for given in pulls:
            fit = bj.fit_map(star, bj.ImageSet([image_of(data, stamp if given else None)]), progress=False)
            pulls[given].append([(float(fit.values[n]) - t) / float(fit.errors[n]) for n, t in TRUTH.items()])
            chi2 += [fit.chi2_per_dof] if given else []
    width = {
        given: dict(zip(TRUTH, np.sqrt(np.mean(np.square(p), axis=0)), strict=True))
        for given, p in pulls.items()
    }
    print(width, np.sqrt(stamp.sum()), np.mean(chi2))
    assert all(0.75 < each < 1.3 for each in width[True].values()), width
    assert width[False]["sky"] == pytest.approx(np.sqrt(stamp.sum()), rel=0.25)
    assert min(width[False]["sky"], width[False]["flux"]) > 1.35
    assert np.mean(chi2) == pytest.approx(1, abs=0.03)


def test_simulated_images_have_the_correlation(mean):
    """Drawn by the program itself; pixels without weight are noiseless, and a factor widens."""
    images = bj.ImageSet([image_of(mean, MILD, name=name) for name in ("g", "r")])
    used, drawn = WEIGHT > 0, []
    for seed in range(60):
        made = simulate(star, images, seed=seed)
        shown = (
            bj.PointSource((made.values["east"], -0.2), made.values["flux"]),
            bj.FlatSky(made.values["sky"]),
        )
        model = np.asarray(_render(images[0], *shown))
        for image in made.images:
            assert np.allclose(image.data[~used], model[~used], rtol=1e-9)
            drawn.append(image.data - model)
    drawn = np.array(drawn)
    assert np.mean(drawn[:, used] ** 2) == pytest.approx(1, abs=0.03)
    for (dy, dx), wanted in (((0, 1), MILD[1, 2]), ((1, 0), MILD[2, 1]), ((1, 1), MILD[2, 2]), ((0, 2), 0.0)):
        one, other = drawn[:, dy:, dx:], drawn[:, : 24 - dy, : 24 - dx]
        both = used[dy:, dx:] & used[: 24 - dy, : 24 - dx]
        assert np.mean((one * other)[:, both]) == pytest.approx(wanted, abs=0.02)
    assert abs(np.mean(drawn[::2, used] * drawn[1::2, used])) < 0.02
    wide = CorrelatedPixels(mean, WEIGHT, 0.0, images[0].whitening, 2.0).sample(jax.random.key(1), (50,))
    assert np.std((np.asarray(wide) - mean)[:, used]) == pytest.approx(2, rel=0.05)


_render = jax.jit(bj.render)


def galaxy(images, *noise):
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images, structure)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(bj.sample_sky(images)), *noise)


def scaled_galaxy(images):
    galaxy(images, bj.sample_noise_scale(images))


def test_compressed_likelihood_is_the_exact_one(images):
    """One image with correlated noise and one without, in stacks of their own."""
    program, both = scaled_galaxy, images.with_noise_correlations([SMOOTH, None])
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


def test_posterior_knows_it(scene, tmp_path):
    """Sampled compressed, kept in its file, and judged by whitened residuals."""
    made = scene.simulate(noise=1e-6, brightness={"r": 100.0})[0]
    data = made.data + _moving(np.random.default_rng(4))
    plain = bj.ImageSet([make_image((32, 32), data=data, scale=0.4, psf=made.psf, name="r")])
    images, program = plain.with_noise_correlations([MILD]), bj.joint_model()
    fit = bj.fit_map(program, images, progress=False)
    posterior = bj.sample(program, images, init=fit, draws=50, warmup=50, chains=2, progress=False)
    assert posterior.idata.attrs["likelihood"] == "compressed"
    assert "whitened residuals correlate" in str(posterior.verdict.findings)
    (measured,) = posterior.goodness()
    assert abs(measured.correlation) < 0.1 and measured.whitened and abs(measured.chi2_per_pixel - 1) < 0.2
    posterior.save(tmp_path / "p.nc")
    loaded = bj.Posterior.load(tmp_path / "p.nc")
    assert loaded.goodness() == posterior.goodness()
    assert np.array_equal(loaded.images[0].noise_correlation, images[0].noise_correlation)
    assert loaded.images[0].log_normaliser == images[0].log_normaliser
    words = str(bj.fit_map(program, plain, progress=False).verdict)
    assert "give noise_correlation=bj.noise_correlation(image)" in " ".join(words.split())
    one, other = (fingerprint(fit.layout, (each,), {}) for each in (plain, images))
    assert one["the images' pixels"] != other["the images' pixels"]


def _moving(rng):
    """Noise shifted by 0.3 pixels along both axes, of unit variance."""
    white = rng.normal(size=(33, 33))
    along = 0.7 * white[1:] + 0.3 * white[:-1]
    return (0.7 * along[:, 1:] + 0.3 * along[:, :-1]) / (0.7**2 + 0.3**2)


def test_verdict_on_whitened_residuals():
    """Says what is left after the correlation given, not that one should be given; too small a chi2 is no alarm."""
    noise = np.random.default_rng(0).normal(size=(80, 80))
    noise = noise + 0.3 * np.roll(noise, 1, 0) + 0.3 * np.roll(noise, 1, 1)
    flat = np.zeros((80, 80))
    for residual, whitened, words in (
        (noise, True, "whitened residuals correlate by 0.2.*beyond what noise_correlation= says"),
        (
            noise,
            False,
            "neighbouring residuals correlate by 0.2.*give noise_correlation=bj.noise_correlation",
        ),
    ):
        found = judge_images([goodness("r", residual, flat, flat + 1, residual, 1.0, whitened)])[-1]
        assert found.severity == "warning" and re.search(words, f"{found.what}: {found.advice}")
    for whitened, severity in ((True, "note"), (False, "warning")):
        found = judge_images([goodness("r", flat, flat, flat + 1, 0.6 * noise, 1.0, whitened)])[0]
        assert found.severity == severity and "chi2/pixel 0.4" in found.what


def test_other_noise_is_refused(mean):
    images = bj.ImageSet([image_of(mean, name="g"), image_of(mean, MILD)])

    def program(images):
        bj.observe(images, bj.FlatSky(0.0), bj.NoiseFloor(0.1), bj.StudentTNoise(4.0))

    for given in (images, images[1]):
        with pytest.raises(
            ValueError, match="'r' has correlated noise, which NoiseFloor and StudentTNoise cannot go with"
        ):
            bj.fit_map(program, given, progress=False)
