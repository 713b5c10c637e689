"""Starting values on pictures of known galaxies, and on observed ones against fits made elsewhere."""

import time

import jax
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from bayesjoint.data.analytic_psf import gaussian_psf
from bayesjoint.data.fits import read_images
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet

ZEROPOINT = 31.4  # data in nJy


def picture(build, band="r", shape=(100, 100), scale=0.3, fwhm=1.0, sigma=1.0, seed=0, others=(), **galaxy):
    """An image of one galaxy, and of other ones, on white noise."""
    data = build.sersic(shape, scale, fwhm, **galaxy) if galaxy else np.zeros(shape)
    for other in others:
        data = data + build.sersic(shape, scale, fwhm, **other)
    data = data + 5.0 + np.random.default_rng(seed).normal(0, sigma, shape)
    invvar = np.full(shape, sigma**-2.0)
    return Image(
        data,
        wcs=build.wcs(shape, scale),
        zeropoint=ZEROPOINT,
        psf=gaussian_psf(fwhm),
        invvar=invvar,
        band=band,
    )


def axis_ratio_and_pa(start):
    q = np.exp(-np.hypot(*start.ellipticity))
    return q, np.degrees(0.5 * np.arctan2(*start.ellipticity[::-1])) % 180


@pytest.mark.parametrize(
    "n, re, q, pa", [(1.0, 2.0, 0.5, 30.0), (2.5, 1.5, 0.7, 120.0), (4.0, 2.5, 0.4, 170.0)]
)
@pytest.mark.parametrize("east, north", [(0.0, 0.0), (4.0, -6.0)])
def test_one_galaxy(build, n, re, q, pa, east, north):
    image = picture(build, flux=5000.0, re=re, n=n, q=q, pa=pa, east=east, north=north)
    start = ImageSet([image]).start
    assert np.hypot(*(start.position - [east, north])) < 0.1
    found_q, found_pa = axis_ratio_and_pa(start)
    assert found_q == pytest.approx(q, abs=0.15)
    assert abs((found_pa - pa + 90) % 180 - 90) < 8
    assert 0.5 < start.effective_radius / re < 1.5
    assert start.flux[0] == pytest.approx(5000.0, rel=0.35)
    assert start.sky[0] * 0.09 == pytest.approx(5.0, abs=0.3)
    assert start.sky_scatter[0] * 0.09 == pytest.approx(1.0, rel=0.1)
    assert start.seeing == 1.0


def test_neighbours_are_left_out(build):
    galaxy = dict(flux=4000.0, re=2.0, n=1.0, q=0.6, pa=60.0)
    others = [
        dict(flux=30000.0, re=0.5, east=10.0, north=8.0),
        dict(flux=2000.0, re=0.8, east=-4.5, north=1.0),
    ]
    alone = ImageSet([picture(build, **galaxy)]).start
    crowded = ImageSet([picture(build, others=others, **galaxy)]).start
    assert np.hypot(*(crowded.position - alone.position)) < 0.2
    assert crowded.effective_radius == pytest.approx(float(alone.effective_radius), rel=0.4)
    assert crowded.flux[0] == pytest.approx(alone.flux[0], rel=0.3)
    np.testing.assert_allclose(crowded.ellipticity, alone.ellipticity, atol=0.3)


def test_a_position_chooses_the_source(build):
    galaxy, other = dict(flux=9000.0, re=1.5), dict(flux=1500.0, re=1.0, east=8.0, north=-7.0)
    image = picture(build, others=[other], **galaxy)
    assert np.hypot(*ImageSet([image]).start.position) < 0.2
    ra, dec = image.frame.sky(8.3, -7.2)
    for position in [(ra, dec), SkyCoord(ra, dec, unit="deg")]:
        start = ImageSet([image], position=position).start
        assert np.hypot(*(start.position - [8.0, -7.0])) < 0.2
        assert start.flux[0] == pytest.approx(1500.0, rel=0.35)


def test_bands_of_any_seeing_and_an_undetected_one(build):
    galaxy = dict(re=2.0, n=1.5, q=0.6, pa=45.0, east=1.0, north=-0.5)
    images = [
        picture(build, "W1", (20, 20), 2.75, 6.1, 30.0, flux=20000.0, **galaxy),
        picture(build, "r", flux=3000.0, **galaxy),
        picture(build, "NUV", (40, 40), 1.5, 5.4, 5.0),
    ]
    start = ImageSet(images).start
    assert np.hypot(*(start.position - [1.0, -0.5])) < 0.15
    assert start.flux[:2] == pytest.approx([20000.0, 3000.0], rel=0.3)
    assert abs(start.flux[2]) < 4 * start.flux_error[2]
    assert start.seeing == 1.0


def test_images_of_one_band_are_averaged(build):
    galaxy = dict(re=1.0, flux=300.0)
    images = [
        picture(build, "r", seed=s, **galaxy).with_frame(picture(build).frame, f"r{s}") for s in range(4)
    ]
    one, four = ImageSet(images[:1]).start, ImageSet(images).start
    assert four.flux.shape == (1,) and four.sky.shape == (4,)
    assert four.flux_error[0] == pytest.approx(one.flux_error[0] / 2, rel=0.2)


def test_a_galaxy_that_fills_the_frame(build):
    start = ImageSet([picture(build, shape=(40, 40), flux=1e5, re=6.0, n=2.0, q=0.7, pa=20.0)]).start
    assert np.hypot(*start.position) < 0.2
    assert 1.5 < start.effective_radius < 9
    assert start.flux[0] > 2e4


def test_nothing_to_see_starts_at_the_centre(build):
    start = ImageSet([picture(build)]).start
    assert np.all(np.isfinite(jax.flatten_util.ravel_pytree(start)[0]))
    assert np.hypot(*start.position) < 1e-6
    assert start.effective_radius > 0 and np.all(start.ellipticity == 0)
    assert abs(start.flux[0]) < 5 * start.flux_error[0]


def test_all_fields_are_float64_arrays(build):
    start = ImageSet([picture(build, flux=1000.0, re=1.0)]).start
    leaves = jax.tree.leaves(start)
    assert len(leaves) == 9
    assert all(isinstance(leaf, np.ndarray) and leaf.dtype == np.float64 for leaf in leaves)


def test_positions_that_are_none(build):
    image = picture(build, flux=1000.0, re=1.0)
    with pytest.raises(ValueError, match="lies outside every image"):
        ImageSet([image], position=(150.1, 30.0))
    with pytest.raises(ValueError, match="lies outside every image"):
        ImageSet([image], position=(330.0, -30.0))
    for wrong in ["150 30", (1.0, 2.0, 3.0), 5.0, (10.0, 95.0), SkyCoord([1, 2], [3, 4], unit="deg")]:
        with pytest.raises(ValueError, match="position must be one SkyCoord or"):
            ImageSet([image], position=wrong)


def test_it_takes_no_time(build):
    image = picture(build, shape=(500, 500), scale=0.262, flux=1e5, re=12.0, n=1.7, q=0.5)
    began = time.perf_counter()
    ImageSet([image])
    assert time.perf_counter() - began < 2.0


QUICK_FITS = {  # of data/j0056m0021/README.md: magnitude, Re, q, PA
    "g": (17.456, 1.75, 0.791, 167.9),
    "r": (16.879, 1.63, 0.788, 168.6),
    "i": (16.530, 1.58, 0.786, 167.0),
    "z": (16.325, 1.59, 0.796, 169.3),
}


@pytest.mark.filterwarnings("ignore:.*not oversampled", "ignore:.*outside its stamp")
@pytest.mark.parametrize("band", QUICK_FITS)
def test_observed_compact_galaxy(observed, band):
    images = read_images(observed / "j0056m0021" / f"{band}.fits")
    magnitude, re, q, pa = QUICK_FITS[band]
    start = images.start
    assert 31.4 - 2.5 * np.log10(start.flux[0]) == pytest.approx(magnitude, abs=0.1)
    assert start.effective_radius == pytest.approx(re, rel=0.25)
    found_q, found_pa = axis_ratio_and_pa(start)
    assert found_q == pytest.approx(q, abs=0.1)
    assert found_pa == pytest.approx(pa, abs=6)
    ra, dec = images.frame.sky(*start.position)
    assert np.hypot(ra - 14.13897, dec + 0.36265) * 3600 < 0.1


@pytest.mark.filterwarnings("ignore:.*not oversampled", "ignore:.*outside its stamp")
@pytest.mark.parametrize(
    "folder, ra, dec",
    [
        ("decam_dithers_2447p120", 244.77973, 12.07233),
        ("decam_unwise_1867p255", 186.74928, 25.46196),
        ("gama202627", 130.6178, -0.2715),
        ("kids_viking_group", 0.0, 0.0),
    ],
)
def test_observed_fields(observed, folder, ra, dec):
    images = read_images(*sorted((observed / folder).glob("*.fits")))
    found = SkyCoord(*images.frame.sky(*images.start.position), unit="deg")
    assert found.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 1.0
    assert np.all(images.start.flux > 5 * images.start.flux_error)
