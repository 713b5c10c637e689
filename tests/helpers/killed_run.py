"""A run in a process of its own that writes its checkpoint at every chunk, and may kill itself while it does.

`killed_run.py SCENE CHECKPOINT DRAWS [COUNT MOMENT]`: with COUNT it dies at the COUNTth writing, at the MOMENT "half" (of
the temporary file), "whole" (before it is renamed) or "renamed". Else it leaves its draws in DRAWS, an .npz.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from astropy.table import Table

TESTS = Path(__file__).absolute().parents[1]
MOMENTS = ("half", "whole", "renamed")
SETTINGS = {"draws": 100, "chains": 2, "warmup": 100, "seed": 4, "progress": False}


def start(scene, checkpoint, draws, *kill):
    """A child process that runs a scene of `scenes`."""
    command = [sys.executable, __file__, scene, str(checkpoint), str(draws), *map(str, kill)]
    path = os.pathsep.join([str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def draws_of(posterior):
    """All numbers of a posterior, by name."""
    groups = (posterior.idata.posterior, posterior.idata.sample_stats)
    return {str(name): array.values for group in groups for name, array in group.data_vars.items()}


def settings_of(scene):
    """The program, images and settings of a scene, and what is set in the modules for it."""
    from infer.conftest import linear_program, linear_scene, simulate

    import bayesjoint as bj

    if scene == "exact":
        return linear_program, linear_scene(1), {"likelihood": "exact"}
    if scene == "adapted":
        return linear_program, linear_scene(1), {"likelihood": "exact", "adapt": "always"}
    return bj.joint_model(), simulate(), {"likelihood": "compressed" if scene == "compressed" else "auto"}


def two_stars():
    """A field whose sources are sampled one by one."""
    from helpers.scenes import make_image, rendered

    import bayesjoint as bj

    blank = make_image((48, 48), 0.5, bj.gaussian_psf(1.2), name="r", band="r")
    places = ((-6.0, -5.0), (6.0, 5.0))
    light = rendered(blank, *(bj.PointSource(place, 900.0) for place in places))
    images = bj.ImageSet([blank.with_data(light + np.random.default_rng(1).normal(size=blank.shape))])
    table = Table({"name": ["a", "b"], "kind": ["star", "star"], "window": [4.0, 4.0]})
    table["east"], table["north"] = zip(*places, strict=True)
    table["Re"], table["q"], table["pa"], table["flux_r"], table["flux_error_r"] = 0.3, 1.0, 0.0, 1e3, 10.0
    return images.with_sources(table)


def sample(scene, **options):
    """The posterior of a scene."""
    import bayesjoint as bj
    from bayesjoint.infer import draws as draws_module

    if scene == "grouped":
        return bj.sample_groups(bj.scene_model(), two_stars(), **(SETTINGS | options))
    program, images, settings = settings_of(scene)
    before = draws_module.TOLERATED_ERROR
    draws_module.TOLERATED_ERROR = 0.0 if scene == "corrected" else before
    try:
        return bj.sample(program, images, **(SETTINGS | settings | options))
    finally:
        draws_module.TOLERATED_ERROR = before


def die_while_writing(count, moment):
    """Replace the writing of checkpoints by one that kills the process at its `count`th time."""
    from bayesjoint.infer import checkpoint

    write, times = checkpoint._write, iter(range(count - 1, -1, -1))

    def deadly(path, content):
        if next(times) > 0:
            return write(path, content)
        if moment == "renamed":
            write(path, content)
        else:
            size = len(content) // 2 if moment == "half" else len(content)
            checkpoint._temporary(path).write_bytes(content[:size])
        os.kill(os.getpid(), signal.SIGKILL)

    checkpoint._write = deadly


def main(scene, path, draws, count="0", moment="half"):
    sys.path.insert(0, str(TESTS))
    import numpyro

    import bayesjoint as bj
    from bayesjoint.infer import checkpoint

    numpyro.enable_x64()
    bj.enable_compilation_cache()
    checkpoint.EVERY, checkpoint.SHARE = 0.0, 1e9
    if int(count):
        die_while_writing(int(count), moment)
    posterior = sample(scene, checkpoint=path)
    np.savez(draws, **draws_of(posterior))


if __name__ == "__main__":
    main(*sys.argv[1:])
