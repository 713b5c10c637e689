"""The examples run, with few draws, most of them on the observed images, and leave what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROMISED = {
    "three_telescopes": ({"galaxy.nc", "summary.ecsv", "images.png", "corner.png"}, ["NUV - ", "chi2/dof"]),
    "structure_with_wavelength": ({"structure.png", "summary.ecsv"}, ["galaxy_Re  g", "galaxy_n  z"]),
    "dithers": ({"colours.ecsv", "images.png"}, ["g - r", "r - z", "z3  chi2/pixel"]),
    "bulge_disc": ({"summary.ecsv", "images.png"}, ["galaxy_bulge_fraction z", "disc g - r"]),
    "field": ({"colours.ecsv", "images.png"}, ["s5", "window"]),
    "supernova": ({"light_curve.ecsv", "light_curve.png"}, ["mag_limit", "deviations in sigma"]),
    "handwritten": ({"summary.ecsv", "images.png"}, ["g_minus_r = 0.5", "slope = -"]),
}
SIMULATED = ("bulge_disc", "field", "supernova")


@pytest.fixture(scope="module")
def runs(observed, tmp_path_factory):
    """All examples, two at a time, for they mostly compile: (finished process, folder) to come, by name."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}

    def run(name, out):
        data = [] if name in SIMULATED else [str(observed)]
        command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *data, str(out)]
        options = {"env": environment, "capture_output": True, "text": True, "timeout": 900}
        return subprocess.run([*command, "25"], **options), out

    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name: pool.submit(run, name, tmp_path_factory.mktemp(name)) for name in PROMISED}


@pytest.mark.parametrize("name", PROMISED)
def test_example(runs, name):
    process, out = runs[name].result()
    files, words = PROMISED[name]
    assert process.returncode == 0, process.stderr
    assert {path.name for path in out.iterdir()} == files
    assert all(word in process.stdout for word in words)


def test_every_example_is_run():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(PROMISED)
