"""The examples run on the observed images, with few draws, and leave what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROMISED = {
    "three_telescopes": ({"galaxy.nc", "summary.ecsv", "images.png", "corner.png"}, ["NUV - ", "chi2/dof"]),
    "structure_with_wavelength": ({"structure.png", "summary.ecsv"}, ["galaxy_Re  g", "galaxy_n  z"]),
    "dithers": ({"colours.ecsv", "images.png"}, ["g - r", "r - z", "z3  chi2/pixel"]),
    "handwritten": ({"summary.ecsv", "images.png"}, ["g_minus_r = 0.5", "slope = -"]),
}


@pytest.fixture(scope="module")
def runs(observed, tmp_path_factory):
    """All examples started at once, for they mostly compile: (process, folder) by name."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    started = {}
    for name in PROMISED:
        out = tmp_path_factory.mktemp(name)
        command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), str(observed)]
        command += ["--out", str(out), "--draws", "25"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started[name] = subprocess.Popen(command, env=environment, **pipes), out
    yield started
    for process, _ in started.values():
        process.kill()


@pytest.mark.parametrize("name", PROMISED)
def test_example(runs, name):
    process, out = runs[name]
    files, words = PROMISED[name]
    said, complaints = process.communicate(timeout=900)
    assert process.returncode == 0, complaints
    assert {path.name for path in out.iterdir()} == files
    assert all(word in said for word in words)


def test_every_example_is_run():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(PROMISED)
