"""The result folder of a run: filled under a temporary name, renamed when complete.

An interrupted or failed run leaves an old folder as it was and nothing of its own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesjoint.infer.map_fit import MapFit
    from bayesjoint.report.check import Check
    from bayesjoint.report.posterior import Posterior

RESULT_MARK = "fit.json"
FIGURES = ("images", "corner", "colours", "trace")
FIGURE_DPI = 200


@contextmanager
def result_folder(
    out: str | os.PathLike, overwrite: bool = False, inputs: Sequence[str | os.PathLike] = ()
) -> Iterator[Path]:
    """A temporary folder beside `out`, which takes its place when the block ends well.

    Parameters
    ----------
    out : path
        The folder to be made.
    overwrite : bool
        Replace an older result there.
    inputs : sequence of path
        Files the run reads, which must not lie in a folder to be replaced.

    Yields
    ------
    Path
        The folder to write into. It is removed when the block raises, KeyboardInterrupt included.

    Raises
    ------
    ValueError, OSError
        At once, when `out` exists, is no older result, holds an input, or cannot be written beside.
    """
    folder = Path(out).expanduser().resolve()
    _check_free(folder, overwrite, inputs)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise OSError(
            f"nothing can be written beside {str(out)!r} ({error.strerror}): choose another output folder"
        ) from None
    try:
        yield partial
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_free(folder: Path, overwrite: bool, inputs: Sequence[str | os.PathLike]) -> None:
    if not folder.name:
        raise ValueError(f"{folder} cannot be an output folder: give the name of a new one")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"the output {str(folder)!r} is a file: give the name of a folder")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise ValueError(
            f"the output folder {str(folder)!r} exists: choose another name, or add --overwrite to replace it"
        )
    if not (folder / RESULT_MARK).is_file():
        raise ValueError(
            f"the folder {str(folder)!r} holds no {RESULT_MARK}, so it is no earlier result, and will not be "
            "overwritten: choose another output folder"
        )
    held = [str(path) for path in inputs if folder in Path(path).expanduser().resolve().parents]
    if held:
        raise ValueError(
            f"the input {held[0]!r} lies in the output folder {str(folder)!r}, which --overwrite would "
            "delete: choose another output folder"
        )


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename the new folder to its own name; the old one goes only when the new one stands."""
    old = folder.with_name(f"{folder.name}.old-{os.getpid()}")
    if not folder.exists():
        os.replace(partial, folder)
        return
    os.replace(folder, old)
    try:
        os.replace(partial, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_results(
    folder: Path,
    posterior: Posterior,
    fit: MapFit,
    *,
    seconds: Mapping[str, float] | None = None,
    files: Sequence[str | os.PathLike] = (),
    truth: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write everything a run leaves behind.

    Parameters
    ----------
    folder : Path
        Exists already.
    posterior : Posterior
    fit : MapFit
        The fit that sampling started from.
    seconds : dict of float, optional
        Wall time of each step.
    files : sequence of path, optional
        The file of each image.
    truth : dict, optional
        True values, to mark in the figures and to write as truth.json; see `plots.truth_of`.

    Returns
    -------
    list of Path
        posterior.nc, summary.ecsv, colours.ecsv, table.tex, images.png, corner.png, colours.png, trace.png,
        fit.json, and truth.json where there is a truth.
    """
    written = [posterior.save(folder / "posterior.nc")]
    for name, table in (("summary", posterior.summary()), ("colours", posterior.colours())):
        written.append(folder / f"{name}.ecsv")
        table.write(written[-1], format="ascii.ecsv")
    written.append(folder / "table.tex")
    written[-1].write_text(posterior.to_latex(), encoding="utf-8")
    written += write_figures(folder, posterior, truth)
    record = fit_summary(posterior, fit, seconds or {}, files)
    written.append(_write_json(folder / RESULT_MARK, record))
    if truth is not None:
        written.append(_write_json(folder / "truth.json", truth))
    return written


def write_figures(folder: Path, posterior: Posterior, truth: Mapping[str, Any] | None = None) -> list[Path]:
    """Write images.png, corner.png, colours.png and trace.png; returns their paths."""
    written = []
    for name in FIGURES:
        options = {} if name == "images" or truth is None else {"truths": truth}
        figure = getattr(posterior, f"plot_{name}")(**options)
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], dpi=FIGURE_DPI)
    return written


def write_check(folder: Path, check: Check) -> list[Path]:
    """Write the tables and figures of a check, and its verdict; returns their paths."""
    tables = {
        "": check.table(),
        "_scores": check.score_table(),
        "_sensitivity": check.sensitivity_table(),
        "_information": check.information_table(),
    }
    written = []
    for name, table in tables.items():
        written.append(folder / f"check{name}.ecsv")
        table.write(written[-1], format="ascii.ecsv")
    for name in ("residuals", "information"):
        written.append(folder / f"check_{name}.png")
        getattr(check, f"plot_{name}")().savefig(written[-1], dpi=FIGURE_DPI)
    written.append(_write_json(folder / "check.json", check.verdict.as_dict()))
    return written


def fit_summary(
    posterior: Posterior, fit: MapFit, seconds: Mapping[str, float], files: Sequence[str | os.PathLike] = ()
) -> dict[str, Any]:
    """What fit.json holds: the maximum a posteriori, chi2 of each image, the verdict and the timings.

    The degrees of freedom of an image are its pixels less its share, by pixels, of all parameters.
    """
    from bayesjoint.report.archive import fit_record

    record = fit_record(fit)
    attributes = posterior.idata.attrs
    per_pixel = 1 - fit.layout.size / max(int(fit.pixels.sum()), 1)
    images = [
        {
            "name": pixels.name,
            "band": band,
            "chi2": pixels.chi2,
            "pixels": pixels.pixels,
            "chi2_per_dof": pixels.chi2 / max(pixels.pixels * per_pixel, 1e-9),
        }
        for pixels, band in zip(fit.images, posterior.image_bands, strict=True)
    ]
    for image, path in zip(images, files, strict=False):
        image["file"] = str(path)
    return {
        "version": attributes["bayesjoint_version"],
        "command": attributes["command"],
        "date": attributes["date"],
        "map": {key: record[key] for key in record if key not in ("chi2", "pixels", "seconds")},
        "images": images,
        "tangent_point": [posterior.frame.ra, posterior.frame.dec],
        "chi2_per_dof": record["chi2_per_dof"],
        "verdict": posterior.verdict.as_dict(),
        "sampling": {
            "chains": int(posterior.idata.posterior.sizes["chain"]),
            "draws": int(posterior.idata.posterior.sizes["draw"]),
            **{key: int(attributes[key]) for key in ("warmup", "seed")},
            "likelihood": attributes["likelihood"],
            "interrupted": bool(attributes["interrupted"]),
        },
        "seconds": {name: round(float(value), 3) for name, value in seconds.items()},
    }


def _write_json(path: Path, record: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path
