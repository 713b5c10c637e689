"""Observed galaxies, from files to verdict: what the default program and its nearest variants make of them."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import numpy as np

import bayesjoint as bj

# sampling of each set ends then, wherever it is: of images in which the model is far off it may take hours
LIMIT = 120.0
CROWDED = ("gama202627",)
# folder, files, options of joint_model, what the variant is
SETS = (
    ("j0056m0021", "FUV NUV u g r i z J Ks", {}, "shared structure"),
    ("j0056m0021", "FUV NUV u g r i z J Ks", {"per_band": ("n", "Re")}, "n and Re in each band"),
    ("decam_dithers_2447p120", "g1 g2 g3 r1 r2 z1 z2 z3", {"sky": False}, "shared structure, no sky"),
    ("gama202627", "r K NUV", {}, "shared structure, others masked"),
    ("gama202627", "r K NUV", {"per_band": ("n", "Re")}, "n and Re in each band, others masked"),
)


def all_sets(data: Path, figures: Path) -> list[dict]:
    """A row for each set and program, and a figure of the images of the first program of each set."""
    return [_told(_one(data, figures, *each)) for each in SETS]


def _alone(images: bj.ImageSet) -> bj.ImageSet:
    """The galaxy in the middle, all else that is seen masked."""
    table = bj.find_sources(images)
    middle = int(np.argmin(np.hypot(table["east"], table["north"])))
    return bj.ImageSet(list(images.with_sources(table[[middle]], mask_others=True)))


def _told(row: dict) -> dict:
    print(row["set"], row["variant"], f"{row['seconds']:.0f} s", row["parts"], flush=True)
    return row


def _one(data: Path, figures: Path, folder: str, names: str, options: dict, variant: str) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = bj.read_images(*(data / folder / f"{name}.fits" for name in names.split()))
        images = _alone(images) if folder in CROWDED else images
        began = time.perf_counter()
        program = bj.joint_model(**options)
        fit = bj.fit_map(program, images, progress=False)
        between = time.perf_counter()
        posterior = bj.sample(program, images, init=fit, seed=1, progress=False, max_seconds=LIMIT)
    seconds = time.perf_counter() - began
    if not options.get("per_band"):
        posterior.plot_images().savefig(figures / f"observed_{folder}.png", dpi=80)
    table = posterior.summary()
    return {
        "set": folder,
        "variant": variant,
        "images": len(images),
        "pixels": sum(image.number_used for image in images),
        "chi2_per_dof": fit.chi2_per_dof,
        "fit_seconds": between - began,
        "seconds": seconds,
        "stopped": posterior.stopped,
        "likelihood": posterior.idata.attrs["likelihood"],
        "parts": json.loads(posterior.idata.attrs["seconds"]),
        "least_ess": posterior.least_ess(),
        "r_hat": max(float(x) for x in table["r_hat"] if x == x),
        "colours": [[str(x) for x in row] for row in posterior.colours()],
        "headline": posterior.verdict.headline,
        "findings": [
            {"severity": f.severity, "what": f.what} for f in posterior.verdict.findings if f.severity != "ok"
        ],
    }
