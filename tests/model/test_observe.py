"""The scale of the pixels' likelihood, sets against single images, fluxes, and predictions of data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer import Predictive
from numpyro.infer.util import log_density
from scipy import stats

import bayesjoint as bj
from bayesjoint.model.observe import RecordLight

GALAXY = {"q": 0.7, "pa": 30.0, "n": 1.2, "Re": 1.5}
RNG = np.random.default_rng(3)
MEAN, DATA = RNG.normal(size=(2, 5, 4))
WEIGHT = RNG.uniform(0.1, 9.0, (5, 4)) * (RNG.random((5, 4)) > 0.3)


def gaussian(mean=MEAN, weight=WEIGHT):
    return bj.GaussianPixels(mean, weight, 0.5 * np.sum(np.log(weight[weight > 0] / (2 * np.pi))))


def test_log_prob_is_the_normal_one_of_the_weighted_pixels():
    used = WEIGHT > 0
    by_scipy = stats.norm(MEAN[used], WEIGHT[used] ** -0.5).logpdf(DATA[used]).sum()
    assert float(gaussian().log_prob(DATA)) == pytest.approx(by_scipy, rel=1e-12)
    masked = dist.Normal(MEAN, np.where(used, WEIGHT, 1.0) ** -0.5).mask(used).to_event(2)
    assert float(gaussian().log_prob(DATA)) == pytest.approx(float(masked.log_prob(DATA)), rel=1e-12)


def test_pixels_without_weight_do_not_matter():
    changed = np.where(WEIGHT > 0, DATA, 1e9)
    assert float(gaussian().log_prob(changed)) == float(gaussian().log_prob(DATA))
    slope = jax.grad(lambda mean: gaussian(mean).log_prob(DATA))(MEAN)
    assert np.allclose(slope, WEIGHT * (DATA - MEAN)) and np.all(np.asarray(slope)[WEIGHT == 0] == 0)


def test_samples_have_the_noise_of_the_weights():
    draws = np.asarray(gaussian().sample(jax.random.PRNGKey(0), (4000,)))
    assert draws.shape == (4000, 5, 4)
    assert np.array_equal(
        draws[:, WEIGHT == 0], np.broadcast_to(MEAN[WEIGHT == 0], (4000, np.sum(WEIGHT == 0)))
    )
    pulls = (draws - MEAN)[:, WEIGHT > 0] * np.sqrt(WEIGHT[WEIGHT > 0])
    assert stats.kstest(pulls.ravel(), "norm").pvalue > 1e-3
    assert np.allclose(pulls.std(axis=0), 1, atol=0.06) and np.allclose(pulls.mean(axis=0), 0, atol=0.08)


def test_batches_and_events():
    batch = bj.GaussianPixels(np.stack([MEAN, MEAN]), np.stack([WEIGHT, WEIGHT]), np.zeros(2))
    assert batch.batch_shape == (2,) and batch.event_shape == (5, 4)
    assert batch.log_prob(np.stack([DATA, MEAN])).shape == (2,)
    assert batch.sample(jax.random.PRNGKey(1), (3,)).shape == (3, 2, 5, 4)


def brightness_and_sky():
    Ie = numpyro.sample("Ie", dist.Normal(0.0, 100.0).expand([2]).to_event(1))
    sky = numpyro.sample("sky", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    centre = numpyro.sample("centre", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    return centre, Ie, sky


def at_once(images):
    centre, Ie, sky = brightness_and_sky()
    bj.observe(images, bj.Sersic(centre, **GALAXY, Ie=Ie, name="galaxy"), bj.FlatSky(sky))


def looped(images):
    centre, Ie, sky = brightness_and_sky()
    for image, band, level in zip(images, images.band_index, sky, strict=True):
        bj.observe(image, bj.Sersic(centre, **GALAXY, Ie=Ie[band], name="galaxy"), bj.FlatSky(level))


VALUES = {
    "Ie": jnp.array([38.0, 25.0]),
    "sky": jnp.array([0.1, -0.2, 0.05]),
    "centre": jnp.array([0.15, -0.2]),
}


@pytest.fixture(scope="module")
def densities(mixed):
    """Log density and trace of both programs, as compiled programs give them."""

    @jax.jit
    def both(images):
        densities = {program: log_density(program, (images,), {}, VALUES)[0] for program in (at_once, looped)}
        trace = handlers.trace(handlers.substitute(looped, VALUES)).get_trace(images)
        models = [trace[f"pixels_{image.name}"]["fn"].mean[0] for image in images]
        return densities[at_once], densities[looped], models

    return both(mixed)


def test_a_set_is_observed_as_its_images_one_by_one(densities, mixed):
    at_once_density, looped_density, _ = densities
    assert len(mixed.stacks) == 3 and mixed.bands == ("r", "W1")
    assert float(at_once_density) == pytest.approx(float(looped_density), rel=1e-12)


def test_log_density_is_that_of_the_rendered_pixels(densities, mixed):
    *_, models = densities
    prior = stats.norm(0, 100).logpdf(VALUES["Ie"]).sum()
    prior += sum(stats.norm(0, 1).logpdf(VALUES[name]).sum() for name in ("sky", "centre"))
    likelihood = 0.0
    for image, model in zip(mixed, models, strict=True):
        used = image.invvar > 0
        likelihood += stats.norm(model[used], image.invvar[used] ** -0.5).logpdf(image.data[used]).sum()
    assert float(densities[0]) == pytest.approx(prior + likelihood, rel=1e-10)


def trace_of(program, *args):
    """A trace whose light is not rendered."""
    return handlers.trace(handlers.seed(RecordLight(program), 0)).get_trace(*args)


def test_fluxes_are_deterministic_sites(mixed):
    together = trace_of(handlers.substitute(at_once, VALUES), mixed)
    single = trace_of(handlers.substitute(looped, VALUES), mixed)
    expected = bj.Sersic((0.0, 0.0), **GALAXY, Ie=1.0).flux * VALUES["Ie"]
    assert together["galaxy_flux"]["type"] == "deterministic"
    assert np.allclose(together["galaxy_flux"]["value"], expected)
    by_image = [float(single[f"galaxy_flux_{name}"]["value"]) for name in ("r1", "r2", "w")]
    assert np.allclose(by_image, expected[np.array([0, 0, 1])])


def test_names_of_components(mixed):
    def program(images):
        star, other = bj.PointSource((0.0, 0.0), 5.0), bj.PointSource((1.0, 0.0), jnp.array([7.0, 8.0]))
        bj.observe(images, star, other, bj.Sersic((0.0, 0.0), **GALAXY, Ie=1.0, name="pointsource"))

    trace = trace_of(program, mixed)
    assert np.allclose(trace["pointsource_flux"]["value"], [5.0, 5.0])
    assert np.allclose(trace["pointsource2_flux"]["value"], [7.0, 8.0])
    assert trace["pointsource3_flux"]["value"].shape == (2,)


def test_things_that_are_not_images_are_refused(mixed):
    with pytest.raises(TypeError, match=r"observe wants a bj\.Image or bj\.ImageSet first, got ndarray"):
        trace_of(lambda: bj.observe(np.zeros((3, 3)), bj.FlatSky(0.0)))
    with pytest.raises(
        ValueError, match=r"level has shape \(5,\); wanted a scalar, or \(2,\).*band or \(3,\).*image"
    ):
        trace_of(lambda: bj.observe(mixed, bj.FlatSky(jnp.zeros(5))))
    with pytest.raises(ValueError, match=r"level has shape \(2,\); wanted a scalar"):
        trace_of(lambda: bj.observe(mixed[0], bj.FlatSky(jnp.zeros(2))))


def star(images):
    flux = numpyro.sample("flux", dist.Normal(0.0, 100.0).expand([2]).to_event(1))
    bj.observe(images, bj.PointSource((0.2, -0.1), flux, name="star"))


def test_posterior_predictive_draws_pixels(mixed):
    """Images without data have their pixels sampled: about the model, with the noise of the weights."""
    draws = {"flux": jnp.broadcast_to(jnp.array([300.0, 500.0]), (200, 2))}
    predict = jax.jit(lambda key, images: Predictive(star, draws)(key, images))
    found = predict(jax.random.PRNGKey(0), mixed.without_data())
    assert {f"pixels_{stack.name}" for stack in mixed.stacks} | {"star_flux"} == set(found)
    mean = jax.jit(bj.render)(mixed["r1"], bj.PointSource((0.2, -0.1), 300.0))
    pixels, weight = np.asarray(found["pixels_24x24"])[:, 0], mixed["r1"].invvar
    pulls = (pixels - np.asarray(mean))[:, weight > 0] * np.sqrt(weight[weight > 0])
    assert stats.kstest(pulls.ravel()[::7], "norm").pvalue > 1e-3


def test_prior_predictive(mixed):
    predict = jax.jit(lambda key, images: Predictive(star, num_samples=20)(key, images))
    found = predict(jax.random.PRNGKey(1), mixed.without_data())
    flux, pixels = np.asarray(found["flux"]), np.asarray(found["pixels_24x24"])
    assert flux.shape == (20, 2) and pixels.shape == (20, 1, 24, 24)
    inside = pixels[:, 0][:, mixed["r1"].invvar > 0].sum(axis=1)
    assert np.corrcoef(inside, flux[:, 0])[0, 1] > 0.9


def test_without_data_leaves_the_images_as_they_were(mixed):
    blank = mixed.without_data()
    assert all(image.data is None for image in blank) and all(image.data is not None for image in mixed)
    assert blank.names == mixed.names and np.array_equal(blank["w"].invvar, mixed["w"].invvar)
    inside = jax.jit(lambda images: [image.invvar for image in images])(blank)
    assert [weights.shape for weights in inside] == [image.shape for image in mixed]
    with pytest.raises(ValueError, match="observes nothing"):
        bj.fit_map(at_once, blank)


def test_stacks_of_one_size_have_sites_of_their_own(build):
    """Images of one size whose PSFs fold differently cannot share a stack."""
    psfs = {"sharp": bj.gaussian_psf(0.2), "blurred": bj.gaussian_psf(1.5)}
    images = bj.ImageSet([build.image((24, 24), 0.3, psf, name=name) for name, psf in psfs.items()])
    assert len(images.stacks) == len({stack.name for stack in images.stacks}) == 2
    trace = trace_of(bj.joint_model(), images)
    assert {f"pixels_{stack.name}" for stack in images.stacks} < set(trace)


def test_structure_per_band_and_brightness_per_image(mixed):
    """Both kinds of parameters in one galaxy: its flux then is per image."""

    def program(images):
        n, Ie = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0, 5.0])
        bj.observe(images, bj.Sersic((0.0, 0.0), 0.7, 20.0, n, 1.5, Ie, name="galaxy"))

    flux = trace_of(program, mixed)["galaxy_flux"]["value"]
    n = np.array([1.0, 2.0])[list(mixed.band_index)]
    ones = [
        float(bj.Sersic((0.0, 0.0), 0.7, 20.0, k, 1.5, Ie).flux)
        for k, Ie in zip(n, [3.0, 4.0, 5.0], strict=True)
    ]
    np.testing.assert_allclose(flux, ones)


@pytest.mark.parametrize("name", ["n", "q", "Re"])
def test_parameters_out_of_range_have_no_probability(mixed, name):
    """Minus infinity in a compiled program, and finite slopes on both sides."""
    value, beyond = {"n": (1.2, 10.5), "q": (0.7, 1.2), "Re": (1.5, -0.2)}[name]

    def density(value):
        galaxy = bj.Sersic((0.1, 0.0), **(GALAXY | {name: value}), Ie=3.0)
        bent = bj.Superellipse(galaxy, 2.5)
        return log_density(lambda: bj.observe(mixed[0], galaxy, bent), (), {}, {})[0]

    both = jax.jit(jax.value_and_grad(density))
    inside, slope = both(value)
    assert np.isfinite(inside) and np.isfinite(slope) and slope != 0
    outside, slope = both(beyond)
    assert outside == -np.inf and np.isfinite(slope)
