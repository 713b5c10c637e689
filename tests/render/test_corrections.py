"""PSFs of several terms, and registrations: images rendered with them against images made with what they amount to."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.scenes import make_image, rendered

import bayesjoint as bj

SCALE = 0.3
GALAXY = bj.Sersic(centre=(0.7, -0.4), q=0.6, pa=35.0, n=2.5, Re=1.5, Ie=3.0)
STAR = bj.PointSource((-2.0, 1.5), 20.0)
SKY = bj.FlatSky(0.2)


def stamp(sigma, shift=0.0):
    y, x = np.mgrid[-16:17, -16:17]
    values = np.exp(-((x - shift) ** 2 + y**2) / (2 * sigma**2))
    return values / values.sum()


def image_of(psf, **keywords):
    return make_image((40, 50), SCALE, psf, **keywords)


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.0, 1.25])
@pytest.mark.parametrize(
    "family", [bj.gaussian_psf, lambda fwhm: bj.moffat_psf(fwhm, 3.0)], ids=["gaussian", "moffat"]
)
def test_a_scaled_psf_is_one_of_that_width(family, factor):
    scalable = image_of(bj.ScalablePSF(family(0.9), spread=1.25))
    found = rendered(scalable, GALAXY, STAR, SKY, bj.Seeing(factor))
    expected = rendered(image_of(family(0.9 * factor)), GALAXY, STAR, SKY)
    assert float(jnp.max(jnp.abs(found - expected))) < 1e-6 * float(expected.max())


def test_eigen_psfs_are_added():
    psf = bj.EigenPSF(stamp(1.8), [stamp(2.1) - stamp(1.8), stamp(1.8, 0.4) - stamp(1.8, -0.4)])
    assert repr(psf) == "EigenPSF(33x33, 2 components, FWHM 4.22 px)"
    image = image_of(psf)
    for values in ((0.0, 0.0), (0.4, -0.15)):
        whole = (
            stamp(1.8)
            + values[0] * (stamp(2.1) - stamp(1.8))
            + values[1] * (stamp(1.8, 0.4) - stamp(1.8, -0.4))
        )
        expected = rendered(image_of(bj.PSF(whole)), GALAXY, STAR, SKY)
        found = rendered(image, GALAXY, STAR, SKY, bj.PSFCoefficients(values))
        np.testing.assert_allclose(found, expected, atol=1e-7 * float(expected.max()))
    np.testing.assert_allclose(rendered(image, STAR), rendered(image_of(bj.PSF(stamp(1.8))), STAR), atol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_each_source_has_the_psf_of_its_place(order):
    places = [(x, y) for x in (0.0, 25.0, 49.0) for y in (0.0, 20.0, 39.0)]

    def at(x, y):
        mix = 0.3 + 0.01 * x + 0.005 * y + (1e-4 * (x - 20) * (y - 10) if order == 2 else 0.0)
        return (1 - mix) * stamp(1.7) + mix * stamp(2.4)

    image = image_of(bj.VaryingPSF([at(*place) for place in places], places, order=order))
    for source in (GALAXY, STAR):
        (x, y), _ = image.pixel_map.linearise(jnp.asarray(source.centre))
        expected = rendered(image_of(bj.PSF(at(float(x), float(y)))), source)
        # of a galaxy the copies that the lattice takes away are blurred by the PSF of the middle
        np.testing.assert_allclose(rendered(image, source), expected, atol=1e-6 * float(expected.max()))


def test_registration_is_another_place_angle_and_flux():
    image = image_of(bj.gaussian_psf(0.9), angle=30.0, flipped=True)
    offset, rotation, scale = np.array([0.2, -0.1]), 12.0, 1.1
    found = rendered(image, GALAXY, SKY, bj.Registration(offset, rotation, scale))
    turn = np.radians(rotation)
    about = np.asarray(image.centre)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    centre = about + matrix @ (np.asarray(GALAXY.centre) - about) + offset
    moved = bj.Sersic(centre, 0.6, 35.0 + rotation, 2.5, 1.5, 3.0 * scale)
    expected = rendered(image, moved, SKY)
    np.testing.assert_allclose(found, expected, atol=1e-7 * float(expected.max()))


def test_slopes_against_differences():
    image = make_image((20, 24), SCALE, bj.ScalablePSF(bj.gaussian_psf(0.9)))

    @jax.jit
    def total(values):
        registration = bj.Registration(values[:2], values[2], values[3])
        model = bj.render(image, GALAXY, STAR, registration, bj.Seeing(values[4]))
        return jnp.sum(jnp.sin(model))

    here = jnp.array([0.05, -0.02, 3.0, 1.02, 1.05])
    slope = jax.grad(total)(here)
    for i in range(len(here)):
        step = jnp.zeros(5).at[i].set(1e-5)
        assert float(slope[i]) == pytest.approx(
            float(total(here + step) - total(here - step)) / 2e-5, rel=1e-6, abs=1e-8
        )


def test_what_is_refused():
    plain = image_of(bj.gaussian_psf(0.9))
    with pytest.raises(ValueError, match="no image's PSF is a ScalablePSF"):
        bj.render(plain, STAR, bj.Seeing(1.1))
    with pytest.raises(ValueError, match="PSFCoefficients has 2 values; the images' PSFs have no eigen-PSFs"):
        bj.render(plain, STAR, bj.PSFCoefficients([0.1, 0.2]))
    with pytest.raises(TypeError, match="ScalablePSF wants a PSF in closed form"):
        bj.ScalablePSF(bj.PSF(stamp(2.0)))
    with pytest.raises(ValueError, match=r"spread must lie in \(1, 1.5\], got 2.0"):
        bj.ScalablePSF(bj.gaussian_psf(1.0), 2.0)
    with pytest.raises(ValueError, match="places cannot tell the 3 terms of order 1"):
        bj.VaryingPSF([stamp(2.0)] * 3, [(0, 0), (10, 10), (20, 20)])
    with pytest.raises(ValueError, match="components must be finite stamps"):
        bj.EigenPSF(stamp(2.0), [np.zeros((3, 3))])
