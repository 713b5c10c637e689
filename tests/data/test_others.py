"""What is detected and not modelled, through the sky to the pixels of other images."""

import numpy as np
from astropy.table import Table
from astropy.wcs import Sip
from helpers.blobs import blobs
from helpers.scenes import make_image, make_wcs

from bayesjoint.data.others import others_mask


def test_pixels_that_a_distortion_does_not_reach_are_not_masked():
    """Distortion of a small image has no inverse 100 arcsec from it, where a wide one still has pixels."""
    wcs, terms = make_wcs((40, 40), sip=True), np.zeros((3, 3))
    terms[2, 0] = 1e-3
    wcs.sip = Sip(terms, terms.T, None, None, wcs.wcs.crpix)
    detected = blobs((20.0, 20.0, 900.0, 2.0), shape=(40, 40), wcs=wcs)
    labels = np.zeros(detected.shape, int)
    labels[12:28, 12:28] = 1
    none = Table({"label": np.zeros(0, int)}, meta={"segmentation": labels})
    mask = others_mask(make_image((120, 120), 3.0, name="wide"), detected, none)
    y, x = np.nonzero(mask)
    assert 1 <= mask.sum() <= 16 and np.all(np.abs([y - 59.5, x - 59.5]) < 4)
