"""What a FITS file has beside the pixels of an image: weights, a mask, a PSF; and files that hold one of them alone."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bayesjoint.data.airy import airy_psf
from bayesjoint.data.analytic_psf import AnalyticPSF, gaussian_psf, moffat_psf
from bayesjoint.data.hdus import WEIGHTS, about, data_hdu, existing, header_number, opened, plane
from bayesjoint.data.psf import PSF
from bayesjoint.data.transfer import PointSpread

_WRITTEN = "gaussian:FWHM or moffat:FWHM:BETA in arcsec, or airy:WAVELENGTH:DIAMETER[:OBSCURATION] in micron and metre"
_NOT_READ = {
    "WHT": "invvar",
    "WEIGHT": "invvar",
    "DQ": "mask",
}  # whose meaning differs from pipeline to pipeline


def read_psf(source: PointSpread | str | os.PathLike) -> PointSpread:
    """A PSF as it is, from a FITS file, or from a text.

    The texts are "gaussian:FWHM" and "moffat:FWHM:BETA" in arcsec, and "airy:WAVELENGTH:DIAMETER" or
    "airy:WAVELENGTH:DIAMETER:OBSCURATION" in micron and metre.

    Examples
    --------
    >>> read_psf("moffat:0.9:3.5")
    MoffatPSF(fwhm=0.9, beta=3.5)
    """
    if isinstance(source, PointSpread):
        return source
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "psf must be bj.PSF(stamp), bj.gaussian_psf(fwhm), bj.moffat_psf(fwhm, beta), a FITS file or a "
            f"string such as 'gaussian:1.12', got {type(source).__name__}"
        )
    kind, _, numbers_given = str(source).partition(":")
    if kind.lower() in ("gaussian", "moffat", "airy"):
        return _analytic_psf(kind.lower(), numbers_given, str(source))
    path = existing(source, f"PSF ({_WRITTEN} is understood, too)")
    with opened(path) as hdus:
        if (psf := psf_extension(hdus, str(path), required=False)) is not None:
            return psf
        return _psf_from_hdu(data_hdu(hdus, None, str(path)), str(path))


def _analytic_psf(kind: str, text: str, source: str) -> AnalyticPSF:
    try:
        values = [float(part) for part in text.split(":")]
    except ValueError:
        values = []
    try:
        if kind == "gaussian" and len(values) == 1:
            return gaussian_psf(values[0])
        if kind == "moffat" and len(values) == 2:
            return moffat_psf(*values)
        if kind == "airy" and len(values) in (2, 3):
            return airy_psf(*values)
    except ValueError as error:
        raise ValueError(f"psf {source!r}: {error}") from None
    raise ValueError(f"psf {source!r} is not understood: write {_WRITTEN}")


def beside(hdus: Any, here: Any, name: str) -> Any:
    """The HDU of a name that goes with that of the data: of the same EXTVER, as files of several detectors have it."""
    for hdu in hdus:
        if hdu.name.upper() == name and hdu.ver == here.ver and hdu.header.get("NAXIS"):
            return hdu
    return None


def weight_extension(hdus: Any, here: Any, label: str) -> np.ndarray | None:
    """Inverse variance from the first extension that tells of it; NaN where a sigma or a variance is not positive."""
    for name, power in WEIGHTS.items():
        if (hdu := beside(hdus, here, name)) is None:
            continue
        pixels = plane(hdu, label)
        return pixels if power == 1 else np.where(pixels > 0, pixels, np.nan) ** float(power)
    return None


def mask_extension(hdus: Any, here: Any, label: str) -> np.ndarray | None:
    """Extension MASK, nonzero where bad; refused where its bits say other things too."""
    if (hdu := beside(hdus, here, "MASK")) is None:
        return None
    if planes := [key for key in hdu.header if key.startswith("MP_")]:
        raise ValueError(
            f"{label}: the bits of extension MASK are planes, of which some mark sources ({', '.join(planes[:4])}, ...): "
            "give mask=, an array that is nonzero where pixels are bad, such as (bits & chosen) != 0"
        )
    return plane(hdu, label)


def tell_unread(hdus: Any, here: Any, wanted: set[str], label: str) -> None:
    """Warn of weights and flags under names that do not say what they mean, where nothing else says it."""
    for name, argument in _NOT_READ.items():
        if argument in wanted and (found := beside(hdus, here, name)) is not None:
            place = name if here.ver == 1 else hdus.index(found)  # a name alone is that of the first detector
            what = "inverse variances" if argument == "invvar" else "nonzero where bad"
            instead = (
                "the noise is estimated from blank sky" if argument == "invvar" else "no pixel is masked"
            )
            warnings.warn(
                f"{label}: extension {name} is not read and {instead}: where its pixels are {what}, give "
                f"{argument}='{label}[{place}]' (--{argument} on the command line)",
                stacklevel=3,
            )


def psf_extension(hdus: Any, label: str, required: bool = True, here: Any = None) -> PSF | None:
    found = beside(hdus, here, "PSF") if here is not None else None
    if found is not None or ("PSF" in hdus and hdus["PSF"].header.get("NAXIS")):
        return _psf_from_hdu(hdus["PSF"] if found is None else found, label)
    if not required:
        return None
    raise ValueError(
        f"{label}: no PSF (extension PSF is missing); give one, as psf='gaussian:1.12' (FWHM in arcsec) or "
        "a FITS file in Python, or --psf gaussian:1.12 on the command line"
    )


def _psf_from_hdu(hdu: Any, label: str) -> PSF:
    stamp = plane(hdu, label)
    includes_pixel: Any = hdu.header.get("PIXINCL", True)
    if isinstance(includes_pixel, str):
        includes_pixel = includes_pixel.strip().upper() in ("T", "TRUE", "1", "Y", "YES")
    oversampling: Any = header_number((hdu.header,), ("OVERSAMP",), label) or 1
    if oversampling > 1 and "PIXINCL" not in hdu.header:
        warnings.warn(
            f"{label}[{hdu.name}]: keyword PIXINCL is missing, and the oversampled PSF is taken to include the pixel's "
            "response, as those measured on stars do; for one of optics alone write PIXINCL = F, or give "
            "psf=bj.PSF(stamp, oversampling, includes_pixel=False)",
            stacklevel=2,
        )
    with about(f"{label}[{hdu.name}]"):
        return PSF(stamp, oversampling=oversampling, includes_pixel=bool(includes_pixel))


def array_of(source: Any, what: str) -> np.ndarray:
    """An array as it is, or an image of a FITS file: that of "file.fits[NAME]", or of the extension `what`, or the first."""
    if not isinstance(source, str | os.PathLike):
        return np.asarray(source)
    path, name = split_extension(source, what)
    with opened(path) as hdus:
        wanted = name if name is not None or what.upper() not in hdus else what.upper()
        return plane(data_hdu(hdus, wanted, str(path)), str(path))


def split_extension(source: str | os.PathLike, what: str) -> tuple[Path, int | str | None]:
    """The file of "file.fits[NAME]", and which HDU is meant; None where none is said."""
    found = re.fullmatch(r"(.+)\[(\w+)\]", str(source))
    if not found or Path(source).exists():
        return existing(source, what), None
    name = found[2]
    return existing(found[1], what), int(name) if name.isdigit() else name
