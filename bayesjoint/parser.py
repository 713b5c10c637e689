"""The options that commands share, and what their values must be."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn, get_args

from bayesjoint.infer.methods import Method
from bayesjoint.infer.roads import Likelihood


class Parser(argparse.ArgumentParser):
    """Argument errors in one sentence, as all other input errors."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see '{self.prog} --help'")


def image_options() -> Parser:
    """Which images, and what their files lack."""
    options = Parser(add_help=False)
    options.add_argument("files", nargs="+", metavar="FILE", help="FITS images of one piece of sky")
    group = options.add_argument_group(
        "images; KEY is a band or a file's stem, and the option may be repeated"
    )
    keyed: dict[str, Any] = {"action": "append", "default": []}
    group.add_argument("--zeropoint", metavar="[KEY=]MAG", help="AB magnitude of one data unit", **keyed)
    group.add_argument(
        "--psf",
        metavar="[KEY=]PSF",
        help="FITS file, gaussian:FWHM or moffat:FWHM:BETA (arcsec), or airy:WAVELENGTH:DIAMETER[:OBSCURATION] "
        "(micron, m)",
        **keyed,
    )
    group.add_argument("--band", metavar="KEY=NAME", help="name of the filter", **keyed)
    for name, what in (("invvar", "inverse variances, data units^-2"), ("mask", "bad where not 0")):
        group.add_argument(
            f"--{name}", metavar="[KEY=]FILE", help=f"FITS file, or FILE[EXTENSION]: {what}", **keyed
        )
    group.add_argument("--hdu", metavar="[KEY=]HDU", help="name or number of the HDU of the data", **keyed)
    group.add_argument("--position", metavar="'RA DEC'", help="of the galaxy: degrees or sexagesimal")
    group.add_argument("--size", type=_positive, metavar="ARCSEC", help="cut images to this size")
    return options


def sampling_options() -> Parser:
    """How the posterior is sampled, and what is made of it."""
    options = Parser(add_help=False)
    group = options.add_argument_group("sampling")
    for name, default, least, help_text in (
        ("draws", None, 1, "draws kept of each chain; default 1000 (laplace, svi: 250; smc: 500)"),
        ("chains", 4, 1, "chains; default 4"),
        ("warmup", None, 10, "draws of each chain before those kept; default 300"),
        ("seed", 0, 0, "of the random numbers; default 0"),
    ):
        group.add_argument(f"--{name}", type=_whole(least), default=default, help=help_text)
    group.add_argument(
        "--method",
        choices=get_args(Method),
        default="nuts",
        help="nuts (default); laplace or svi for a quick look; mclmc, mams or smc of blackjax",
    )
    group.add_argument(
        "--target-accept",
        type=_share,
        metavar="SHARE",
        help="acceptance the step is adapted to; default 0.8 (exact likelihood: 0.65), higher where draws diverge",
    )
    group.add_argument(
        "--max-tree-depth",
        type=_whole(1),
        metavar="DEPTH",
        help="trajectories of at most 2^DEPTH - 1 steps; default 8 (exact likelihood: 2)",
    )
    group.add_argument(
        "--likelihood",
        choices=get_args(Likelihood),
        default="auto",
        help="what is sampled: compressed where that holds (auto, default), whatever it errs (compressed), or exact",
    )
    group.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="kept while sampling: after a crash or an interrupt the same command goes on from it, to the same draws",
    )
    for name, metavar, help_text in (
        (
            "until-ess",
            "ESS",
            "sample on, --draws at a time, until the least bulk effective sample size is this",
        ),
        ("max-seconds", "SECONDS", "stop sampling after this time, with the draws so far"),
    ):
        group.add_argument(f"--{name}", type=_positive, metavar=metavar, help=help_text)
    options.add_argument(
        "--check",
        action="store_true",
        help="also check the model against the images: predicted data, priors, what each image tells (check*.png, .ecsv)",
    )
    options.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    options.add_argument("--quiet", action="store_true", help="print only warnings and errors")
    return options


def _whole(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.lstrip("+-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} on, got {text!r}")
        return int(text)

    return convert


def _share(text: str) -> float:
    value = _positive(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text!r}")
    return value


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value
