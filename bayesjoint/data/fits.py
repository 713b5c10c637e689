"""FITS files to images: data, WCS, zero point, band, weights, mask, PSF and time, each from the file or an
argument.

An argument always beats the file. What cannot be found is an error that says how to give it.
"""

from __future__ import annotations

import contextlib
import numbers
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError
from astropy.wcs import WCS, NoConvergence

from bayesjoint.data.frame import TangentFrame, image_centre
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.moments import position_degrees
from bayesjoint.data.psf import PSF, GaussianPSF, MoffatPSF, gaussian_psf, moffat_psf

ZEROPOINT_KEYWORDS = ("ZPT", "ZEROPT", "MAGZERO", "PHOTZP")
BAND_KEYWORDS = ("BAND", "FILTER")
TIME_KEYWORDS = ("MJD-OBS", "MJD")
_EXTENSIONS = ("INVVAR", "SIGMA", "ERR", "MASK", "PSF")
AnyPSF = PSF | GaussianPSF | MoffatPSF


def read_image(
    path: str | os.PathLike,
    *,
    band: str | None = None,
    name: str | None = None,
    zeropoint: float | None = None,
    psf: AnyPSF | str | os.PathLike | None = None,
    invvar: Any = None,
    mask: Any = None,
    position: SkyCoord | tuple[float, float] | None = None,
    size: float | tuple[float, float] | None = None,
    hdu: int | str | None = None,
    frame: TangentFrame | None = None,
) -> Image:
    """Read one image.

    Parameters
    ----------
    path : path
        FITS file: data and WCS in HDU 0 (or the first image HDU where that is empty), with the zero point
        under ZPT, ZEROPT, MAGZERO or PHOTZP and the filter under BAND or FILTER; where they are there,
        extensions INVVAR, SIGMA or ERR, MASK (bad where not zero) and PSF (keywords OVERSAMP, PIXINCL), and
        the time under MJD-OBS.
    band, name : str, optional
        Filter and name; default the file's, and the file's stem where it has none.
    zeropoint : float, optional
        AB magnitude of one data unit.
    psf : PSF, GaussianPSF, MoffatPSF, path or str, optional
        A PSF, a FITS file that holds one, or "gaussian:FWHM" or "moffat:FWHM:BETA" in arcsec.
    invvar, mask : array (ny, nx) or path, optional
        Inverse variance (data units^-2), and bad pixels (nonzero), of the whole file.
    position : SkyCoord or (ra, dec) in degrees, optional
        Centre of the cutout; default the image's centre.
    size : float or (height, width), optional
        Size of the cutout in arcsec; default the whole image.
    hdu : int or str, optional
        The HDU that holds the data.
    frame : TangentFrame, optional
        The frame of positions.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        For what is missing or wrong, naming the file.
    """
    path = _existing(path)
    label = str(path)
    with _opened(path) as hdus:
        here = _data_hdu(hdus, hdu, label)
        data, wcs = _plane(here, label), _wcs(here, hdus, label)
        headers = (here.header, hdus[0].header)
        if zeropoint is None:
            zeropoint = _zeropoint(headers, label)
        if psf is None:
            psf = _psf_extension(hdus, label)
        weight = _weight_extension(hdus, label) if invvar is None else _array(invvar, "invvar")
        bad = _extension(hdus, "MASK", label) if mask is None else _array(mask, "mask")
        filter_name = band if band is not None else _text(headers, BAND_KEYWORDS)
        time = _header_number(headers, TIME_KEYWORDS, label)
    planes = {"data": data, "invvar": weight, "mask": None if bad is None else ~(bad == 0)}
    _check_shapes(planes, label)
    if size is not None:
        planes, wcs = _cut(planes, wcs, position, size, label)
    with _about(label):
        return Image(
            planes["data"],
            wcs=wcs,
            zeropoint=zeropoint,
            psf=read_psf(psf),
            invvar=planes["invvar"],
            mask=planes["mask"],
            name=name if name is not None else filter_name or path.stem,
            band=filter_name or path.stem,
            time=time,
            frame=frame,
        )


def read_images(
    *paths: Any,
    position: SkyCoord | tuple[float, float] | None = None,
    size: Any = None,
    psf: Any = None,
    zeropoint: Any = None,
    band: Any = None,
    names: Sequence[str] | Mapping[str, str] | None = None,
    invvar: Any = None,
    mask: Any = None,
    hdu: Any = None,
    frame: TangentFrame | SkyCoord | None = None,
) -> ImageSet:
    """Read images of one piece of sky.

    Each of `size`, `psf`, `zeropoint`, `band`, `invvar`, `mask`, `hdu` is one value for all images, a list
    with one for each, or a dict keyed by band or by file stem (the file's own value holds where the dict has
    none).

    Parameters
    ----------
    *paths : path
        FITS files; see `read_image` for their form and for the other arguments.
    position : SkyCoord or (ra, dec) in degrees, optional
        Where the source is, and the centre of cutouts; by default the source is searched around the common
        centre, and cutouts are made about the centre of the first image.
    names : list or dict of str, optional
        Names of the images; default the band where it is unique, else the file's stem.
    frame : TangentFrame or SkyCoord, optional
        Tangent point of positions; default the centre of the first image.

    Returns
    -------
    ImageSet

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        For what is missing or wrong, naming the file or image.
    """
    if len(paths) == 1 and isinstance(paths[0], list | tuple):
        paths = tuple(paths[0])
    if not paths:
        raise ValueError("read_images needs at least one FITS file, got none")
    files = [_existing(path) for path in paths]
    bands = [_band_of(path, i, len(files), band, hdu) for i, path in enumerate(files)]
    given = {"size": size, "psf": psf, "zeropoint": zeropoint, "invvar": invvar, "mask": mask, "hdu": hdu}
    _check_keys({**given, "names": names, "band": band}, files, bands)
    centre = position
    if size is not None and position is None:
        centre = _image_centre(files[0], _pick(hdu, 0, len(files), files[0], bands[0], "hdu"))
    chosen = _names(files, bands, names)
    images = []
    for i, path in enumerate(files):
        own = {key: _pick(value, i, len(files), path, bands[i], key) for key, value in given.items()}
        images.append(read_image(path, band=bands[i], name=chosen[i], position=centre, **own))
    return ImageSet(images, frame=frame, position=position)


def read_psf(source: AnyPSF | str | os.PathLike) -> AnyPSF:
    """A PSF as it is, from a FITS file, or from "gaussian:FWHM" or "moffat:FWHM:BETA" in arcsec.

    Examples
    --------
    >>> read_psf("moffat:0.9:3.5")
    MoffatPSF(fwhm=0.9, beta=3.5)
    """
    if isinstance(source, AnyPSF):
        return source
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "psf must be bj.PSF(stamp), bj.gaussian_psf(fwhm), bj.moffat_psf(fwhm, beta), a FITS file or a "
            f"string such as 'gaussian:1.12', got {type(source).__name__}"
        )
    kind, _, numbers_given = str(source).partition(":")
    if kind.lower() in ("gaussian", "moffat"):
        return _analytic_psf(kind.lower(), numbers_given, str(source))
    path = _existing(source, "PSF ('gaussian:FWHM' and 'moffat:FWHM:BETA' in arcsec are understood, too)")
    with _opened(path) as hdus:
        if (psf := _psf_extension(hdus, str(path), required=False)) is not None:
            return psf
        return _psf_from_hdu(_data_hdu(hdus, None, str(path)), str(path))


def _analytic_psf(kind: str, text: str, source: str) -> GaussianPSF | MoffatPSF:
    try:
        values = [float(part) for part in text.split(":")]
    except ValueError:
        values = []
    if kind == "gaussian" and len(values) == 1:
        return gaussian_psf(values[0])
    if kind == "moffat" and len(values) == 2:
        return moffat_psf(*values)
    raise ValueError(f"psf {source!r} is not understood: write gaussian:FWHM or moffat:FWHM:BETA, in arcsec")


def _existing(path: Any, what: str = "image") -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"the path of a FITS file must be a string or a Path, got {type(path).__name__}")
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r} to read as {what}: check the name")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give FITS files, such as {path}/*.fits")
    return path


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[fits.HDUList]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            hdus = fits.open(path, memmap=False)
    except OSError as error:
        raise ValueError(f"{path} is not a FITS file that can be read ({error}): give one") from None
    with hdus:
        yield hdus


@contextlib.contextmanager
def _about(label: str) -> Iterator[None]:
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


def _data_hdu(hdus: fits.HDUList, wanted: int | str | None, label: str) -> Any:
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
        if found.is_image and found.header.get("NAXIS", 0) and found.name.upper() not in _EXTENSIONS:
            return found
    raise ValueError(f"{label}: no HDU holds an image (HDUs: {[h.name for h in hdus]}); give a FITS image")


def _plane(hdu: Any, label: str) -> np.ndarray:
    """The pixels (ny, nx) of an HDU, float64; axes of length 1 are dropped."""
    try:
        data = np.asarray(hdu.data, dtype=float)
    except (TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"{label}: the pixels of HDU {hdu.name!r} cannot be read ({error}): is it cut short?"
        ) from None
    plane = data.reshape(data.shape[-2:]) if data.ndim > 2 and data[..., 0, 0].size == 1 else data
    if plane.ndim != 2:
        raise ValueError(
            f"{label}: HDU {hdu.name!r} has shape {data.shape}; give one plane of pixels (ny, nx)"
        )
    return plane


def _wcs(hdu: Any, hdus: fits.HDUList, label: str) -> WCS:
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


def _header_number(headers: Sequence[fits.Header], keywords: Sequence[str], label: str) -> float | None:
    keyword, value = _first(headers, keywords)
    if not keyword:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(value):
        raise ValueError(f"{label}: keyword {keyword} must be a number, got {value!r}; mend it in the header")
    return float(value)


def _text(headers: Sequence[fits.Header], keywords: Sequence[str]) -> str | None:
    value = _first(headers, keywords)[1]
    return str(value).strip() or None if value is not None else None


def _zeropoint(headers: Sequence[fits.Header], label: str) -> float:
    value = _header_number(headers, ZEROPOINT_KEYWORDS, label)
    if value is None:
        raise ValueError(
            f"{label}: no zero point (keywords {', '.join(ZEROPOINT_KEYWORDS)} are missing); give the AB "
            "magnitude of one data unit, as zeropoint=22.5 in Python or --zeropoint 22.5 on the command line"
        )
    return value


def _extension(hdus: fits.HDUList, name: str, label: str) -> np.ndarray | None:
    return _plane(hdus[name], label) if name in hdus and hdus[name].header.get("NAXIS") else None


def _weight_extension(hdus: fits.HDUList, label: str) -> np.ndarray | None:
    """Inverse variance from extension INVVAR, or else from SIGMA or ERR; NaN where sigma is not positive."""
    invvar = _extension(hdus, "INVVAR", label)
    if invvar is not None:
        return invvar
    sigma = _extension(hdus, "SIGMA", label)
    sigma = _extension(hdus, "ERR", label) if sigma is None else sigma
    return None if sigma is None else np.where(sigma > 0, sigma, np.nan) ** -2.0


def _psf_extension(hdus: fits.HDUList, label: str, required: bool = True) -> PSF | None:
    if "PSF" in hdus and hdus["PSF"].header.get("NAXIS"):
        return _psf_from_hdu(hdus["PSF"], label)
    if not required:
        return None
    raise ValueError(
        f"{label}: no PSF (extension PSF is missing); give one, as psf='gaussian:1.12' (FWHM in arcsec) or "
        "a FITS file in Python, or --psf gaussian:1.12 on the command line"
    )


def _psf_from_hdu(hdu: Any, label: str) -> PSF:
    stamp = _plane(hdu, label)
    includes_pixel = hdu.header.get("PIXINCL", True)
    if isinstance(includes_pixel, str):
        includes_pixel = includes_pixel.strip().upper() in ("T", "TRUE", "1", "Y", "YES")
    oversampling = _header_number((hdu.header,), ("OVERSAMP",), label) or 1
    with _about(f"{label}[{hdu.name}]"):
        return PSF(stamp, oversampling=oversampling, includes_pixel=bool(includes_pixel))


def _array(source: Any, what: str) -> np.ndarray:
    """An array as it is, or the first image of a FITS file."""
    if not isinstance(source, str | os.PathLike):
        return np.asarray(source)
    path = _existing(source, what)
    with _opened(path) as hdus:
        return _plane(
            hdus[what.upper()] if what.upper() in hdus else _data_hdu(hdus, None, str(path)), str(path)
        )


def _check_shapes(planes: Mapping[str, np.ndarray | None], label: str) -> None:
    shape = np.shape(planes["data"])
    for what, plane in planes.items():
        if plane is not None and plane.shape != shape:
            raise ValueError(
                f"{label}: the {what} has shape {plane.shape}, the data {shape}; they must be the same"
            )


def _cut(
    planes: Mapping[str, np.ndarray | None], wcs: WCS, position: Any, size: Any, label: str
) -> tuple[dict[str, np.ndarray | None], WCS]:
    """Cut the planes to (height, width) arcsec about a position, and shift the WCS with them."""
    lengths = np.ravel(size).tolist()
    numeric = all(isinstance(v, numbers.Real) and not isinstance(v, bool) and 0 < v < np.inf for v in lengths)
    if len(lengths) not in (1, 2) or not numeric or hasattr(size, "unit"):
        raise ValueError(f"size must be a positive number of arcsec or (height, width), got {size!r}")
    shape = np.shape(planes["data"])
    here = image_centre(wcs, shape)
    ra, dec = (here.ra, here.dec) if position is None else position_degrees(position)
    scale = np.sqrt(wcs.proj_plane_pixel_area().to_value("arcsec2"))
    pixels = tuple(max(1, round(length / scale)) for length in (lengths * 2)[:2])
    try:
        centre = tuple(float(v) for v in wcs.all_world2pix(ra, dec, 0))
        if not all(-0.5 <= c <= n - 0.5 for c, n in zip(centre, shape[::-1], strict=True)):
            raise NoOverlapError
        cuts = {k: None if p is None else Cutout2D(p, centre, pixels, wcs=wcs) for k, p in planes.items()}
    except (NoOverlapError, NoConvergence):
        raise ValueError(
            f"{label}: the cutout's centre RA {ra:.5f}, Dec {dec:.5f} lies outside the image (centre RA "
            f"{here.ra:.5f}, Dec {here.dec:.5f}); give a position on it, or leave this image out"
        ) from None
    return {k: None if c is None else c.data.copy() for k, c in cuts.items()}, cuts["data"].wcs


def _pick(value: Any, i: int, count: int, path: Path, band: str | None, what: str) -> Any:
    """The value for image i: of a dict by stem or band, of a list by place, else the same for all."""
    if isinstance(value, Mapping):
        return value.get(path.stem, value.get(band))
    pair = what == "size" and isinstance(value, tuple)
    if isinstance(value, list | tuple) and not pair:
        if len(value) != count:
            raise ValueError(
                f"{what} has {len(value)} values for {count} images; give one for all, or one for each"
            )
        return value[i]
    return value


def _check_keys(given: Mapping[str, Any], files: Sequence[Path], bands: Sequence[str]) -> None:
    known = {*bands, *(path.stem for path in files)}
    for what, value in given.items():
        if isinstance(value, Mapping) and (strange := [key for key in value if key not in known]):
            raise ValueError(
                f"{what} has the key {strange[0]!r}; keys are bands or file stems: {sorted(known)}"
            )


def _band_of(path: Path, i: int, count: int, band: Any, hdu: Any) -> str:
    """The band of a file: as given, else from its header, else its stem."""
    with _opened(path) as hdus:
        here = _data_hdu(hdus, _pick(hdu, i, count, path, None, "hdu"), str(path))
        found = _text((here.header, hdus[0].header), BAND_KEYWORDS) or path.stem
    return _pick(band, i, count, path, found, "band") or found


def _image_centre(path: Path, hdu: int | str | None) -> tuple[float, float]:
    with _opened(path) as hdus:
        here = _data_hdu(hdus, hdu, str(path))
        centre = image_centre(_wcs(here, hdus, str(path)), _plane(here, str(path)).shape)
    return centre.ra, centre.dec


def _names(files: Sequence[Path], bands: Sequence[str], names: Any) -> list[str]:
    """Names given; else each band where it is unique, else stems, with -2, -3 appended where these repeat."""
    if isinstance(names, str):
        raise TypeError(f"names must be a list with one name for each image, got the string {names!r}")
    chosen: list[str] = []
    for i, (path, band) in enumerate(zip(files, bands, strict=True)):
        own = _pick(names, i, len(files), path, band, "names")
        if own is None:
            stem = own = band if bands.count(band) == 1 else path.stem
            repeat = 2
            while own in chosen:
                own, repeat = f"{stem}-{repeat}", repeat + 1
        chosen.append(str(own))
    return chosen
