"""Made by `python tests/benchmarks/killed.py [KILLS]`: runs killed (SIGKILL) at random moments, resumed, compared."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).absolute().parents[0]))
sys.path.insert(0, str(Path(__file__).absolute().parents[1]))
from helpers.killed_run import start
from machine import heading, markdown_table

SCENES = ("exact", "compressed", "corrected")


def main(kills: int = 20) -> None:
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="bayesjoint-compiled-"))
    clock, rows = random.Random(0), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = {scene: uninterrupted(scene, folder) for scene in SCENES}
        done, turn = 0, 0
        while done < kills:
            scene = SCENES[turn % len(SCENES)]
            killed, same = one_run(scene, folder / f"{turn}", wanted[scene], clock, kills - done)
            for k, (size, after) in enumerate(killed):
                rows.append((done + k + 1, scene, f"{after:.1f}", size, same))
            done, turn = done + len(killed), turn + 1
            print(f"{done} kills of {scene}, same bits: {same}", file=sys.stderr)
    print(heading("Runs that were killed", __doc__))
    print(
        "*gone*: the run had made all its draws and removed its checkpoint; begun anew, it made them again.\n"
    )
    columns = ("kill", "run", "killed after, s", "checkpoint then, kB", "same bits in the end")
    print(markdown_table(columns, rows))


def uninterrupted(scene: str, folder: Path) -> tuple[dict, float]:
    """Draws of a run that nobody kills, and how long it goes on after its first checkpoint, its programs compiled."""
    for _ in range(2):
        path, checkpoint = folder / f"{scene}.npz", folder / f"{scene}.ckpt"
        child = start(scene, checkpoint, path)
        wait_for_writing(child, checkpoint, None)
        began = time.monotonic()
        assert child.wait() == 0
    with np.load(path) as file:
        return dict(file), time.monotonic() - began


def wait_for_writing(child, checkpoint: Path, before: int | None) -> bool:
    """Whether the child writes another checkpoint than that of the time `before`, before it ends."""
    while child.poll() is None:
        if when_written(checkpoint) not in (None, before):
            return True
        time.sleep(0.01)
    return False


def when_written(checkpoint: Path) -> int | None:
    """Nanoseconds; None where there is no checkpoint."""
    try:
        return checkpoint.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def one_run(scene: str, stem: Path, wanted: tuple[dict, float], clock, most: int) -> tuple[list, str]:
    """Kill a run at up to three random moments, then let it end; size (kB), time of each, and whether it gave the bits."""
    draws, usual = wanted
    path, out = stem.with_suffix(".ckpt"), stem.with_suffix(".npz")
    killed = []
    for _ in range(min(3, most)):
        before, began = when_written(path), time.monotonic()
        child = start(scene, path, out)
        if not wait_for_writing(child, path, before):
            break
        time.sleep(usual * clock.uniform(0.0, 0.5))
        if child.poll() is not None:
            break
        child.kill()
        child.wait()
        out.unlink(missing_ok=True)  # of one killed when it had ended: the next begins anew
        size = f"{path.stat().st_size / 1e3:.0f}" if path.exists() else "gone"
        killed.append((size, time.monotonic() - began))
    status = (
        0 if out.exists() else start(scene, path, out).wait()
    )  # there if it ended before it was to be killed
    if status:
        return killed, f"NO: the last run ended with status {status}"
    with np.load(out) as file:
        other = sorted(
            name for name in draws if name not in file or not np.array_equal(file[name], draws[name])
        )
    if other or path.exists():
        return killed, f"NO: {', '.join(other) or 'the checkpoint was left'}"
    return killed, "yes"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
