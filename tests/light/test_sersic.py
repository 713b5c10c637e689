"""The Sersic profile: flux, half-light radius, brightness against transform, edges and errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from scipy import special

from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky

INDICES = [0.3, 0.5, 0.8, 1.0, 1.7, 2.5, 4.0, 6.0, 8.0]


def galaxy(n=1.7, **changes):
    given = {"centre": (0.0, 0.0), "q": 0.62, "pa": 37.0, "n": n, "Re": 2.5, "Ie": 3.0}
    return Sersic(**(given | changes))


@jax.jit
def brightness(source, east, north):
    return source.brightness(east, north)


def light_within(source, radius):
    """Flux inside an elliptical radius (units of Re) by quadrature of the brightness along the major axis."""
    n, re, angle = float(source.n), float(source.Re), np.deg2rad(source.pa)
    nodes, weights = special.roots_legendre(400)
    # r = Re t^power takes the cusp away
    power = max(2 * n, 1)
    end = radius ** (1 / power)
    t = 0.5 * end * (nodes + 1)
    r, slope = re * t**power, re * power * t ** (power - 1)
    light = np.asarray(brightness(source, r * np.sin(angle), r * np.cos(angle)))
    return 2 * np.pi * source.q * np.sum(weights * light * r * slope) * 0.5 * end


@pytest.mark.parametrize("n", INDICES)
def test_flux_and_half_light_radius(n):
    source = galaxy(n)
    outermost = float((special.gammainccinv(2 * n, 1e-12) / special.gammaincinv(2 * n, 0.5)) ** n)
    assert light_within(source, outermost) == pytest.approx(float(source.flux), rel=1e-8)
    assert light_within(source, 1.0) == pytest.approx(0.5 * float(source.flux), rel=1e-8)


def test_brightness_at_the_half_light_ellipse_is_Ie():
    angle = np.deg2rad(37.0)
    sine, cosine = 2.5 * np.sin(angle), 2.5 * np.cos(angle)
    east, north = np.array([sine, 0.62 * cosine]), np.array([cosine, -0.62 * sine])
    np.testing.assert_allclose(galaxy().brightness(jnp.asarray(east), jnp.asarray(north)), 3.0, rtol=1e-13)


@pytest.mark.parametrize("n", [0.4, 1.0, 1.7])
def test_transform_is_that_of_the_brightness(n):
    """A plain sum of the brightness over a fine grid, times exp(-i k x): the orientation of both is the same."""
    source, step = galaxy(n, Re=1.0), 0.04
    axis = jnp.arange(-15.0, 15.0, step) + step / 2
    pixels = brightness(source, *jnp.meshgrid(axis, axis)) * step**2
    kx, ky = np.array([0.0, 0.7, -0.4, 1.1]), np.array([0.0, 0.2, 0.9, 1.0])
    east = np.exp(-1j * kx[:, None] * np.asarray(axis))
    north = np.exp(-1j * ky[:, None] * np.asarray(axis))
    summed = np.einsum("ky,yx,kx->k", north, np.asarray(pixels), east)
    expected = source.flux * source.transform(jnp.asarray(kx), jnp.asarray(ky))
    np.testing.assert_allclose(summed, expected, rtol=0, atol=5e-4 * float(source.flux))


@pytest.mark.parametrize("n", [0.5, 1.0, 4.0])
def test_blurred_brightness(n):
    """Against a small Gaussian blur by Gauss-Hermite quadrature; the error is of second order in the covariance."""
    source, east, north = galaxy(n), jnp.asarray([4.0, -2.0]), jnp.asarray([1.0, 5.0])
    covariance = np.array([[0.02, 0.006], [0.006, 0.01]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    weights = np.outer(weights, weights).ravel() / (2 * np.pi)
    shifts = np.linalg.cholesky(covariance) @ np.stack(np.meshgrid(nodes, nodes)).reshape(2, -1)
    shifted = source.brightness(east[:, None] + shifts[:1], north[:, None] + shifts[1:])
    plain = source.brightness(east, north)
    exact = np.asarray(shifted) @ weights
    to_unit = np.linalg.inv(np.asarray(source.axes).T)
    in_units = jnp.asarray(to_unit @ np.stack([east, north])), jnp.asarray(to_unit @ covariance @ to_unit.T)
    error = np.abs(source.blurred_brightness(*in_units) - exact)
    assert np.all(error < 0.03 * np.abs(exact - plain))


def test_finite_at_the_centre():
    zero = jnp.zeros(1)

    def light(parameters, blurred):
        q, pa, n, re, ie = parameters
        source = Sersic((0.0, 0.0), q, pa, n, re, ie)
        if blurred:
            return source.blurred_brightness(jnp.zeros((2, 1)), 0.1 * jnp.eye(2))[0]
        return source.brightness(zero, zero)[0]

    slopes = [jax.jit(jax.grad(partial(light, blurred=blurred))) for blurred in (False, True)]
    for n in (0.3, 0.5, 1.0, 4.0, 8.0, 10.0):
        parameters = jnp.asarray([0.6, 20.0, n, 2.0, 1.5])
        central = brightness(galaxy(n, Ie=1.5), zero, zero)[0]
        assert central == pytest.approx(1.5 * np.exp(special.gammaincinv(2 * n, 0.5)), rel=1e-10)
        assert all(np.all(np.isfinite(slope(parameters))) for slope in slopes)
    assert np.all(np.isfinite(jax.grad(lambda east: galaxy(1.0).brightness(east, zero)[0])(zero)))


def test_negative_and_zero_brightness():
    assert galaxy(Ie=-2.0).flux == pytest.approx(-2 / 3 * galaxy().flux)
    assert galaxy(Ie=0.0).flux == 0.0


@pytest.mark.parametrize(
    "name, value",
    [("q", 0.0), ("q", 1.01), ("q", np.nan), ("n", 0.29), ("n", 10.1), ("Re", 0.0), ("Re", -1.0)],
)
def test_out_of_range_says_what_is_wanted(name, value):
    with pytest.raises(ValueError, match=rf"Sersic: {name} must lie in .*, got {value}"):
        galaxy(**{name: value})


def test_text_is_refused():
    with pytest.raises(TypeError, match=r"Sersic: q must be a number, got '0\.5'"):
        galaxy(q="0.5")


@pytest.mark.parametrize(
    "make, words",
    [
        (
            lambda: galaxy(Re=2 * u.arcmin),
            r"Sersic: Re must be a plain number in arcsec.*Re.to_value\('arcsec'\)",
        ),
        (lambda: galaxy(pa=0.5 * u.rad), "Sersic: pa must be a plain number in deg"),
        (lambda: PointSource((0.1 * u.arcsec, 0.0), 3.0), "PointSource: centre must be a plain number"),
        (lambda: PointSource((0.0, 0.0), "3"), r"PointSource: flux must be a number \(nJy\)"),
        (lambda: FlatSky(2 * u.nJy), "FlatSky: level must be a plain number"),
    ],
)
def test_units_are_refused_not_dropped(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def test_gradients_have_the_form_of_a_galaxy():
    """JAX puts gradients where parameters were: there they are not checked against the parameters' range."""
    slopes = jax.grad(lambda source: -source.flux)(galaxy())
    assert isinstance(slopes, Sersic)
    assert slopes.q == pytest.approx(-galaxy().flux / 0.62)
