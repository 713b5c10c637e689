"""Background level and noise of an image, measured on the image itself.

The blank pixels give both, after sources are clipped away. Where light fills the frame no pixel is blank, and
their scatter holds the gradients of that light; then the second differences of pixels, which gradients cancel
in, tell the noise. Both know how many pixels they rest on. What neighbouring pixels of resampled images share is measured in
`correlation.py`.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage, special

CLIP = 3.0
_ROUNDS = 12
_MIN_BLANK = 6
_SMALL = 20
_SECOND = np.array([1.0, -2.0, 1.0])
_FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0])


def estimate_inverse_variance(data: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Inverse variance of the sky noise, the same for all used pixels.

    The photon noise of sources is left out, as the gain is unknown.

    Parameters
    ----------
    data : array (ny, nx)
    used : bool array (ny, nx)
        False where a pixel is not to be looked at.

    Returns
    -------
    invvar : array (ny, nx)
        In data units^-2; 0 where a pixel is not used.

    Raises
    ------
    ValueError
        If fewer than 6 pixels are used, or they are all alike.

    Examples
    --------
    >>> sky = np.random.default_rng(1).normal(5.0, 2.0, (100, 100))
    >>> invvar = estimate_inverse_variance(sky, np.ones(sky.shape, bool))
    >>> print(f"{invvar[0, 0] ** -0.5:.1f}")
    2.0
    """
    _, rms, _ = background(data, used)
    if not rms > 0:
        raise ValueError("the noise cannot be estimated from pixels that are all alike: give invvar=")
    return np.where(used, rms**-2.0, 0.0)


def background(data: np.ndarray, used: np.ndarray) -> tuple[float, float, int]:
    """Background level, noise per pixel, and the number of blank pixels they rest on.

    Parameters
    ----------
    data : array (ny, nx)
    used : array (ny, nx)
        Used pixels, as bool or as inverse variance (positive where a pixel is used).

    Returns
    -------
    level, rms : float
        In the units of `data`.
    n_used : int

    Raises
    ------
    ValueError
        If fewer than 6 pixels are used.
    """
    used = (np.asarray(used) > 0) & np.isfinite(data)
    if used.sum() < _MIN_BLANK:
        raise ValueError(
            f"the background needs at least {_MIN_BLANK} used pixels, got {used.sum()}: "
            "give invvar=, or mask less"
        )
    data = np.where(used, data, 0.0)
    blank, level, rms = _blank_pixels(data, used)
    number = int(blank.sum())
    return level, _noise(data, used, blank, rms), number


def blank_sky(data: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Which of the used pixels (ny, nx) are free of sources, two pixels around them included.

    Peaks of the noise stay in, as what its neighbours share would be too small without them: sources are what stands out by
    4.5 sigma, in pixels or in 3x3 means, and the light connected with that down to 2 sigma.
    """
    data = np.where(used, data, 0.0)
    blank, level, rms = _blank_pixels(data, used)
    mean = _three_by_three(data - level, used)
    significance = np.maximum(np.abs(data - level) / rms, np.abs(mean) / _clipped_moments(mean[blank])[1])
    sources = ndimage.binary_propagation(
        used & (significance > 4.5), np.ones((3, 3)), used & (significance > 2)
    )
    return used & np.logical_not(ndimage.binary_dilation(sources, np.ones((5, 5))))


def _three_by_three(data: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Means of the used pixels among 3x3; `data` are 0 where not used."""
    weight = np.maximum(ndimage.uniform_filter(used.astype(float), 3, mode="constant"), 1e-9)
    return ndimage.uniform_filter(np.where(used, data, 0.0), 3, mode="constant") / weight


def _blank_pixels(data: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Pixels free of sources, their level and rms: clipped pixel by pixel and in 3x3 means, to convergence.

    The means are clipped at their own scatter, on both sides: in correlated noise, too, that keeps the level
    unbiased.
    """
    level, rms = _shortest_half(data[used])
    mean = _three_by_three(data, used)
    mean_rms = _shortest_half(mean[used])[1]
    blank = used
    for _ in range(_ROUNDS):
        kept = used & (np.abs(data - level) <= CLIP * rms) & (np.abs(mean - level) <= CLIP * mean_rms)
        if kept.sum() < _MIN_BLANK or np.array_equal(kept, blank):
            break
        blank = kept
        level, rms = _clipped_moments(data[blank])
        mean_rms = max(_clipped_moments(mean[blank])[1], rms / 3)
    return blank, level, rms


def _clipped_moments(values: np.ndarray) -> tuple[float, float]:
    """Mean, and the rms of the Gaussian of which `values` were kept within +-CLIP."""
    truncated = 1 - CLIP * np.sqrt(2 / np.pi) * np.exp(-(CLIP**2) / 2) / special.erf(CLIP / np.sqrt(2))
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(truncated))


def _shortest_half(values: np.ndarray) -> tuple[float, float]:
    """Centre and Gaussian sigma of the shortest interval that holds half the values, free of most sources."""
    values = np.sort(values[:: max(1, values.size // 20_000)])
    half = values.size // 2 + 1
    widths = values[half - 1 :] - values[: values.size - half + 1]
    first = int(np.argmin(widths))
    inside = values[first : first + half]
    small_sample = 1 + 2.2 * values.size ** (-2 / 3)
    return float(inside.mean()), float(inside[-1] - inside[0]) / 1.349 * small_sample


def _noise(data: np.ndarray, used: np.ndarray, blank: np.ndarray, rms: float) -> float:
    """The scatter of blank pixels, or that of differences of pixels where it is significantly smaller.

    Pixels are a few apart in larger images, so that what resampling makes neighbours share is not taken for
    quiet. In images too small to have blank pixels, second and fourth differences along both axes at once see
    noise only.
    """
    lag = int(np.clip(min(data.shape) // 12, 1, 8))
    found = [np.concatenate([_difference(d, b, _SECOND, lag) for d, b in ((data, blank), (data.T, blank.T))])]
    for kernel in (_SECOND, _FOURTH):
        if kernel.size <= min(data.shape) < _SMALL:
            down, good = _difference_map(data, kernel), _all_good(used, kernel)
            found.append(_difference(down, good, kernel, 1))
    relative = np.sqrt(0.5 / blank.sum())
    for differences in found:
        if differences.size >= _MIN_BLANK:
            other = 1.4826 * float(np.median(np.abs(differences))) * (1 + 0.8 / differences.size)
            error = np.sqrt(1.4 / differences.size)
            if 0 < other < rms * (1 - np.clip(2.5 * np.hypot(relative, error), 0.03, 0.7)):
                rms, relative = other, error
    return rms


def _difference_map(data: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Differences down the columns, of unit noise gain, where the kernel fits."""
    windows = np.lib.stride_tricks.sliding_window_view(data, kernel.size, axis=0)
    return windows @ kernel / np.sqrt(kernel @ kernel)


def _all_good(good: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(good, kernel.size, axis=0).min(axis=-1)


def _difference(data: np.ndarray, good: np.ndarray, kernel: np.ndarray, lag: int) -> np.ndarray:
    """Differences along rows between pixels `lag` apart, of unit noise gain, where all of them are good."""
    reach = lag * (kernel.size - 1) + 1
    if data.shape[1] < reach:
        return np.empty(0)
    values = np.lib.stride_tricks.sliding_window_view(data, reach, axis=1)[..., ::lag]
    fine = np.lib.stride_tricks.sliding_window_view(good, reach, axis=1)[..., ::lag].all(axis=-1)
    return (values[fine] @ kernel) / np.sqrt(kernel @ kernel)
