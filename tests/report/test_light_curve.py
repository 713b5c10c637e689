"""A supernova on its host, in two bands, two orientations and three seeings: its light curve, and what is refused."""

import astropy.units as u
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from matplotlib import pyplot
from matplotlib.figure import Figure

import bayesjoint as bj
from bayesjoint.report.light_curve import LightCurve, light_curve_of
from bayesjoint.report.quantities import Quantity
from bayesjoint.report.style import COLUMN_WIDTH

EXPLOSION, BANDS = 2.5, ("g", "r")
PLACE = (0.35, -0.2)
FLUX = {"g": 3000.0, "r": 4000.0}
SIGMA = 12.0


@pytest.fixture(autouse=True)
def strict_promotion():
    """JAX's own promotion here: NumPyro mixes ranks."""


def brightness(band, time):
    """nJy: dark before the explosion, then fading."""
    return 0.0 if time < EXPLOSION else FLUX[band] * np.exp(-(time - 3.0) / 4.0)


def epochs(seed, timed=True):
    rng, images, first = np.random.default_rng(seed), [], None
    draw = jax.jit(bj.render)
    for time in range(6):
        for band in BANDS:
            own = {"time": float(time)} if timed else {}
            kind = {"name": f"{band}{time}", "band": band, "angle": 90.0 * (time % 2), **own}
            blank = make_image((28, 28), 0.3, bj.gaussian_psf((0.9, 1.2, 1.6)[time % 3]), **kind)
            first = blank if first is None else first
            blank = blank.with_frame(first.frame)
            host = bj.Sersic((0.0, 0.0), 0.7, 40.0, 1.5, 1.2, 900.0 if band == "g" else 1500.0)
            pixels = np.asarray(draw(blank, host, bj.PointSource(PLACE, brightness(band, time))))
            data = pixels + rng.normal(0, SIGMA, pixels.shape)
            images.append(
                make_image(
                    (28, 28),
                    0.3,
                    blank.psf,
                    data=data,
                    invvar=np.full(data.shape, SIGMA**-2),
                    **kind,
                )
            )
    return bj.ImageSet(images)


def on_its_host(images, flux):
    structure = bj.sample_structure("host", images)
    host = bj.Sersic(**structure, Ie=bj.sample_brightness("host", images, structure))
    place = numpyro.sample(
        "place", dist.Normal(jnp.zeros(2), 1.0).to_event(1), infer={"start": jnp.array(PLACE)}
    )
    bj.observe(images, host, bj.PointSource(place, flux, name="supernova"))


def supernova(images, **options):
    on_its_host(images, bj.sample_light_curve("supernova", images, before=EXPLOSION, **options))


def smooth(images):
    supernova(images, timescale=4.0)


def fading(images):
    """A function of time with latents of its own, and the same host."""
    with numpyro.plate("band", len(images.bands)):
        peak = numpyro.sample("peak", dist.Normal(0.0, 1e4))
    days = numpyro.sample("days", dist.LogNormal(1.0, 1.0))
    curve = peak[np.array(images.band_index)] * jnp.exp(-(images.times - 3.0) / days)
    on_its_host(images, jnp.where(images.times < EXPLOSION, 0.0, curve))


@pytest.fixture(scope="module", params=(supernova, smooth), ids=("free", "Gaussian process"))
def posterior(request):
    images = epochs(1)
    fit = bj.fit_map(request.param, images)
    return bj.sample(request.param, images, init=fit, draws=300, chains=2, warmup=200, seed=1)


def test_fluxes_are_those_simulated(posterior):
    curve = posterior.light_curve("supernova")
    assert list(curve.times) == sorted(curve.times) and len(curve.images) == 12
    true = np.array([brightness(b, t) for b, t in zip(curve.bands, curve.times, strict=True)])
    dark = true == 0
    assert np.all(curve.flux[dark] == 0) and np.all(curve.error[dark] == 0)
    pulls = (curve.flux - true)[~dark] / curve.error[~dark]
    assert np.all(np.abs(pulls) < 4) and np.sqrt(np.mean(pulls**2)) < 2
    np.testing.assert_allclose(np.sqrt(np.diag(curve.covariance)), curve.error, rtol=0.01)


def test_table_and_figure(posterior):
    curve = posterior.light_curve("supernova", "r")
    table = curve.table()
    assert set(table["band"]) == {"r"} and np.isnan(table["mag"][0]) and np.isnan(table["mag_limit"][0])
    found = [name for name in ("mag", "mag_limit") if np.isfinite(table[name][-1])]
    assert len(found) == 1 and table[found[0]].unit == u.ABmag
    assert table["flux"].unit == u.nJy and table["time"].unit == u.day
    assert table.meta["interval"] == "68.27 % equal-tailed"
    assert len(curve.plot().axes[0].containers) == 1
    assert repr(curve) == "LightCurve of 'supernova': 6 images in r"


def test_a_function_of_time():
    """Its fluxes are of images, with errors that the latents' give."""
    images = epochs(1)
    fit = bj.fit_map(fading, images, progress=False)
    flux, error = fit.values["supernova_flux"], fit.errors["supernova_flux"]
    true = np.array([brightness(image.band, float(image.time)) for image in images])
    assert fit.converged and np.all(flux[true == 0] == 0)
    assert np.all(np.abs(flux - true)[true > 0] < 4 * error[true > 0])
    assert abs(fit.values["days"] - 4.0) < 4 * fit.errors["days"]


def test_limits():
    """Of what is not seen: the 95 % quantile, or 1.645 sigma where noise is negative; none of what is seen or dark."""
    noise = np.random.default_rng(4).normal(size=(2, 4000))
    draws = np.stack([100.0 + noise, 1.0 + noise, -2.0 + noise, 0.0 * noise], axis=-1)
    curve = LightCurve("nucleus", tuple("abcd"), ("r",) * 4, np.arange(4.0), draws)
    np.testing.assert_allclose(curve.limit, [np.nan, 2.645, 1.645, np.nan], atol=0.05)
    np.testing.assert_array_equal(curve.table()["limit"].to_value("nJy"), curve.limit)


def test_it_is_drawn_as_other_figures_are():
    draws = 100.0 + np.random.default_rng(4).normal(size=(2, 400, 3))
    curve = LightCurve("nucleus", tuple("abc"), ("g", "r", "g"), np.arange(3.0), draws)
    before, figure = pyplot.get_fignums(), curve.plot()
    assert figure.get_figwidth() == COLUMN_WIDTH and pyplot.get_fignums() == before
    assert len(figure.axes[0].containers) == 2
    own = Figure().add_subplot()
    assert curve.plot(axes=own) is own.get_figure() and len(own.containers) == 2


def test_epochs_without_time_come_last_and_are_not_drawn():
    images = epochs(1, timed=False)
    known = bj.ImageSet([images[0], make_image((28, 28), 0.3, images[1].psf, name="x", band="g", time=2.0)])
    found = [
        Quantity("flux", np.full((1, 5), i), "nucleus", "g", image.name) for i, image in enumerate(known)
    ]
    curve = light_curve_of(found, "nucleus", None, known, ("g", "g"))
    assert curve.images == ("x", "g0") and np.isnan(curve.times[1])
    with pytest.raises(ValueError, match="'nucleus' cannot be drawn against time: g0 have none"):
        curve.plot()


def test_what_is_refused(posterior):
    with pytest.raises(ValueError, match="no band 'z': there are g, r"):
        posterior.light_curve("supernova", "z")
    with pytest.raises(ValueError, match="'host' has one flux a band, no light curve"):
        posterior.light_curve("host")


def test_images_without_a_time_are_named():
    with pytest.raises(ValueError, match="times are needed, and these images have none: g0, r0, g1"):
        bj.fit_map(supernova, epochs(1, timed=False))
