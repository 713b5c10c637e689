"""The `bayesjoint` command: fit FITS images, tell what they hold, run the demonstration."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bayesjoint import __version__
from bayesjoint.data.hdus import BAND_KEYWORDS, WEIGHTS, ZEROPOINT_KEYWORDS
from bayesjoint.parser import Parser, image_options, sampling_options

DEMO_FOLDER = "bayesjoint-demo"
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default those of the process.

    Returns
    -------
    int
        0 for success, 1 for an input error (told in one sentence on stderr), 130 when interrupted with
        nothing to keep.
    """
    try:
        argv = sys.argv[1:] if argv is None else list(argv)
        arguments = build_parser().parse_args(argv)
        arguments.command_line = shlex.join(["bayesjoint", *argv])
        with _plain_warnings(), _terminate_as_interrupt():
            arguments.command(arguments)
    except (ValueError, OSError, ImportError) as error:
        print("bayesjoint: error:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"bayesjoint: interrupted: {str(interrupt) or 'nothing was written'}", file=sys.stderr)
        return INTERRUPTED
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(prog="bayesjoint", description="Joint multiband galaxy fits, in native pixels.")
    parser.add_argument("--version", action="version", version=f"bayesjoint {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    fit = commands.add_parser(
        "fit",
        parents=[image_options(), sampling_options()],
        help="fit one Sersic galaxy to images of any telescopes",
        description="Fit one Sersic galaxy of shared structure to FITS images: data and WCS in the first HDU that holds an "
        f"image, keywords {'/'.join(ZEROPOINT_KEYWORDS)} and {'/'.join(BAND_KEYWORDS)}, extensions "
        f"{'/'.join(WEIGHTS)}, MASK and PSF. Options give what a file lacks.",
        epilog="example: bayesjoint fit NUV.fits r.fits Ks.fits --psf NUV=gaussian:5.3 --out result",
    )
    fit.add_argument("--out", required=True, metavar="DIR", help="folder for posterior, tables and figures")
    fit.add_argument(
        "--no-sky", action="store_true", help="fix the sky at 0 instead of fitting one per image"
    )
    fit.add_argument(
        "--separate-images",
        action="store_true",
        help="give every image a brightness of its own, even where images share a band",
    )
    fit.add_argument(
        "--correlated-noise",
        action="store_true",
        help="measure on each image's blank sky how its noise correlates between pixels, and fit with that",
    )
    fit.set_defaults(command=run_fit)
    info = commands.add_parser("info", parents=[image_options()], help="tell what was read from each file")
    info.set_defaults(command=run_info)
    demo = commands.add_parser("demo", parents=[sampling_options()], help="run the main job")
    demo.add_argument("--real", action="store_true", help="fit LEDA 41136, downloaded, not a simulation")
    demo.add_argument("--out", default=DEMO_FOLDER, metavar="DIR", help=f"default {DEMO_FOLDER}")
    demo.set_defaults(command=run_demo)
    return parser


def run_fit(arguments: argparse.Namespace) -> None:
    """`bayesjoint fit`: from FITS files to a folder of results."""
    from bayesjoint.options import image_arguments
    from bayesjoint.output import result_folder
    from bayesjoint.pipeline import Log, fit_images, read, report, with_correlations

    log = Log(arguments.quiet)
    with result_folder(arguments.out, arguments.overwrite, arguments.files) as folder:
        given = image_arguments(arguments)
        images = read(log, arguments.files, given, separate=arguments.separate_images)
        if arguments.correlated_noise:
            images = with_correlations(log, images)
        sky = not arguments.no_sky
        posterior = fit_images(log, images, folder, arguments, arguments.files, sky)
    report(log, posterior, arguments.out)


def run_info(arguments: argparse.Namespace) -> None:
    """`bayesjoint info`: what was read from each file."""
    import bayesjoint as bj
    from bayesjoint.data.info import info_table
    from bayesjoint.options import image_arguments

    given = image_arguments(arguments)
    try:
        print(info_table(bj.read_images(*arguments.files, **given)))
    except ValueError as error:
        if len(arguments.files) == 1 or any(isinstance(value, dict) for value in given.values()):
            raise
        _info_one_by_one(arguments.files, given, error)


def _info_one_by_one(files: list[str], given: dict[str, Any], together: ValueError) -> None:
    """Files that are no set, or of which some lack something: what each holds, or lacks."""
    import bayesjoint as bj
    from bayesjoint.data.info import info_table

    missing = []
    for file in files:
        try:
            print(info_table(bj.read_images(file, **given)), end="\n\n")
        except ValueError as error:
            missing.append(str(error))
    raise ValueError("; ".join(missing) or str(together))


def run_demo(arguments: argparse.Namespace) -> None:
    """`bayesjoint demo`: the main job on a simulated scene, or on an observed galaxy."""
    from bayesjoint import demo
    from bayesjoint.output import result_folder
    from bayesjoint.pipeline import Log, fit_images, read, report, set_up

    log, truth = Log(arguments.quiet), None
    with result_folder(arguments.out, arguments.overwrite) as folder:
        set_up()
        if arguments.real:
            with log.step("load", "LEDA 41136 in r, W1 and NUV from the Legacy Surveys viewer"):
                files = demo.download(folder / "data")
        else:
            with log.step("make", "a galaxy seen by three telescopes: r, W1 and NUV, with noise"):
                files, truth = demo.simulate(folder / "data", seed=arguments.seed + 1)
        images = read(log, files, demo.known_of_cutouts() if arguments.real else {})
        posterior = fit_images(log, images, folder, arguments, [f"data/{f.name}" for f in files], truth=truth)
    report(log, posterior, arguments.out)
    if truth is not None:
        log.result("\n" + demo.pull_table(demo.pulls(posterior, truth)))


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings in one line each, without the code that gave them."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"bayesjoint: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """A batch system's SIGTERM acts as Ctrl-C: draws so far are kept and temporary files removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
