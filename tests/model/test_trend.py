"""Trends with wavelength: their priors by moments, a fit of one, and what is refused."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from numpyro import handlers
from numpyro.infer import Predictive
from numpyro.infer.util import log_density as log_density_of
from scipy.special import expit, logit

import bayesjoint as bj

WAVELENGTHS = {"g": 0.48, "r": 0.62, "i": 0.75, "z": 0.91}
X = np.log(list(WAVELENGTHS.values()))
TRUTH = {"galaxy_n": [1.2, 1.5, 1.8, 2.2], "galaxy_Re": [2.0, 1.8, 1.65, 1.5]}


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
    return images_of(*TRUTH.values())


def draws_of(images, prior, **options):
    """Prior draws of the value and its pivot."""

    def program(images):
        bj.sample_trend("galaxy_n", images, bj.Trend(**options), prior)

    found = Predictive(program, num_samples=4000)(jax.random.PRNGKey(1), images)
    return np.asarray(found["galaxy_n"]), np.asarray(found["galaxy_n_pivot"])


def log_departures(images, **options):
    values, pivot = draws_of(images, dist.LogNormal(0.5, 0.8), **options)
    return np.log(values / pivot[:, None])


def test_a_process_has_its_covariance(images):
    drawn = log_departures(images, wavelengths=WAVELENGTHS, length=0.3, width=0.2)
    apart = np.sqrt(3) * np.abs(X[:, None] - X) / 0.3
    np.testing.assert_allclose(np.cov(drawn.T), 0.04 * (1 + apart) * np.exp(-apart), atol=0.004)


def test_a_hierarchy_departs_on_its_own_in_each_band(images):
    np.testing.assert_allclose(np.cov(log_departures(images, width=0.2).T), 0.04 * np.eye(4), atol=0.004)


def test_a_line_goes_from_minus_to_plus_its_slope(images):
    drawn = log_departures(images, wavelengths=WAVELENGTHS, order=1, width=0.2)
    assert np.std(drawn[:, 0]) == pytest.approx(0.2, rel=0.05)
    np.testing.assert_allclose(drawn[:, 0], -drawn[:, -1], atol=1e-12)
    inner = (2 * X - X[0] - X[-1]) / (X[-1] - X[0])
    np.testing.assert_allclose(drawn, drawn[:, -1:] * inner, atol=1e-12)


def test_a_spline_goes_through_its_knots_and_is_straight_between_two():
    at = bj.Trend(WAVELENGTHS, knots=(0.48, 0.62, 0.91)).basis("n", tuple(WAVELENGTHS))
    np.testing.assert_allclose(at[[0, 1, 3]], np.eye(3), atol=1e-12)
    line = bj.Trend(WAVELENGTHS, knots=2).basis("n", tuple(WAVELENGTHS))
    share = (X - X[0]) / (X[-1] - X[0])
    np.testing.assert_allclose(line, np.stack([1 - share, share], axis=1), atol=1e-12)


def test_a_spline_is_straight_beyond_its_knots():
    """The second derivative at the middle one of three knots is 1.5 times the second difference, and 0 at the ends."""
    wavelengths = dict(zip("abcdef", 2.0 ** np.arange(-3, 3), strict=True))
    beyond = bj.Trend(wavelengths, knots=(0.25, 0.5, 1.0)).basis("n", ("a", "e", "f"))
    expected = [[2.25, -1.5, 0.25], [0.25, -1.5, 2.25], [0.5, -3.0, 3.5]]
    np.testing.assert_allclose(beyond, expected, atol=1e-12)


def test_order_zero_is_shared(images):
    assert np.ptp(log_departures(images, wavelengths=WAVELENGTHS, order=0), axis=1).max() < 1e-12


def test_bounded_values_stay_in_their_range_and_depart_in_the_logit(images):
    values, pivot = draws_of(images, dist.Uniform(0.3, 8.0), width=3.0)
    assert values.min() >= 0.3 and values.max() <= 8.0
    inside = np.all((values > 0.31) & (values < 7.99), axis=1)
    departures = logit((values - 0.3) / 7.7)[inside] - logit((pivot - 0.3) / 7.7)[inside, None]
    again = 0.3 + 7.7 * expit(logit((pivot[inside, None] - 0.3) / 7.7) + departures)
    np.testing.assert_allclose(values[inside], again, rtol=1e-10)
    assert np.std(logit((values - 0.3) / 7.7)[:, 0] - logit((pivot - 0.3) / 7.7)) == pytest.approx(
        3, rel=0.05
    )


def test_departures_of_any_real_number_are_in_the_prior_s_standard_deviations(images):
    values, pivot = draws_of(images, dist.Normal(0.0, np.array([0.6, 6.0])).to_event(1), width=0.5)
    assert values.shape == (4000, 4, 2)
    np.testing.assert_allclose(np.std(values - pivot[:, None], axis=0), [[0.3, 3.0]] * 4, rtol=0.05)


def test_a_sampled_width_is_shared_by_all_bands(images):
    def program(images):
        trend = bj.Trend(width=dist.HalfNormal(0.2))
        bj.sample_structure("galaxy", images, per_band={"n": trend, "Re": trend})

    found = Predictive(program, num_samples=2)(jax.random.PRNGKey(1), images)
    assert found["galaxy_n_width"].shape == (2,) and found["galaxy_Re_circular_width"].shape == (2,)


def test_a_centred_trend_is_the_same_prior_in_other_coordinates(images):
    """Densities at one and the same place: that of departures w d is that of d over w to the power of their number."""

    def log_density(centred, width, departures):
        def program(images):
            trend = bj.Trend(WAVELENGTHS, length=0.3, width=dist.HalfNormal(0.2), centred=centred)
            bj.sample_trend("galaxy_n", images, trend, dist.LogNormal(0.5, 0.8))

        values = {"galaxy_n_pivot": 1.3, "galaxy_n_width": width, "galaxy_n_departures": departures}
        density, trace = log_density_of(program, (images,), {}, values)
        return float(density), np.asarray(trace["galaxy_n"]["value"])

    departures = np.array([0.5, -1.0, 2.0, 0.1])
    for width in (0.05, 0.4):
        plain, values = log_density(False, width, departures)
        centred, again = log_density(True, width, width * departures)
        np.testing.assert_allclose(again, values, rtol=1e-12)
        assert centred == pytest.approx(plain - 4 * np.log(width), abs=1e-10)


def test_every_parameter_of_structure_may_have_a_trend(images):
    line = bj.Trend(WAVELENGTHS)
    program = bj.joint_model(per_band=dict.fromkeys(("n", "Re", "ellipticity", "centre"), line))
    assert program == bj.joint_model(
        per_band=dict.fromkeys(("n", "Re", "ellipticity", "centre"), bj.Trend(dict(WAVELENGTHS)))
    )
    trace = handlers.trace(handlers.seed(program, 1)).get_trace(images)
    for parameter in ("east", "north", "q", "pa", "n", "Re"):
        assert trace[f"galaxy_{parameter}"]["value"].shape == (4,)
    assert trace["galaxy_ellipticity"]["value"].shape == (4, 2)
    assert trace["galaxy_ellipticity_departures"]["value"].shape == (1, 2)
    assert np.all((trace["galaxy_n"]["value"] >= 0.3) & (trace["galaxy_n"]["value"] <= 8.0))
    given = {"q": dist.Uniform(0.1, 1.0), "centre": dist.Normal(0.0, np.ones(2)).to_event(1)}
    with handlers.seed(rng_seed=0):
        structure = bj.sample_structure("disc", images, {"ellipticity": line, "centre": line}, **given)
    assert structure["q"].shape == (4,) and structure["centre"].shape == (4, 2)


def test_bands_without_an_image_are_known_by_the_trend(images):
    """What a band departs by does not hang on which images there are."""
    blue = bj.ImageSet([images["g"], images["r"]])
    trend = bj.Trend(WAVELENGTHS, length=0.5)
    for bands in (("g", "r"), ("z", "g")):
        rows = [list(WAVELENGTHS).index(band) for band in bands]
        np.testing.assert_array_equal(trend.basis("n", bands), trend.basis("n", tuple(WAVELENGTHS))[rows])
    program = handlers.seed(bj.joint_model(per_band={"n": trend}), 0)
    assert handlers.trace(program).get_trace(blue)["galaxy_n_departures"]["value"].shape == (4,)


def test_fit_and_posterior_find_a_trend(images):
    trends = {"n": bj.Trend(WAVELENGTHS), "Re": bj.Trend(WAVELENGTHS, length=1.0)}
    program = bj.joint_model(per_band=trends)
    fit = bj.fit_map(program, images)
    assert fit.converged and abs(fit.chi2_per_dof - 1) < 0.05
    for site, true in TRUTH.items():
        assert np.all(np.abs(fit.values[site] - true) < 4 * fit.errors[site] + 0.02 * np.array(true))
    assert fit.values["galaxy_n"][-1] - fit.values["galaxy_n"][0] > 5 * fit.errors["galaxy_n"][0]
    posterior = bj.sample(program, images, init=fit, draws=100, chains=2, progress=False)
    assert posterior.values("galaxy_n").shape == (2, 100, 4)
    labels = [q.label for q in posterior.quantities]
    assert [f"galaxy n {band}" for band in WAVELENGTHS] == [x for x in labels if x.startswith("galaxy n ")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wavelengths": WAVELENGTHS | {"g": -1.0}}, "wavelengths must be a positive number"),
        ({"wavelengths": WAVELENGTHS, "order": -1}, "order must be a whole number from 0 on"),
        ({"wavelengths": WAVELENGTHS, "order": 4}, "4 wavelengths can have order up to 3, got 4"),
        ({"wavelengths": WAVELENGTHS, "knots": 5}, "4 wavelengths can have number of knots up to 4, got 5"),
        ({"wavelengths": WAVELENGTHS, "knots": (0.6, 0.5)}, "wavelengths in ascending order"),
        ({"wavelengths": WAVELENGTHS, "length": 0.0}, "length is a positive number"),
        ({"wavelengths": WAVELENGTHS, "length": 1.0, "order": 1}, "give one of order, knots, length"),
        ({"order": 1}, "a trend with order= wants wavelengths"),
        ({"width": 0.0}, "width must be a positive number or a distribution"),
    ],
)
def test_trends_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        bj.Trend(**options)


def test_bands_without_a_wavelength_and_fixed_values_are_refused(images):
    with handlers.seed(rng_seed=0):
        with pytest.raises(ValueError, match="galaxy_n: the trend has no wavelength of i, z"):
            bj.sample_structure("galaxy", images, {"n": bj.Trend({"g": 0.48, "r": 0.62})})
        with pytest.raises(ValueError, match="galaxy_n: a trend is about a value that has a prior, got 2"):
            bj.sample_structure("galaxy", images, {"n": bj.Trend()}, n=2.0)
        with pytest.raises(TypeError, match=r"per_band\['n'\] must be a bj.Trend"):
            bj.sample_structure("galaxy", images, {"n": 1})
