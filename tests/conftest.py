"""What all tests share: float64, strict JAX promotion, builders, and where the observed data are."""

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import jax
import numpyro
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import scenes

from bayesjoint.compilation import enable_compilation_cache

numpyro.enable_x64()
IS_FIRST = "BAYESJOINT_TESTS_COMPILED" not in os.environ
COMPILED = os.environ.setdefault("BAYESJOINT_TESTS_COMPILED", tempfile.mkdtemp(prefix="bayesjoint-compiled-"))


def pytest_configure():
    """Workers, and the commands that tests start, share what they compile; zstandard keeps it quickly."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED
    enable_compilation_cache()


def pytest_unconfigure():
    if IS_FIRST:
        shutil.rmtree(COMPILED, ignore_errors=True)


@pytest.fixture(autouse=True)
def strict_promotion(request):
    """Mixed dtypes raise, as mixed ranks do where a test's module asks for it: both hide mistakes.

    Turned off by the marker `loose`, for code that calls libraries which mix them.
    """
    if request.node.get_closest_marker("loose"):
        yield
        return
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Compiled programs of a module are dropped after it: thousands of them would exhaust a process's memory maps."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="session")
def observed():
    """The folder of observed images, which are not part of the project."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BAYESJOINT_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"observed images are not at {folder}; set BAYESJOINT_DATA to their folder")
    return folder


class Build:
    """The builders of `helpers.scenes`, as one fixture."""

    wcs = staticmethod(scenes.make_wcs)
    image = staticmethod(scenes.make_image)
    galaxy = staticmethod(scenes.galaxy_of)
    sersic = staticmethod(scenes.peer_pixels)
    fits = staticmethod(scenes.write_fits)


@pytest.fixture(scope="session")
def build():
    return Build
