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

    # arrays of one type, so that each step is taken by the same program
    profile = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), CASES[name])
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


SHAPE = {"centre": (0.1, -0.05), "q": 0.6, "pa": 35.0}
WITHIN = {
    "sersic": bj.Sersic(**SHAPE, n=8.0, Re=2.0, Ie=3.0),
    "ferrer": bj.Ferrer(**SHAPE, rout=3.0, alpha=0.5, beta=0.0, I0=1.0),
    "king": bj.King(**SHAPE, rt=3.0, concentration=10.0, alpha=0.5, I0=1.0),
    "spergel": bj.Spergel(**SHAPE, nu=-0.85, Re=2.0, Ie=1.0),
    "nuker": bj.Nuker(**SHAPE, rb=1.0, alpha=0.3, beta=2.5, gamma=0.0, Ib=1.0),
    "cusp": bj.Nuker(**SHAPE, rb=1.0, alpha=10.0, beta=4.0, gamma=1.5, Ib=1.0),
    "edge_on": bj.EdgeOnDisc((0.1, -0.05), pa=35.0, rs=2.0, hs=0.5, I0=1.0),
    "discy": bj.Superellipse(galaxy(), 1.5),
    "boxy_bar": bj.Superellipse(bj.Ferrer(**SHAPE, rout=3.0, alpha=1.0, beta=1.0, I0=1.0), 5.0),
}
NOTHING = {
    "superellipse": lambda p: bj.Superellipse(p, 2.0),
    "modes": lambda p: bj.FourierModes(p, [0.0], [0.0], (3,)),
    "truncated": lambda p: bj.Truncated(p, 1e6, 1e5),
    "warp": lambda p: bj.Warp(p, [0.0, 0.0], [1.0, 1.0], (0.5, 2.0)),
}
HEAVY_WING = ("nuker", "truncated")  # whose light beyond 1e6 is no small part


@pytest.mark.parametrize("inner", WITHIN)
@pytest.mark.parametrize("outer", NOTHING)
def test_of_strength_0_is_the_profile(inner, outer):
    if (inner, outer) == HEAVY_WING:
        pytest.skip("the light beyond the end counts")
    profile, same = WITHIN[inner], NOTHING[outer](WITHIN[inner])
    expected = rendered(SMALL, profile)
    np.testing.assert_allclose(rendered(SMALL, same), expected, atol=1e-6 * float(expected.max()))
    assert float(same.flux) == pytest.approx(float(profile.flux), rel=1e-6)
    assert float(same.half_light_radius) == pytest.approx(float(profile.half_light_radius), rel=1e-5)
    radii = jnp.array([0.3, 2.0, 5.0])
    np.testing.assert_allclose(
        same.flux_within(radii), profile.flux_within(radii), rtol=1e-6, atol=1e-6 * float(profile.flux)
    )


def test_growth_against_brute_force():
    for profile in (CASES["ended"], CASES["warped"], WITHIN["edge_on"]):
        unit = float(jnp.linalg.norm(profile.axes[0]))
        for x in (0.2, 1.3):
            expected = polar_truth.flux(profile, within=x)
            assert float(profile.flux_within(x * unit)) == pytest.approx(expected, rel=1e-6)
        half = polar_truth.flux(profile, within=float(profile.half_light_radius) / unit)
        assert half == pytest.approx(0.5 * float(profile.flux), rel=1e-6)


def test_growth_by_band():
    bands = bj.Truncated(bj.Sersic((0.0, 0.0), 0.7, 30.0, 1.5, Re=jnp.array([1.0, 2.0]), Ie=1.0), 3.0, 1.0)
    for i, found in enumerate((bands.half_light_radius, bands.flux_within(1.5))):
        assert found.shape == (2,)
        for j, Re in enumerate((1.0, 2.0)):
            one = bj.Truncated(bj.Sersic((0.0, 0.0), 0.7, 30.0, 1.5, Re=Re, Ie=1.0), 3.0, 1.0)
            expected = one.flux_within(1.5) if i else one.half_light_radius
            assert float(found[j]) == pytest.approx(float(expected), rel=1e-12)


def test_range_in_programs():
    for end, softness in ((0.0, 1.0), (-1.0, 1.0), (2.0, 0.1), (2.0, -1.0), (jnp.nan, 1.0)):
        assert not jax.jit(lambda e, s: bj.Truncated(galaxy(), e, s).in_range)(end, softness)
    assert jax.jit(lambda e, s: bj.Truncated(galaxy(), e, s).in_range)(3.0, 0.3)
    wrong = jnp.array([jnp.nan, 0.0])
    for make in (
        lambda v: bj.FourierModes(galaxy(), v, [0.0, 0.0], (1, 3)),
        lambda v: bj.Warp(galaxy(), v, [1.0, 1.0], (1.0, 2.0)),
    ):
        assert not jax.jit(lambda v, make=make: make(v).in_range)(wrong)
        # what is out of range is held where it is drawn: pixels stay finite, and the density says so
        assert np.all(np.isfinite(jax.jit(lambda v, make=make: bj.render(SMALL, make(v)))(wrong)))
        with pytest.raises(ValueError, match="must be finite"):
            make(wrong)


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
    with pytest.raises(TypeError, match="Truncated cannot modify Patch"):
        bj.Truncated(bj.Patch((0.0, 0.0), 10.0, 1.0, [[1.0, 2.0], [3.0, 6.0]]), 1e3, 1e2)
    for modes in ((True,), 3, (1.0,)):
        with pytest.raises(ValueError, match="modes must be whole numbers from 1 to 12, in a tuple"):
            bj.FourierModes(galaxy(), [0.1], [0.0], modes)
    with pytest.raises(ValueError, match="modes must differ from one another"):
        bj.FourierModes(galaxy(), [0.1, 0.2], [0.0, 0.0], (3, 3))
    assert bj.FourierModes(galaxy(), [0.1], [0.0], (np.int64(3),)).modes == (3,)
    for radii in (1.0, (1.0, np.nan)):
        with pytest.raises(ValueError, match="radii must be two or more positive, increasing"):
            bj.Warp(galaxy(), [0.0, 1.0], [1.0, 1.0], radii)


def test_second_derivatives_are_refused(build):
    """Rather than found without what the form of each order adds."""
    image = build.image((20, 24), 0.6, bj.gaussian_psf(1.8))

    def total(n):
        sersic = bj.Sersic((0.1, 0.2), 0.6, 20.0, n, 1.5, 2.0)
        return jnp.sum(bj.render(image, bj.FourierModes(sersic, (0.1,), (30.0,), (3,))) ** 2)

    with pytest.raises(NotImplementedError, match="take differences of its gradient"):
        jax.jit(jax.hessian(total))(1.7)
