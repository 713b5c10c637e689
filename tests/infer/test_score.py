"""Score tests: they say what fits of the parameters that they stand for find, and chance gives no more than it should."""

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
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.descriptions import DIRECTIONS, directions, model_pixels
from bayesjoint.infer.pixels import places_of
from bayesjoint.infer.score import score_tests
from bayesjoint.infer.space import find_latents, start_vector

pytestmark = pytest.mark.loose
SHAPE, SCALE, FWHM = (30, 34), 0.4, 1.4
WIDE = 1000.0


def galaxy(images):
    """A galaxy of free flux, size and place, with a sky in each image: two bands."""
    with numpyro.plate("band", len(images.bands)):
        Ie = numpyro.sample("Ie", dist.Normal(20.0, WIDE))
    with numpyro.plate("image", len(images)):
        sky = numpyro.sample("sky", dist.Normal(0.0, WIDE))
    centre = numpyro.sample("centre", dist.Normal(jnp.zeros(2), 3.0).to_event(1))
    Re = numpyro.sample("Re", dist.LogNormal(np.log(1.5), 2.0))
    return bj.Sersic(centre, 0.7, 30.0, 1.0, Re, Ie), bj.FlatSky(sky)


def plain(images):
    bj.observe(images, *galaxy(images))


def one_wide_psf(images):
    factor = numpyro.sample("seeing", dist.Normal(1.0, 0.3))
    bj.observe(images, *galaxy(images), bj.Seeing(jnp.stack([1.0, factor])))


def moved(images):
    bj.observe(images, *galaxy(images), bj.sample_registration(images, offset=5.0))


def sloping(images):
    light, sky = galaxy(images)
    gradient = numpyro.sample("gradient", dist.Normal(jnp.zeros(2), WIDE).to_event(1))
    slopes = jnp.stack([jnp.zeros(2), gradient])
    bj.observe(images, light, bj.PlaneSky(sky.level, slopes))


def scene(told=FWHM, offset=(0.0, 0.0), slope=(0.0, 0.0), seed=4):
    """The galaxy in g and, turned, in r, where what is told of PSF, place and sky may be off."""
    rng = np.random.default_rng(seed)
    images = []
    for band, Ie in (("g", 500.0), ("r", 1000.0)):
        keywords = {"name": band, "band": band, "angle": 25.0 if band == "r" else 0.0}
        blank = make_image(SHAPE, SCALE, psf=bj.moffat_psf(FWHM, 3.0), **keywords)
        off = np.array(offset) * (band == "r")
        sky = bj.PlaneSky(3.0, np.array(slope) * (band == "r"))
        light = bj.render(blank, bj.Sersic(tuple(off), 0.7, 30.0, 1.0, 1.5, Ie), sky)
        psf = bj.ScalablePSF(bj.moffat_psf(told if band == "r" else FWHM, 3.0))
        data = np.asarray(light) + rng.normal(size=SHAPE)
        images.append(make_image(SHAPE, SCALE, psf=psf, data=data, **keywords))
    return bj.ImageSet(images)


def fitted(program, images, start=None):
    """A fit, and the tests of its images."""
    fit = bj.fit_map(program, images, start=start, tolerance=1e-8, progress=False)
    args = jax.device_put((images,))
    layout, z = find_latents(program, args), jnp.asarray(fit.unconstrained)
    places = places_of(model_pixels(program, layout, z, args), images)
    return fit, scores_at(program, layout, z, images, directions(program, layout, z, args, places))


def scores_at(program, layout, z, images, along):
    args = jax.device_put((images,))
    here = jax.device_get(quadratic(program, layout, z, args))
    places = places_of(here.means, images)
    return score_tests(program, layout, here, np.asarray(z), args, places, along)


def row(name, image=1):
    return image * len(DIRECTIONS) + DIRECTIONS.index(name)


CASES = {
    "PSF width": (one_wide_psf, {"told": 0.98 * FWHM}, ["PSF width"], "seeing"),
    "offset": (moved, {"offset": (0.01, -0.005)}, ["offset East", "offset North"], "offset"),
    "sky slope": (sloping, {"slope": (20.0, -12.0)}, ["sky slope East", "sky slope North"], "gradient"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_score_is_what_a_fit_finds(case):
    """Of a small error of the second image: the gain in chi2, the amplitude and its error, and the shift of the others."""
    program, wrong, names, site = CASES[case]
    images = scene(**wrong)
    fit, found = fitted(plain, images)
    free = bj.fit_map(program, images, start=fit, tolerance=1e-8, progress=False)
    rows = [row(name) for name in names]
    inverse = np.linalg.inv(found.variance[np.ix_(rows, rows)])
    amplitude = inverse @ found.score[rows]
    gain = fit.chi2.sum() - free.chi2.sum()
    assert gain > 4 and found.score[rows] @ amplitude == pytest.approx(gain, rel=0.05)
    told = np.ravel(free.values[site]) - (1.0 if site == "seeing" else 0.0)
    np.testing.assert_allclose(amplitude, told, rtol=0.05, atol=0.05 * np.abs(told).max())
    np.testing.assert_allclose(np.sqrt(np.diag(inverse)), np.ravel(free.errors[site]), rtol=0.05)
    others = [free.labels.index(label) for label in fit.labels]
    sd = np.sqrt(np.diag(found.covariance))
    moved = (fit.unconstrained - free.unconstrained[others]) / sd
    np.testing.assert_allclose(amplitude @ found.shift[rows] / sd, moved, rtol=0.05, atol=0.05)


def tailed(images):
    bj.observe(images, *galaxy(images), bj.StudentTNoise(4.0), bj.sample_noise_scale(images))


def own_site(images):
    """The same as `plain`, the second image by a site of the program's own."""
    light, sky = galaxy(images)
    first, second = (bj.Sersic(light.centre, 0.7, 30.0, 1.0, light.Re, light.Ie[i]) for i in (0, 1))
    bj.observe(images[0], first, bj.FlatSky(sky.level[0]))
    model = bj.render(images[1], second, bj.FlatSky(sky.level[1]))
    numpyro.sample("own", dist.Normal(model, 1.0).to_event(2), obs=images[1].data)


def _shifted_sum(noise):
    """Noise of unit variance of which neighbours in a row share 0.4."""
    return (2 * noise[:, 1:] + noise[:, :-1]) / np.sqrt(5)


NOISE = {
    "independent": (plain, lambda rng: rng.normal(size=SHAPE)),
    "tails": (tailed, lambda rng: 1.3 * rng.standard_t(4.0, size=SHAPE)),
    "correlated": (plain, lambda rng: _shifted_sum(rng.normal(size=(SHAPE[0], SHAPE[1] + 1)))),
}


@pytest.mark.parametrize("case", NOISE)
def test_scores_of_right_models_are_normal(case):
    """In 100 realisations of the noise, at the truth: what the program's own parameters explain of it is taken out."""
    program, noise = NOISE[case]
    images, rng = scene(), np.random.default_rng(6)
    if case == "correlated":
        images = images.with_noise_correlations([np.array([[0.0] * 3, [0.4, 1.0, 0.4], [0.0] * 3])] * 2)
    truth = {"Ie": np.array([20.0, 40.0]), "sky": 3.0, "centre": np.zeros(2), "Re": 1.5, "noise_scale": 1.3}
    args = jax.device_put((images,))
    layout = find_latents(program, args)
    z = start_vector(program, layout, args, truth)
    light = model_pixels(program, layout, z, args)
    along = directions(program, layout, z, args, places_of(light, images))
    light, sigma = np.asarray(next(iter(light.values()))), []
    for _ in range(100):
        drawn = images.with_data([pixels + noise(rng) for pixels in light])
        found = scores_at(program, layout, z, drawn, along)
        sigma.append(found.score / np.sqrt(np.diag(found.variance)))
    sigma = np.array(sigma)[:, [j for j in range(12) if not DIRECTIONS[j % 6].startswith("flux")]]
    assert np.all(np.abs(sigma.std(axis=0) - 1) < 0.25) and np.all(np.abs(sigma.mean(axis=0)) < 0.35)
    assert min(stats.kstest(column, "norm").pvalue for column in sigma.T) > 1e-3


def test_sites_of_the_programs_own_and_what_it_has():
    """Whichever way pixels are observed; fluxes of lone bands, and a PSF of free width, are taken up."""
    images = scene(told=0.98 * FWHM)
    fit, found = fitted(plain, images)
    _, own = fitted(own_site, images)
    np.testing.assert_allclose(found.score, own.score, rtol=1e-3, atol=1e-3 * np.abs(found.score).max())
    np.testing.assert_allclose(found.variance, own.variance, rtol=1e-4, atol=1e-6 * found.variance.max())
    left = np.diag(found.variance) / found.information
    assert np.all(left[[row("flux scale", i) for i in (0, 1)]] < 1e-6) and left[row("PSF width")] > 0.05
    _, free = fitted(one_wide_psf, images, fit)
    left = np.diag(free.variance) / free.information
    assert left[row("PSF width")] < 1e-3 < 0.05 < left[row("PSF width", 0)]
