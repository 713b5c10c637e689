"""Rows of the peers' errors for the rendering benchmark: GalSim here, AstroPhot and pysersic in their own environments."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import galsim
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import peer, truth
from helpers.scenes import make_image, truth_arguments
from rendering_grid import INDICES, RADII, blank, error_of, rendered, true_image, true_images
from rendering_speed import BRIGHTNESS, SCENE

import bayesjoint as bj

RATIO, WIDTHS, SIZE = 0.6, (2.0, 4.3), 101
CHILD = Path(__file__).absolute().with_name("peers_render.py")
KINDS = {"AstroPhot": ("effective", "optical", "fine"), "pysersic": ("effective", "optical")}
ACCEPTED = {"GalSim": (0.3, 6.2), "AstroPhot": (0.36, 8.0), "pysersic": (0.65, 8.0)}
WIDE, TOO_WIDE = 100, 250  # n Re in pixels: GalSim's folding is relaxed; its transform would take gigabytes


def scenes():
    """Yields labels (n, Re, FWHM), image, galaxy and true pixels; the r band of the demo first."""
    image = make_image((SCENE["size"],) * 2, SCENE["scale"], bj.gaussian_psf(SCENE["fwhm"]))
    galaxy = bj.Sersic(SCENE["at"], SCENE["q"], SCENE["pa"], SCENE["n"], SCENE["Re"], BRIGHTNESS)
    yield ("demo, r", "", ""), image, galaxy, true_image(image, galaxy)
    for n, re in itertools.product(INDICES, RADII):
        for _, fwhm, galaxy, pixels in true_images(n, re, RATIO, (SIZE,), WIDTHS):
            yield (n, re, fwhm), blank(SIZE, fwhm), galaxy, pixels


def peer_rows(pythons: dict[str, str]) -> dict:
    """Errors of every code, the worst of both seeings, for each n and Re; and what PSF each peer was given."""
    found = list(scenes())
    columns = {"ours": [error_of(np.asarray(rendered(i, g)), t) for _, i, g, t in found]}
    columns["GalSim"] = [galsim_error(*each) for each in found]
    versions = {"GalSim": galsim.__version__}
    for name, python in pythons.items():
        errors, versions[name] = child_errors(python, name, found)
        columns |= {f"{name}, {kind} PSF": errors[kind] for kind in KINDS[name]}
    keys = list(dict.fromkeys(each[0][:2] for each in found))
    rows = [[*key, *(worst(column, found, key) for column in columns.values())] for key in keys]
    return {"columns": list(columns), "rows": rows, "versions": versions}


def worst(column, found, key):
    """The worst error of a code over the seeings, None where it refused one."""
    errors = [error for error, each in zip(column, found, strict=True) if each[0][:2] == key]
    return None if any(error is None or not np.isfinite(error) for error in errors) else max(errors)


def accepts(name: str, galaxy: bj.Sersic) -> bool:
    """Whether a code's own documents allow the index."""
    low, high = ACCEPTED[name]
    return low <= float(galaxy.n) <= high


def galsim_error(label, image, galaxy, pixels):
    """GalSim's error, with fine settings; None where it takes no such galaxy or asks for too large a transform."""
    width = float(galaxy.n) * float(galaxy.Re) / image.pixel_scale
    if not accepts("GalSim", galaxy) or width > TOO_WIDE:
        return None
    warnings.filterwarnings("ignore", module="galsim")
    params = peer.FINE.withParams(folding_threshold=1e-3) if width > WIDE else peer.FINE
    return error_of(peer.sersic(galaxy, image, params), pixels)


def child_errors(python: str, name: str, found) -> tuple[dict, str]:
    """Errors of a peer with every kind of PSF it takes, and its version."""
    taken = [i for i, each in enumerate(found) if accepts(name, each[2])]
    pairs = list(itertools.product(KINDS[name], taken))
    with tempfile.TemporaryDirectory() as folder:
        cases, out = Path(folder) / "cases.npz", Path(folder) / "pixels.npz"
        np.savez(cases, **case_arrays([(found[i][1], found[i][2], kind) for kind, i in pairs]))
        command = [python, str(CHILD), name.lower(), "render", str(cases), str(out)]
        subprocess.run(command, check=True, cwd=folder)  # AstroPhot writes its log there
        errors = {kind: [None] * len(found) for kind in KINDS[name]}
        with np.load(out) as pixels:
            for k, (kind, i) in enumerate(pairs):
                errors[kind][i] = error_of(pixels[str(k)], found[i][3])
            return errors, str(pixels["version"])


def case_arrays(cases) -> dict:
    """What a peer needs to draw galaxies: parameters in pixels and stamps of the PSFs."""
    arrays, stamps = (
        {name: [] for name in ("x", "y", "q", "angle", "n", "Re", "Ie", "flux", "size", "stamp")},
        {},
    )
    for image, galaxy, kind in cases:
        (x, y), axes, n, sigma = truth_arguments(image, galaxy)
        lengths = np.linalg.norm(axes, axis=1)
        brightness = float(galaxy.Ie * image.pixel_area)
        stamp = f"{kind} {sigma:.6f}"
        stamps[stamp] = psf_stamp(sigma, kind)
        flux = truth.sersic_flux(n) * lengths[0] * lengths[1] * brightness
        angle = np.arctan2(axes[0, 1], axes[0, 0])
        q = min(lengths[1] / lengths[0], 1.0)
        values = (x, y, q, angle, n, lengths[0], brightness, flux, image.shape[0], stamp)
        for column, value in zip(arrays.values(), values, strict=True):
            column.append(value)
    return {name: np.array(column) for name, column in arrays.items()} | stamps


def psf_stamp(sigma: float, kind: str) -> np.ndarray:
    """A Gaussian's stamp of unit sum: with the pixel (effective), point-sampled (optical), or that three times finer."""
    finer = 3 if kind == "fine" else 1
    reach = finer * int(np.ceil(6 * sigma)) + finer // 2
    at = np.arange(-reach, reach + 1) / finer
    along = truth.gaussian_pixel(at, sigma) if kind == "effective" else np.exp(-0.5 * (at / sigma) ** 2)
    return np.outer(along, along) / along.sum() ** 2
