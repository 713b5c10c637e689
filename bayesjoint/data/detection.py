"""Sources in an image: which pixels belong to which, by photutils' thresholds and deblending."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from bayesjoint.data.measure import Sky, signal_to_noise

if TYPE_CHECKING:
    from bayesjoint.data.image import Image

LEVELS = 32
DISTINCT = 5.0  # peak S/N, within a PSF, of what counts as a source


def segment(image: Image, sky: Sky, threshold: float, pixels: int, contrast: float) -> np.ndarray:
    """Labels (ny, nx) of the sources: 0 where there is none, else from 1 on.

    Parameters
    ----------
    threshold : float
        Signal to noise, within a PSF, down to which pixels belong to a source.
    pixels : int
        Least number of connected pixels.
    contrast : float
        Least part of the flux of connected pixels that makes a peak among them a source of its own.

    Raises
    ------
    ImportError
        Without photutils.
    """
    detect, deblend = _photutils()
    snr = signal_to_noise(image, sky)
    used = image.invvar > 0
    # a mask's pixels are no dark lanes: light is smoothed over what is there
    smooth = ndimage.gaussian_filter(np.where(used, image.data - sky.level, 0.0), 0.5 * max(sky.sigma, 0.4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nothing found, which is an answer
        found = detect(np.where(used, snr, 0.0), threshold, pixels)
    if found is None:
        return np.zeros(image.shape, int)
    if contrast < 1:
        found = deblend(
            smooth, found, pixels, n_levels=LEVELS, contrast=contrast, mode="sinh", progress_bar=False
        )
    labels = np.asarray(found.data)
    peaks = ndimage.maximum(snr, labels, np.arange(1, labels.max() + 1))
    kept = np.concatenate([[0], np.cumsum(peaks > DISTINCT) * (peaks > DISTINCT)])
    return kept[labels]


def _photutils() -> tuple[Any, Any]:
    try:
        from photutils.segmentation import deblend_sources, detect_sources
    except ImportError:
        raise ImportError(
            'finding sources needs photutils, which is not installed: pip install "bayesjoint[scenes]", or give a '
            "segmentation= or catalogue= made elsewhere"
        ) from None
    return detect_sources, deblend_sources
