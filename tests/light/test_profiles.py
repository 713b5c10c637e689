"""Profiles with a radial form: flux, half-light radius, transform and pixels against quadrature and closed forms."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import polar_truth
from helpers.scenes import make_image, rendered
from scipy import integrate, special

import bayesjoint as bj
from bayesjoint.light import panels, radial
from bayesjoint.light.hankel import sersic_hankel
from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.sersic_table import sersic_b

PLACE = {"centre": (0.1, -0.05), "q": 0.6, "pa": 35.0}
PROFILES = {
    "sersic": bj.Sersic(**PLACE, n=2.3, Re=1.5, Ie=2.0),
    "spergel": bj.Spergel(**PLACE, nu=0.2, Re=1.5, Ie=2.0),
    "exponential": bj.Exponential(**PLACE, Re=1.5, Ie=2.0),
    "devaucouleurs": bj.DeVaucouleurs(**PLACE, Re=1.5, Ie=2.0),
    "multi-gaussian": bj.MultiGaussian(**PLACE, sigma=[0.3, 1.2, 3.0], fraction=[1.0, 2.0, 1.0], flux=20.0),
    "gaussian": bj.Gaussian(**PLACE, fwhm=3.0, flux=20.0),
    "moffat": bj.Moffat(**PLACE, rd=1.5, beta=2.5, I0=3.0),
    "core-sersic": bj.CoreSersic(**PLACE, Re=1.5, n=3.0, core=0.1, gamma=0.2, alpha=2.0, Ie=2.0),
    "nuker": bj.Nuker(**PLACE, rb=1.5, alpha=1.5, beta=4.0, gamma=0.6, Ib=2.0),
    "ferrer": bj.Ferrer(**PLACE, rout=4.0, alpha=2.5, beta=0.3, I0=3.0),
    "spline": bj.Spline(**PLACE, radii=[0.4, 1.1, 2.5, 6.0], intensity=[9.0, 4.0, 1.5, 0.1]),
    "king": bj.King(**PLACE, rt=6.0, concentration=5.0, alpha=2.0, I0=3.0),
}
NODES = panels.nodes(panels.standard())
NUMERICAL = [name for name, profile in PROFILES.items() if isinstance(profile, radial.NumericalProfile)]


def light_within(profile, radius):
    """Flux inside `radius` (units of the profile's own) by adaptive quadrature in the logarithm of the radius."""
    brightness = jax.jit(lambda radius: profile.radial_brightness(radius * profile.unit))

    def integrand(u):
        return float(brightness(jnp.exp(u))) * np.exp(2 * u)

    edges = [-40.0, -6.0, -2.0, np.log(min(radius, 1.0))] + ([np.log(radius)] if radius > 1 else [])
    parts = [
        integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-11, limit=400)[0] for a, b in pairwise(edges)
    ]
    return 2 * np.pi * profile.q * profile.unit**2 * sum(parts)


@pytest.mark.parametrize("name", PROFILES)
def test_flux_and_half_light_radius(name):
    profile = PROFILES[name]
    flux, half = float(profile.flux), float(profile.half_light_radius) / profile.unit
    far = 1.0 if name in ("ferrer", "king") else 1e5
    assert light_within(profile, far) == pytest.approx(flux, rel=1e-6)
    assert light_within(profile, half) == pytest.approx(0.5 * flux, rel=1e-7)
    assert float(profile.magnitude) == pytest.approx(31.4 - 2.5 * np.log10(flux))


@pytest.mark.parametrize("name", PROFILES)
def test_curve_of_growth(name):
    """At many radii at once, at the edges of panels, and its slope, the light of a thin ring."""
    profile = PROFILES[name]
    radii = np.array([0.003, 0.25, 0.5, 0.77, 1.0, 3.1])
    found = jax.jit(type(profile).flux_within)(profile, jnp.asarray(radii * profile.unit))
    ends = [min(radius, 1.0) if name in ("ferrer", "king") else radius for radius in radii]
    np.testing.assert_allclose(found, [light_within(profile, end) for end in ends], rtol=1e-6)
    slopes = jax.jit(jax.vmap(jax.grad(profile.flux_within)))(jnp.asarray(radii * profile.unit))
    ring = (
        2
        * np.pi
        * profile.q
        * radii
        * profile.unit
        * profile.radial_brightness(jnp.asarray(radii * profile.unit))
    )
    np.testing.assert_allclose(slopes[:4], ring[:4], rtol=1e-6)


def test_curves_of_growth_of_bands():
    radii, n = np.array([1.0, 2.0]), np.array([1.5, 3.0])
    galaxy = bj.Sersic(**PLACE, n=n, Re=2.0, Ie=np.array([1.0, 3.0]))
    ferrer = bj.Ferrer(**PLACE, rout=np.array([2.0, 4.0]), alpha=n, beta=0.3, I0=3.0)
    for bands in (galaxy, ferrer):
        found = bands.flux_within(radii)
        for i in (0, 1):
            one = jax.tree.map(lambda leaf, i=i: leaf[i] if np.shape(leaf) == (2,) else leaf, bands)
            one = dataclasses.replace(one, centre=PLACE["centre"])
            assert float(found[i]) == pytest.approx(float(one.flux_within(radii[i])), rel=1e-12)
            half = jnp.broadcast_to(bands.half_light_radius, 2)[i]
            assert float(half) == pytest.approx(float(one.half_light_radius), rel=1e-12)


@pytest.mark.parametrize("name", PROFILES)
def test_pixels_are_the_convolved_brightness(name):
    """Against brute force in polar coordinates about the source."""
    profile, image = PROFILES[name], make_image((41, 41), 0.4, bj.gaussian_psf(1.2))
    points = [
        (20 + x, 20 + y) for x, y in [(0, 0), (1, 0), (0, -2), (-3, 2), (4, -4), (7, 3), (-12, 6), (0, 15)]
    ]
    expected = polar_truth.pixels(profile, image, 3.0 / np.sqrt(8 * np.log(2)), points)
    pixels = np.asarray(rendered(image, profile))
    found = np.array([pixels[y, x] for x, y in points])
    assert np.max(np.abs(found - expected)) < 1e-6 * expected.max()


@parameters_are("centre", "q", "pa", "n", "Re", "Ie")
@dataclass(frozen=True, eq=False)
class ByForm(radial.NumericalProfile):
    """The Sersic profile by its form alone."""

    centre: Any
    q: Any
    pa: Any
    n: Any
    Re: Any
    Ie: Any
    name: str | None = None

    amplitude: ClassVar[str] = "Ie"
    radius: ClassVar[str] = "Re"
    shape: ClassVar[tuple[str, ...]] = ("n",)

    @staticmethod
    def form(x, *shape):
        return jnp.exp(sersic_b(shape[0]) * (1 - jnp.exp(jnp.log(x) / shape[0])))


@pytest.mark.parametrize("n", [0.7, 1.7, 4.0])
def test_pixels_by_form_are_those_of_the_exact_transform(n):
    image = make_image((41, 50), 0.4, bj.gaussian_psf(1.0))
    by_form, exact = (kind(**PLACE, n=n, Re=2.0, Ie=3.0) for kind in (ByForm, bj.Sersic))
    found, wanted = (np.asarray(rendered(image, profile)) for profile in (by_form, exact))
    assert np.max(np.abs(found - wanted)) < 2e-7 * wanted.max()
    assert float(by_form.flux) == pytest.approx(float(exact.flux), rel=1e-8)
    slopes = [jax.grad(lambda p: jnp.sum(jnp.square(bj.render(image, p))))(p) for p in (by_form, exact)]
    for a, b in zip(*map(jax.tree.leaves, slopes), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7 * float(jnp.sum(wanted**2)))


@pytest.mark.parametrize(("name", "n"), [("exponential", 1.0), ("devaucouleurs", 4.0)])
def test_fixed_index_profiles_are_those_of_sersic(name, n):
    image = make_image((41, 50), 0.4, bj.gaussian_psf(1.0))
    found, wanted = (rendered(image, p) for p in (PROFILES[name], bj.Sersic(**PLACE, n=n, Re=1.5, Ie=2.0)))
    np.testing.assert_allclose(found, wanted, atol=1e-8 * float(wanted.max()))


@pytest.mark.parametrize("n", [0.5, 1.0, 4.0, 8.0])
def test_numerical_transform_of_a_sersic_form(n):
    kappa, b = np.sqrt(panels.CELLS.nodes()), special.gammaincinv(2 * n, 0.5)
    values = np.exp(-b * NODES.x ** (1 / n))
    found = (panels.matrices(panels.standard()) @ values)[: len(kappa)] / (NODES.weights @ values)
    np.testing.assert_allclose(found, sersic_hankel(kappa, n), atol=1e-8)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_numerical_transform_of_a_form_that_ends(alpha):
    kappa = np.sqrt(panels.CELLS.nodes())[1:]
    values = np.maximum(1 - np.minimum(NODES.x, 1.0) ** 2, 0) ** alpha
    found = (panels.matrices(panels.standard()) @ values)[1 : len(kappa) + 1] / (NODES.weights @ values)
    exact = special.gamma(alpha + 2) * 2 ** (alpha + 1) * special.jv(alpha + 1, kappa) / kappa ** (alpha + 1)
    np.testing.assert_allclose(found, exact, atol=1e-10)


@pytest.mark.parametrize("name", NUMERICAL)
def test_transform_differentiates_as_it_differs(name):
    """By kappa^2 and by each shape parameter, against central differences."""
    profile = PROFILES[name]
    kind, shape, k2 = profile.kind, profile.shape_values, jnp.array([0.03, 0.4, 3.0, 20.0])
    transform = jax.jit(lambda k2, shape: kind.radial_transform(k2, shape))
    for i in range(len(shape) + 1):
        step = 1e-5 * (k2 if i == 0 else shape[i - 1])
        move = (step, 0.0) if i == 0 else (0.0, jnp.zeros_like(shape).at[i - 1].set(step))
        up, down = (transform(k2 + s * move[0], shape + s * move[1]) for s in (1, -1))
        direction = (jnp.zeros_like(k2) + move[0], jnp.zeros_like(shape) + move[1])
        slope = jax.jvp(transform, (k2, shape), direction)[1]
        np.testing.assert_allclose(slope, (up - down) / 2, rtol=2e-4, atol=1e-10)


@pytest.mark.parametrize("name", NUMERICAL)
def test_a_gradient_sees_through_another_derivative(name):
    """Backward over forward along all parameters at once, as the sampler differentiates, against central differences."""
    profile = PROFILES[name]
    kind, shape, k2 = profile.kind, profile.shape_values, jnp.array([0.03, 0.4, 3.0, 20.0])

    def along(shape):
        here = jax.jvp(kind.radial_transform, (k2, shape), (jnp.zeros_like(k2), jnp.zeros_like(shape)))[0]
        return jnp.sum(here * jnp.arange(1.0, 5.0))

    found, along = jax.grad(along)(shape), jax.jit(along)
    for i in range(len(shape)):
        step = jnp.zeros_like(shape).at[i].set(1e-5 * shape[i])
        slope = (along(shape + step) - along(shape - step)) / (2e-5 * shape[i])
        np.testing.assert_allclose(found[i], slope, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", PROFILES)
def test_finite_gradients_in_images(name):
    profile = PROFILES[name]
    image = make_image((24, 30), 0.4, bj.gaussian_psf(1.2))
    slope = jax.jit(jax.grad(lambda p: jnp.sum(jnp.square(bj.render(image, p)))))(profile)
    assert all(np.all(np.isfinite(leaf)) and np.any(leaf != 0) for leaf in jax.tree.leaves(slope))


def test_parameters_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"Nuker: beta must lie in \[2.5, 10\], got 2.0"):
        bj.Nuker(**PLACE, rb=1.0, alpha=1.0, beta=2.0, gamma=0.5, Ib=1.0)
    with pytest.raises(ValueError, match=r"King: rt must lie in \(0, inf\), got -1.0"):
        bj.King(**PLACE, rt=-1.0, concentration=5.0, alpha=2.0, I0=1.0)


@pytest.mark.loose
@pytest.mark.parametrize(
    "make, values",
    [
        (lambda p: bj.Sersic((p[0], -0.2), p[1], 35.0, p[2], p[3], 2.0), (0.13, 0.6, 1.7, 1.5)),
        (lambda p: bj.Moffat((p[0], -0.2), p[1], 35.0, p[2], p[3], 2.0), (0.13, 0.6, 1.7, 2.5)),
        (lambda p: bj.King((0.1, 0.2), 0.6, 35.0, p[0], p[1], p[2], 2.0), (3.0, 10.0, 0.7)),
        (lambda p: bj.Spline((0.1, 0.2), 0.5, 35.0, (0.5, 1.0, 2.0), p), (4.0, 2.0, 0.5)),
    ],
    ids=["Sersic", "Moffat", "King", "Spline"],
)
def test_second_derivatives(make, values):
    """Of rendered pixels, by all parameters, against differences of the gradient; symmetric."""
    image = make_image((24, 28), 0.5, bj.gaussian_psf(1.4))
    weight = np.random.default_rng(0).normal(size=image.shape)
    p = jnp.asarray(values)

    def total(p):
        return jnp.sum(weight * bj.render(image, make(p)))

    slope = jax.jit(jax.grad(total), compiler_options=bj.compiler_options())
    found = np.asarray(jax.jit(jax.hessian(total), compiler_options=bj.compiler_options())(p))
    steps = 1e-4 * np.eye(p.size) * values
    differences = [
        (8 * (slope(p + h) - slope(p - h)) - slope(p + 2 * h) + slope(p - 2 * h)) / (12 * h.sum())
        for h in steps
    ]
    np.testing.assert_allclose(found, np.array(differences), rtol=1e-5, atol=1e-6 * np.abs(found).max())
    np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-12 * np.abs(found).max())
