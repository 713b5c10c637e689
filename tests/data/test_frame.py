"""The sky frame against astropy's, and pixel maps against full WCS of every kind."""

import jax
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from bayesjoint.data.frame import TangentFrame, fit_pixel_map, image_centre


@pytest.mark.parametrize("ra, dec", [(187.3, 12.98), (0.001, -0.5), (359.9999, 85.0), (40.0, -89.99)])
def test_offsets_are_those_of_astropys_tan_projection(ra, dec):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [ra, dec]
    wcs.wcs.crpix, wcs.wcs.cdelt = [1, 1], [1 / 3600, 1 / 3600]
    east, north = np.random.default_rng(0).uniform(-300, 300, (2, 20))
    sky = wcs.all_pix2world(east, north, 0)
    frame = TangentFrame(ra, dec)
    np.testing.assert_allclose(frame.offsets(*sky), (east, north), atol=1e-7)
    back = SkyCoord(*frame.sky(east, north), unit="deg").separation(SkyCoord(*sky, unit="deg"))
    assert back.arcsec.max() < 1e-7


def test_small_offsets_are_spherical_offsets():
    centre, other = SkyCoord(150.0, 60.0, unit="deg"), SkyCoord(150.002, 60.001, unit="deg")
    expected = [angle.arcsec for angle in centre.spherical_offsets_to(other)]
    np.testing.assert_allclose(TangentFrame(150.0, 60.0).offsets(150.002, 60.001), expected, rtol=1e-7)


def test_the_far_side_of_the_sky_has_no_offsets():
    assert np.all(np.isnan(TangentFrame(10.0, 0.0).offsets(190.0, 0.0)))


@pytest.mark.parametrize("angle", [0.0, 33.0, 90.0, 200.0])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("sip", [False, True])
def test_pixel_map_is_the_wcs(build, angle, flipped, sip):
    shape = (120, 161)
    wcs = build.wcs(shape, angle=angle, flipped=flipped, sip=sip, dec=-70.0)
    frame = TangentFrame(150.003, -70.002)
    pixel_map = fit_pixel_map(wcs, shape, frame)
    x, y = np.random.default_rng(1).uniform(0, 120, (2, 30))
    offsets = np.array(frame.offsets(*wcs.all_pix2world(x, y, 0)))
    for offset, pixel in zip(offsets.T, np.array([x, y]).T, strict=True):
        np.testing.assert_allclose(pixel_map.pixel(offset), pixel, atol=1e-4)
    with jax.enable_x64(True):
        place, jacobian = pixel_map.linearise(offsets[:, 0])
        np.testing.assert_allclose(place, [x[0], y[0]], atol=1e-4)
        step = 1e-3 * np.eye(2)
        numeric = [
            (pixel_map.pixel(offsets[:, 0] + s) - pixel_map.pixel(offsets[:, 0] - s)) / 2e-3 for s in step
        ]
        np.testing.assert_allclose(jacobian, np.column_stack(numeric), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("form", ["CD", "PC", "CDELT", "CROTA"])
def test_headers_of_all_forms_give_one_map(form):
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 20.0, "CRVAL2": 5.0})
    header.update({"CRPIX1": 10.0, "CRPIX2": 12.0, "NAXIS": 2, "NAXIS1": 20, "NAXIS2": 24})
    scale, turn = 0.4 / 3600, np.radians(30.0 if form != "CDELT" else 0.0)
    matrix = np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    if form == "CD":
        header.update({f"CD{i + 1}_{j + 1}": matrix[i, j] for i in (0, 1) for j in (0, 1)})
    else:
        header.update({"CDELT1": -scale, "CDELT2": scale})
    if form == "PC":
        ratio = matrix / np.array([[-scale], [scale]])
        header.update({f"PC{i + 1}_{j + 1}": ratio[i, j] for i in (0, 1) for j in (0, 1)})
    if form == "CROTA":
        header["CROTA2"] = -30.0
        matrix = scale * np.array([[-np.cos(turn), -np.sin(-turn)], [-np.sin(turn), np.cos(turn)]])
    pixel_map = fit_pixel_map(WCS(header), (24, 20), TangentFrame(20.0, 5.0))
    pixel = np.array([3.0, 17.0])
    offset = matrix @ (pixel - [9.0, 11.0]) * 3600
    if form == "CROTA":
        offset = np.array(TangentFrame(20.0, 5.0).offsets(*WCS(header).all_pix2world(*pixel, 0)))
    np.testing.assert_allclose(pixel_map.pixel(offset), pixel, atol=1e-7)


def test_position_angle_of_an_offset_is_astropys(build):
    frame = TangentFrame(150.0, 30.0)
    east, north = 3 * np.sin(np.radians(40.0)), 3 * np.cos(np.radians(40.0))
    other = SkyCoord(*frame.sky(east, north), unit=u.deg)
    angle = SkyCoord(150.0, 30.0, unit="deg").position_angle(other)
    assert angle.deg == pytest.approx(40.0, abs=1e-4)


def test_image_centre(build):
    centre = image_centre(build.wcs((41, 50), angle=70.0), (41, 50))
    assert (centre.ra, centre.dec) == pytest.approx((150.0, 30.0), abs=1e-9)


def test_an_image_on_the_other_side_of_the_sky_is_refused(build):
    with pytest.raises(ValueError, match="does not reach the tangent point"):
        fit_pixel_map(build.wcs(), (40, 50), TangentFrame(330.0, -30.0))
