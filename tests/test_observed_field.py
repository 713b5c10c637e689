"""An observed field: ten sources at 1 arcsec in z, carried into W1 and W2, which see them at 6.4 arcsec."""

import numpy as np
import pytest

import bayesjoint as bj

pytestmark = [
    pytest.mark.loose,
    pytest.mark.filterwarnings("ignore:.*outside its stamp", "ignore:.*outermost", "ignore:.*FWHM"),
]


@pytest.fixture(scope="module")
def images(observed):
    files = (observed / "decam_unwise_1867p255" / f"{name}.fits" for name in ("z", "W1", "W2"))
    found = bj.read_images(*files)
    return found.with_sources(bj.find_sources(found))


def test_stars_and_the_inclined_galaxy(images):
    """Four bright stars and one resolved galaxy, at 186.74928 +25.46196."""
    sources = images.sources
    place = np.array(images.frame.offsets(186.74928, 25.46196))
    galaxy = int(np.argmin(np.hypot(*(np.asarray(sources.position) - place).T)))
    assert sources.kinds[galaxy] == "galaxy" and sources.kinds.count("star") >= 3
    assert sources.names[galaxy] == "s2" and sources.kinds[0] == "star"


def test_fit(images):
    fit = bj.fit_map(bj.scene_model(), images)
    assert fit.converged
    chi2 = dict(zip(images.names, fit.chi2 / fit.pixels, strict=True))
    assert abs(chi2["decam_z"] - 1) < 0.05
    magnitude = 31.4 - 2.5 * np.log10(fit.values["s2_flux"])
    # of the survey's catalogue, whose model of it is an exponential
    assert np.all(np.abs(magnitude - [18.15, 18.65, 19.24]) < 0.35)
    assert 0.2 < fit.values["s2_q"] < 0.4
