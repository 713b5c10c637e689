"""The Spergel profile against GalSim, scipy's Bessel functions, the exponential disc and finite differences."""

import galsim
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.scenes import make_image, rendered
from scipy import special

import bayesjoint as bj
from bayesjoint.light.bessel import scaled_bessel, scaled_bessels
from bayesjoint.light.blur import radial_derivatives

INDICES = [-0.85, -0.6, -0.3, 0.0, 0.5, 1.3, 4.0]
ROUND = {"centre": (0.0, 0.0), "q": 1.0, "pa": 0.0}


def peer(nu, **keywords):
    return galsim.Spergel(nu, half_light_radius=1.5, **keywords)


@jax.jit
def brightness(profile, east):
    return profile.brightness(east, jnp.zeros_like(east))


@pytest.mark.parametrize("nu", [-0.85, -0.3, 0.0, 0.5, 1.0, 4.0, 5.0])
def test_scaled_bessel(nu):
    u = np.geomspace(1e-6, 80, 300)
    found = jax.jit(scaled_bessel)(nu, jnp.asarray(u**2))
    np.testing.assert_allclose(found, u**nu * special.kv(nu, u), rtol=2e-10)


@pytest.mark.parametrize("nu", [-0.3, 0.0, 1.0, 3.0])
def test_slopes_of_the_scaled_bessel(nu):
    """d/du^2 of u^nu K_nu is -u^(nu-1) K_(nu-1) / 2; its own derivative and that by nu, against differences."""
    u = np.array([0.02, 0.7, 3.0, 20.0])
    slope = jax.vmap(jax.grad(scaled_bessel, 1), (None, 0))
    exact = -0.5 * u ** (nu - 1) * special.kv(nu - 1, u)
    np.testing.assert_allclose(slope(nu, jnp.asarray(u**2)), exact, rtol=1e-9)
    bent = jax.vmap(jax.grad(jax.grad(scaled_bessel, 1), 1), (None, 0))(nu, jnp.asarray(u**2))
    np.testing.assert_allclose(bent, 0.25 * u ** (nu - 2) * special.kv(nu - 2, u), rtol=1e-9)
    by_nu = jax.vmap(jax.grad(scaled_bessel), (None, 0))(nu, jnp.asarray(u**2))
    up, down = (u ** (nu + s) * special.kv(nu + s, u) for s in (1e-5, -1e-5))
    np.testing.assert_allclose(by_nu, (up - down) / 2e-5, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("nu", [-0.85, 0.0, 0.5, 1.0, 2.3, 4.0])
def test_scaled_bessels_of_lower_orders(nu):
    u = np.geomspace(0.01, 40, 200)
    found = jax.jit(lambda nu, u2: scaled_bessels(nu, u2, 3))(nu, jnp.asarray(u**2))
    for order, values in zip((nu, nu - 1, nu - 2), found, strict=True):
        np.testing.assert_allclose(values, u**order * special.kv(order, u), rtol=2e-13)


@pytest.mark.parametrize("nu", [-0.6, 0.0, 1.2])
def test_second_derivatives_of_the_scaled_bessel(nu):
    """Forwards over forwards and backwards over backwards, against differences of slopes."""

    def total(values):
        return jnp.sum(jnp.array([1.0, 2.0, 3.0]) * scaled_bessel(values[0], values[1:]))

    values, slope = jnp.array([nu, 0.01, 0.5, 9.0]), jax.jit(jax.grad(total))
    steps = 1e-5 * jnp.diag(jnp.array([1.0, 0.01, 0.5, 9.0]))
    wanted = [(slope(values + s) - slope(values - s)) / (2 * jnp.sum(s)) for s in steps]
    for bend in (jax.jacfwd(jax.jacfwd(total)), jax.jacrev(jax.jacrev(total)), jax.hessian(total)):
        np.testing.assert_allclose(jax.jit(bend)(values), jnp.stack(wanted), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("nu", INDICES)
def test_derivatives_by_radius(nu):
    """Those written out, against those of the form; none where the brightness is held."""
    shape, r2 = jnp.array([nu]), jnp.array([1e-6, 0.01, 1.0, 30.0, 400.0])
    found = jax.jit(bj.Spergel.radial_derivatives)(r2, shape)
    wanted = jax.jit(lambda r2: radial_derivatives(lambda r2: bj.Spergel.radial_form(r2, shape), r2))(r2)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    held, *none = bj.Spergel.radial_derivatives(jnp.zeros(1), shape)
    assert np.isfinite(held) and not np.any(none)
    slopes = jax.jacrev(bj.Spergel.radial_derivatives, (0, 1))(jnp.zeros(1), shape)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slopes))


@pytest.mark.parametrize("nu", INDICES)
def test_brightness_transform_and_growth_are_those_of_galsim(nu):
    profile = bj.Spergel(**ROUND, nu=nu, Re=1.5, Ie=2.0)
    theirs = peer(nu, flux=float(profile.flux))
    r = np.array([0.05, 0.4, 1.5, 4.0, 9.0])
    wanted = [theirs.xValue(float(x), 0.0) for x in r]
    np.testing.assert_allclose(brightness(profile, jnp.asarray(r)), wanted, rtol=1e-5)
    k = np.array([0.0, 0.1, 1.0, 7.0, 40.0])
    found = profile.flux * profile.transform(jnp.asarray(k), jnp.zeros(5))
    np.testing.assert_allclose(found, [theirs.kValue(x, 0.0).real for x in k], rtol=1e-5)
    within = [theirs.calculateFluxRadius(f) for f in (0.3, 0.5, 0.9)] if nu > -0.5 else []
    np.testing.assert_allclose(
        [float(profile.flux_within(x)) / theirs.flux for x in within],
        [0.3, 0.5, 0.9][: len(within)],
        rtol=1e-4,
    )


@pytest.mark.parametrize("nu", INDICES)
def test_closed_forms(nu):
    """The constant and the flux, against scipy; brightness at Re is Ie."""
    profile = bj.Spergel(**ROUND, nu=nu, Re=1.5, Ie=2.0)
    total = 2**nu * special.gamma(1 + nu)
    c = float(jnp.sqrt(1 / (profile.transform(jnp.array(1 / 1.5), jnp.array(0.0)) ** (-1 / (1 + nu)) - 1)))
    assert c ** (1 + nu) * special.kv(1 + nu, c) == pytest.approx(0.5 * total, rel=1e-10)
    flux = 2 * np.pi * 1.5**2 * 2.0 * total / (c ** (2 + nu) * special.kv(nu, c))
    assert float(profile.flux) == pytest.approx(flux, rel=1e-9)
    assert float(profile.flux_within(1.5)) == pytest.approx(0.5 * flux, rel=1e-9)
    assert float(profile.radial_brightness(jnp.array(1.5))) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("nu", [-0.6, 0.3, 2.0])
def test_pixels_are_those_of_galsim(nu):
    shape, scale, fwhm = (64, 64), 0.3, 1.0
    image = make_image(shape, scale, bj.gaussian_psf(fwhm))
    profile = bj.Spergel((0.13, -0.07), 0.6, 35.0, nu, 1.5, 2.0)
    tight = galsim.GSParams(
        maximum_fft_size=16384, folding_threshold=1e-5, kvalue_accuracy=1e-8, maxk_threshold=1e-6
    )
    theirs = galsim.Spergel(
        nu, half_light_radius=1.5 * np.sqrt(0.6), flux=float(profile.flux), gsparams=tight
    )
    theirs = theirs.shear(q=0.6, beta=125.0 * galsim.degrees).shift(-0.13, -0.07)
    both = galsim.Convolve([theirs, galsim.Gaussian(fwhm=fwhm, gsparams=tight)], gsparams=tight)
    wanted = both.drawImage(galsim.ImageD(64, 64), scale=scale).array
    assert np.max(np.abs(np.asarray(rendered(image, profile)) - wanted)) < 5e-6 * wanted.max()


def test_half_is_the_exponential_disc():
    image = make_image((41, 50), 0.4, bj.gaussian_psf(1.0))
    place = {"centre": (0.1, -0.05), "q": 0.6, "pa": 35.0, "Re": 1.5, "Ie": 2.0}
    found, wanted = rendered(image, bj.Spergel(**place, nu=0.5)), rendered(image, bj.Exponential(**place))
    np.testing.assert_allclose(found, wanted, atol=1e-10 * float(wanted.max()))


@pytest.mark.parametrize("nu", [-0.6, 0.0, 0.5, 3.0])
def test_gradients_are_differences(nu):
    image = make_image((24, 30), 0.4, bj.gaussian_psf(1.2))

    def loss(nu):
        profile = bj.Spergel((0.1, -0.05), 0.6, 35.0, nu, 1.5, 2.0)
        return jnp.sum(jnp.square(bj.render(image, profile))) + profile.flux + profile.flux_within(1.0)

    slope, loss = jax.jit(jax.grad(loss)), jax.jit(loss)
    step = 1e-5
    assert float(slope(nu)) == pytest.approx(float(loss(nu + step) - loss(nu - step)) / (2 * step), rel=1e-6)
    bend = jax.jit(jax.grad(jax.grad(lambda nu: bj.Spergel(**ROUND, nu=nu, Re=1.5, Ie=2.0).flux)))(nu)
    fluxes = [float(bj.Spergel(**ROUND, nu=nu + s, Re=1.5, Ie=2.0).flux) for s in (-1e-3, 0.0, 1e-3)]
    assert float(bend) == pytest.approx((fluxes[0] - 2 * fluxes[1] + fluxes[2]) / 1e-6, rel=1e-4)


def test_second_derivatives_of_pixels_are_differences():
    image = make_image((24, 30), 0.4, bj.gaussian_psf(1.2))

    def loss(values):
        return jnp.sum(jnp.square(bj.render(image, bj.Spergel((0.1, -0.05), 0.6, 35.0, *values))))

    values, slope = jnp.array([0.3, 1.5, 2.0]), jax.jit(jax.grad(loss))
    steps = 1e-5 * jnp.eye(3)
    wanted = jnp.stack([(slope(values + s) - slope(values - s)) / 2e-5 for s in steps])
    np.testing.assert_allclose(jax.jit(jax.hessian(loss))(values), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("nu", "q", "east"), [(-0.85, 0.05, 0.0), (0.0, 1.0, 0.0), (4.0, 0.5, 300.0), (0.5, 0.05, 6.0)]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_finite_gradients_at_the_edges(nu, q, east, dtype):
    image = make_image((24, 30), 0.4, bj.gaussian_psf(1.2))
    with jax.enable_x64(dtype == np.float64):
        image = jax.tree.map(lambda a: np.asarray(a, dtype), image)
        zero = jnp.zeros(1, dtype)

        def loss(values):
            profile = bj.Spergel((values[0], 0.1), *values[1:])
            centre = profile.brightness(zero, zero)[0] * 1e-9
            return jnp.sum(jnp.square(bj.render(image, profile))) + centre

        slope = jax.jit(jax.grad(loss))(jnp.asarray([east, q, 35.0, nu, 1.5, 2.0], dtype))
    assert slope.dtype == dtype and np.all(np.isfinite(slope))


def test_float32():
    image = make_image((40, 40), 0.4, bj.gaussian_psf(1.2))
    profile = bj.Spergel((0.1, -0.05), 0.6, 35.0, -0.4, 1.5, 2.0)
    wanted = np.asarray(rendered(image, profile))
    with jax.enable_x64(False):
        found = np.asarray(rendered(jax.tree.map(lambda a: np.asarray(a, np.float32), image), profile))
    assert found.dtype == np.float32
    assert np.max(np.abs(found - wanted)) < 3e-6 * wanted.max()


def test_many_at_once():
    nu = jnp.array([-0.5, 0.5, 2.0])
    flux = jax.vmap(lambda nu: bj.Spergel(**ROUND, nu=nu, Re=1.5, Ie=2.0).flux)(nu)
    np.testing.assert_allclose(flux, bj.Spergel(**ROUND, nu=nu, Re=1.5, Ie=2.0).flux, rtol=1e-12)


@pytest.mark.parametrize("nu", [-0.86, 4.1, np.nan])
def test_out_of_range(nu):
    with pytest.raises(ValueError, match=rf"Spergel: nu must lie in \[-0.85, 4\], got {nu}"):
        bj.Spergel(**ROUND, nu=nu, Re=1.5, Ie=2.0)
