"""The free radial profile against scipy's splines and plain quadrature; edges, bands and errors."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.scenes import make_image, rendered
from scipy import integrate, interpolate, special

import bayesjoint as bj
from bayesjoint.render.images import light_on_stacks, render_light

PLACE = {"centre": (0.1, -0.05), "q": 0.6, "pa": 35.0}
KNOTS = {
    "few": ([0.4, 1.1, 2.5, 6.0], [9.0, 4.0, 1.5, 0.1]),
    "a ring": ([0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0], [50.0, 30.0, 6.0, 7.0, 1.0, 0.3, 1e-4]),
    "rising at the end": ([0.5, 1.0, 2.0], [3.0, 1.0, 2.0]),
    "many": (np.geomspace(0.05, 40, 12), 1000 * np.exp(-7.67 * np.geomspace(0.01, 8, 12) ** 0.25)),
}


class Truth:
    """The profile by scipy's natural spline; integrals by adaptive quadrature between the knots."""

    def __init__(self, radii, intensity):
        self.radii, self.last = radii, np.asarray(intensity)[-1]
        at = np.log(np.asarray(radii) + radii[0])
        self.spline = interpolate.CubicSpline(at, np.log(intensity), bc_type="natural")
        self.fall = min(self.spline(at[-1], 1) / (radii[-1] + radii[0]), -1 / radii[-1])
        ends = [radii[-1] + n / abs(self.fall) for n in (2, 8, 40)]
        self.edges = [0.0, *radii, *ends]

    def __call__(self, r):
        first, last = self.radii[0], self.radii[-1]
        if r > last:
            return self.last * np.exp(self.fall * (r - last))
        held, at = np.log(max(r, first) + first), np.log(r + first)
        return np.exp(self.spline(held) + self.spline(held, 1) * (at - held) * (r < first))

    def light(self, radius=np.inf, k=0.0):
        """2 pi times the integral of r I(r) J0(k r) inside a radius."""
        parts = [(a, min(b, radius)) for a, b in pairwise(self.edges) if a < radius]
        whole = {"epsabs": 1e-13, "epsrel": 1e-11, "limit": 1000}
        return (
            2
            * np.pi
            * sum(
                integrate.quad(lambda r: r * self(r) * special.j0(k * r), a, b, **whole)[0] for a, b in parts
            )
        )


@pytest.fixture(params=KNOTS)
def pair(request):
    radii, intensity = KNOTS[request.param]
    return bj.Spline(**PLACE, radii=radii, intensity=intensity), Truth(radii, intensity)


def test_brightness_is_scipys_spline(pair):
    profile, truth = pair
    radii = np.concatenate([[0.0], np.geomspace(1e-3, 3, 60) * profile.unit, profile.radii])
    found = jax.jit(type(profile).radial_brightness)(profile, jnp.asarray(radii))
    np.testing.assert_allclose(found, [truth(r) for r in radii], rtol=1e-12)


def test_flux_growth_and_transform(pair):
    profile, truth = pair
    total = truth.light()
    assert float(profile.flux) == pytest.approx(0.6 * total, rel=1e-11)
    assert truth.light(float(profile.half_light_radius)) == pytest.approx(0.5 * total, rel=1e-8)
    radii = np.array([0.02, 0.77, profile.radii[0], 0.6 * profile.unit, profile.unit, 1.3 * profile.unit])
    np.testing.assert_allclose(profile.flux_within(radii), [0.6 * truth.light(r) for r in radii], rtol=1e-6)
    k = np.array([0.0, 0.1, 1.0, 3.0, 10.0, 30.0]) / profile.unit
    found = profile.kind.radial_transform(jnp.asarray((k * profile.unit) ** 2), profile.shape_values)
    np.testing.assert_allclose(found, [truth.light(k=at) / total for at in k], atol=3e-8)


def loss_on(image):
    ny, nx = image.shape
    weight = jnp.linspace(0.0, 1.0, ny * nx).reshape(ny, nx)

    def loss(v):
        profile = bj.Spline(v[:2], v[2], v[3], radii=(0.4, 1.1, 2.5), intensity=jnp.exp(v[4:]))
        pixels = jnp.sum(weight.astype(v.dtype) * jnp.square(bj.render(image, profile)))
        centre = profile.brightness(jnp.zeros(1, v.dtype), jnp.zeros(1, v.dtype))[0]
        return pixels + centre + profile.flux + profile.half_light_radius + profile.flux_within(1.1)

    return loss


def test_gradients_are_differences():
    loss = loss_on(make_image((24, 30), 0.4, bj.gaussian_psf(1.2)))
    values = jnp.array([0.1, -0.05, 0.6, 35.0, 2.0, 1.1, -0.3])
    slope, loss = jax.jit(jax.grad(loss))(values), jax.jit(loss)
    for i in range(values.size):
        step = jnp.zeros(values.size).at[i].set(1e-5)
        numeric = float(loss(values + step) - loss(values - step)) / 2e-5
        assert float(slope[i]) == pytest.approx(numeric, rel=1e-5)


@pytest.mark.parametrize(
    ("q", "east", "fall"), [(1.0, 0.0, 0.0), (0.05, 0.0, 9.0), (0.5, 300.0, 1.0), (0.05, 6.0, 1.0)]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_finite_gradients_at_the_edges(q, east, fall, dtype):
    with jax.enable_x64(dtype == np.float64):
        image = make_image((24, 30), 0.4, bj.gaussian_psf(1.2))
        loss = loss_on(jax.tree.map(lambda a: np.asarray(a, dtype), image))
        slope = jax.jit(jax.grad(loss))(jnp.asarray([east, 0.1, q, 35.0, 2.0, 1.0, 1.0 - fall], dtype))
    assert slope.dtype == dtype and np.all(np.isfinite(slope))


def test_float32():
    image = make_image((40, 40), 0.4, bj.gaussian_psf(1.2))
    profile = bj.Spline(**PLACE, radii=KNOTS["few"][0], intensity=KNOTS["few"][1])
    wanted = np.asarray(rendered(image, profile))
    with jax.enable_x64(False):
        # lists are made into arrays of the precision that holds where the profile is made
        profile = bj.Spline(**PLACE, radii=KNOTS["few"][0], intensity=KNOTS["few"][1])
        found = np.asarray(rendered(jax.tree.map(lambda a: np.asarray(a, np.float32), image), profile))
    assert found.dtype == np.float32
    assert np.max(np.abs(found - wanted)) < 3e-6 * wanted.max()


def test_a_profile_of_each_band():
    images = bj.ImageSet([make_image(name=name, band=name) for name in ("g", "r")])
    radii, intensity = KNOTS["few"][0], np.array([KNOTS["few"][1], [3.0, 2.0, 1.0, 0.2]])
    bands = bj.Spline(**PLACE, radii=radii, intensity=intensity)
    light = light_on_stacks(images, bands)
    (drawn,) = jax.jit(render_light)(light)
    assert light.parameters().shape == (2, 8) and not np.any(light.are_amplitudes())
    for i in (0, 1):
        alone = bj.Spline(**PLACE, radii=radii, intensity=intensity[i])
        np.testing.assert_allclose(drawn[i], rendered(images[i], alone), atol=1e-10)
        for name in ("flux", "half_light_radius", "magnitude"):
            assert float(getattr(bands, name)[i]) == pytest.approx(float(getattr(alone, name)), rel=1e-12)
        assert float(bands.flux_within(1.0)[i]) == pytest.approx(float(alone.flux_within(1.0)), rel=1e-12)


def test_radii_are_constants_of_a_program():
    profile = bj.Spline(**PLACE, radii=[1, 2, 3], intensity=[3.0, 2.0, 1.0])
    leaves, treedef = jax.tree.flatten(profile)
    assert len(leaves) == 4 and profile.radii == (1.0, 2.0, 3.0)
    assert treedef == jax.tree.structure(bj.Spline(**PLACE, radii=(1, 2, 3), intensity=jnp.ones(3)))
    assert treedef != jax.tree.structure(bj.Spline(**PLACE, radii=(1, 2, 4), intensity=jnp.ones(3)))
    assert jax.tree.map(lambda leaf: 2 * leaf, profile).radii == profile.radii


@pytest.mark.parametrize(
    ("radii", "intensity", "words"),
    [
        ([1.0, 2.0, 2.0], [1.0, 1.0, 1.0], r"Spline: radii must be .* increasing, got \(1.0, 2.0, 2.0\)"),
        ([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], r"Spline: radii must be 3 or more, positive"),
        ([1.0, 2.0], [1.0, 1.0], r"Spline: radii must be 3 or more"),
        ([1.0, 2.0, 3.0], [1.0, 0.0, 1.0], r"Spline: intensity must lie in \(0, inf\), got \[1. 0. 1.\]"),
        (
            [1.0, 2.0, 3.0],
            [1.0, 1.0],
            r"Spline: intensity must have one value at each of 3 radii, got shape \(2,\)",
        ),
    ],
)
def test_out_of_range(radii, intensity, words):
    with pytest.raises(ValueError, match=words):
        bj.Spline(**PLACE, radii=radii, intensity=intensity)
