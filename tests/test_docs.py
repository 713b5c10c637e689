"""The code of the documents runs as printed, all blocks of one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_page(page, folder):
    """What its code prints."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    script = folder / "page.py"
    script.write_text("\n\n".join(blocks))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-W", "error", str(script)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_add_a_profile(tmp_path):
    printed = run_page("add_a_profile.md", tmp_path)
    assert "MapFit: converged" in printed and "rb = " in printed


def test_noise(tmp_path):
    gaussian, robust, independent, correlated = run_page("noise.md", tmp_path).splitlines()
    numbers = [[float(word) for word in re.findall(r"[0-9]+", line)] for line in (gaussian, robust)]
    (plain, error, truth), (flux, own, _) = numbers
    assert abs(plain - truth) > 3 * error and abs(flux - truth) < 3 * own
    small, large = (float(re.findall(r"\+- ([0-9.]+) of 0", line)[0]) for line in (independent, correlated))
    assert 1.4 < large / small < 1.8
