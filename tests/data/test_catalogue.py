"""Sources at places that are known: under masks, two in one pixel, with sizes in units, and of unknown size."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from helpers.blobs import blobs

import bayesjoint as bj

GALAXY = (30.0, 30.0, 5000.0, 4.0)


def sky_of(image, *pixels):
    """Where pixels (x, y) are."""
    return SkyCoord(image.wcs.pixel_to_world(*np.transpose(pixels)))


@pytest.mark.parametrize(("radius", "Re"), [(3.2, None), (5.0, 1.8)])
def test_a_source_whose_core_is_masked_keeps_its_light(radius, Re):
    """Where its centre has no weight within a PSF, or within the size that the catalogue says."""
    image = blobs(GALAXY, hole=(30, 30, radius))
    sky = sky_of(image, GALAXY[:2])
    known = Table({"ra": sky.ra.deg, "dec": sky.dec.deg})
    if Re is not None:
        known["Re"] = [Re]
    images = bj.ImageSet([image])
    found = bj.find_sources(images, catalogue=known)
    assert found["snr"][0] > 20 and found["kind"][0] == "galaxy"
    assert images.with_sources(found, mask_others=True)["r"].number_used == image.number_used


def test_two_places_in_one_pixel_are_both_measured():
    image = blobs(GALAXY)
    found = bj.find_sources(image, catalogue=sky_of(image, (29.8, 30.0), (30.2, 30.0)))
    assert found["snr"].min() > 20


def test_sizes_and_angles_in_units_and_not_known():
    image = blobs(GALAXY, (12.0, 12.0, 2000.0, 2.0))
    sky = sky_of(image, GALAXY[:2], (12.0, 12.0))
    known = QTable({"ra": sky.ra.to(u.hourangle), "dec": sky.dec, "pa": [0.5, 1.0] * u.rad})
    known["Re"] = [0.02, np.nan] * u.arcmin
    plain = Table({"ra": sky.ra.deg, "dec": sky.dec.deg, "Re": np.array([1.2, np.nan], np.float32)})
    for catalogue in (known, plain):
        found = bj.find_sources(image, catalogue=catalogue)
        assert found["Re"][0] == pytest.approx(1.2) and 0.2 < found["Re"][1] < 1.2
        np.testing.assert_allclose(found["ra"], sky.ra.deg, rtol=0, atol=1e-8)
        if catalogue is known:
            np.testing.assert_allclose(found["pa"], np.degrees([0.5, 1.0]))
    assert known["Re"].unit == u.arcmin
    known["Re"] = [1.0, 2.0] * u.kg
    with pytest.raises(ValueError, match="the catalogue has Re in kg: give it in arcsec"):
        bj.find_sources(image, catalogue=known)
