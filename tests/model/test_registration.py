"""Zero points that are off: told from each other by a star, with errors in closed form."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image, rendered
from numpyro import handlers

import bayesjoint as bj

FLUX, WIDTH, SIGMA = 5000.0, 0.03, 1.0
SCALES = np.array([1.04, 0.98, 1.01, 0.96])
pytestmark = pytest.mark.loose


@pytest.fixture(scope="module")
def images():
    rng, found = np.random.default_rng(2), []
    for i, scale in enumerate(SCALES):
        blank = make_image((21, 21), 0.3, bj.gaussian_psf(0.9), name=f"e{i}", band="r", angle=90.0 * (i % 2))
        pixels = np.asarray(rendered(blank, bj.PointSource((0.0, 0.0), scale * FLUX)))
        found.append(blank.with_data(pixels + rng.normal(0, SIGMA, pixels.shape)))
    return bj.ImageSet(found)


def star(images, **options):
    flux = numpyro.sample("star_total", dist.Normal(0.0, 1e5))
    correction = bj.sample_registration(images, flux_scale=WIDTH, **options)
    bj.observe(images, bj.PointSource((0.0, 0.0), flux, name="star"), correction)


def without_reference(images):
    star(images, reference=False)


def test_fluxes_are_those_of_the_mean_zero_point(images):
    """The geometric mean of the frames' fluxes, as well known as the mean of their zero points."""
    fit = bj.fit_map(without_reference, images, progress=False)
    mean = np.exp(np.mean(np.log(SCALES)))
    assert float(fit.values["star_total"]) == pytest.approx(FLUX * mean, rel=0.001)
    assert float(fit.errors["star_total"]) == pytest.approx(FLUX * mean * WIDTH / 2, rel=0.02)
    np.testing.assert_allclose(fit.values["flux_scale"], SCALES / mean, atol=0.003)


def test_fluxes_are_those_of_the_reference(images):
    fit = bj.fit_map(star, images, progress=False)
    assert float(fit.values["star_total"]) == pytest.approx(FLUX * SCALES[0], rel=0.002)
    assert float(fit.errors["star_total"]) < 0.002 * FLUX
    np.testing.assert_allclose(fit.values["flux_scale"], SCALES[1:] / SCALES[0], atol=0.003)


def test_scales_have_a_plate_of_images(images):
    trace = handlers.trace(handlers.seed(without_reference, 0)).get_trace(images)
    assert [frame.name for frame in trace["flux_scale"]["cond_indep_stack"]] == ["image"]


def test_what_is_refused(images):
    one = bj.ImageSet([images[0]])
    with pytest.raises(ValueError, match="two images or more"), handlers.seed(rng_seed=0):
        bj.sample_registration(one, flux_scale=0.03)
    with pytest.raises(ValueError, match="nothing to sample"), handlers.seed(rng_seed=0):
        bj.sample_registration(images)
    with handlers.seed(rng_seed=0):
        assert bj.sample_registration(one, flux_scale=0.03, reference=False).flux_scale.shape == (1,)
