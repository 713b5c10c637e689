"""Whether the model describes the pixels: findings for a verdict, from residuals and from a fit's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesjoint.infer.verdict import Finding, Severity

CHI2_LOW, CHI2_HIGH, CHI2_FAILURE = 0.9, 1.1, 2.0
CORRELATED = 0.1
FLOORED = 0.97  # chi2/pixel, or a fitted factor, below which the floor of a correlation's power shows
SIGNIFICANT = 4.0
SOURCE_PIXELS = 20
SOURCE_FAILURE = 10.0


@dataclass(frozen=True)
class Goodness:
    """How well a model describes one image.

    Attributes
    ----------
    name : str
    pixels : int
        Pixels that carry weight.
    chi2 : float
        Sum of squared normalised residuals over those pixels.
    source_pixels, source_chi2 : int, float
        The same where the model stands out of its background by more than one sigma in a single pixel.
    correlation : float
        Mean lag-1 correlation of normalised residuals between neighbours in a row and in a column.
    correlation_error : float
        Its scatter for independent noise, 1/sqrt(number of pairs).
    widened : float
        The typical error that the residuals are normalised by, over the one given.
    whitened : bool
        Whether the image came with the correlation of its noise, and the residuals are whitened by it.
    """

    name: str
    pixels: int
    chi2: float
    source_pixels: int
    source_chi2: float
    correlation: float
    correlation_error: float
    widened: float = 1.0
    whitened: bool = False

    @property
    def chi2_per_pixel(self) -> float:
        """chi2 over the pixels used."""
        return self.chi2 / max(self.pixels, 1)


def goodness(
    name: str,
    data: np.ndarray,
    model: np.ndarray,
    invvar: np.ndarray,
    residual: np.ndarray | None = None,
    widened: float = 1.0,
    whitened: bool = False,
) -> Goodness:
    """Compare one image with its model.

    Parameters
    ----------
    name : str
    data, model, invvar : array (ny, nx)
        nJy, nJy and nJy^-2; pixels with invvar 0 are not used.
    residual, widened, whitened : array (ny, nx), float and bool, optional
        Normalised residuals where the noise is not as invvar says, how many times the error given its is, and whether
        it correlates; see `residuals`.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(size=(100, 100))
    >>> g = goodness("r", noise, np.zeros((100, 100)), np.ones((100, 100)))
    >>> print(f"{g.chi2_per_pixel:.2f} {g.pixels}")
    1.00 10000
    """
    used = invvar > 0
    sigma = np.sqrt(invvar)
    residual = np.where(used, (data - model) * sigma if residual is None else residual, 0.0)
    background = np.quantile(model[used], 0.05) if used.any() else 0.0
    bright = used & (np.abs(model - background) * sigma > 1)
    correlation, error = lag_one_correlation(residual, used)
    return Goodness(
        name=name,
        pixels=int(used.sum()),
        chi2=float(np.sum(residual**2)),
        source_pixels=int(bright.sum()),
        source_chi2=float(np.sum(residual[bright] ** 2)),
        correlation=correlation,
        correlation_error=error,
        widened=widened,
        whitened=whitened,
    )


def lag_one_correlation(residual: np.ndarray, used: np.ndarray) -> tuple[float, float]:
    """Correlation of residuals (ny, nx) of neighbours that are both used, and its expected scatter."""
    pairs = [(residual[1:], residual[:-1], used[1:] & used[:-1])]
    pairs.append((residual[:, 1:], residual[:, :-1], used[:, 1:] & used[:, :-1]))
    products = sum(np.sum((a * b)[both]) for a, b, both in pairs)
    number = sum(int(both.sum()) for _, _, both in pairs)
    variance = np.mean(residual[used] ** 2) if used.any() else 0.0
    if number == 0 or variance == 0:
        return 0.0, np.inf
    return float(products / number / variance), float(1 / np.sqrt(number))


def judge_images(measured: Sequence[Goodness]) -> list[Finding]:
    """Judge chi2 and residual correlation of every image; see `Goodness`."""
    findings: list[Finding] = []
    for image in measured:
        if image.pixels == 0:
            findings.append(
                Finding("fail", f"{image.name}: no pixel carries weight", 0, "check mask and weights")
            )
            continue
        overall = _judge_chi2(image)
        findings += [overall, *_judge_noise(image)]
        if overall.severity in ("ok", "note"):
            findings += _judge_source(image)
        findings.append(_judge_correlation(image))
    return findings


def _judge_chi2(image: Goodness) -> Finding:
    value, scatter = image.chi2_per_pixel, np.sqrt(2 / image.pixels)
    significance = abs(value - 1) / scatter
    what = f"{image.name}: chi2/pixel {value:.3f} (expected 1 +- {scatter:.3f})"
    inside = CHI2_LOW <= value <= CHI2_HIGH
    if significance < SIGNIFICANT or (inside and abs(value - 1) < 0.05):
        return Finding("ok", what, value)
    if inside:
        return Finding("note", what, value, "the noise is off by a few per cent, and the error bars with it")
    if value < 1:
        advice = (
            "the noise is overstated, or smoothed by resampling: error bars are too wide, unless "
            "neighbouring pixels correlate; check the weights, and give noise_correlation="
        )
        if image.whitened:
            advice = (
                "the noise is overstated, or smoother at the finest scales than the hundredth of the mean power that is "
                "assumed of them, which error bars of light that the PSF blurs hardly feel"
            )
            return Finding("note", what, value, advice)
        return Finding("warning", what, value, advice)
    severity: Severity = "fail" if value > CHI2_FAILURE else "warning"
    advice = (
        "look at the residuals: where they look like noise, the noise is understated (and error bars too "
        "small by the root of chi2/pixel); where they do not, the PSF is wrong, a neighbour is not masked or "
        "the model is too simple"
    )
    return Finding(severity, what, value, advice)


def _judge_noise(image: Goodness) -> list[Finding]:
    """Errors that the fit made its own; chi-squared then is 1 whatever the model."""
    if image.whitened and image.widened < FLOORED:
        what = f"{image.name}: the errors that fit correlated noise are {image.widened:.2f} times those given"
        advice = (
            "error bars may be too small by that factor: smooth noise has less power at the finest scales than is "
            "assumed of it, which a fitted factor takes for errors overstated at all scales; leave NoiseScale out"
        )
        return [Finding("warning", what, image.widened, advice)]
    if CHI2_LOW <= image.widened**2 <= CHI2_HIGH:
        return []
    what = f"{image.name}: the errors that fit are {image.widened:.2f} times those given"
    if image.widened < 1:
        return [
            Finding("note", what, image.widened, "the noise was overstated, or is smoothed by resampling")
        ]
    advice = (
        "look at the residuals: where they look like noise, the noise was understated and now is right; where they "
        "do not, the fit takes for noise what the model lacks"
    )
    return [Finding("warning" if image.widened**2 > CHI2_FAILURE else "note", what, image.widened, advice)]


def _judge_source(image: Goodness) -> list[Finding]:
    """A misfit of the source itself, which the sky's many pixels may hide."""
    if image.source_pixels < SOURCE_PIXELS:
        return []
    value = image.source_chi2 / image.source_pixels
    excess = (value - 1) / np.sqrt(2 / image.source_pixels)
    if value < CHI2_HIGH or excess < SIGNIFICANT:
        return []
    where = f"on the {image.source_pixels} pixels where the source stands out"
    what = f"{image.name}: chi2/pixel {value:.2f} {where}"
    advice = (
        "the source has structure that the model lacks (arms, a bar, a bulge), or its PSF or photon noise is "
        "off: errors of the structure are too small, and magnitudes may be off by what the residuals hold"
    )
    return [Finding("fail" if value > SOURCE_FAILURE else "warning", what, value, advice)]


def _judge_correlation(image: Goodness) -> Finding:
    value, error = image.correlation, image.correlation_error
    residuals = "whitened residuals" if image.whitened else "residuals"
    what = f"{image.name}: neighbouring {residuals} correlate by {value:.3f} +- {error:.3f}"
    if abs(value) < max(SIGNIFICANT * error, 0.02):
        return Finding("ok", what, value)
    if abs(value) < CORRELATED:
        words = "slightly correlated noise, or faint light that is not modelled"
        return Finding("note", what, value, words if value > 0 else "slightly sharpened noise")
    if value < 0:
        given = ", or the correlation given reaches too far: measure it anew by bj.noise_correlation(image, mask=...)"
        advice = (
            "neighbours are less alike than independent noise is: the image was sharpened, or its background "
        )
        advice += f"was taken out pixel by pixel{given if image.whitened else ''}"
        return Finding("warning", what, value, advice)
    if image.whitened and image.chi2_per_pixel * image.widened**2 < FLOORED:
        advice = (
            "chi2/pixel below 1 goes with it: the finest scales of the noise have less power than the hundredth of "
            "the mean that is assumed of them; light that is not modelled would look the same"
        )
        return Finding("note", what, value, advice)
    if image.whitened:
        advice = (
            "beyond what noise_correlation= says: light that is not modelled, or a correlation measured on other pixels; "
            "look at the residuals, and measure it anew by bj.noise_correlation(image, mask=...)"
        )
        return Finding("warning", what, value, advice)
    advice = (
        "resampled images have correlated noise, and light that is not modelled looks the same: error bars "
        "are too small, by about the root of 1 + 4 times the correlation if it is noise; where the blank sky does it, too, "
        "give noise_correlation=bj.noise_correlation(image)"
    )
    return Finding("warning", what, value, advice)


def judge_fit(
    converged: bool,
    reason: str = "",
    chi2_per_dof: float = float("nan"),
    largest_error: float = float("nan"),
    is_determined: bool = True,
    advice: Sequence[str] = (),
    parameters: int = 0,
    pixels: float = float("inf"),
) -> list[Finding]:
    """Judge a maximum a posteriori fit.

    Parameters
    ----------
    converged : bool
    reason : str
        Why the fit stopped.
    chi2_per_dof : float
        Over all images.
    largest_error : float
        Largest standard deviation in the unconstrained space, where priors have a width of about one.
    is_determined : bool
        Whether the covariance is positive in all directions.
    advice : sequence of str
        The fit's own words on what to do.
    parameters, pixels : float
        How many there are.
    """
    words = "; ".join(advice)
    if converged:
        findings = [Finding("ok", f"the fit converged ({reason})" if reason else "the fit converged")]
    else:
        words = words or "start it from other values (several starts), or give position and size by hand"
        findings = [Finding("fail", f"the fit did not converge: {reason or 'no reason given'}", advice=words)]
    scatter = np.sqrt(2 / max(pixels - parameters, 1))
    is_off = not CHI2_LOW <= chi2_per_dof <= CHI2_HIGH and abs(chi2_per_dof - 1) > SIGNIFICANT * scatter
    if np.isfinite(chi2_per_dof) and is_off:
        severity: Severity = "fail" if chi2_per_dof > CHI2_FAILURE else "warning"
        todo = "see the images one by one: which of them, and do the residuals look like noise?"
        findings.append(Finding(severity, f"chi2/dof of the fit is {chi2_per_dof:.3f}", chi2_per_dof, todo))
    if largest_error > 10 or not is_determined:
        todo = "the data do not determine it: fix it, tie it to another parameter or give it a narrower prior"
        what = "a direction of the parameter space is not determined at the best fit"
        findings.append(Finding("warning", what, largest_error, todo))
    if parameters >= pixels:
        todo = "fix or tie parameters, share them between images, or give larger images"
        what = (
            f"{parameters} parameters for {pixels:.0f} pixels with weight: only their priors tell them apart"
        )
        findings.append(Finding("warning", what, parameters / max(pixels, 1), todo))
    return findings
