"""Forced photometry against a dense linear solution and simulations of known truth, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.drawn import posterior_of
from helpers.scenes import make_image

import bayesjoint as bj
from bayesjoint.infer.forced import draw_amplitudes

STRUCTURE = {
    "Re": ((0.9, 1.3), 0.03),
    "n": ((1.0, 2.0), 0.05),
}  # of two sources: means, and how well they are known
FLUX, SIGMA, SCALE = np.array([900.0, 400.0]), 6.0, 1.5
SKY = np.array([3.0])


@pytest.fixture(autouse=True)
def strict_promotion():
    """JAX's own promotion here: NumPyro mixes ranks."""


def sources(Re, n, flux):
    """Two galaxies 3" apart, in W1 less than half a PSF."""
    found = []
    for i, centre in enumerate(((-1.5, 0.0), (1.5, 0.3))):
        shape = {"centre": centre, "q": 0.7, "pa": 40.0, "n": n[i], "Re": Re[i]}
        found.append(bj.Sersic(**shape, Ie=flux[..., i] / bj.Sersic(**shape, Ie=1.0).flux, name="ab"[i]))
    return found


def pair(images, noise=()):
    """One flux of each in each band, a sky in each image; structure is shared."""
    drawn = {}
    for name, (mean, width) in STRUCTURE.items():
        drawn[name] = numpyro.sample(name, dist.Normal(jnp.array(mean), width).to_event(1))
    with numpyro.plate("band", len(images.bands)):
        flux = numpyro.sample("total", dist.Normal(jnp.zeros(2), 2000.0).to_event(1))
    bj.observe(images, *sources(**drawn, flux=flux), bj.FlatSky(bj.sample_sky(images)), *noise)


def blank(band, shape, scale, fwhm):
    return make_image(shape, scale, bj.gaussian_psf(fwhm), name=band, band=band)


def observed(image, Re, n, flux, rng):
    model = np.asarray(jax.jit(bj.render)(image, *sources(Re, n, np.asarray(flux)), bj.FlatSky(SKY[0])))
    invvar = np.full(model.shape, SIGMA**-2)
    invvar[:2] = 0.0
    return make_image(
        model.shape,
        image.pixel_scale,
        image.psf,
        data=model + rng.normal(0, SIGMA, model.shape),
        invvar=invvar,
        name=image.name,
        band=image.band,
    )


@pytest.fixture(scope="module")
def sharp():
    return bj.ImageSet([blank("r", (32, 32), 0.4, 0.9)])


@pytest.fixture(scope="module")
def broad():
    mean = [np.array(STRUCTURE[name][0]) for name in ("Re", "n")]
    return bj.ImageSet([observed(blank("W1", (20, 20), SCALE, 6.4), *mean, FLUX, np.random.default_rng(4))])


@pytest.fixture(scope="module")
def measured(sharp):
    """A posterior of r: structure as its prior has it, and fluxes."""
    rng, shape = np.random.default_rng(1), (2, 60)
    values = {
        name: np.array(mean) + width * rng.normal(size=(*shape, 2))
        for name, (mean, width) in STRUCTURE.items()
    }
    values["total"] = np.array([[500.0, 300.0]]) + 5 * rng.normal(size=(*shape, 1, 2))
    values |= {"sky": rng.normal(size=(*shape, 1))}
    values |= {f"{name}_flux": values["total"][..., i] for i, name in enumerate("ab")}
    return posterior_of(pair, sharp, values)


def dense(image, images, Re, n):
    """Mean and covariance of fluxes and sky by the normal equations of pixels and priors."""
    columns = []
    for i in range(2):
        one = np.where(np.arange(2) == i, 1.0, 0.0)
        columns.append(np.asarray(bj.render(image, *sources(Re, n, one))).ravel())
    columns.append(np.full(columns[0].shape, float(image.pixel_area)))
    design, weight = np.stack(columns, axis=1), np.asarray(image.invvar).ravel()
    start = images.start
    prior_mean = np.array([0.0, 0.0, start.sky[0]])
    prior_width = np.array([2000.0, 2000.0, start.sky_scatter[0] + start.sky_error[0]])
    precision = design.T @ (weight[:, None] * design) + np.diag(prior_width**-2)
    right = design.T @ (weight * np.asarray(image.data).ravel()) + prior_mean / prior_width**2
    return np.linalg.solve(precision, right), np.linalg.inv(precision)


def test_fluxes_given_structure_are_those_of_a_dense_solution(broad):
    """Two sources blended in a PSF twice as wide as they are apart: means, errors and their anticorrelation."""
    Re, n = (np.array(STRUCTURE[name][0]) for name in ("Re", "n"))
    given = {"Re": np.broadcast_to(Re, (600, 2)), "n": np.broadcast_to(n, (600, 2))}
    found = draw_amplitudes(pair, (broad,), given, seed=3).values
    drawn = np.concatenate([found["total"][:, 0], found["sky"]], axis=1)
    mean, covariance = dense(broad["W1"], broad, Re, n)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - mean), 4 * sd / np.sqrt(600))
    correlation = covariance / np.outer(sd, sd)
    assert correlation[0, 1] < -0.5
    np.testing.assert_allclose(np.cov(drawn.T) / np.outer(sd, sd), correlation, atol=0.15)


def test_errors_of_fluxes_are_true(broad):
    """Structure known as its prior has it, W1 simulated anew: pulls of sum and difference, which part blend and share."""
    rng, image, pulls = np.random.default_rng(11), broad["W1"], []
    weighted = np.asarray(image.invvar) > 0
    for _ in range(30):
        drawn = {
            name: np.array(mean) + width * rng.normal(size=(31, 2))
            for name, (mean, width) in STRUCTURE.items()
        }
        truth = {name: value[0] for name, value in drawn.items()}
        model = bj.render(image, *sources(**truth, flux=FLUX), bj.FlatSky(SKY[0]))
        data = np.where(weighted, np.asarray(model) + rng.normal(0, SIGMA, image.shape), 0.0)
        given = {name: value[1:] for name, value in drawn.items()}
        found = draw_amplitudes(pair, (broad.with_data([data]),), given, seed=int(rng.integers(1 << 31)))
        turned = (found.values["total"][:, 0] - FLUX) @ np.array([[1.0, 1.0], [1.0, -1.0]])
        pulls.append(turned.mean(axis=0) / turned.std(axis=0, ddof=1))
    # 60 pulls: their mean is known to 0.13, their width to 0.09
    assert abs(np.mean(pulls)) < 0.4
    assert 0.73 < np.std(pulls) < 1.35


def test_a_posterior_of_all_images(measured, broad):
    forced = measured.forced_photometry(broad, draws=50)
    assert forced.bands == ("r", "W1") and forced.image_names == ("r", "W1")
    rows = np.linspace(0, 59, 25).astype(int)
    for site in ("Re", "n"):
        np.testing.assert_allclose(forced.values(site), measured.values(site)[:, rows], rtol=1e-12)
    np.testing.assert_array_equal(forced.values("total")[:, :, 0], measured.values("total")[:, rows, 0])
    flux = forced.flux(source="a")
    assert flux.bands == ("r", "W1") and flux.covariance.shape == (2, 2)
    np.testing.assert_array_less(np.abs(flux.median - [500.0, 900.0]), 4 * flux.sd)
    assert flux.signal_to_noise[1] == pytest.approx(flux.median[1] / flux.sd[1])
    both = np.stack([forced.flux("W1", source=name).draws for name in "ab"]).reshape(2, -1)
    assert np.corrcoef(both)[0, 1] < -0.3
    assert forced.colour("r", "W1", source="a").limit is None
    profile = forced.colour_profile("r", "W1", [0.5, 2.0], source="a")
    np.testing.assert_allclose(np.ptp(profile.draws, axis=-1), 0.0, atol=1e-9)  # shared structure: one colour
    assert forced.model_images()[1].shape == (20, 20)


def test_an_undetected_band_has_a_limit(measured):
    """Nothing is there: fluxes scatter about zero, and the limit lies above them."""
    rng = np.random.default_rng(5)
    mean = [np.array(STRUCTURE[name][0]) for name in ("Re", "n")]
    dark = observed(blank("W2", (20, 20), SCALE, 6.9), *mean, np.zeros(2), rng)
    forced = measured.forced_photometry([dark], draws=100)
    for source in "ab":
        flux = forced.flux("W2", source=source)
        assert abs(flux.median) < 3 * flux.sd
        limit = forced.magnitude("W2", source=source).limit
        assert limit.direction == ">" and limit.value < 31.4 - 2.5 * np.log10(flux.sd)
        assert forced.colour("r", "W2", source=source).limit.direction == "<"


def test_structure_by_a_trend_is_carried_to_bands_it_was_not_measured_in(sharp, broad):
    trend = bj.Trend({"r": 0.62, "W1": 3.4}, order=1)

    def program(images):
        structure = bj.sample_structure(
            "galaxy", images, {"n": trend}, centre=(0.0, 0.0), q=0.7, pa=40.0, Re=1.0
        )
        flux = bj.sample_brightness("galaxy", images, structure)
        bj.observe(images, bj.Sersic(**structure, Ie=flux), bj.FlatSky(bj.sample_sky(images)))

    rng, shape = np.random.default_rng(2), (1, 6)
    values = {
        "galaxy_n_pivot": 1.5 + 0.1 * rng.random(shape),
        "galaxy_n_departures": rng.normal(size=(*shape, 1)),
    }
    values |= {"galaxy_total": 500 + rng.normal(size=(*shape, 1)), "sky": rng.normal(size=(*shape, 1))}
    values["galaxy_flux"] = values["galaxy_total"]
    forced = posterior_of(program, sharp, values).forced_photometry(broad)
    n, pivot, slope = (forced.values(f"galaxy_n{part}") for part in ("", "_pivot", "_departures"))
    assert n.shape == (1, 6, 2)
    logit = np.log((n - 0.3) / (8.0 - n))
    middle = np.log((pivot - 0.3) / (8.0 - pivot))
    np.testing.assert_allclose(logit[..., 1] - middle, 0.3 * slope[..., 0], rtol=1e-6)


def test_what_is_refused(measured, sharp, broad):
    with pytest.raises(ValueError, match="band 'r' is among those that structure was measured in, r"):
        measured.forced_photometry(sharp)
    with pytest.raises(ValueError, match="draws must be a whole number from 1 on"):
        measured.forced_photometry(broad, draws=0)
    with pytest.raises(ValueError, match="the noise of the other images is not Gaussian"):
        measured.forced_photometry(broad, lambda images: pair(images, (bj.StudentTNoise(4.0),)), draws=4)

    def scaled(images):
        factor = numpyro.sample("factor", dist.LogNormal(0.0, 0.1).expand([len(images)]).to_event(1))
        pair(images, (bj.NoiseScale(factor),))

    values = {str(name): measured.values(str(name)) for name in measured.idata.posterior.data_vars}
    wider = posterior_of(scaled, sharp, values | {"factor": np.ones((2, 60, 1))})
    with pytest.raises(ValueError, match=r"factor\[0\] of the other images has no Gaussian posterior"):
        wider.forced_photometry(broad, draws=4)
