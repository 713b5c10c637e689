"""An observed galaxy, j0056m0021, against an independent exact-transform fit of each band alone."""

import numpy as np
import pytest

import bayesjoint as bj

# the PSF stamp of i is cut where 2 % of the light lies outside
pytestmark = [pytest.mark.loose, pytest.mark.filterwarnings("ignore:.*outside its stamp")]

# magnitude, n, Re (arcsec) and chi-squared per pixel of that fit, with a flat sky
INDEPENDENT = {
    "g": (17.457, 1.590, 1.759, 0.972),
    "r": (16.882, 1.843, 1.635, 1.007),
    "i": (16.533, 1.906, 1.589, 1.242),
    "z": (16.332, 2.028, 1.591, 1.192),
}


@pytest.fixture(scope="module")
def fits(observed):
    """The fit of each band alone."""
    program = bj.joint_model()
    files = {band: observed / "j0056m0021" / f"{band}.fits" for band in INDEPENDENT}
    return {band: bj.fit_map(program, bj.read_images(file)) for band, file in files.items()}


@pytest.mark.parametrize("band", INDEPENDENT)
def test_each_band_alone(fits, band):
    """Within one sigma in every figure, from the automatic start."""
    fit, (mag, n, Re, chi2) = fits[band], INDEPENDENT[band]
    flux = float(fit.values["galaxy_flux"][0])
    assert abs(31.4 - 2.5 * np.log10(flux) - mag) < max(
        0.0006, 1.09 * float(fit.errors["galaxy_flux"][0]) / flux
    )
    for name, value in (("n", n), ("Re", Re)):
        assert abs(float(fit.values[f"galaxy_{name}"]) - value) < float(fit.errors[f"galaxy_{name}"])
    assert 0.79 - 0.002 < float(fit.values["galaxy_q"]) < 0.80 + 0.002
    assert 166.5 < float(fit.values["galaxy_pa"]) < 169.5
    assert fit.converged and fit.images[0].chi2_per_pixel == pytest.approx(chi2, abs=0.002)


def test_structure_changes_with_wavelength(observed):
    """With Re and n free in each band, the galaxy is smaller and more concentrated in the red."""
    files = [observed / "j0056m0021" / f"{band}.fits" for band in INDEPENDENT]
    fit = bj.fit_map(bj.joint_model(per_band=("n", "Re")), bj.read_images(*files))
    Re, n = fit.values["galaxy_Re"], fit.values["galaxy_n"]
    assert fit.converged and Re[0] > Re[1] > max(Re[2:]) and np.all(np.diff(n) > 0)
    one_by_one = np.array([numbers[1:3] for numbers in INDEPENDENT.values()])
    np.testing.assert_allclose(np.stack([n, Re], axis=1), one_by_one, rtol=0.02)


def test_check_and_comparison(observed):
    """Arms that a Sersic profile lacks are told; structure free in each band predicts g and i better than a shared one."""
    images = bj.read_images(*(observed / "j0056m0021" / f"{band}.fits" for band in "gi"))
    programs = {"shared": bj.joint_model(), "free": bj.joint_model(per_band=("n", "Re"))}
    posteriors = {n: bj.sample(p, images, draws=250, progress=False) for n, p in programs.items()}
    found = bj.compare(posteriors)
    assert found.best == "free" and found.is_clear
    check = posteriors["free"].check()
    told = " ".join(f.what for f in check.verdict.findings if f.severity in ("warning", "fail"))
    assert (
        "SDSS_i: chi2 of smoothed residuals on the source" in told
        and "SDSS_g: neighbouring residuals" in told
    )
    names = [f"galaxy n SDSS_{band}" for band in "gi"]
    share = check.information.share[[check.information.labels.index(name) for name in names], :2]
    np.testing.assert_allclose(share, np.eye(2), atol=0.05)
