"""The code of the documents runs as printed, all blocks of one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_add_a_profile(tmp_path):
    text = (ROOT / "docs" / "add_a_profile.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 4
    script = tmp_path / "add_a_profile.py"
    script.write_text("\n\n".join(blocks))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-W", "error", str(script)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    assert "MapFit: converged" in run.stdout and "rb = " in run.stdout
