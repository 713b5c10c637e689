"""The figure of structure against wavelength shows draws, single bands with their errors, and names the bands."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.drawn import posterior_of
from helpers.scenes import make_image

import bayesjoint as bj

WAVELENGTHS = {"SDSS_g": 0.48, "SDSS_r": 0.62, "SDSS_z": 0.91}


@pytest.fixture(scope="module")
def posterior():
    images = bj.ImageSet([make_image((8, 8), 0.5, bj.gaussian_psf(1.0), name=b, band=b) for b in WAVELENGTHS])
    rng = np.random.default_rng(3)
    values = {
        "galaxy_n": np.array([1.0, 1.5, 2.0]) + 0.1 * rng.normal(size=(2, 200, 3)),
        "galaxy_Re": 1.5 + 0.05 * rng.normal(size=(2, 200)),
        "galaxy_flux": np.ones((2, 200, 3)),
    }
    return posterior_of(None, images, values)


def test_medians_intervals_and_single_bands(posterior):
    errors = {"galaxy_n": 0.2, "galaxy_Re": 0.1}
    alone = SimpleNamespace(values={"galaxy_n": np.array([1.3]), "galaxy_Re": 1.4}, errors=errors)
    figure = posterior.plot_wavelength(WAVELENGTHS, singles={"SDSS_r": alone}, label="trend")
    Re, n = figure.axes
    np.testing.assert_allclose(n.lines[0].get_ydata(), np.median(posterior.values("galaxy_n"), axis=(0, 1)))
    assert np.ptp(Re.lines[0].get_ydata()) == 0 and n.lines[0].get_label() == "trend"
    (bars,) = n.containers
    np.testing.assert_allclose(bars[2][0].get_segments()[0], [[0.62, 1.1], [0.62, 1.5]])
    assert [t.get_text() for t in Re.texts] == ["g", "r", "z"]
    assert Re.get_ylabel() == r"$R_\mathrm{e}$ [arcsec]" and n.get_xlabel() == "wavelength"


def test_posteriors_lie_over_one_another_and_stand_for_single_bands(posterior):
    figure = posterior.plot_wavelength(WAVELENGTHS, parameters=("n",))
    again = posterior.plot_wavelength(WAVELENGTHS, parameters=("n",), axes=figure.axes, colour="red")
    assert again is figure and len(figure.axes[0].collections) == 4
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names and len(set(names)) == len(names)


def test_what_is_refused(posterior):
    with pytest.raises(ValueError, match="wavelengths lacks SDSS_z"):
        posterior.plot_wavelength({"SDSS_g": 0.48, "SDSS_r": 0.62})
    with pytest.raises(ValueError, match="'galaxy' has no 'q' to plot: there are n, Re, flux, mag"):
        posterior.plot_wavelength(WAVELENGTHS, parameters=("q",))
