"""Reading FITS: every form understood, arguments over files, cutouts, names, and files that are refused."""

import gzip
import re

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from bayesjoint.data.airy import airy_psf
from bayesjoint.data.analytic_psf import GaussianPSF, gaussian_psf, moffat_psf
from bayesjoint.data.fits import read_image, read_images, read_psf
from bayesjoint.data.psf import PSF
from bayesjoint.data.psf_basis import VaryingPSF

SHAPE = (40, 50)
PSF_SPEC = "gaussian:1.12"


def noise(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape)


def stamp(sigma=2.0, half=12):
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    pixels = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    return pixels / pixels.sum()


@pytest.fixture
def write(build, tmp_path):
    """Write a FITS file of noise with WCS, zero point, band and PSF; keywords change or (None) drop these."""

    def writer(name="r.fits", data=None, wcs="default", psf=True, extensions=None, **keywords):
        data = noise() if data is None else data
        wcs = build.wcs(data.shape[-2:]) if isinstance(wcs, str) else wcs
        extensions = {**({"PSF": stamp()} if psf else {}), **(extensions or {})}
        given = {"ZPT": 25.0, "BAND": "r", **keywords}
        return build.fits(
            tmp_path / name, data, wcs, extensions, **{k: v for k, v in given.items() if v is not None}
        )

    return writer


def test_a_whole_file(write):
    path = write(extensions={"INVVAR": np.full(SHAPE, 2.0), "MASK": np.eye(40, 50)}, MJD_OBS=57000.5)
    image = read_image(path)
    assert (image.name, image.band, image.zeropoint, float(image.time)) == ("r", "r", 25.0, 57000.5)
    assert image.number_used == 2000 - 40
    assert isinstance(image.psf, PSF) and not image.noise_estimated
    to_njy = 10 ** (-0.4 * (25.0 - 31.4))
    np.testing.assert_allclose(image.data[0, 1:], noise()[0, 1:] * to_njy, rtol=1e-6)
    np.testing.assert_allclose(image.invvar[0, 1], 2.0 / to_njy**2)


@pytest.mark.parametrize("keyword", ["ZPT", "ZEROPT", "MAGZERO", "PHOTZP"])
def test_zero_point_keywords(write, keyword):
    assert read_image(write(**{"ZPT": None, keyword: 23.5})).zeropoint == 23.5


def test_filter_keyword_and_no_band_at_all(write):
    assert read_image(write(BAND=None, FILTER="Ks")).band == "Ks"
    assert read_image(write("some.fits", BAND=None)).band == "some"


def test_a_band_is_renamed_by_its_header_s_name(write):
    files = write("a.fits", BAND="i.MP9701"), write("b.fits", BAND="g")
    assert read_images(*files, band={"i.MP9701": "i"}).bands == ("i", "g")
    assert read_images(*files, band={"a": "i"}).bands == ("i", "g")


def test_a_wheel_that_is_clear_names_no_band(write):
    assert read_image(write(BAND=None, FILTER="CLEAR", PUPIL="F200W")).band == "F200W"
    assert read_image(write(BAND=None, FILTER1="CLEAR1L", FILTER2="F814W")).band == "F814W"
    assert read_image(write(BAND=None, FILTER="F150W2", PUPIL="F162M")).band == "F150W2"


@pytest.mark.parametrize("ending", ["fits.gz", "fits.fz", "fits", "fts", "FITS", "dat"])
def test_stems_know_compressed_files(write, ending, tmp_path):
    path = write("some.fits", BAND=None).rename(tmp_path / f"some.{ending}")
    if ending == "fits.gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert read_image(path).band == "some"


def test_files_of_one_name_without_a_band_are_refused(write, tmp_path):
    files = []
    for folder in ("r", "g"):
        (tmp_path / folder).mkdir()
        files.append(write("sci.fits", BAND=None).rename(tmp_path / folder / "sci.fits"))
    with pytest.raises(ValueError, match=r"name no band, and their names would make both 'sci': give band="):
        read_images(*files)
    assert read_images(*files, band=["r", "g"]).bands == ("r", "g")


@pytest.mark.parametrize(
    ("name", "value"), [("SIGMA", 0.5), ("ERR", 0.5), ("RMS", 0.5), ("VARIANCE", 0.25), ("IVAR", 4.0)]
)
def test_weight_extensions(write, name, value):
    pixels = np.full(SHAPE, value)
    pixels[0, 0] = -1.0
    with pytest.warns(UserWarning, match="1 pixels have NaN"):
        image = read_image(write(extensions={name: pixels}, ZPT=31.4))
    assert image.invvar[5, 5] == pytest.approx(4.0) and image.invvar[0, 0] == 0
    assert not image.noise_estimated and "noise estimated" not in repr(image)


def test_weights_and_flags_of_unknown_meaning_are_told(write):
    path = write(extensions={"WHT": np.full(SHAPE, 2.0), "DQ": np.eye(*SHAPE)}, ZPT=31.4)
    with pytest.warns(UserWarning) as told:
        image = read_image(path)
    said = [str(warning.message) for warning in told]
    assert any(
        f"WHT is not read and the noise is estimated from blank sky: where its pixels are inverse variances, "
        f"give invvar='{path}[WHT]'" in text
        for text in said
    )
    assert any(f"give mask='{path}[DQ]'" in text for text in said)
    assert image.noise_estimated and "noise estimated" in repr(image)
    image = read_image(path, invvar=f"{path}[WHT]", mask=f"{path}[DQ]")
    assert image.number_used == 2000 - 40 and image.invvar[0, 1] == pytest.approx(2.0)


def test_a_mask_of_bit_planes_is_refused(write):
    path = write(extensions={"MASK": np.zeros(SHAPE)})
    with fits.open(path, mode="update") as hdus:
        hdus["MASK"].header["HIERARCH MP_DETECTED"] = 5
    with pytest.raises(
        ValueError, match=r"bits of extension MASK are planes, .* \(MP_DETECTED, \.\.\.\): give mask="
    ):
        read_image(path)


def test_extensions_are_those_of_the_same_detector(build, tmp_path):
    """Of a file of two chips each has its own errors."""
    header = build.wcs(SHAPE).to_header()
    hdus = [fits.PrimaryHDU()]
    for version in (1, 2):
        hdus.append(fits.ImageHDU(noise(), header, name="SCI", ver=version))
        hdus.append(fits.ImageHDU(np.full(SHAPE, float(version)), name="ERR", ver=version))
    path = tmp_path / "chips.fits"
    fits.HDUList(hdus).writeto(path)
    hdus += [fits.ImageHDU(np.eye(*SHAPE), name="DQ", ver=version) for version in (1, 2)]
    fits.HDUList(hdus).writeto(tmp_path / "flagged.fits")
    with pytest.warns(UserWarning, match=r"give mask='.*flagged.fits\[6\]'"):
        read_image(tmp_path / "flagged.fits", hdu=3, zeropoint=31.4, psf=PSF_SPEC)
    for hdu, sigma in ((1, 1.0), (3, 2.0), (("SCI", 2), 2.0)):
        image = read_image(path, hdu=hdu, zeropoint=31.4, psf=PSF_SPEC)
        np.testing.assert_allclose(image.invvar, sigma**-2.0)


def test_times_are_given_or_told(write):
    assert float(read_image(write(), time=58000.5).time) == 58000.5
    with pytest.warns(UserWarning, match="MJD-OBS must be a number, got 'soon'.*read without a time"):
        assert read_image(write(MJD_OBS="soon")).time is None
    images = read_images(write("a.fits"), write("b.fits", BAND="g"), time={"a": 1.0, "g": 2.0})
    np.testing.assert_array_equal(images.times, [1.0, 2.0])


def test_a_psf_that_varies_keeps_its_places_in_a_cutout(write):
    """The stamp that a source gets follows from its place in the file."""
    places = [(0.0, 0.0), (49.0, 0.0), (0.0, 39.0), (49.0, 39.0)]
    psf = VaryingPSF([stamp(s) for s in (1.6, 2.4, 1.7, 2.5)], places)
    path = write()
    whole = read_image(path, psf=psf)
    x, y = 38.0, 30.0
    sky = SkyCoord(*whole.wcs.all_pix2world(x, y, 0), unit="deg")
    cut = read_image(path, psf=psf, position=sky, size=16 * whole.pixel_scale)
    here = cut.wcs.all_world2pix(sky.ra.deg, sky.dec.deg, 0)
    assert np.max(np.abs(np.array(here) - (x, y))) > 10
    of_cut, of_whole = (
        np.tensordot(p.nominal(np.array(place)), p.stamps, axes=1)
        for p, place in ((cut.psf, here), (psf, (x, y)))
    )
    np.testing.assert_allclose(of_cut, of_whole, atol=1e-6 * of_whole.max())


def test_data_in_the_first_image_extension(build, tmp_path):
    header = build.wcs(SHAPE).to_header()
    header["BAND"] = "J"
    hdus = [fits.PrimaryHDU(), fits.CompImageHDU(noise().astype("f4"), header, name="SCI")]
    hdus[0].header["MAGZERO"] = 27.0
    fits.HDUList(hdus).writeto(tmp_path / "c.fits")
    image = read_image(tmp_path / "c.fits", psf=PSF_SPEC)
    assert (image.shape, image.band, image.zeropoint) == (SHAPE, "J", 27.0)
    assert read_image(tmp_path / "c.fits", psf=PSF_SPEC, hdu="SCI").shape == SHAPE
    for hdu in (0, 7, "NONE"):
        with pytest.raises(ValueError, match="HDU"):
            read_image(tmp_path / "c.fits", psf=PSF_SPEC, hdu=hdu)


def test_planes_of_cubes(write):
    assert read_image(write(data=noise()[None])).shape == SHAPE
    with pytest.raises(ValueError, match=r"shape \(3, 40, 50\); give one plane"):
        read_image(write(data=np.stack([noise()] * 3)))


def test_arguments_beat_the_file(write, build, tmp_path):
    path = write(extensions={"INVVAR": np.ones(SHAPE), "MASK": np.eye(40, 50)})
    mask = build.fits(tmp_path / "mask.fits", np.zeros(SHAPE))
    image = read_image(
        path,
        band="g",
        name="n",
        zeropoint=31.4,
        psf=moffat_psf(1.0, 3.0),
        invvar=np.full(SHAPE, 9.0),
        mask=mask,
    )
    assert (image.band, image.name, image.zeropoint, image.psf) == ("g", "n", 31.4, moffat_psf(1.0, 3.0))
    assert np.all(image.invvar == 9.0)


def test_psf_sources(write, build, tmp_path):
    assert read_psf("gaussian:1.12") == GaussianPSF(1.12)
    assert read_psf("Moffat:0.9:3.5") == moffat_psf(0.9, 3.5)
    path = build.fits(tmp_path / "psf.fits", stamp(3.5), OVERSAMP=2, PIXINCL=False)
    psf = read_psf(path)
    assert (psf.oversampling, psf.includes_pixel) == (2, False)
    assert isinstance(read_psf(write()), PSF) and read_psf(write()).stamp.shape == (25, 25)
    assert read_psf("airy:0.8:2.4:0.33") == airy_psf(0.8, 2.4, 0.33) and read_psf("airy:0.8:2.4") == airy_psf(
        0.8, 2.4
    )
    for wrong in ["gaussian", "gaussian:a", "moffat:1", "gaussian:1:2", "airy:0.8"]:
        with pytest.raises(ValueError, match=re.escape(f"psf {wrong!r} is not understood")):
            read_psf(wrong)
    with pytest.raises(ValueError, match="must be a positive number"):
        read_psf("gaussian:-1")
    with pytest.raises(
        ValueError, match=r"psf 'moffat:1:1': .* only with beta > 1, got beta 1: give a larger one"
    ):
        read_psf("moffat:1:1")
    with pytest.raises(FileNotFoundError, match="gaussian:FWHM"):
        read_psf("gausian:1.1")
    with pytest.raises(TypeError, match="got float"):
        read_psf(1.12)


@pytest.mark.parametrize("angle, sip", [(0.0, False), (40.0, True)])
def test_cutouts_keep_the_sky(write, build, angle, sip):
    wcs = build.wcs((100, 120), 0.3, angle, sip=sip)
    path = write(
        data=noise(shape=(100, 120)), wcs=wcs, extensions={"INVVAR": 1 + np.arange(12000).reshape(100, 120)}
    )
    position = tuple(float(v) for v in wcs.all_pix2world(70, 30, 0))
    whole, cut = read_image(path), read_image(path, position=position, size=(6.0, 9.0))
    assert cut.shape == (20, 30)
    x, y = cut.wcs.all_world2pix(*position, 0)
    full = np.array([70, 30]) - [round(float(x)), round(float(y))]
    np.testing.assert_array_equal(cut.data, whole.data[full[1] : full[1] + 20, full[0] : full[0] + 30])
    np.testing.assert_array_equal(cut.invvar, whole.invvar[full[1] : full[1] + 20, full[0] : full[0] + 30])
    np.testing.assert_allclose(
        cut.wcs.all_pix2world(3, 4, 0), whole.wcs.all_pix2world(full[0] + 3, full[1] + 4, 0), rtol=1e-11
    )
    assert read_image(path, position=SkyCoord(*position, unit="deg"), size=6).shape == (20, 20)
    with pytest.raises(ValueError, match="lies outside the image"):
        read_image(path, position=(151.0, 30.0), size=6)
    for size in ["6", -1.0, (1, 2, 3), np.nan]:
        with pytest.raises(ValueError, match="size must be a positive number of arcsec"):
            read_image(path, size=size)


def test_cutouts_of_a_set_share_their_centre(write, build):
    write("a.fits", BAND="a")
    b = write("b.fits", BAND="b", wcs=build.wcs(SHAPE, ra=150.001))
    images = read_images(b.with_name("a.fits"), b, size=4.2)
    assert images["a"].shape == images["b"].shape == (14, 14)
    assert np.hypot(*(images["b"].centre - images["a"].centre)) < 0.3


def test_a_file_given_twice_is_refused(write):
    path = write()
    with pytest.raises(
        ValueError, match="is given twice, and its pixels would count twice: give each file once"
    ):
        read_images(path, path)


def test_a_cutout_of_a_few_pixels_is_refused(write):
    with pytest.raises(ValueError, match=r"a size of 0.5 arcsec is [0-9] pixels .*: give at least"):
        read_image(write(), size=0.5)


def test_names(write):
    paths = [write("x.fits", BAND="g"), write("y.fits", BAND="r"), write("z.fits", BAND="r")]
    assert read_images(*paths).names == ("g", "y", "z")
    assert read_images(paths).bands == ("g", "r")
    for folder in ("b", "c"):
        (paths[0].parent / folder).mkdir()
    again = [write(f"{folder}/x.fits", BAND="g") for folder in ("b", "c")]
    assert read_images(paths[0], *again).names == ("x", "x-2", "x-3")
    assert read_images(*paths, names=["a", "b", "c"]).names == ("a", "b", "c")
    with pytest.raises(ValueError, match="2 images are called 'a'"):
        read_images(*paths[:2], names=["a", "a"])
    with pytest.raises(TypeError, match="got the string 'ab'"):
        read_images(*paths[:2], names="ab")


def test_values_for_each_image(write):
    paths = [write("x.fits", BAND="g"), write("y.fits", BAND="r")]
    assert [im.zeropoint for im in read_images(*paths, zeropoint=20.0)] == [20.0, 20.0]
    assert [im.zeropoint for im in read_images(*paths, zeropoint=[20.0, 21.0])] == [20.0, 21.0]
    assert [im.zeropoint for im in read_images(*paths, zeropoint={"x": 20.0})] == [20.0, 25.0]
    images = read_images(*paths, psf={"r": "gaussian:0.9"}, band=["u", "r"])
    assert (
        images.bands == ("u", "r") and images[1].psf == gaussian_psf(0.9) and isinstance(images[0].psf, PSF)
    )
    with pytest.raises(ValueError, match="zeropoint has 3 values for 2 images"):
        read_images(*paths, zeropoint=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="psf has the key 'K'"):
        read_images(*paths, psf={"K": "gaussian:0.9"})
    with pytest.raises(ValueError, match="at least one FITS file"):
        read_images()


def test_what_a_file_lacks_is_said_with_the_mending(write):
    with pytest.raises(ValueError, match=r"r.fits: no zero point .*zeropoint=22.5 .*--zeropoint 22.5"):
        read_image(write(ZPT=None))
    with pytest.raises(ValueError, match=r"r.fits: no PSF .*psf='gaussian:1.12' .*--psf gaussian:1.12"):
        read_image(write(psf=False))
    with pytest.raises(ValueError, match=r"r.fits: the header has no celestial WCS .*wcs="):
        read_image(write(wcs=None))
    with pytest.raises(ValueError, match="keyword ZPT must be a number, got 'high'"):
        read_image(write(ZPT="high"))


def test_files_that_are_none(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*missing.fits"):
        read_image(tmp_path / "missing.fits")
    text = tmp_path / "text.fits"
    text.write_text("no FITS at all")
    with pytest.raises(ValueError, match="is not a FITS file"):
        read_image(text)
    with pytest.raises(ValueError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(TypeError, match="must be a string or a Path, got int"):
        read_images(5)
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "empty.fits")
    with pytest.raises(ValueError, match="no HDU holds an image"):
        read_image(tmp_path / "empty.fits")


@pytest.mark.filterwarnings("ignore:.*truncated")
def test_a_file_cut_short(write):
    path = write(psf=False)
    path.write_bytes(path.read_bytes()[:8640])
    with pytest.raises(ValueError, match=r"r.fits.*(cut short|FITS file)"):
        read_image(path, psf=PSF_SPEC)


def test_bad_contents_name_the_file(write):
    with pytest.raises(ValueError, match=r"r.fits: the invvar has shape \(3, 3\), the data \(40, 50\)"):
        read_image(write(extensions={"INVVAR": np.ones((3, 3))}))
    with pytest.raises(ValueError, match=r"r.fits: the mask has shape"):
        read_image(write(), mask=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"r.fits.*no pixel carries weight"):
        read_image(write(extensions={"INVVAR": np.zeros(SHAPE)}))
    with pytest.raises(ValueError, match=r"r.fits\[PSF\]: the PSF stamp has 625 NaN"):
        read_image(write(extensions={"PSF": np.full((25, 25), np.nan)}))
    with pytest.raises(ValueError, match=r"r.fits\[PSF\]: the PSF stamp sums to -1"):
        read_image(write(extensions={"PSF": -stamp()}))
    with pytest.raises(TypeError, match=r"r.fits.*zeropoint .* got '22.5'"):
        read_image(write(), zeropoint="22.5")
    with pytest.warns(UserWarning, match=r"r.fits\[PSF\]: the PSF stamp summed to 2"):
        read_image(write(extensions={"PSF": 2 * stamp()}))
    negative = np.ones(SHAPE)
    negative[0, :7] = -1
    with pytest.warns(UserWarning, match=r"r.fits: image 'r': 7 pixels have"):
        read_image(write(extensions={"INVVAR": negative}))


def test_skies_that_do_not_overlap(write, build):
    paths = [write("a.fits", BAND="a"), write("b.fits", BAND="b", wcs=build.wcs(SHAPE, ra=151.0))]
    with pytest.raises(ValueError, match="do not overlap"):
        read_images(*paths)
    with pytest.raises(ValueError, match="lies outside every image"):
        read_images(paths[0], position=(151.0, 30.0))


@pytest.mark.filterwarnings("ignore:.*not oversampled")
def test_observed_files(observed):
    images = read_images(*sorted((observed / "decam_dithers_2447p120").glob("*.fits")))
    assert images.names == ("g1", "g2", "g3", "r1", "r2", "z1", "z2", "z3")
    assert images.bands == ("decam_g", "decam_r", "decam_z")
    assert images["r1"].time == pytest.approx(57110.3551, abs=1e-3)
    assert images["r1"].pixel_scale == pytest.approx(0.2636, abs=1e-4)
