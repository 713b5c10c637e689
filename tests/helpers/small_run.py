"""One small scene of three telescopes, fitted once by the command, for the tests of what it leaves."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import bayesjoint as bj
from bayesjoint import demo, pipeline
from bayesjoint.cli import main

# Sizes and PSFs that share one padded lattice, so that one small program is compiled.
BANDS = {
    "r": demo.Band(28, 0.55, 2.37, 22.5, 17.0, 0.1, 400),
    "W1": demo.Band(24, 1.2, 5.2, 25.199, 17.0, 1.0, 50),
    "NUV": demo.Band(24, 1.2, 5.2, 20.08, 18.5, 0.01, 3000),
}
SHAPE = {"east": 0.2, "north": -0.1, "Re": 2.0}
FEW = ["--draws", "50", "--chains", "2", "--warmup", "50"]


@dataclass(frozen=True)
class Run:
    """What `bayesjoint fit` left, printed and made."""

    folder: Path
    out: str
    err: str
    fit: Any
    posterior: Any


@cache
def scene() -> tuple[list[str], dict]:
    """FITS files of the scene, as strings, and its truth."""
    pipeline.set_up()
    folder = Path(tempfile.mkdtemp(prefix="bayesjoint-scene-"))
    paths, truth = demo.simulate(folder, BANDS, **SHAPE)
    return [str(path) for path in paths], truth


@cache
def run() -> Run:
    """The scene fitted by the command."""
    folder = Path(tempfile.mkdtemp(prefix="bayesjoint-run-")) / "fitted"
    out, err, made = io.StringIO(), io.StringIO(), []

    def kept(make):
        return lambda *args, **options: made.append(make(*args, **options)) or made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bj, "fit_map", kept(bj.fit_map))
        patch.setattr(bj, "sample", kept(bj.sample))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["fit", *scene()[0], "--out", str(folder), *FEW])
    assert code == 0, err.getvalue()
    return Run(folder, out.getvalue(), err.getvalue(), *made)
