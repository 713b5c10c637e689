"""Transfer functions against GalSim, folded orders against direct sampling, and bad stamps."""

import warnings

import galsim
import numpy as np
import pytest
from scipy import special

from bayesjoint.data.analytic_psf import gaussian_psf, moffat_psf
from bayesjoint.data.psf import PSF
from bayesjoint.data.transfer import folded_transfer

FINE = galsim.GSParams(
    folding_threshold=1e-4, maxk_threshold=1e-6, kvalue_accuracy=1e-8, maximum_fft_size=16384
)


def grid(shape):
    return 2 * np.pi * np.fft.rfftfreq(shape[1])[None, :], 2 * np.pi * np.fft.fftfreq(shape[0])[:, None]


def point_source(psf, shape, scale, place=(0.0, 0.0)):
    """Pixels of a unit point source at pixel `place` from the middle of the lattice, all orders folded in."""
    transfer, orders = folded_transfer(psf, shape, np.diag([-1 / scale, 1 / scale]))
    kx, ky = grid(shape)
    x, y = shape[1] // 2 + place[0], shape[0] // 2 + place[1]
    spectrum = sum(
        t * np.exp(-1j * ((kx + 2 * np.pi * jx) * x + (ky + 2 * np.pi * jy) * y))
        for t, (jx, jy) in zip(transfer, orders, strict=True)
    )
    return np.fft.irfft2(spectrum, s=shape)


@pytest.mark.parametrize(
    "psf, peer",
    [
        (gaussian_psf(1.1), galsim.Gaussian(fwhm=1.1, gsparams=FINE)),
        (moffat_psf(0.9, 3.5), galsim.Moffat(beta=3.5, fwhm=0.9, gsparams=FINE)),
        (moffat_psf(1.3, 1.7), galsim.Moffat(beta=1.7, fwhm=1.3, gsparams=FINE)),
    ],
    ids=["gaussian", "moffat", "moffat-wings"],
)
def test_transfer_is_galsims_kvalue_with_its_pixel(psf, peer):
    scale = 0.3
    kx, ky = grid((24, 31))
    transfer = psf.transfer(kx, ky, np.diag([-1 / scale, 1 / scale]))
    pixel = galsim.Pixel(scale, gsparams=FINE)
    for i, j in [(0, 0), (1, 0), (0, 3), (5, 7), (20, 2), (12, 15)]:
        k = kx[0, j] / scale, ky[i, 0] / scale
        expected = (peer.kValue(*k) * pixel.kValue(*k)).real
        assert transfer[i, j] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("fwhm_px", [1.5, 2.0, 4.3])
def test_point_source_is_galsims_even_when_undersampled(fwhm_px):
    scale, shape, place = 0.5, (48, 45), (0.3, -0.2)
    pixels = point_source(gaussian_psf(fwhm_px * scale), shape, scale, place)
    peer = galsim.Gaussian(fwhm=fwhm_px * scale, gsparams=FINE).drawImage(
        nx=45, ny=48, scale=scale, offset=(place[0], place[1] + 0.5), dtype=float
    )
    assert np.abs(pixels - peer.array).max() < 2e-6 * peer.array.max()


@pytest.mark.parametrize("oversampling", [1, 2, 3])
@pytest.mark.parametrize("includes_pixel", [True, False])
def test_stamps_of_a_moffat_give_its_pixels(oversampling, includes_pixel):
    scale, shape, place = 0.3, (60, 60), (0.4, 0.1)
    peer = galsim.Convolve([galsim.Gaussian(fwhm=1.2), galsim.Gaussian(fwhm=0.4)])
    sampled = galsim.Convolve([peer, galsim.Pixel(scale)]) if includes_pixel else peer
    n = 41 * oversampling
    stamp = sampled.drawImage(nx=n, ny=n, scale=scale / oversampling, method="no_pixel", dtype=float).array
    psf = PSF(stamp / stamp.sum(), oversampling=oversampling, includes_pixel=includes_pixel)
    pixels = point_source(psf, shape, scale, place)
    expected = peer.drawImage(
        nx=60, ny=60, scale=scale, offset=(place[0] + 0.5, place[1] + 0.5), dtype=float
    ).array
    assert np.abs(pixels - expected).max() < 2e-4 * expected.max()


def test_even_stamps_are_centred_between_pixels():
    peer = galsim.Gaussian(fwhm=1.3)
    shape, scale = (50, 50), 0.3
    images = []
    for n in (30, 31):
        stamp = peer.drawImage(nx=n, ny=n, scale=scale, dtype=float).array
        images.append(point_source(PSF(stamp / stamp.sum()), shape, scale))
    assert np.abs(images[0] - images[1]).max() < 1e-5 * images[1].max()


@pytest.mark.parametrize("fwhm_px", [2.6, 4.3, 9.0])
def test_fwhm_of_stamps(fwhm_px):
    stamp = (
        galsim.Gaussian(fwhm=fwhm_px).drawImage(nx=51, ny=51, scale=1.0, method="no_pixel", dtype=float).array
    )
    psf = PSF(stamp / stamp.sum())
    assert psf.fwhm_pixels == pytest.approx(fwhm_px, rel=0.02)
    assert psf.fwhm_arcsec(0.5) == pytest.approx(0.5 * fwhm_px, rel=0.02)
    assert gaussian_psf(1.5).fwhm_arcsec(0.5) == 1.5


def test_cores_beside_the_centre_are_told():
    """As of an even stamp whose source lies on a sample, not between them."""
    y, x = np.mgrid[-32:32, -32:32]
    pixels = np.exp(-0.5 * (x**2 + y**2) / 2.0**2)
    pixels /= pixels.sum()
    with pytest.warns(UserWarning, match=r"lies at \(32.00, 32.00\), 0.71 image pixels from its centre"):
        PSF(pixels)
    assert PSF(pixels, centre=(32.0, 32.0)).centre == (32.0, 32.0)


def test_zero_frequency_carries_all_flux():
    for psf in (
        gaussian_psf(2.0),
        moffat_psf(2.0, 2.5),
        PSF(np.pad(np.outer([1.0], [1, 4, 1]) / 6, 2), oversampling=2),
    ):
        transfer, orders = folded_transfer(psf, (32, 32), np.eye(2))
        assert orders[0] == (0, 0)
        assert transfer[0, 0, 0] == pytest.approx(1.0, abs=1e-12)


def test_turned_images_see_a_round_psf_unchanged():
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]]) / 0.3
    kx, ky = grid((20, 20))
    psf = moffat_psf(1.0, 3.0)
    np.testing.assert_allclose(psf.transfer(kx, ky, turn), psf.transfer(kx, ky, np.eye(2) / 0.3), rtol=1e-10)


def test_bad_stamps_are_refused_in_words():
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        PSF([[0.0, np.nan], [1.0, 0.0]])
    with pytest.raises(ValueError, match="must be positive"):
        PSF(-np.ones((3, 3)))
    with pytest.raises(ValueError, match="two dimensions"):
        PSF(np.ones(5))
    with pytest.raises(ValueError, match="whole number"):
        PSF(np.ones((5, 5)) / 25, oversampling=1.5)
    with pytest.raises(ValueError, match=r"beta > 1, got beta 0\.9"):
        moffat_psf(1.0, 0.9)
    for fwhm in (-1.0, np.nan, "1.1"):
        with pytest.raises((ValueError, TypeError), match="must be a positive number"):
            gaussian_psf(fwhm)


def test_stamps_are_normalised_and_warned_about():
    wide = np.exp(-0.5 * (np.arange(-10, 11) / 3.0) ** 2)
    with pytest.warns(UserWarning, match="was normalised"):
        psf = PSF(np.outer(wide, wide))
    assert psf.stamp.sum() == pytest.approx(1.0)
    sharp = np.zeros((5, 5))
    sharp[2, 2] = 1.0
    with pytest.warns(UserWarning, match="not oversampled"):
        PSF(sharp)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PSF(np.outer(wide, wide) / wide.sum() ** 2)


def moffat_stamp(fwhm, beta, reach):
    """A Moffat's samples out to `reach` FWHM, FWHM in pixels, and the flux outside."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    axis = np.arange(-round(reach * fwhm), round(reach * fwhm) + 1)
    samples = (beta - 1) / np.pi / alpha**2 * (1 + (axis[:, None] ** 2 + axis**2) / alpha**2) ** -beta
    return samples / samples.sum(), 1 / samples.sum() - 1


@pytest.mark.parametrize("fwhm", [2.6, 4.0, 8.0])
@pytest.mark.parametrize("beta, reach", [(2.5, 1.5), (2.5, 2.0), (2.0, 4.0)])
def test_stamps_cut_in_their_wings_are_told(fwhm, beta, reach):
    stamp, outside = moffat_stamp(fwhm, beta, reach)
    with pytest.warns(UserWarning, match="light lies outside its stamp") as caught:
        PSF(stamp, oversampling=2)
    told = float(str(caught[0].message).split()[1]) / 100
    # cut at 1.5 FWHM, within the core, where the fall is not that of the wings yet, up to thrice too much
    assert len(caught) == 1 and 0.8 < told / outside < (1.2 if reach > 1.5 else 3)


@pytest.mark.parametrize(
    "stamp",
    [
        np.outer(*2 * (np.exp(-0.5 * (np.arange(-12, 13) / 1.7) ** 2),)),
        moffat_stamp(4.0, 3.0, 10.0)[0],
        moffat_stamp(4.0, 3.0, 5.0)[0],
        moffat_stamp(2.6, 3.5, 5.0)[0],
    ],
    ids=["gaussian", "moffat 10 FWHM", "moffat 5 FWHM", "moffat 3.5"],
)
@pytest.mark.parametrize("noise", [0.0, 3e-5])
def test_stamps_wide_enough_pass_without_a_word(stamp, noise):
    """With the noise of a star of S/N about 1000, too."""
    stamp = stamp / stamp.sum() + np.random.default_rng(1).normal(0, noise, stamp.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PSF(stamp / stamp.sum())


@pytest.mark.parametrize("oversampling", [1, 3])
@pytest.mark.parametrize("half, is_told", [(5, True), (7, False)])
def test_light_in_the_outermost_pixels_is_told(half, is_told, oversampling):
    """A Gaussian of sigma 2 pixels, cut where hardly anything is left to lie outside."""
    axis = np.arange(-half * oversampling, half * oversampling + 1) / oversampling
    wide = np.exp(-0.5 * (axis / 2.0) ** 2)
    stamp = np.outer(wide, wide) / wide.sum() ** 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PSF(stamp, oversampling=oversampling)
    assert any("larger stamp" in str(one.message) for one in caught) == is_told


class Epsf:
    """What is asked of an effective PSF model of photutils."""

    def __init__(self, data, oversampling, **origin):
        self.data, self.oversampling = data, oversampling
        self.__dict__.update(origin)


def effective_gaussian(n, oversampling, shift=(0.0, 0.0), sigma=1.2):
    """A Gaussian averaged over pixels, sampled finely about (n - 1) / 2 + shift; its sum is oversampling^2."""
    at = [(np.arange(n) - (n - 1) / 2 - s) / oversampling for s in shift]
    x, y = (
        0.5 * (special.erf((a + 0.5) / sigma / 2**0.5) - special.erf((a - 0.5) / sigma / 2**0.5)) for a in at
    )
    return np.outer(y, x)


@pytest.mark.parametrize("n", [80, 81])
@pytest.mark.parametrize("oversampling", [4, (4, 4), np.array([4, 4])], ids=["one", "pair", "array"])
def test_effective_psfs_give_a_star_s_pixels(n, oversampling):
    """To 1e-7 of the peak, wherever in the data the source lies, in either of photutils' units of `origin`."""
    shift, middle, place = np.array([2.3, -1.4]), (n - 1) / 2, (0.3, -0.2)
    shifted = effective_gaussian(n, 4, shift)
    sources = [
        Epsf(effective_gaussian(n, 4), oversampling),
        Epsf(effective_gaussian(n, 4), oversampling, origin=None),
        Epsf(effective_gaussian(n, 4) / 16, oversampling, origin=(middle, middle)),
        Epsf(shifted, oversampling, origin=middle + shift),
        Epsf(shifted, oversampling, origin=tuple((middle + shift) / 4)),
    ]
    expected = effective_gaussian(40, 1, np.array(place) + 0.5)
    for source in sources:
        psf = PSF.from_epsf(source)
        assert psf.includes_pixel and psf.oversampling == 4
        pixels = point_source(psf, (40, 40), 0.3, place)
        assert np.abs(pixels - expected).max() < 1e-7 * expected.max()
    assert "centre" in repr(psf) and "centre" not in repr(PSF.from_epsf(sources[0]))
    assert psf.half_width(0.3) == pytest.approx((n / 2 + 2.3) / 4)


def test_effective_psfs_that_cannot_be_read():
    data = effective_gaussian(61, 4)
    with pytest.raises(ValueError, match=r"oversampled \(4, 2\) times along \(y, x\); wanted the same"):
        PSF.from_epsf(Epsf(data, (4, 2)))
    with pytest.raises(TypeError, match=r"must have \.data and \.oversampling.*got ndarray"):
        PSF.from_epsf(data)
    with pytest.raises(ValueError, match=r"two dimensions, got shape \(2, 61, 61\)"):
        PSF.from_epsf(Epsf(np.stack([data, data]), 4))
    with pytest.raises(ValueError, match=r"centre must be \(x, y\) within its stamp of 61x61"):
        PSF.from_epsf(Epsf(data, 4, origin=(90, 30)))
    with pytest.warns(UserWarning, match=r"summed to 0\.9;"):
        PSF.from_epsf(Epsf(0.9 * data, 4))


def test_photutils_itself():
    """An ImagePSF evaluated on pixels, to the error of its splines."""
    psf = pytest.importorskip("photutils.psf", reason="photutils is not installed: nothing to compare with")
    middle = np.array([50.0, 50.0])
    shift = np.array([1.3, -0.7])
    model = psf.ImagePSF(
        effective_gaussian(101, 4, shift), oversampling=4, origin=middle + shift, x_0=20.3, y_0=19.8
    )
    y, x = np.mgrid[:40, :40]
    pixels = point_source(PSF.from_epsf(model), (40, 40), 0.3, (0.3, -0.2))
    np.testing.assert_allclose(pixels, model(x, y), rtol=0, atol=1e-5 * pixels.max())
