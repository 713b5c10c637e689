"""Rendering against GalSim: the three-telescope band, orientations, PSFs, undersampling and point sources."""

import warnings
from types import SimpleNamespace

import galsim
import numpy as np
import pytest
from helpers import peer, truth
from helpers.scenes import galaxy_of, make_image, rendered, sample_points, truth_arguments

from bayesjoint.data.airy import airy_psf
from bayesjoint.data.analytic_psf import FWHM_PER_SIGMA, gaussian_mixture_psf, gaussian_psf, moffat_psf
from bayesjoint.data.psf import PSF
from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky

SIGMA = 3.4 / FWHM_PER_SIGMA


def gaussian_stamp(fwhm, size, oversampling=1):
    """Exact effective Gaussian PSF (FWHM in pixels) on a stamp of `size` pixels (ny, nx)."""
    at = [(np.arange(n * oversampling) - (n * oversampling - 1) / 2) / oversampling for n in size]
    rows, columns = (truth.gaussian_pixel(a, fwhm / FWHM_PER_SIGMA) for a in at)
    return np.outer(rows, columns) / oversampling**2


def largest(difference, reference):
    return np.abs(np.asarray(difference)).max() / np.abs(np.asarray(reference)).max()


def test_seed_shaped_band():
    """Bounds 1e-6 of the peak and 1e-5 of the flux. Reached: 5e-7, all of it GalSim's: see the truth beside it."""
    image = make_image((500, 500), 0.262, gaussian_psf(1.12), ra=187.3119, dec=12.9783)
    galaxy = Sersic((0.83, -1.21), 0.62, 37.0, 1.7, 12.5, 100.0)
    ours, theirs = np.asarray(rendered(image, galaxy)), peer.sersic(galaxy, image)
    assert largest(ours - theirs, ours) < 1e-6
    assert ours.sum() == pytest.approx(theirs.sum(), rel=1e-5)
    arguments = truth_arguments(image, galaxy)
    points = sample_points(image.shape, arguments[0])
    exact = truth.sersic_pixels(points, *arguments) * float(galaxy.Ie * image.pixel_area)
    assert largest(ours[points[1], points[0]] - exact, ours) < 1e-8


@pytest.mark.parametrize("fwhm", [2.0, 4.3])
@pytest.mark.parametrize("n, re", [(0.5, 5.0), (1.0, 5.0), (2.0, 1.5), (2.0, 5.0), (4.0, 5.0)])
def test_grid(fwhm, n, re):
    """Bound 1e-5 of the peak; reached 1.3e-6, GalSim's (`test_lattice.py` tests the same against the truth)."""
    image = make_image((101, 101), 0.3, gaussian_psf(0.3 * fwhm))
    galaxy = galaxy_of(image, n, re)
    ours = rendered(image, galaxy)
    assert largest(ours - peer.sersic(galaxy, image), ours) < 2e-6


@pytest.mark.parametrize(
    "shape, geometry",
    [
        ((60, 60), {"angle": 0.0}),
        ((60, 60), {"angle": 143.0}),
        ((60, 60), {"angle": 90.0, "flipped": True}),
        ((60, 60), {"angle": -61.0, "flipped": True, "pc": True}),
        ((60, 60), {"angle": 28.0, "pc": True, "stretch": 1.4}),
        ((61, 60), {"angle": 17.0}),
        ((45, 64), {"angle": 17.0, "ra": 0.01, "dec": -72.0}),
        ((60, 60), {"angle": 30.0, "sip": True}),
    ],
    ids=lambda value: (
        "-".join(f"{k}{v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    ),
)
def test_geometries(shape, geometry):
    """Position angle and place come out as GalSim's through the WCS's own Jacobian, whatever the pixels' axes."""
    image = make_image(shape, 0.3, gaussian_psf(1.2), **geometry)
    galaxy = Sersic((0.6, -1.1), 0.5, 25.0, 1.3, 1.5, 10.0)
    ours, theirs = rendered(image, galaxy), peer.sersic(galaxy, image)
    # under SIP the PSF's transfer is that of the middle, GalSim's that of the source
    assert largest(ours - theirs, ours) < (2e-4 if geometry.get("sip") else 2e-6)
    x, y = image.wcs.all_world2pix(*image.frame.sky(0.6, -1.1), 0)
    peak = np.unravel_index(np.argmax(ours), shape)
    assert abs(peak[1] - x) < 0.8 and abs(peak[0] - y) < 0.8


@pytest.mark.parametrize("psf", [moffat_psf(1.0, 3.5), moffat_psf(1.3, 2.5)], ids=repr)
def test_moffat(psf):
    """The wings of a Moffat reach from the periodic copies into the image: 1e-5 of the peak at beta = 2.5."""
    image = make_image((96, 96), 0.3, psf)
    galaxy = galaxy_of(image, 1.0, 4.0)
    fine = galsim.GSParams(
        maximum_fft_size=8192, folding_threshold=1e-6, kvalue_accuracy=1e-7, maxk_threshold=1e-5
    )
    assert largest(rendered(image, galaxy) - peer.sersic(galaxy, image, fine), rendered(image, galaxy)) < 1e-5


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.5, 0.5), (0.31, -12.77), (30.2, 29.8), (33.0, 0.0)])
@pytest.mark.parametrize("fwhm", [1.6, 3.4])
def test_point_source(fwhm, place):
    """Against the closed form; the last place lies off the image."""
    image = make_image((60, 60), 0.3, gaussian_psf(0.3 * fwhm))
    star = PointSource(image.centre + np.linalg.inv(image.jacobian) @ np.array(place), 7.0)
    axis, sigma = np.arange(60) - 29.5, fwhm / FWHM_PER_SIGMA
    exact = 7 * np.outer(*(truth.gaussian_pixel(axis - at, sigma) for at in place[::-1]))
    central = 7 * truth.gaussian_pixel(0.0, sigma) ** 2
    assert np.abs(np.asarray(rendered(image, star)) - exact).max() / central < 1e-6
    if place[0] < 30:
        np.testing.assert_allclose(peer.star(star, image), exact, rtol=0, atol=1e-4 * central)


def star_error(image, params=peer.FINE, place=(0.3, -0.2)):
    """Largest difference to GalSim's star over its peak."""
    star = PointSource(image.centre + np.linalg.inv(image.jacobian) @ np.array(place), 7.0)
    theirs = peer.star(star, image, params)
    return largest(np.asarray(rendered(image, star)) - theirs, theirs)


WIDE = galsim.GSParams(
    maximum_fft_size=16384, folding_threshold=1e-3, kvalue_accuracy=1e-8, maxk_threshold=1e-6
)


def test_star_and_galaxy_under_a_gaussian_mixture():
    """Reached: 6e-8 and 1.8e-7."""
    image = make_image((60, 60), 0.3, gaussian_mixture_psf([0.9, 2.2], [0.85, 0.15]))
    assert star_error(image, WIDE) < 1e-7
    galaxy = galaxy_of(image, 1.0, 4.0)
    assert largest(rendered(image, galaxy) - peer.sersic(galaxy, image), rendered(image, galaxy)) < 1e-6


@pytest.mark.parametrize("size, bound", [(200, 1e-6), (100, 3e-6), (60, 1e-5)])
def test_star_under_an_airy_pattern(size, bound):
    """1.4 pixels per lambda/D, as of HST at 0.8 micron. What is left are the wings, r^-3, of the periodic copies.

    Reached: 4.5e-7, 2.0e-6 and 5.0e-6.
    """
    image = make_image((size, size), 0.05, airy_psf(0.8 * 0.07 / 0.06875, 2.4, 0.33))
    assert star_error(image, WIDE) < bound


def test_galaxy_under_an_airy_pattern():
    """The copies' wings over a lower peak than a star's. Reached: 2.6e-6."""
    image = make_image((200, 200), 0.05, airy_psf(0.8, 2.4, 0.33))
    galaxy = galaxy_of(image, 1.0, 4.0)
    assert largest(rendered(image, galaxy) - peer.sersic(galaxy, image, WIDE), rendered(image, galaxy)) < 4e-6


def test_star_under_an_effective_psf():
    """An EPSF of photutils' form, oversampled 4 times, of a mixture: as in closed form."""
    fwhms, fractions = (3.0, 7.0), (0.85, 0.15)
    samples = sum(
        part * gaussian_stamp(fwhm, (45, 45), 4) for fwhm, part in zip(fwhms, fractions, strict=True)
    )
    epsf = SimpleNamespace(data=16 * samples, oversampling=(4, 4), origin=(89.5, 89.5))
    with_stamp = make_image((60, 60), 0.3, PSF.from_epsf(epsf))
    closed = make_image((60, 60), 0.3, gaussian_mixture_psf(0.3 * np.array(fwhms), fractions))
    star = PointSource((0.2, -0.1), 7.0)
    theirs = peer.star(star, closed, WIDE)
    assert largest(rendered(with_stamp, star) - theirs, theirs) < 1e-6


@pytest.mark.parametrize("fwhm", [1.6, 2.0])
def test_undersampled(fwhm):
    """Folded orders: an analytic PSF and an oversampled stamp, to 1e-6."""
    places = [(0.0, 0.0), (0.5, 0.23), (-3.3, 8.6)]
    stamp = PSF(gaussian_stamp(fwhm, (21, 21), 5), oversampling=5)
    for psf in (gaussian_psf(0.3 * fwhm), stamp):
        image = make_image((60, 60), 0.3, psf)
        analytic = make_image((60, 60), 0.3, gaussian_psf(0.3 * fwhm))
        for place in places:
            galaxy = galaxy_of(image, 2.0, 2.5, place=place)
            arguments = truth_arguments(analytic, galaxy)
            points = sample_points((60, 60), arguments[0], 12, 60)
            exact = truth.sersic_pixels(points, *arguments)
            assert largest(np.asarray(rendered(image, galaxy))[points[1], points[0]] - exact, exact) < 1e-6


@pytest.mark.parametrize("size", [(31, 31), (32, 32), (31, 34)], ids=str)
def test_stamps_at_native_scale(size):
    """Odd and even stamps of a well sampled PSF: centred on their middle, exact to the stamp's aliasing, 5e-6."""
    image = make_image((60, 60), 0.3, gaussian_psf(0.3 * 3.4))
    with_stamp = make_image((60, 60), 0.3, PSF(gaussian_stamp(3.4, size)))
    galaxy = galaxy_of(image)
    assert largest(rendered(image, galaxy) - rendered(with_stamp, galaxy), rendered(image, galaxy)) < 5e-6


def test_stamp_without_the_pixel():
    """Samples of the optical PSF, `includes_pixel=False`, make the same as those with the pixel in them."""
    axis = np.arange(-80, 81) / 5
    optical = np.outer(*2 * (np.exp(-0.5 * (axis / SIGMA) ** 2),))
    bare = PSF(optical / optical.sum(), oversampling=5, includes_pixel=False)
    image, galaxy = make_image((60, 60), 0.3, gaussian_psf(0.3 * 3.4)), galaxy_of(make_image((60, 60), 0.3))
    seen = rendered(make_image((60, 60), 0.3, bare), galaxy)
    assert largest(seen - rendered(image, galaxy), seen) < 1e-6


def test_stamp_too_coarse_is_not_exact():
    """The warning of a stamp of under 2.5 pixels FWHM is true: it misses by far more than an oversampled one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coarse = make_image((60, 60), 0.3, PSF(gaussian_stamp(1.6, (21, 21))))
    exact = make_image((60, 60), 0.3, gaussian_psf(0.3 * 1.6))
    galaxy = galaxy_of(exact, 2.0, 2.5)
    assert largest(rendered(coarse, galaxy) - rendered(exact, galaxy), rendered(exact, galaxy)) > 1e-4


def test_sums_and_sky():
    image = make_image((60, 60), 0.3, gaussian_psf(0.3 * 3.4))
    parts = galaxy_of(image), PointSource((1.0, 2.0), 30.0), FlatSky(5.0)
    alone = [rendered(image, part) for part in parts]
    np.testing.assert_allclose(rendered(image, *parts), sum(alone), atol=1e-12)
    np.testing.assert_allclose(alone[2], 5.0 * image.pixel_area)


def test_brightness_is_linear():
    image = make_image((60, 60), 0.3, gaussian_psf(0.3 * 3.4))
    light, dark, none = (rendered(image, galaxy_of(image, Ie=ie)) for ie in (2.0, -2.0, 0.0))
    np.testing.assert_allclose(light, -dark, rtol=1e-12)
    assert np.all(none == 0)
