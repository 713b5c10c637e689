"""Ellipses on the sky: semi-axes, and the ellipticity vector at and around its origin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjoint.light.geometry import (
    axis_ratio_and_angle,
    ellipse_coordinates,
    ellipticity_vector,
    semi_axes,
)
from bayesjoint.light.sersic import Sersic


@pytest.mark.parametrize("pa, east, north", [(0.0, 0.0, 2.0), (90.0, 2.0, 0.0), (30.0, 1.0, np.sqrt(3))])
def test_position_angle_runs_from_north_to_east(pa, east, north):
    axes = semi_axes(0.5, pa, 2.0)
    np.testing.assert_allclose(axes[0], [east, north], atol=1e-14)
    np.testing.assert_allclose(jnp.linalg.norm(axes[1]), 1.0)
    np.testing.assert_allclose(axes[0] @ axes[1], 0.0, atol=1e-14)


def test_half_light_ellipse_is_the_unit_circle():
    axes = semi_axes(0.4, 25.0, 3.0)
    turn = jnp.linspace(0.0, 2 * np.pi, 9)
    east, north = jnp.cos(turn)[None] * axes[0][:, None] + jnp.sin(turn)[None] * axes[1][:, None]
    expected = np.stack([np.cos(turn), np.sin(turn)])
    np.testing.assert_allclose(ellipse_coordinates(east, north, axes), expected, atol=1e-14)


@pytest.mark.parametrize("q", [0.05, 0.3, 0.9, 0.99999])
@pytest.mark.parametrize("pa", [0.0, 1e-7, 45.0, 90.0, 135.0, 179.9999])
def test_round_trip(q, pa):
    back_q, back_pa = axis_ratio_and_angle(ellipticity_vector(q, pa))
    assert back_q == pytest.approx(q, rel=1e-12)
    assert back_pa == pytest.approx(pa, abs=1e-8)


def test_angles_repeat_after_half_a_turn():
    np.testing.assert_allclose(ellipticity_vector(0.6, 10.0), ellipticity_vector(0.6, 190.0), atol=1e-14)
    np.testing.assert_allclose(ellipticity_vector(0.6, 0.0), ellipticity_vector(0.6, 180.0), atol=1e-14)
    vectors = jnp.asarray(np.random.default_rng(2).normal(size=(500, 2)))
    q, pa = axis_ratio_and_angle(vectors)
    assert np.all((pa >= 0) & (pa < 180) & (q > 0) & (q < 1))


def test_round_is_an_ordinary_place():
    q, pa = axis_ratio_and_angle(jnp.zeros(2))
    assert q == pytest.approx(1.0, abs=2e-6) and 0 <= pa < 180
    assert np.all(np.isfinite(jax.jacobian(lambda e: jnp.stack(axis_ratio_and_angle(e)))(jnp.zeros(2))))


def brightness(ellipticity, east, north):
    q, pa = axis_ratio_and_angle(ellipticity)
    return Sersic((0.0, 0.0), q, pa, 1.5, 2.0 / jnp.sqrt(q), 1.0).brightness(east, north)


@pytest.mark.parametrize(
    "where", [(0.0, 0.0), (1e-9, 0.0), (0.0, -1e-4), (0.05, 0.0), (-0.3, 1e-12), (0.2, 0.4)]
)
def test_gradient_of_the_light_in_the_vector(where):
    """The light is smooth in the vector, at its origin and where PA passes 0 and 180 too.

    This at a fixed area of the ellipse: at a fixed semi-major axis the area has a kink where q = 1.
    """
    east, north = jnp.asarray([1.0, -0.4, 0.3]), jnp.asarray([0.2, 1.7, -2.1])
    here, step = jnp.asarray(where), 3e-4
    slopes = jax.jacobian(brightness)(here, east, north)
    for i in (0, 1):
        shift = step * jnp.eye(2)[i]
        numeric = (brightness(here + shift, east, north) - brightness(here - shift, east, north)) / (2 * step)
        np.testing.assert_allclose(slopes[:, i], numeric, atol=5e-6)
