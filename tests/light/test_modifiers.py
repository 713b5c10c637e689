"""Modifiers of profiles: pixels, flux and half-light radius against brute force, derivatives, composition, limits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import polar_truth
from helpers.scenes import make_image, rendered

import bayesjoint as bj
from bayesjoint.render.images import light_on_stacks, render_light

SCALE, FWHM = 0.3, 2.0
SIGMA = FWHM / np.sqrt(8 * np.log(2))
OFFSETS = [(0, 0), (1, 0), (0, 2), (-3, 2), (5, -5), (8, 3), (-12, 7), (0, 15), (20, 1), (-25, -20)]
IMAGE, SMALL = (make_image((n, n), SCALE, bj.gaussian_psf(FWHM * SCALE)) for n in (64, 24))


def galaxy(n=1.0, q=0.3):
    return bj.Sersic(centre=(0.1, -0.05), q=q, pa=35.0, n=n, Re=2.0, Ie=3.0)


CASES = {
    "boxy": bj.Superellipse(galaxy(4.0), 3.0),
    "discy": bj.Superellipse(galaxy(), 1.6),
    "lopsided": bj.FourierModes(galaxy(4.0, 0.8), [0.15, 0.05], [30.0, 10.0], (1, 3)),
    "ended": bj.Truncated(galaxy(4.0), 2.5, 0.25),
    "ring": bj.Truncated(galaxy(1.0, 0.8), 1.5, 0.4, inner=True),
    "warped": bj.Warp(galaxy(), [0.0, 20.0, 60.0], [1.0, 0.8, 1.0], (0.5, 2.0, 6.0)),
    "nested": bj.Truncated(
        bj.Superellipse(bj.Warp(galaxy(4.0), [0.0, 20.0], [1.0, 0.8], (0.5, 2.0)), 2.4), 5.0, 1.0
    ),
}
# a discy exponent has a series in angle that falls as order^-2.6
BOUNDS = dict.fromkeys(CASES, 1e-6) | {"discy": 1e-5}


@pytest.mark.parametrize("name", CASES)
def test_pixels_and_flux_against_brute_force(name):
    profile = CASES[name]
    position, _ = IMAGE.pixel_map.linearise(jnp.asarray(profile.centre))
    middle = np.round(np.asarray(position)).astype(int)
    points = [tuple(middle + np.array(offset)) for offset in OFFSETS]
    expected = polar_truth.pixels(profile, IMAGE, SIGMA, points)
    found = np.asarray(rendered(IMAGE, profile))
    found = np.array([found[y, x] for x, y in points])
    assert np.max(np.abs(found - expected)) < BOUNDS[name] * expected.max()
    assert float(profile.flux) == pytest.approx(polar_truth.flux(profile), rel=1e-6)


@pytest.mark.parametrize("name", ["lopsided", "warped"])
def test_gradient_against_differences(name):
    """Of a sum over pixels, by every parameter."""

    @jax.jit
    def total(profile):
        return jnp.sum(jnp.sin(7.0 * bj.render(SMALL, profile) / 40.0))

    profile = CASES[name]
    slopes = jax.jit(jax.grad(total))(profile)
    leaves, treedef = jax.tree.flatten(profile)
    for i, (leaf, slope) in enumerate(zip(leaves, jax.tree.leaves(slopes), strict=True)):
        step = 1e-5 * np.maximum(np.abs(leaf), 0.1)
        up, down = (
            total(jax.tree.unflatten(treedef, [*leaves[:i], leaf + s * step, *leaves[i + 1 :]]))
            for s in (1, -1)
        )
        np.testing.assert_allclose(np.sum(slope * step), (up - down) / 2, rtol=1e-4, atol=1e-9)


def test_turned_alone_is_turned():
    """A constant twist and stretch are another position angle and axis ratio."""
    turned = bj.Warp(galaxy(), [25.0, 25.0], [0.8, 0.8], (1.0, 4.0))
    same = bj.Sersic(centre=(0.1, -0.05), q=0.24, pa=60.0, n=1.0, Re=2.0, Ie=3.0)
    expected = rendered(IMAGE, same)
    np.testing.assert_allclose(rendered(IMAGE, turned), expected, atol=1e-6 * float(expected.max()))
    assert float(turned.flux) == pytest.approx(float(same.flux), rel=1e-8)


def test_half_light_radius():
    ring = bj.Truncated(galaxy(), 1.5, 0.4, inner=True)
    inside = polar_truth.flux(ring, within=float(ring.half_light_radius) / 2.0)
    assert inside == pytest.approx(0.5 * float(ring.flux), rel=1e-6)
    assert float(bj.Truncated(galaxy(), 200.0, 20.0).half_light_radius) == pytest.approx(2.0, rel=1e-7)


def test_parameters_by_band():
    """A modifier's own parameters, and those within, with one value a band."""
    images = bj.ImageSet(
        [make_image((32, 32), SCALE, bj.gaussian_psf(0.6), name=band) for band in ("g", "r")]
    )
    inner = bj.Sersic((0.1, 0.0), 0.7, 30.0, n=1.5, Re=1.0, Ie=jnp.array([1.0, 3.0]))
    joint = bj.FourierModes(inner, [[0.1], [0.2]], [20.0], (1,))
    assert joint.flux.shape == (2,)
    (both,) = jax.jit(lambda images, joint: render_light(light_on_stacks(images, joint)))(images, joint)
    for i, (ie, bend) in enumerate(((1.0, 0.1), (3.0, 0.2))):
        one = bj.FourierModes(bj.Sersic((0.1, 0.0), 0.7, 30.0, 1.5, 1.0, ie), [bend], [20.0], (1,))
        np.testing.assert_allclose(both[i], rendered(images[i], one), atol=1e-9)


def test_finite_slopes_at_edges():
    for inner in (galaxy(1.0, 1.0), galaxy(1.0, 0.05)):
        for profile in (
            bj.Superellipse(inner, 2.0),
            bj.FourierModes(inner, [0.0], [0.0], (1,)),
            bj.Warp(inner, [0.0, 0.0], [1.0, 1.0], (1.0, 2.0)),
        ):
            slope = jax.grad(lambda p: jnp.sum(p.brightness(jnp.zeros(3), jnp.array([0.0, 1e-9, 1.0]))))(
                profile
            )
            assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


def test_what_is_refused():
    with pytest.raises(
        TypeError, match="Superellipse wants a profile such as Sersic to modify, got PointSource"
    ):
        bj.Superellipse(bj.PointSource((0.0, 0.0), 1.0), 2.5)
    with pytest.raises(ValueError, match=r"exponent must lie in \[1.5, 6\], got 9.0"):
        bj.Superellipse(galaxy(), 9.0)
    with pytest.raises(ValueError, match=r"softness / end must lie in \[0.1, inf\)"):
        bj.Truncated(galaxy(), 2.0, 0.1)
    with pytest.raises(ValueError, match="modes must be whole numbers from 1 to 12"):
        bj.FourierModes(galaxy(), [0.1], [0.0], (0,))
    with pytest.raises(ValueError, match="amplitudes must have one value for each of the 2 modes"):
        bj.FourierModes(galaxy(), [0.1], [0.0, 0.0], (1, 2))
    with pytest.raises(ValueError, match="radii must be two or more positive, increasing"):
        bj.Warp(galaxy(), [0.0, 1.0], [1.0, 1.0], (2.0, 1.0))
