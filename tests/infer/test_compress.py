"""The compressed likelihood against the exact one, for programs of many kinds; its derivatives; its failures."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.handlers import scope

import bayesjoint as bj
from bayesjoint.infer import basis, compress, roads
from bayesjoint.infer import draws as draws_module
from bayesjoint.infer.draws import Draws
from bayesjoint.infer.form import compressed_log_posterior
from bayesjoint.infer.nuts import Tuning
from bayesjoint.infer.roads import around_fit
from bayesjoint.infer.sampler import sample_program
from bayesjoint.infer.space import log_posterior


def looped(images):
    """An `observe` for each image, a nucleus in one band, one sky fixed, and a measurement of the program's own."""
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images)
    nucleus = numpyro.sample("nucleus", dist.Normal(0.0, 100.0))
    sky = numpyro.sample("sky", dist.Normal(0.0, 5.0))
    numpyro.sample("known_size", dist.Normal(structure["Re"], 0.5), obs=2.1)
    bj.observe(images[0], bj.Sersic(**structure, Ie=Ie[0]), bj.FlatSky(0.5))
    star = bj.PointSource(structure["centre"], nucleus, name="nucleus")
    bj.observe(images[1], bj.Sersic(**structure, Ie=Ie[1]), star, bj.FlatSky(sky))


def weighted(images):
    """Half of the weight of the second image; a size for each band."""
    structure = bj.sample_structure("galaxy", images, per_band=("Re",))
    Ie = bj.sample_brightness("galaxy", images)
    with handlers.scale(scale=0.5):
        bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(bj.sample_sky(images)))


def sloped(images):
    """A plane as sky in each image."""
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images, structure)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.PlaneSky(*bj.sample_sky(images, order=1)))


def patched(images):
    """Free light on six nodes beside the galaxy, in one band; its transform is complex, and its flux may be zero."""
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images, structure)
    values = numpyro.sample("values", dist.Normal(jnp.zeros((2, 3)), 5.0).to_event(2))
    patch = bj.Patch((2.0, -1.0), 30.0, 1.2, values, name="debris")
    bj.observe(images[0], bj.Sersic(**structure, Ie=Ie[0]), bj.FlatSky(0.5))
    bj.observe(images[1], bj.Sersic(**structure, Ie=Ie[1]), patch, bj.FlatSky(0.5))


def corrected(images):
    """The width of each image's PSF, and where the second image is, how turned and how bright."""
    structure = bj.sample_structure("galaxy", images)
    galaxy = bj.Sersic(**structure, Ie=bj.sample_brightness("galaxy", images, structure))
    registration = bj.sample_registration(images, offset=0.1, rotation=2.0, flux_scale=0.02)
    bj.observe(images, galaxy, bj.FlatSky(bj.sample_sky(images)), registration, bj.sample_seeing(images))


def with_scalable_psfs(images):
    """The same images, their PSFs' widths to be sampled."""
    return bj.ImageSet(
        [
            bj.Image(
                image.data,
                wcs=image.wcs,
                zeropoint=31.4,
                psf=bj.ScalablePSF(image.psf),
                invvar=image.invvar,
                band=image.band,
            )
            for image in images
        ]
    )


PROGRAMS = {"ready": bj.joint_model(), "looped": looped, "weighted": weighted, "sloped": sloped}
PROGRAMS |= {"patched": patched, "corrected": corrected}


@pytest.fixture(scope="module", params=PROGRAMS)
def compressed(request, images):
    """Program, layout, arguments, the fit, the compressed likelihood, and fresh draws of the fit's Gaussian."""
    program = PROGRAMS[request.param]
    if program is corrected:
        images = with_scalable_psfs(images)
    fit = bj.fit_map(program, images)
    args = jax.device_put((images,))
    fitted = compress.at_fit(program, fit.layout, fit.unconstrained, args)
    form = compress.compress(program, fit.layout, fitted, around_fit(fit, seed=0).points, args)
    noise = np.random.default_rng(99).normal(size=(60, fit.layout.size))
    fresh = fit.unconstrained + noise @ np.linalg.cholesky(fit.covariance).T
    return program, fit, args, fitted, form, fresh


def test_it_is_the_exact_log_posterior(compressed):
    """At the fit to rounding; elsewhere far better than any posterior can tell."""
    program, fit, args, fitted, form, fresh = compressed
    short = jax.jit(lambda z: compressed_log_posterior(program, fit.layout, z, args, form))
    assert float(short(fit.unconstrained)) == pytest.approx(fit.log_posterior, abs=1e-6)
    exact = np.array([log_posterior(program, fit.layout, z, args) for z in fresh[:5]])
    np.testing.assert_allclose(
        compress.exact_log_posteriors(program, fit.layout, fitted, fresh[:5], args), exact, atol=1e-7
    )
    exact = compress.exact_log_posteriors(program, fit.layout, fitted, fresh, args)
    errors = np.array([short(z) for z in fresh]) - exact
    assert np.std(exact) > 1, "the draws must span a posterior for this to say something"
    assert np.std(errors) < 0.005 and np.max(np.abs(errors)) < 0.02


def test_its_gradient_is_that_of_finite_differences(compressed):
    program, fit, args, _, form, fresh = compressed
    short = jax.jit(lambda z: compressed_log_posterior(program, fit.layout, z, args, form))
    slope, z = jax.grad(short)(jnp.asarray(fresh[0])), fresh[0]
    for i, sigma in enumerate(np.sqrt(np.diag(fit.covariance))):
        step = 1e-3 * sigma * np.eye(len(z))[i]
        assert slope[i] * sigma == pytest.approx(
            float(short(z + step) - short(z - step)) / 2e-3, rel=1e-4, abs=1e-4
        )


def test_a_mask_and_an_empty_corner(scene):
    """Pixels without weight, a whole image almost without signal, and an image whose every weight is tiny."""
    images = scene.simulate(seed=4, brightness={"g": 60.0, "r": 0.0})
    invvar = [image.invvar.copy() for image in images]
    invvar[0][:, :9] = 0
    invvar[1] *= 1e-12
    images = bj.ImageSet(
        [
            bj.Image(image.data, wcs=image.wcs, zeropoint=31.4, psf=image.psf, invvar=weight, band=image.band)
            for image, weight in zip(images, invvar, strict=True)
        ]
    )
    posterior = bj.sample(bj.joint_model(), images, draws=200, chains=2, warmup=200)
    assert posterior.idata.attrs["likelihood"] == "compressed"
    assert np.std(posterior.likelihood_errors) < 0.01


def test_one_too_coarse_is_noticed_and_left_for_the_exact(images, monkeypatch):
    """With a basis of two images nothing fits: the exact likelihood is sampled, or the verdict refuses the result."""
    monkeypatch.setattr(basis, "RANK", 2)
    program = bj.joint_model("coarse")
    fit = bj.fit_map(program, images)
    tuning = Tuning(draws=12, chains=2, warmup=24, seed=0)
    auto = sample_program(program, (images,), fit, tuning, "auto", progress=False)
    assert auto.likelihood_errors is None and auto.likelihood_holds
    forced = bj.sample(program, images, init=fit, likelihood="compressed", draws=12, chains=2, warmup=24)
    assert np.std(forced.likelihood_errors) > 0.3
    assert not forced.verdict.trusted and 'likelihood="exact"' in str(forced.verdict)


def masked(images):
    """The second image counts nothing, the first half; what `observe` does lies in a scope."""
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images, structure)
    with (
        handlers.mask(mask=jnp.array([True, False])),
        handlers.scale(scale=jnp.array([0.5, 1.0])),
        scope(prefix="a"),
    ):
        bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(0.5))


def test_masks_scales_and_scopes_of_whole_images(images):
    """The compressed log posterior against the exact one; the second band is left to its prior."""
    posterior = bj.sample(masked, images, draws=200, chains=2, warmup=100)
    assert posterior.idata.attrs["likelihood"] == "compressed"
    assert np.std(posterior.likelihood_errors) < 0.01
    first, second = posterior.values("galaxy_total").std(axis=(0, 1)) / (
        10 * (np.abs(images.start.flux) + 5 * images.start.flux_error)
    )
    assert first < 0.02 and second > 0.8


def bounded(images):
    """A bound that is not met where the brightness is, but is at zero: it looks linear, and is not."""
    structure = bj.sample_structure("galaxy", images, n=1.5, q=0.6, pa=40.0)
    Ie = bj.sample_brightness("galaxy", images, structure)
    numpyro.factor("bright", jnp.where(jnp.all(Ie > 5.0), 0.0, -jnp.inf))
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(0.5))


def test_bounds_on_amplitudes_are_kept(images):
    start = {"galaxy_total": jnp.abs(images.start.flux)}
    fit = bj.fit_map(bounded, images, start=start)
    posterior = bj.sample(bounded, images, init=fit, draws=100, chains=2, warmup=100)
    assert np.all(posterior.values("galaxy_Ie") > 5.0)


def test_near_misses_are_corrected(images, monkeypatch):
    """Draws of a likelihood that misses by little, resampled, are those of the exact one."""
    monkeypatch.setattr(draws_module, "TOLERATED_ERROR", 0.0)
    program = bj.joint_model()
    fit = bj.fit_map(program, images)
    tuning = Tuning(draws=100, chains=2, warmup=100, seed=0)
    found = sample_program(program, (images,), fit, tuning, "auto", progress=False)
    assert found.likelihood_errors is None and "correct" in found.seconds
    z = found.unconstrained.reshape(-1, fit.layout.size)[::20]
    fitted = compress.at_fit(program, fit.layout, fit.unconstrained, (images,))
    exact = compress.exact_log_posteriors(program, fit.layout, fitted, z, (images,))
    assert np.allclose(found.stats["lp"].ravel()[::20], exact, rtol=1e-12)


def test_resampling_follows_the_ratios(monkeypatch):
    """Normal draws, importance weighted to another Normal by its log density."""
    x = np.random.default_rng(0).normal(size=(2, 20000, 1))
    plain = Draws({"x": x[..., 0]}, {}, {"lp": -0.5 * x[..., 0] ** 2}, x, np.ones(2), 1, 0, {})
    monkeypatch.setattr(roads, "exact_log_posteriors", lambda *a: -0.5 * ((a[3][:, 0] - 0.3) / 0.9) ** 2)
    found = roads.corrected(roads.Run(*[None] * 7), plain)
    assert found.values["x"].mean() == pytest.approx(0.3, abs=0.03)
    assert found.values["x"].std() == pytest.approx(0.9, abs=0.03)
    assert np.array_equal(found.unconstrained[..., 0], found.values["x"])
    assert found.importance.k_hat < 0.7
    told = f"compressed, corrected by exact renders (PSIS k-hat {found.importance.k_hat:.2f})"
    assert roads.in_words([found]) == told


@pytest.mark.parametrize(("tail", "holds"), [(0.3, True), (9.0, False)])
def test_nearly_equal_ratios_need_no_light_tail(monkeypatch, tail, holds):
    """Ratios of heavy tail: of no account while all are nearly equal, and refused where a few of them decide."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 2000, 1))
    off = np.zeros(4000)
    off[:8] = tail * (1 + rng.pareto(1.0, 8) / 10) * np.array([1, 0.9, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02])
    plain = Draws({"x": x[..., 0]}, {}, {"lp": np.zeros((2, 2000))}, x, np.ones(2), 1, 0, {})
    monkeypatch.setattr(roads, "exact_log_posteriors", lambda *a: off + 1e-4 * a[3][:, 0])
    found = roads.corrected(roads.Run(*[None] * 7), plain)
    assert (found is not None) == holds


def test_an_unknown_likelihood_is_refused(images):
    with pytest.raises(ValueError, match="likelihood must be one of auto, compressed, exact, got 'quick'"):
        bj.sample(bj.joint_model(), images, likelihood="quick")


def test_exact_and_compressed_posteriors_agree(images):
    """Means and widths of structure and magnitudes, within what chance allows for their effective sizes."""
    program, shared = bj.joint_model(), {"chains": 4, "seed": 5}
    fit = bj.fit_map(program, images)
    short = bj.sample(program, images, init=fit, likelihood="compressed", **shared)
    exact = bj.sample(program, images, init=fit, likelihood="exact", draws=500, warmup=150, **shared)
    assert short.idata.attrs["likelihood"] == "compressed" and exact.idata.attrs["likelihood"] == "exact"
    for a, b in zip(short.summary(), exact.summary(), strict=True):
        sigma = float(b["sd"])
        by_chance = np.sqrt(1 / float(a["ess_bulk"]) + 1 / float(b["ess_bulk"]))
        assert abs(float(a["mean"]) - float(b["mean"])) < 4 * by_chance * sigma
        by_chance = np.sqrt(0.5 / float(a["ess_tail"]) + 0.5 / float(b["ess_tail"]))
        assert abs(np.log(float(a["sd"]) / sigma)) < 5 * by_chance
