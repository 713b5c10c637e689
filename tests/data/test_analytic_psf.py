"""PSFs in closed form: Airy patterns against GalSim and brute force, Gaussian mixtures, and pixels too coarse."""

import warnings

import galsim
import numpy as np
import pytest
from helpers.scenes import make_image
from scipy import optimize

from bayesjoint.data.airy import ARCSEC_PER_RADIAN, airy_psf
from bayesjoint.data.analytic_psf import AnalyticPSF, gaussian_mixture_psf, gaussian_psf, moffat_psf
from bayesjoint.data.transfer import MAX_ORDER, folded_transfer

OBSCURATIONS = (0.0, 0.33, 0.6)


def unit_airy(obscuration=0.0, lambda_over_diameter=1.0):
    return airy_psf(1e6 * lambda_over_diameter / ARCSEC_PER_RADIAN, 1.0, obscuration)


@pytest.mark.parametrize("obscuration", OBSCURATIONS)
def test_airy_is_galsims(obscuration):
    """Reached: 2e-15, but at the joint (1 + obscuration) / 2, where GalSim's own is off by 1e-8 or NaN."""
    fine = galsim.GSParams(kvalue_accuracy=1e-10, maxk_threshold=1e-6)
    peer = galsim.Airy(lam_over_diam=1.0, obscuration=obscuration, gsparams=fine)
    frequency = np.linspace(0, 1.2, 89)
    frequency = frequency[np.abs(np.abs(2 * frequency - 1) - obscuration) > 1e-6]
    expected = [peer.kValue(2 * np.pi * nu, 0).real for nu in frequency]
    seen = unit_airy(obscuration).optical(2 * np.pi * frequency)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-10)
    assert seen[0] == pytest.approx(1, abs=1e-15) and np.all(seen[frequency >= 1] == 0)


@pytest.mark.parametrize("obscuration", OBSCURATIONS)
def test_airy_is_the_pupil_s_overlap_with_itself(obscuration):
    """Counted on a grid of the pupil, to the grid's error."""
    axis = (np.arange(2001) - 1000) / 900
    pupil = np.hypot(axis, axis[:, None])
    pupil = (pupil <= 1) & (pupil >= obscuration)
    for steps in (0, 225, 315, 720, 1080, 1440, 1710, 1800):
        overlap = np.sum(pupil[:, steps:] & pupil[:, : pupil.shape[1] - steps]) / pupil.sum()
        seen = unit_airy(obscuration).optical(np.array(2 * np.pi * steps / 1800))
        assert seen == pytest.approx(overlap, abs=1e-4)


@pytest.mark.parametrize("obscuration", OBSCURATIONS)
def test_fwhm_of_airy(obscuration):
    """Where GalSim's pattern passes half its peak."""
    peer = galsim.Airy(lam_over_diam=1.0, obscuration=obscuration)
    half = optimize.brentq(lambda r: peer.xValue(r, 0) / peer.xValue(0, 0) - 0.5, 0.1, 1.0)
    assert unit_airy(obscuration).fwhm == pytest.approx(2 * half, rel=1e-6)
    assert unit_airy(obscuration, 0.07).fwhm_arcsec(0.05) == pytest.approx(0.14 * half, rel=1e-6)


def test_airy_of_a_telescope():
    psf = airy_psf(0.55, 2.4)
    assert psf.lambda_over_diameter == pytest.approx(0.0473, abs=1e-4)
    assert psf.fwhm / psf.lambda_over_diameter == pytest.approx(1.02899, abs=1e-5)


@pytest.mark.parametrize(
    "fwhms, fractions", [([0.9, 2.2], [0.85, 0.15]), ([1.0], [1.0]), ([2, 1, 4], [0.2, 0.5, 0.3])]
)
def test_mixture_is_galsims(fwhms, fractions):
    psf = gaussian_mixture_psf(fwhms, fractions)
    peer = galsim.Sum([galsim.Gaussian(fwhm=f, flux=part) for f, part in zip(fwhms, fractions, strict=True)])
    k = np.linspace(0, 4, 9)
    np.testing.assert_allclose(psf.optical(k), [peer.kValue(each, 0).real for each in k], rtol=0, atol=1e-12)
    assert peer.xValue(psf.fwhm / 2, 0) == pytest.approx(peer.xValue(0, 0) / 2, rel=1e-10)
    assert psf.half_width(0.3) == gaussian_psf(max(fwhms)).half_width(0.3)


def test_fractions_of_a_mixture():
    with pytest.warns(UserWarning, match=r"summed to 2; they were normalised"):
        assert gaussian_mixture_psf([1, 2], [1, 1]).fractions == (0.5, 0.5)
    with pytest.raises(ValueError, match=r"each fraction of a mixture .* must be a positive number, got -0"):
        gaussian_mixture_psf([1, 2], [1.1, -0.1])
    with pytest.raises(ValueError, match="each FWHM of a mixture"):
        gaussian_mixture_psf([0, 2], [0.5, 0.5])
    with pytest.raises(ValueError, match="2 FWHMs and 1 fractions"):
        gaussian_mixture_psf([1, 2], [1.0])
    with pytest.raises(ValueError, match="0 FWHMs"):
        gaussian_mixture_psf([], [])


@pytest.mark.parametrize("obscuration", [1.0, -0.1, np.nan, "0.3", True])
def test_obscurations_that_cannot_be(obscuration):
    with pytest.raises(ValueError, match="from 0 to below 1, got"):
        airy_psf(0.8, 2.4, obscuration)


def test_apertures_that_cannot_be():
    with pytest.raises(ValueError, match=r"diameter \(m\) must be a positive number, got 0"):
        airy_psf(0.8, 0)
    with pytest.raises(ValueError, match=r"wavelength \(micron\) must be a positive number"):
        airy_psf(-0.8, 2.4)


@pytest.mark.parametrize("pixel", [1.0, 2.9])
def test_folded_orders_hold_airy_up_to_pixels_of_three_lambda_over_diameter(pixel):
    """No transfer is left out: with all that the orders hold, it is zero beyond."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folded_transfer(unit_airy(0.3), (32, 32), np.eye(2) / pixel)


@pytest.mark.parametrize(
    "psf, about",
    [(unit_airy(0.3, 1 / 4), "0.007"), (unit_airy(0.3, 1 / 3.5), "0.002"), (gaussian_psf(0.3), "0.002")],
)
def test_pixels_too_coarse_for_the_folded_orders_are_told(psf, about):
    """A star's error, measured beside the quadrature of GalSim's pattern: 0.01, 0.002, 0.001 of the peak."""
    with pytest.warns(
        UserWarning, match=f"{MAX_ORDER} folded orders do not hold it.*about {about} of its peak"
    ):
        folded_transfer(psf, (32, 32), np.eye(2))


def test_another_family_is_one_class():
    class Exponential(AnalyticPSF):
        fwhm = 1.0

        def optical(self, k):
            return (1 + k**2) ** -1.5

        def extent(self):
            return 10.0

    image = make_image((40, 40), 0.3, Exponential())
    assert 'PSF FWHM 1.00"' in repr(image) and image.transfer[0, 0, 0] == pytest.approx(1.0)


def test_psfs_that_an_image_refuses():
    for wrong in (1.2, gaussian_psf, moffat_psf):
        with pytest.raises(TypeError, match="psf must be"):
            make_image((40, 40), 0.3, wrong)
