"""Images and sets of images: units, weights, geometry, stacking, and input that is refused."""

import jax
import numpy as np
import pytest
from astropy import units as u
from astropy.wcs import WCS

from bayesjoint.data.analytic_psf import gaussian_psf
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.info import describe, info_table
from bayesjoint.data.psf import PSF

SHAPE = (40, 50)


def make(build, shape=SHAPE, scale=0.3, data=None, **changes):
    data = np.random.default_rng(0).normal(size=shape) if data is None else data
    given = dict(
        wcs=build.wcs(shape, scale), zeropoint=25.0, psf=gaussian_psf(1.0), invvar=np.ones(shape), band="r"
    )
    return Image(data, **{**given, **changes})


def test_pixels_become_nanojansky(build):
    data = np.full(SHAPE, 2.0)
    image = make(build, data=data, zeropoint=22.5, invvar=np.full(SHAPE, 4.0))
    njy = data * (22.5 * u.ABmag).to_value(u.nJy)  # of 3631 Jy, which is 31.40006 in nJy
    np.testing.assert_allclose(image.data, njy, rtol=1e-4)
    np.testing.assert_allclose(image.data**2 * image.invvar, 16.0)
    expected = 0.5 * np.sum(np.log(image.invvar / (2 * np.pi)))
    assert image.log_normaliser == pytest.approx(expected)


def test_pixels_without_weight(build):
    data, invvar, mask = np.ones(SHAPE), np.ones(SHAPE), np.zeros(SHAPE, bool)
    data[0, :3], invvar[1, :4], mask[2, :5] = np.nan, 0.0, True
    image = make(build, data=data, invvar=invvar, mask=mask)
    assert image.number_used == 2000 - 12
    assert np.all(np.isfinite(image.data)) and np.all(image.data[image.invvar == 0] == 0)
    assert "1988 of 2000 pixels used" in repr(image)


def test_masked_arrays_are_masked(build):
    masked = np.zeros(SHAPE, bool)
    masked[3, :7] = True
    data = np.ma.masked_array(np.ones(SHAPE, int), masked)
    assert make(build, data=data).number_used == data.size - 7
    invvar = np.ma.masked_array(np.ones(SHAPE), masked)
    assert make(build, data=np.ones(SHAPE), invvar=invvar).number_used == data.size - 7
    mask = np.ma.masked_array(np.zeros(SHAPE, bool), masked)
    assert make(build, data=np.ones(SHAPE), mask=mask).number_used == data.size - 7


def test_wrong_variances_are_masked_counted_and_warned_about(build):
    invvar = np.ones(SHAPE)
    invvar[0, 0], invvar[0, 1], invvar[0, 2] = np.nan, -1.0, np.inf
    with pytest.warns(UserWarning, match="image 'r': 3 pixels have NaN, infinite or negative"):
        image = make(build, invvar=invvar)
    assert image.number_used == 1997


def test_noise_is_estimated_when_not_given(build):
    image = make(build, data=np.random.default_rng(1).normal(3, 2.0, SHAPE), invvar=None, zeropoint=31.4)
    assert image.noise_estimated
    assert np.median(image.invvar) ** -0.5 == pytest.approx(2.0, rel=0.06)


def other_axes(first, second, system=""):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt, wcs.wcs.radesys = [first, second], [-1e-4, 1e-4], system
    wcs.wcs.crval = [40.0, 20.0]
    return wcs


@pytest.mark.parametrize(
    "changes, kind, words",
    [
        (dict(data=np.zeros(5)), ValueError, "one plane of pixels"),
        (dict(invvar=np.ones((3, 3))), ValueError, r"invvar has shape \(3, 3\), the data \(40, 50\)"),
        (dict(mask=np.ones((3, 3))), ValueError, r"mask has shape \(3, 3\)"),
        (dict(mask=np.ones(SHAPE)), ValueError, "no pixel carries weight"),
        (dict(mask=np.ones(SHAPE), invvar=None), ValueError, "no pixel is used"),
        (dict(invvar=np.zeros(SHAPE)), ValueError, "no pixel carries weight"),
        (dict(data=np.zeros(SHAPE), invvar=None), ValueError, "image 'r': the noise cannot be estimated"),
        (dict(zeropoint="22.5"), TypeError, "zeropoint .* must be a finite number, got '22.5'"),
        (dict(zeropoint=22.5 * u.mag), TypeError, "must be a finite number"),
        (dict(zeropoint=np.nan), TypeError, "must be a finite number"),
        (dict(time="2020-01-01"), TypeError, "time .* must be a finite number"),
        (dict(psf=1.12), TypeError, "psf must be"),
        (dict(wcs=None), TypeError, "must be an astropy.wcs.WCS, got NoneType"),
        (dict(wcs=WCS(naxis=2)), ValueError, "not a celestial one"),
        (dict(wcs=other_axes("GLON-TAN", "GLAT-TAN")), ValueError, "wanted RA first and Dec second"),
        (dict(wcs=other_axes("DEC--TAN", "RA---TAN")), ValueError, "wanted RA first and Dec second"),
        (dict(wcs=other_axes("RA---TAN", "DEC--TAN", "FK4")), ValueError, "RADESYS is 'FK4'"),
    ],
)
def test_input_that_is_no_image(build, changes, kind, words):
    with pytest.raises(kind, match=words):
        make(build, **changes)


def test_a_string_of_pixels_is_refused(build):
    with pytest.raises((TypeError, ValueError)):
        make(build, data="r.fits")


@pytest.mark.parametrize("angle, flipped", [(0.0, False), (90.0, True), (33.0, False)])
def test_geometry(build, angle, flipped):
    image = make(build, wcs=build.wcs(SHAPE, 0.4, angle, flipped))
    assert image.pixel_scale == pytest.approx(0.4, rel=1e-7)
    told = describe(image)
    assert told["y_axis_angle"] == pytest.approx(angle, abs=1e-4)
    assert told["east_left"] is not flipped
    assert (told["ra"], told["dec"]) == pytest.approx((150.0, 30.0))


def test_what_is_told_of_an_image(build):
    rng = np.random.default_rng(2)
    image = make(build, data=rng.normal(size=SHAPE), zeropoint=31.4, time=57000.25)
    told = describe(image)
    assert told["noise"] == pytest.approx(1.0)
    assert told["depth"] == pytest.approx(
        31.4 - 2.5 * np.log10(5 * np.sqrt(4 * np.pi * (1 / 2.3548 / 0.3) ** 2))
    )
    assert (told["shape"], told["used"], told["unused"], told["time"]) == (SHAPE, 2000, 0, 57000.25)
    lines = info_table([image, make(build, invvar=None, name="other")]).splitlines()
    assert lines[0].startswith("name") and "57000.2500" in lines[1] and lines[2].endswith("-")
    assert lines[-1] == "(*) noise estimated from the image" and "noise of means" not in lines[0]
    stamp = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])
    lines = info_table([image, image.with_noise_correlation(stamp)]).splitlines()
    assert "noise of means" in lines[0] and " 1.99 " in lines[2]


def test_images_travel_through_jit(build):
    image = make(build, time=3.0)
    chi2 = jax.jit(lambda im: (im.data**2 * im.invvar).sum())
    assert float(chi2(image)) == pytest.approx(float((image.data**2 * image.invvar).sum()), rel=1e-4)
    other = make(build, data=np.ones(SHAPE), time=4.0)
    chi2(other)
    assert chi2._cache_size() == 1


def test_a_set_shares_one_frame(build):
    first = make(build, name="a")
    second = make(build, name="b", wcs=build.wcs(SHAPE, ra=150.001))
    images = ImageSet([first, second])
    assert images["b"].frame == images.frame == first.frame
    east = 0.001 * 3600 * np.cos(np.radians(30.0))
    np.testing.assert_allclose(images["b"].centre, [east, 0.0], atol=1e-4)
    assert images.bands == ("r",) and images.band_index == (0, 0) and len(images) == 2


def test_stacks_hold_every_image(build):
    images = ImageSet(
        [
            make(build, name="a"),
            make(build, name="b", shape=(39, 50)),
            make(build, name="c", shape=(80, 81), scale=0.15),
        ]
    )
    assert sorted(i for members in images.members for i in members) == [0, 1, 2]
    rebuilt = jax.tree.map(lambda a: a, images)
    for image, again in zip(images, rebuilt, strict=True):
        assert again.shape == image.shape and again.name == image.name
        np.testing.assert_allclose(again.data, image.data, rtol=1e-6)
        np.testing.assert_allclose(again.invvar, image.invvar, rtol=1e-6)
    assert "inside a compiled program" in repr(rebuilt)


def test_a_name_that_no_image_has(build):
    images = ImageSet([make(build, name="a"), make(build, name="b")])
    with pytest.raises(KeyError, match="no image is called 'z'; there are a, b"):
        images["z"]
    with pytest.raises(TypeError, match="no slices"):
        images[:1]


def test_sets_that_are_none(build):
    with pytest.raises(ValueError, match="2 images are called 'r'"):
        ImageSet([make(build), make(build)])
    with pytest.raises(ValueError, match="do not overlap on the sky"):
        ImageSet([make(build, name="a"), make(build, name="b", wcs=build.wcs(SHAPE, ra=150.1))])
    with pytest.raises(ValueError, match="at least one image"):
        ImageSet([])
    with pytest.raises(TypeError, match="got ndarray"):
        ImageSet([np.zeros((3, 3))])


def test_a_stamp_larger_than_the_image_is_fine(build):
    y, x = np.mgrid[-60:61, -60:61]
    stamp = np.exp(-0.5 * (x**2 + y**2) / 2.0**2)
    image = make(build, shape=(16, 16), psf=PSF(stamp / stamp.sum()))
    assert np.all(np.isfinite(image.transfer))


def test_reprs_are_short(build):
    images = ImageSet([make(build)])
    assert repr(images).count("\n") == 1
    assert images._repr_html_().startswith("ImageSet of 1 images")
