"""FITS files to images: data, WCS, zero point, band, weights, mask, PSF and time, each from the file or an
argument.

An argument always beats the file. What cannot be found is an error that says how to give it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord

from bayesjoint.data.cutouts import shifted_psf
from bayesjoint.data.extensions import (
    array_of,
    mask_extension,
    psf_extension,
    read_psf,
    tell_unread,
    weight_extension,
)
from bayesjoint.data.frame import TangentFrame, image_centre
from bayesjoint.data.hdus import (
    about,
    celestial_wcs,
    data_hdu,
    existing,
    header_band,
    header_time,
    header_zeropoint,
    opened,
    plane,
    stem_of,
)
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.sky_cutout import cut_planes

__all__ = ["read_image", "read_images", "read_psf"]


def read_image(
    path: str | os.PathLike,
    *,
    band: str | None = None,
    name: str | None = None,
    zeropoint: float | None = None,
    psf: Any = None,
    invvar: Any = None,
    mask: Any = None,
    position: SkyCoord | tuple[float, float] | None = None,
    size: float | tuple[float, float] | None = None,
    hdu: int | str | None = None,
    time: float | None = None,
    frame: TangentFrame | None = None,
) -> Image:
    """Read one image.

    Parameters
    ----------
    path : path
        FITS file: data and WCS in HDU 0 (or the first image HDU where that is empty), with the zero point
        under ZPT, ZEROPT, MAGZERO or PHOTZP and the filter under BAND or FILTER; where they are there,
        extensions INVVAR or IVAR, SIGMA, ERR or RMS, VARIANCE, MASK (bad where not zero) and PSF (keywords OVERSAMP,
        PIXINCL), each of the EXTVER of the data, and the time under MJD-OBS.
    band, name : str, optional
        Filter and name; default the file's, and the file's stem where it has none.
    zeropoint : float, optional
        AB magnitude of one data unit.
    psf : PSF or another PointSpread, path or str, optional
        A PSF, a FITS file that holds one, or a text such as "gaussian:1.12" (see `read_psf`).
    invvar, mask : array (ny, nx) or path, optional
        Inverse variance (data units^-2), and bad pixels (nonzero), of the whole file; "file.fits[WHT]" is that extension.
    position : SkyCoord or (ra, dec) in degrees, optional
        Centre of the cutout; default the image's centre.
    size : float or (height, width), optional
        Size of the cutout in arcsec; default the whole image.
    hdu : int or str, optional
        The HDU that holds the data.
    time : float, optional
        Days.
    frame : TangentFrame, optional
        The frame of positions.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        For what is missing or wrong, naming the file.
    """
    path = existing(path)
    label = str(path)
    with opened(path) as hdus:
        here = data_hdu(hdus, hdu, label)
        data, wcs = plane(here, label), celestial_wcs(here, hdus, label)
        headers = (here.header, hdus[0].header)
        if zeropoint is None:
            zeropoint = header_zeropoint(headers, label)
        if psf is None:
            psf = psf_extension(hdus, label, here=here)
        weight = weight_extension(hdus, here, label) if invvar is None else array_of(invvar, "invvar")
        bad = mask_extension(hdus, here, label) if mask is None else array_of(mask, "mask")
        missing = {what for what, found in {"invvar": weight, "mask": bad}.items() if found is None}
        tell_unread(hdus, here, missing, label)
        filter_name = band if band is not None else header_band(headers)
        time = header_time(headers, label) if time is None else time
    planes = {"data": data, "invvar": weight, "mask": None if bad is None else ~(bad == 0)}
    _check_shapes(planes, label)
    psf = read_psf(psf)
    if size is not None:
        planes, wcs, corner = cut_planes(planes, wcs, position, size, label)
        psf = shifted_psf(psf, *corner)
    with about(label):
        return Image(
            planes["data"],
            wcs=wcs,
            zeropoint=zeropoint,
            psf=psf,
            invvar=planes["invvar"],
            mask=planes["mask"],
            name=name if name is not None else filter_name or stem_of(path),
            band=filter_name or stem_of(path),
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
    time: Any = None,
    frame: TangentFrame | SkyCoord | None = None,
) -> ImageSet:
    """Read images of one piece of sky.

    Each of `size`, `psf`, `zeropoint`, `band`, `invvar`, `mask`, `hdu`, `time` is one value for all images, a list
    with one for each, or a dict keyed by band (as given, or as the file has it) or by file stem (the file's own value holds
    where the dict has none).

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
    files = [existing(path) for path in paths]
    if hdu is None:
        _check_repeats(files)
    found = [_band_of(path, i, len(files), band, hdu) for i, path in enumerate(files)]
    bands, headers = [chosen for chosen, _ in found], [own for _, own in found]
    _check_stems(files, bands, headers)
    given = {
        "size": size,
        "psf": psf,
        "zeropoint": zeropoint,
        "invvar": invvar,
        "mask": mask,
        "hdu": hdu,
        "time": time,
    }
    _check_keys({**given, "names": names, "band": band}, files, [*bands, *filter(None, headers)])
    centre = position
    if size is not None and position is None:
        centre = _image_centre(files[0], _pick(hdu, 0, len(files), files[0], found[0], "hdu"))
    chosen = _names(files, bands, names)
    images = []
    for i, path in enumerate(files):
        own = {key: _pick(value, i, len(files), path, found[i], key) for key, value in given.items()}
        images.append(read_image(path, band=bands[i], name=chosen[i], position=centre, **own))
    return ImageSet(images, frame=frame, position=position)


def _check_shapes(planes: Mapping[str, Any], label: str) -> None:
    shape = np.shape(planes["data"])
    for what, pixels in planes.items():
        if pixels is not None and pixels.shape != shape:
            raise ValueError(
                f"{label}: the {what} has shape {pixels.shape}, the data {shape}; they must be the same"
            )


def _check_repeats(files: Sequence[Path]) -> None:
    """The same pixels twice would count twice, and make error bars too small."""
    once = set()
    for path in (file.resolve() for file in files):
        if path in once:
            raise ValueError(
                f"{str(path)!r} is given twice, and its pixels would count twice: give each file once"
            )
        once.add(path)


def _pick(value: Any, i: int, count: int, path: Path, bands: Sequence[str | None], what: str) -> Any:
    """The value for image i: of a dict by stem or one of its bands, of a list by place, else the same for all."""
    if isinstance(value, Mapping):
        return next((value[key] for key in (stem_of(path), *bands) if key in value), None)
    pair = what == "size" and isinstance(value, tuple)
    if isinstance(value, list | tuple) and not pair:
        if len(value) != count:
            raise ValueError(
                f"{what} has {len(value)} values for {count} images; give one for all, or one for each"
            )
        return value[i]
    return value


def _check_stems(files: Sequence[Path], bands: Sequence[str], headers: Sequence[str | None]) -> None:
    """Files of one name in several folders would share a band that none of them names."""
    seen: dict[str, Path] = {}
    for path, band, header in zip(files, bands, headers, strict=True):
        if header is not None or band != stem_of(path):
            continue
        if band in seen and seen[band].resolve() != path.resolve():
            raise ValueError(
                f"{str(seen[band])!r} and {str(path)!r} name no band, and their names would make both {band!r}: give "
                "band=[...], one for each, write BAND into the headers, or rename the files"
            )
        seen[band] = path


def _check_keys(given: Mapping[str, Any], files: Sequence[Path], bands: Sequence[str]) -> None:
    known = {*bands, *(stem_of(path) for path in files)}
    for what, value in given.items():
        if isinstance(value, Mapping) and (strange := [key for key in value if key not in known]):
            raise ValueError(
                f"{what} has the key {strange[0]!r}; keys are bands or file stems: {sorted(known)}"
            )


def _band_of(path: Path, i: int, count: int, band: Any, hdu: Any) -> tuple[str, str | None]:
    """The band of a file, as given, else from its header, else its stem; and the header's."""
    with opened(path) as hdus:
        here = data_hdu(hdus, _pick(hdu, i, count, path, (), "hdu"), str(path))
        own = header_band((here.header, hdus[0].header))
    found = own or stem_of(path)
    return _pick(band, i, count, path, (found,), "band") or found, own


def _image_centre(path: Path, hdu: int | str | None) -> tuple[float, float]:
    with opened(path) as hdus:
        here = data_hdu(hdus, hdu, str(path))
        centre = image_centre(celestial_wcs(here, hdus, str(path)), plane(here, str(path)).shape)
    return centre.ra, centre.dec


def _names(files: Sequence[Path], bands: Sequence[str], names: Any) -> list[str]:
    """Names given; else each band where it is unique, else stems, with -2, -3 appended where these repeat."""
    if isinstance(names, str):
        raise TypeError(f"names must be a list with one name for each image, got the string {names!r}")
    chosen: list[str] = []
    for i, (path, band) in enumerate(zip(files, bands, strict=True)):
        own = _pick(names, i, len(files), path, (band,), "names")
        if own is None:
            stem = own = band if bands.count(band) == 1 else stem_of(path)
            repeat = 2
            while own in chosen:
                own, repeat = f"{stem}-{repeat}", repeat + 1
        chosen.append(str(own))
    return chosen
