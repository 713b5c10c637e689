"""Surface brightness and colours against radius, against the closed form of the Sersic law."""

import astropy.modeling.models as models
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.drawn import posterior_of
from helpers.scenes import make_image
from numpyro.infer import Predictive
from scipy.special import gammaincinv

import bayesjoint as bj

RADII = np.array([0.3, 1.0, 2.5, 6.0])


@pytest.fixture(autouse=True)
def strict_promotion():
    """JAX's own promotion here: NumPyro mixes ranks."""


@pytest.fixture(scope="module")
def images():
    return bj.ImageSet(
        [make_image((16, 16), 0.6, bj.gaussian_psf(1.0), name=band, band=band) for band in "gr"]
    )


def scattered(latents, seed=1, shape=(2, 3)):
    """Draws about these values; the sources are known by their fluxes."""
    rng = np.random.default_rng(seed)
    values = {n: np.asarray(v) + s * rng.normal(size=(*shape, *np.shape(v))) for n, (v, s) in latents.items()}
    return values | {f"{name}_flux": np.ones((*shape, 2)) for name in ("galaxy", "halo")}


def two_sersics(images):
    """Structure of its own in each band, the second source round and off the first's centre."""
    n = numpyro.sample("galaxy_n", dist.Uniform(0.3, 8.0).expand([2]).to_event(1))
    Re = numpyro.sample("galaxy_Re", dist.LogNormal(0.0, 1.0).expand([2]).to_event(1))
    Ie = numpyro.sample("galaxy_Ie", dist.Normal(jnp.zeros(2), 100.0).to_event(1))
    halo = numpyro.sample("halo_Ie", dist.Normal(0.0, 100.0))
    galaxy = bj.Sersic((0.1, 0.2), 0.5, 30.0, n, Re, Ie, name="galaxy")
    bj.observe(images, galaxy, bj.Exponential((0.1, 1.2), 1.0, 0.0, 3.0, halo, name="halo"), bj.FlatSky(0.0))


@pytest.fixture(scope="module")
def posterior(images):
    latents = {
        "galaxy_n": ([1.5, 2.5], 0.2),
        "galaxy_Re": ([2.0, 1.5], 0.1),
        "galaxy_Ie": ([30.0, 80.0], 5.0),
        "halo_Ie": (4.0, 0.1),
    }
    return posterior_of(two_sersics, images, scattered(latents))


def closed_form(posterior, band):
    """Brightness by the Sersic law, and its slope by log10 radius: -ln(10) (b/n) (r/Re)^(1/n) I."""
    n, Re, Ie = (posterior.values(f"galaxy_{p}")[..., band, None] for p in ("n", "Re", "Ie"))
    b, x = gammaincinv(2 * n, 0.5), RADII / Re
    brightness = Ie * np.exp(-b * (x ** (1 / n) - 1))
    return brightness, -np.log(10) * b / n * x ** (1 / n) * brightness


@pytest.mark.parametrize("band", (0, 1))
def test_one_source_follows_the_sersic_law(posterior, band):
    found = posterior.surface_brightness("gr"[band], RADII, source="galaxy")
    brightness, slope = closed_form(posterior, band)
    np.testing.assert_allclose(found.draws, brightness, rtol=1e-9)
    np.testing.assert_allclose(found.slopes, slope, rtol=1e-9)
    np.testing.assert_allclose(found.magnitudes.draws, 31.4 - 2.5 * np.log10(brightness), rtol=1e-9)


def test_colours_and_their_gradients(posterior):
    found = posterior.colour_profile("g", "r", RADII, source="galaxy")
    (g, g_slope), (r, r_slope) = (closed_form(posterior, band) for band in (0, 1))
    np.testing.assert_allclose(found.draws, -2.5 * np.log10(g / r), rtol=1e-8)
    expected = -2.5 / np.log(10) * (g_slope / g - r_slope / r)
    np.testing.assert_allclose(found.gradient.draws, expected, rtol=1e-8)
    assert found.gradient.unit == "mag / dex"
    low, high = np.quantile(-2.5 * np.log10(g / r), [0.15865, 0.84135], axis=(0, 1))
    table = found.table()
    np.testing.assert_allclose(table["lower"].to_value("mag"), low, atol=1e-4)
    np.testing.assert_allclose(table["upper"].to_value("mag"), high, atol=1e-4)
    assert table["radius"].unit == "arcsec" and table.meta["interval"] == "68.27 % equal-tailed"


def test_several_sources_are_averaged_on_the_ellipses_of_the_first(posterior):
    found = posterior.surface_brightness("r", RADII[2:3], source=("galaxy", "halo"))
    angle = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    along, across = RADII[2] * np.cos(angle), 0.5 * RADII[2] * np.sin(angle)
    turn = np.radians(30.0)
    east, north = along * np.sin(turn) + across * np.cos(turn), along * np.cos(turn) - across * np.sin(turn)
    halo = models.Sersic2D(amplitude=1.0, r_eff=3.0, n=1.0, x_0=0.0, y_0=1.0)(east, north).mean()
    expected = closed_form(posterior, 1)[0][..., 2] + posterior.values("halo_Ie") * halo
    np.testing.assert_allclose(found.draws[..., 0], expected, rtol=1e-5)
    assert found.name == "galaxy + halo r"


def test_negative_brightness_has_no_magnitude(images):
    latents = {
        "galaxy_n": ([1.5, 2.5], 0.0),
        "galaxy_Re": ([2.0, 1.5], 0.0),
        "galaxy_Ie": ([-30.0, 80.0], 0.0),
    }
    posterior = posterior_of(two_sersics, images, scattered(latents | {"halo_Ie": (0.0, 0.0)}))
    found = posterior.colour_profile("g", "r", RADII, source="galaxy")
    assert np.all(np.isinf(found.median)) and np.all(np.isnan(found.slopes))


def test_sources_of_a_field_by_their_names():
    blank = make_image((48, 48), 0.3, bj.gaussian_psf(0.8))
    pair = [bj.Sersic((0.0, y), 0.8, 20.0, 1.0, 0.8, 300.0) for y in (-3.0, 3.0)]
    pixels = np.asarray(jax.jit(bj.render)(blank, *pair)) + np.random.default_rng(2).normal(size=(48, 48))
    images = bj.ImageSet([make_image((48, 48), 0.3, blank.psf, data=pixels)])
    field = images.with_sources(bj.find_sources(images))
    drawn = Predictive(bj.scene_model(), num_samples=6)(jax.random.PRNGKey(3), field)
    values = {
        n: np.asarray(v).reshape(2, 3, *v.shape[1:]) for n, v in drawn.items() if not n.startswith("pixels")
    }
    posterior = posterior_of(bj.scene_model(), field, values)
    assert len(posterior.sources) == 2
    for source in posterior.sources:
        n, Re, q, flux = (posterior.values(f"{source}_{p}") for p in ("n", "Re", "q", "flux"))
        unit = np.asarray(bj.Sersic(jnp.zeros((*n.shape, 2)), q, 0.0, n, Re, 1.0).flux)
        at_Re = flux[..., 0] / unit
        for i in range(3):
            found = posterior.surface_brightness("r", [Re[0, i]], source=source)
            np.testing.assert_allclose(found.draws[0, i, 0], at_Re[0, i], rtol=1e-8)


@pytest.mark.parametrize(
    ("band", "radii", "source", "words"),
    [
        ("g", [0.0, 1.0], "galaxy", "radii must be positive numbers"),
        ("z", [1.0], "galaxy", "no band 'z' in this posterior: there are g, r"),
        (
            "g",
            [1.0],
            ("flatsky",),
            "source 'flatsky' is a point or a sky.*the sources with a profile are galaxy, halo",
        ),
        ("g", [1.0], ("disc",), "source 'disc' is not there"),
        ("g", [1.0], None, "there are 2 sources: say which by source="),
    ],
)
def test_what_is_refused(posterior, band, radii, source, words):
    with pytest.raises(ValueError, match=words):
        posterior.surface_brightness(band, radii, source)


def test_a_colour_has_no_magnitudes(posterior):
    with pytest.raises(ValueError, match="g - r is in mag, no surface brightness"):
        _ = posterior.colour_profile("g", "r", RADII, source="galaxy").magnitudes


def test_figure_has_the_bright_at_the_top(posterior):
    ax = posterior.surface_brightness("r", RADII, source="galaxy").magnitudes.plot()
    assert ax.yaxis_inverted() and ax.get_ylabel() == "galaxy r [mag / arcsec2]"
