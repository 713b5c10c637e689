"""What one FITS file holds: the HDU of the data, WCS, header values, weights, mask and PSF, each checked."""

from __future__ import annotations

import contextlib
import numbers
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from bayesjoint.data.airy import airy_psf
from bayesjoint.data.analytic_psf import AnalyticPSF, gaussian_psf, moffat_psf
from bayesjoint.data.psf import PSF
from bayesjoint.data.transfer import PointSpread

ZEROPOINT_KEYWORDS = ("ZPT", "ZEROPT", "MAGZERO", "PHOTZP")
BAND_KEYWORDS = ("BAND", "FILTER")
TIME_KEYWORDS = ("MJD-OBS", "MJD")
_WRITTEN = "gaussian:FWHM or moffat:FWHM:BETA in arcsec, or airy:WAVELENGTH:DIAMETER[:OBSCURATION] in micron and metre"
EXTENSIONS = ("INVVAR", "SIGMA", "ERR", "MASK", "PSF")


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


def existing(path: Any, what: str = "image") -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"the path of a FITS file must be a string or a Path, got {type(path).__name__}")
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r} to read as {what}: check the name")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give FITS files, such as {path}/*.fits")
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            hdus = fits.open(path, memmap=False)
    except OSError as error:
        raise ValueError(f"{path} is not a FITS file that can be read ({error}): give one") from None
    with hdus:
        yield hdus


@contextlib.contextmanager
def about(label: str) -> Iterator[None]:
    """Errors and warnings from within say which file they are about."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"{label}: {error}") from None
    finally:
        for warning in caught:
            warnings.warn(f"{label}: {warning.message}", warning.category, stacklevel=4)


def data_hdu(hdus: Any, wanted: int | str | None, label: str) -> Any:
    """The HDU of the data: the one asked for, or the first that holds an image."""
    if wanted is not None:
        try:
            found = hdus[wanted]
        except (KeyError, IndexError, TypeError):
            raise ValueError(f"{label}: there is no HDU {wanted!r} among {[h.name for h in hdus]}") from None
        if not found.is_image or not found.header.get("NAXIS"):
            raise ValueError(
                f"{label}: HDU {wanted!r} holds no image; give the number or name of one that does"
            )
        return found
    for found in hdus:
        if found.is_image and found.header.get("NAXIS", 0) and found.name.upper() not in EXTENSIONS:
            return found
    raise ValueError(f"{label}: no HDU holds an image (HDUs: {[h.name for h in hdus]}); give a FITS image")


def plane(hdu: Any, label: str) -> np.ndarray:
    """The pixels (ny, nx) of an HDU, float64; axes of length 1 are dropped."""
    try:
        data = np.asarray(hdu.data, dtype=float)
    except (TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"{label}: the pixels of HDU {hdu.name!r} cannot be read ({error}): is it cut short?"
        ) from None
    flat = data.reshape(data.shape[-2:]) if data.ndim > 2 and data[..., 0, 0].size == 1 else data
    if flat.ndim != 2:
        raise ValueError(
            f"{label}: HDU {hdu.name!r} has shape {data.shape}; give one plane of pixels (ny, nx)"
        )
    return flat


def celestial_wcs(hdu: Any, hdus: Any, label: str) -> WCS:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(hdu.header, fobj=hdus)
            wcs = wcs if wcs.naxis == 2 else wcs.celestial
            celestial = wcs.has_celestial
    except Exception as error:
        raise ValueError(
            f"{label}: the WCS in the header cannot be read ({error}): mend its keywords"
        ) from None
    if not celestial:
        raise ValueError(
            f"{label}: the header has no celestial WCS (CTYPE1 {hdu.header.get('CTYPE1', 'missing')!r}); "
            "write one into the file, or in Python give bj.Image(data, wcs=...)"
        )
    return wcs


def _first(headers: Sequence[fits.Header], keywords: Sequence[str]) -> tuple[str, Any]:
    """The first of `keywords` that a header has, and its value."""
    for header in headers:
        for keyword in keywords:
            if keyword in header:
                return keyword, header[keyword]
    return "", None


def header_number(headers: Sequence[fits.Header], keywords: Sequence[str], label: str) -> float | None:
    keyword, value = _first(headers, keywords)
    if not keyword:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(float(value)):
        raise ValueError(f"{label}: keyword {keyword} must be a number, got {value!r}; mend it in the header")
    return float(value)


def header_text(headers: Sequence[fits.Header], keywords: Sequence[str]) -> str | None:
    value = _first(headers, keywords)[1]
    return str(value).strip() or None if value is not None else None


def header_zeropoint(headers: Sequence[fits.Header], label: str) -> float:
    value = header_number(headers, ZEROPOINT_KEYWORDS, label)
    if value is None:
        raise ValueError(
            f"{label}: no zero point (keywords {', '.join(ZEROPOINT_KEYWORDS)} are missing); give the AB "
            "magnitude of one data unit, as zeropoint=22.5 in Python or --zeropoint 22.5 on the command line"
        )
    return value


def extension(hdus: Any, name: str, label: str) -> np.ndarray | None:
    return plane(hdus[name], label) if name in hdus and hdus[name].header.get("NAXIS") else None


def weight_extension(hdus: Any, label: str) -> np.ndarray | None:
    """Inverse variance from extension INVVAR, or else from SIGMA or ERR; NaN where sigma is not positive."""
    invvar = extension(hdus, "INVVAR", label)
    if invvar is not None:
        return invvar
    sigma = extension(hdus, "SIGMA", label)
    sigma = extension(hdus, "ERR", label) if sigma is None else sigma
    return None if sigma is None else np.where(sigma > 0, sigma, np.nan) ** -2.0


def psf_extension(hdus: Any, label: str, required: bool = True) -> PSF | None:
    if "PSF" in hdus and hdus["PSF"].header.get("NAXIS"):
        return _psf_from_hdu(hdus["PSF"], label)
    if not required:
        return None
    raise ValueError(
        f"{label}: no PSF (extension PSF is missing); give one, as psf='gaussian:1.12' (FWHM in arcsec) or "
        "a FITS file in Python, or --psf gaussian:1.12 on the command line"
    )


def _psf_from_hdu(hdu: Any, label: str) -> PSF:
    stamp = plane(hdu, label)
    includes_pixel = hdu.header.get("PIXINCL", True)
    if isinstance(includes_pixel, str):
        includes_pixel = includes_pixel.strip().upper() in ("T", "TRUE", "1", "Y", "YES")
    oversampling: Any = header_number((hdu.header,), ("OVERSAMP",), label) or 1
    with about(f"{label}[{hdu.name}]"):
        return PSF(stamp, oversampling=oversampling, includes_pixel=bool(includes_pixel))


def array_of(source: Any, what: str) -> np.ndarray:
    """An array as it is, or the first image of a FITS file."""
    if not isinstance(source, str | os.PathLike):
        return np.asarray(source)
    path = existing(source, what)
    with opened(path) as hdus:
        return plane(
            hdus[what.upper()] if what.upper() in hdus else data_hdu(hdus, None, str(path)), str(path)
        )
