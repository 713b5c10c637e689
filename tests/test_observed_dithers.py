"""An observed exposure as others predict it: dithers in g and r at other seeings, nothing resampled."""

import numpy as np
import pytest

import bayesjoint as bj

pytestmark = [pytest.mark.loose, pytest.mark.filterwarnings("ignore:.*PSF", "ignore:.*outside its stamp")]
USED, LEFT_OUT = ("g1", "g3", "r1", "r2"), "g2"  # at 1.0 to 1.2 arcsec, at 1.5


def galaxy(images):
    structure = bj.sample_structure("galaxy", images)
    bj.observe(images, bj.Sersic(**structure, Ie=bj.sample_brightness("galaxy", images, structure)))


def test_an_exposure_left_out(observed):
    """Its pixels and its flux are within errors."""
    folder = observed / "decam_dithers_2447p120"
    read = {n: bj.read_image(folder / f"{n}.fits", name=n, band=n[0]) for n in (*USED, LEFT_OUT)}
    images = bj.ImageSet([read[name] for name in USED])
    fit = bj.fit_map(galaxy, images, progress=False)
    image, values = read[LEFT_OUT].with_frame(images.frame), fit.values
    place = (values["galaxy_east"], values["galaxy_north"])
    shape = {name: values[f"galaxy_{name}"] for name in ("q", "pa", "n", "Re")}
    model = np.asarray(bj.render(image, bj.Sersic(place, **shape, Ie=values["galaxy_Ie"][0])))
    weighted = image.invvar * model
    ratio, noise = np.sum(weighted * image.data) / np.sum(weighted * model), np.sum(weighted * model) ** -0.5
    error = np.hypot(noise, fit.errors["galaxy_flux"][0] / values["galaxy_flux"][0])
    assert fit.converged and error < 0.02
    assert abs(ratio - 1) < 3 * error
    chi2 = np.sum(image.invvar * (image.data - model) ** 2) / image.number_used
    assert abs(chi2 - 1) < 4 * np.sqrt(2 / image.number_used)
