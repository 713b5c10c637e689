"""What one FITS file holds: the HDU of the data, its WCS and its header's values, each checked."""

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

ZEROPOINT_KEYWORDS = ("ZPT", "ZEROPT", "MAGZERO", "PHOTZP")
BAND_KEYWORDS = ("BAND", "FILTER", "FILTER1", "FILTER2")
TIME_KEYWORDS = ("MJD-OBS", "MJD")
_CLEAR = "CLEAR"  # of a wheel that holds no filter
# beside an image, and their power of an inverse variance
WEIGHTS = {"INVVAR": 1, "IVAR": 1, "SIGMA": -2, "ERR": -2, "RMS": -2, "VARIANCE": -1}
EXTENSIONS = (*WEIGHTS, "MASK", "PSF")
_SUFFIXES = (".fits", ".fit", ".fts")  # before that of a compressed file


def stem_of(path: Path) -> str:
    """A file's name without what says that it is FITS, compressed or not.

    Examples
    --------
    >>> stem_of(Path("fields/r.fits.fz"))
    'r'
    """
    path = Path(path.stem)
    while path.suffix.lower() in _SUFFIXES:
        path = Path(path.stem)
    return path.name


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


def header_band(headers: Sequence[fits.Header]) -> str | None:
    """The filter; where a wheel is clear, that of another wheel."""
    found = [str(header[k]).strip() for header in headers for k in BAND_KEYWORDS if k in header]
    if any(name.upper().startswith(_CLEAR) for name in found):
        found += [str(header["PUPIL"]).strip() for header in headers if "PUPIL" in header]
    return next((name for name in found if name and not name.upper().startswith(_CLEAR)), None)


def header_time(headers: Sequence[fits.Header], label: str) -> float | None:
    """MJD; what is no number is told, for only light curves need it."""
    try:
        return header_number(headers, TIME_KEYWORDS, label)
    except ValueError as error:
        warnings.warn(f"{error}, or give time=; read without a time", stacklevel=3)
        return None


def header_zeropoint(headers: Sequence[fits.Header], label: str) -> float:
    value = header_number(headers, ZEROPOINT_KEYWORDS, label)
    if value is None:
        raise ValueError(
            f"{label}: no zero point (keywords {', '.join(ZEROPOINT_KEYWORDS)} are missing); give the AB "
            "magnitude of one data unit, as zeropoint=22.5 in Python or --zeropoint 22.5 on the command line"
        )
    return value
