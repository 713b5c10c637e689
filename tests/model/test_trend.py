"""Trends with wavelength: their priors by moments, a fit of one, and what is refused."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from numpyro import handlers
from numpyro.infer import Predictive

import bayesjoint as bj

WAVELENGTHS = {"g": 0.48, "r": 0.62, "i": 0.75, "z": 0.91}
X = np.log(list(WAVELENGTHS.values()))


def images_of(index, Re, seed=3, sigma=1.0):
    rng, found = np.random.default_rng(seed), []
    for i, band in enumerate(WAVELENGTHS):
        blank = make_image((48, 48), 0.3, bj.gaussian_psf(0.9), name=band, band=band)
        unit = bj.Sersic((0.0, 0.0), 0.7, 30.0, index[i], Re[i], 1.0)
        galaxy = bj.Sersic((0.0, 0.0), 0.7, 30.0, index[i], Re[i], 4000.0 / unit.flux)
        pixels = np.asarray(jax.jit(bj.render)(blank, galaxy))
        data = pixels + rng.normal(0, sigma, pixels.shape)
        found.append(
            make_image(
                (48, 48), 0.3, blank.psf, data=data, invvar=np.full((48, 48), sigma**-2), name=band, band=band
            )
        )
    return bj.ImageSet(found)


@pytest.fixture(scope="module")
def images():
    return images_of([1.2, 1.5, 1.8, 2.2], [2.0, 1.8, 1.65, 1.5])


def draws_of(images, **options):
    """Prior draws of ln value."""

    def program(images):
        bj.sample_trend("galaxy_n", images, WAVELENGTHS, 2.0, **options)

    found = Predictive(program, num_samples=4000)(jax.random.PRNGKey(1), images)
    return np.log(np.asarray(found["galaxy_n"]) / 2.0)


@pytest.mark.parametrize("length", (0.0, 0.3))
def test_a_process_has_its_covariance(images, length):
    drawn = draws_of(images, length=length, width=0.2)
    apart = np.sqrt(3) * np.abs(X[:, None] - X) / max(length, 1e-9)
    expected = 0.04 * (1 + apart) * np.exp(-apart)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.004)


def test_a_line_goes_from_minus_to_plus_its_slope(images):
    drawn = draws_of(images, order=1, width=0.2)
    assert np.std(drawn[:, 0]) == pytest.approx(0.2, rel=0.05)
    np.testing.assert_allclose(drawn[:, 0], -drawn[:, -1], atol=1e-12)


def test_order_zero_is_shared(images):
    assert np.ptp(draws_of(images, order=0)) == 0


def test_fit_finds_a_trend(images):
    def program(images):
        n = bj.sample_trend("galaxy_n", images, WAVELENGTHS, dist.LogNormal(0.5, 0.8))
        Re = bj.sample_trend("galaxy_Re", images, WAVELENGTHS, dist.LogNormal(0.5, 1.0), length=1.0)
        structure = bj.sample_structure("galaxy", images, n=n, Re=Re)
        Ie = bj.sample_brightness("galaxy", images, structure)
        bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(bj.sample_sky(images)))

    fit = bj.fit_map(program, images)
    assert fit.converged and abs(fit.chi2_per_dof - 1) < 0.05
    for site, true in {"galaxy_n": [1.2, 1.5, 1.8, 2.2], "galaxy_Re": [2.0, 1.8, 1.65, 1.5]}.items():
        assert np.all(np.abs(fit.values[site] - true) < 4 * fit.errors[site] + 0.02 * np.array(true))
    assert fit.values["galaxy_n"][-1] - fit.values["galaxy_n"][0] > 5 * fit.errors["galaxy_n"][0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wavelengths": {"g": 0.48}}, "galaxy_n: wavelengths lacks r, i, z"),
        ({"wavelengths": WAVELENGTHS | {"g": -1.0}}, "wavelengths must be positive numbers"),
        ({"order": -1}, "order must be a whole number from 0 on"),
        ({"length": -0.1}, "length from 0 on"),
    ],
)
def test_what_is_refused(images, options, words):
    wavelengths = options.pop("wavelengths", WAVELENGTHS)
    with pytest.raises(ValueError, match=words), handlers.seed(rng_seed=0):
        bj.sample_trend("galaxy_n", images, wavelengths, 2.0, **options)
