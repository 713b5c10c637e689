"""What the command line says of images, turned into arguments of `read_images`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bayesjoint.data.extensions import read_psf, split_extension


def image_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `bj.read_images` from parsed options.

    Raises
    ------
    ValueError, FileNotFoundError
        For values that are not understood, naming the option.
    """
    given = {
        "zeropoint": keyed(arguments.zeropoint, "--zeropoint", _number, "22.5"),
        "psf": keyed(arguments.psf, "--psf", read_psf, "gaussian:1.12"),
        "band": keyed(arguments.band, "--band", str, "g"),
        "invvar": keyed(arguments.invvar, "--invvar", lambda text: _plane(text, "invvar"), "invvar.fits"),
        "mask": keyed(arguments.mask, "--mask", lambda text: _plane(text, "mask"), "mask.fits"),
        "hdu": keyed(arguments.hdu, "--hdu", lambda text: int(text) if text.isdigit() else text, "SCI"),
        "size": arguments.size,
        "position": None if arguments.position is None else parse_position(arguments.position),
    }
    return {name: value for name, value in given.items() if value is not None}


def keyed(values: Sequence[str], option: str, convert: Callable[[str], Any], example: str) -> Any:
    """One value for all images, or a dict by key of KEY=VALUE; None without values.

    Examples
    --------
    >>> keyed(["22.5"], "--zeropoint", float, "22.5")
    22.5
    >>> keyed(["r=22.5", "W1=25.199"], "--zeropoint", float, "22.5")
    {'r': 22.5, 'W1': 25.199}
    """
    bare = [value for value in values if "=" not in value or Path(value).exists()]
    if bare and len(values) > 1:
        raise ValueError(
            f"{option} was given {' and '.join(map(repr, values))}: write one value for all images, or "
            f"{option} KEY={example} for each band or file stem"
        )
    if bare:
        return _converted(bare[0], option, convert)
    pairs = [value.split("=", 1) for value in values]
    for key, value in pairs:
        if not key or not value:
            raise ValueError(f"{option} {key}={value} is not understood: write {option} KEY={example}")
    return {key: _converted(value, option, convert) for key, value in pairs} or None


def _converted(text: str, option: str, convert: Callable[[str], Any]) -> Any:
    try:
        return convert(text)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{option}: {error}") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{option}: {error}") from None


def _plane(text: str, what: str) -> str:
    """A FITS file, with or without an extension, that is there."""
    split_extension(text, what)
    return text


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number: write one, such as 22.5")
    return value


def parse_position(text: str) -> tuple[float, float]:
    """RA and Dec in degrees from "187.3119 12.9783" (degrees) or "12:29:14.9 +12:58:42" (hours, degrees).

    Examples
    --------
    >>> parse_position("187.3119, 12.9783")
    (187.3119, 12.9783)
    >>> ra, dec = parse_position("12h29m14.86s +12d58m41.9s")
    >>> print(f"{ra:.4f} {dec:.4f}")
    187.3119 12.9783
    """
    words = text.replace(",", " ").split()
    try:
        ra, dec = _degrees(words)
    except ValueError:
        ra, dec = math.nan, math.nan
    if not (0 <= ra < 360 and -90 <= dec <= 90):
        raise ValueError(
            f"--position {text!r} is not understood: write RA and Dec in one string, in degrees "
            "('187.3119 12.9783') or sexagesimal ('12:29:14.86 +12:58:41.9'), RA 0 to 360, Dec -90 to 90"
        )
    return ra, dec


def _degrees(words: Sequence[str]) -> tuple[float, float]:
    if len(words) == 2:
        try:
            return float(words[0]), float(words[1])
        except ValueError:
            pass
    from astropy.coordinates import SkyCoord

    place: Any = SkyCoord(" ".join(words), unit=("hourangle", "deg"))
    return float(place.ra.deg), float(place.dec.deg)
