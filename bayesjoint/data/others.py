"""Light that is detected and not modelled: which pixels of each image it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from astropy.table import Table

    from bayesjoint.data.image import Image

ROOM = 0.5  # FWHM of an image's PSF, by which light is wider than what was detected of it


def others_mask(image: Image, detected: Image, table: Table) -> np.ndarray:
    """True (ny, nx) where an image shows light of what was detected and has no row in a table.

    Through the sky: a pixel within half a FWHM of such light, and nearer to it than to that of any source in the table.

    Parameters
    ----------
    image : Image
    detected : Image
        The one that the table's segmentation belongs to.
    table : astropy.table.Table
        As `find_sources` gave it, less the rows that are not to be modelled.
    """
    meta: Any = table.meta
    labels = np.asarray(meta["segmentation"])
    others = (labels != 0) & ~np.isin(labels, np.asarray(table["label"]))
    if not others.any():
        return np.zeros(image.shape, bool)
    to_others = np.asarray(ndimage.distance_transform_edt(~others)) * detected.pixel_scale
    own = (labels != 0) & ~others
    to_own = np.full(labels.shape, np.inf)
    if own.any():
        to_own = np.asarray(ndimage.distance_transform_edt(~own))
    reach = ROOM * image.psf.fwhm_arcsec(image.pixel_scale)
    masked = (to_others <= reach) & (to_others < to_own * detected.pixel_scale)
    y, x = np.indices(image.shape)
    sky = image.wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    # far from an image its distortion need not have an inverse
    places = np.stack(detected.wcs.all_world2pix(*sky, 0, quiet=True))[::-1]
    inside = np.all((places >= -0.5) & (places < np.array(labels.shape)[:, None] - 0.5), axis=0)
    row, column = np.where(inside, np.round(places), 0).astype(int)
    return (inside & masked[row, column]).reshape(image.shape)
