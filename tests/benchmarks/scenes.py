"""Fields of many sources: what is found, how well it is fitted, and what it costs; writes docs/benchmarks/scenes.md.

    python tests/benchmarks/scenes.py [--parts PART,PART] [--groups FOLDER ...] [--observed FOLDER]
        [--results FOLDER] [--page docs/benchmarks/scenes.md]

`--groups` takes folders with NNN_{r,W1,NUV}.fits (HDU 0 data, WCS, ZPT, BAND; INVVAR; PSF; TRUTH) and NNN_truth.json:
`galaxies`, a list of east, north, q, pa, n, re and flux, a dict by band in the files' units. Each case runs in a process
of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
import scenes_missed
import scenes_observed
from machine import measured
from performance import run
from scenes_fluxes import fluxes
from scenes_page import BANDS, SIDE, page
from scenes_sampled import grouped, sampled

PARTS = "groups,missed,sampled,grouped,fluxes,observed,sources,blocks,images,pruning,positions"
COUNTS = (1, 5, 20, 100, 200, 1000)
REPEATED = 200  # sources up to which a field is fitted a second time, warm
IMAGES = (1, 3, 9, 27)
PRUNED = (100, 200)
SEEDS = range(10, 18)  # of the fields whose positions are looked at
GROUPED = (5, 20, 100)
BY_BLOCKS = ((200, 5), (1000, 5), (5000, 1))  # sources and images
SIGMA = 10.0  # nJy a pixel


def main() -> None:
    """Run the parts asked for and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=PARTS)
    parser.add_argument("--groups", type=Path, nargs="*", default=[])
    parser.add_argument("--observed", type=Path, default=os.environ.get("BAYESJOINT_DATA"))
    parser.add_argument("--results", type=Path, default=Path("docs/benchmarks/scenes"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks/scenes.md"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(one_case(json.loads(args.case))))
        return
    args.results.mkdir(parents=True, exist_ok=True)
    for part in filter(None, args.parts.split(",")):
        rows = [told(case) for case in cases(part, args)]
        saved = {"measured": measured(), "found": rows}
        (args.results / f"{part}.json").write_text(json.dumps(saved, indent=1) + "\n")
    found = {path.stem: json.loads(path.read_text()) for path in args.results.glob("*.json")}
    args.page.write_text(page(found))


def cases(part: str, args: argparse.Namespace) -> list[dict]:
    """What is run of a part."""
    if part == "observed":
        figures = str(args.page.absolute().parents[1] / "figures")
        return [
            {"field": str(Path(args.observed) / name), "figures": figures} for name in scenes_observed.FIELDS
        ]
    if part in ("groups", "sampled"):
        truths = sorted(path for folder in args.groups for path in folder.glob("*_truth.json"))
        return [{"group": str(path).removesuffix("_truth.json"), "part": part} for path in truths]
    if part == "missed":
        return [{"folder": str(folder), "part": part} for folder in args.groups]
    if part == "fluxes":
        return [case | {"part": part} for case in cases("groups", args)[:1]]
    if part == "sources":
        return [{"sources": n, "images": BANDS} for n in COUNTS]
    if part == "grouped":
        return [{"sources": n, "images": BANDS, "part": part} for n in GROUPED]
    if part == "blocks":
        return [{"sources": n, "images": images, "method": "blocks"} for n, images in BY_BLOCKS]
    if part == "positions":
        return [{"sources": 200, "images": 1, "part": part, "seed": seed} for seed in SEEDS]
    if part == "pruning":
        return [{"sources": n, "images": BANDS, "prune": True} for n in PRUNED]
    return [{"sources": 5, "images": n} for n in IMAGES]


def told(case: dict) -> dict:
    """One case, in a process of its own."""
    done = run([sys.executable, __file__, "--case", json.dumps(case)])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    print(case, {k: v for k, v in found.items() if not isinstance(v, list | dict)}, flush=True)
    if "field" in case:
        return found
    if "part" not in case and "pulls" in found:
        found["held"] = held(np.array(found.pop("pulls")))
    parts = {"group": 2, "folder": 1}  # of a path, that are kept
    named = {key: "/".join(Path(case[key]).parts[-parts[key] :]) for key in parts if key in case}
    return case | named | found


def held(pulls: np.ndarray) -> list[float]:
    """How many of true fluxes lie within 68 and 95 % intervals."""
    return [float(np.mean(np.abs(pulls) < edge)) for edge in (0.9945, 1.96)]


def one_case(case: dict) -> dict[str, Any]:
    """Find sources where they are looked for, fit twice, and compare with the truth."""
    import numpyro

    numpyro.enable_x64()
    from peers_render import peak_mb

    import bayesjoint as bj

    if "field" in case:
        return scenes_observed.fitted(case["field"], case["figures"])
    if "folder" in case:
        return scenes_missed.missed(case["folder"], read_group)
    images, truth = (
        read_group(case["group"])
        if "group" in case
        else simulated(case["sources"], case["images"], case.get("seed", 3))
    )
    if case.get("part") == "sampled":
        return sampled(images, truth)
    if case.get("part") == "grouped":
        return grouped(images, truth)
    if case.get("part") == "fluxes":
        return fluxes(images, truth, case["group"])
    began = time.perf_counter()
    table = bj.find_sources(images)
    found = time.perf_counter()
    if case.get("prune"):
        return pruned(images, table, truth)
    if case.get("part") == "positions":
        return positions(images.with_sources(table), truth)
    images, seconds = images.with_sources(table), []
    for _ in range(2 if case.get("sources", 0) <= REPEATED else 1):
        since = time.perf_counter()
        fit = bj.fit_map(
            bj.scene_model(),
            images,
            method=case.get("method", "joint"),
            progress=case.get("method") == "blocks",
        )
        seconds.append(time.perf_counter() - since)
    row = compared(images, fit, truth)
    if "group" in case:
        row["noise_chi2"] = noise_chi2(images, case["group"])
    return row | {
        "parameters": fit.layout.size,
        "pixels": int(fit.pixels.sum()),
        "find_seconds": found - began,
        "cold_seconds": seconds[0],
        "warm_seconds": seconds[1] if len(seconds) > 1 else None,
        "gradient_ms": None if case.get("method") else gradient_ms(images, fit),
        "iterations": fit.iterations,
        "converged": fit.converged,
        "chi2": (fit.chi2 / fit.pixels).tolist(),
        "peak_gb": peak_mb() / 1024,
    }


def pruned(images, table, truth: dict[str, np.ndarray]) -> dict[str, Any]:
    """How many true and spurious sources a fit has, and how many of them pruning leaves."""
    import bayesjoint as bj

    fit = bj.fit_map(bj.scene_model(), images.with_sources(table), progress=False)
    kept = np.array([not reason for reason in bj.prune_sources(fit, table)["dropped"]])
    true = distances(fit, truth).min(axis=0) < 1.0
    counts = {"true": true, "spurious": ~true, "true_left": true & kept, "spurious_left": ~true & kept}
    return {name: int(which.sum()) for name, which in counts.items()}


def compared(images, fit, truth: dict[str, np.ndarray]) -> dict[str, Any]:
    """How many true sources were found, how many are none, and deviations over errors of all that were."""
    distance = distances(fit, truth)
    pairs = [(i, int(row.argmin())) for i, row in enumerate(distance) if row.min() < 1.0]
    pulls = []
    for i, j in pairs:
        flux = f"{images.sources.names[j]}_flux"
        pulls.append(((fit.values[flux] - truth["flux"][i]) / fit.errors[flux]).tolist())
    return {
        "true": len(truth["place"]),
        "matched": len({j for _, j in pairs}),
        "spurious": int(np.sum(distance.min(axis=0) > 1.0)),
        "bands": list(images.bands),
        "pulls": pulls,
    }


def positions(images, truth: dict[str, np.ndarray]) -> dict[str, Any]:
    """Mean deviation over error east and north of all sources that were found, and how many lie within errors."""
    import bayesjoint as bj

    fit = bj.fit_map(bj.scene_model(), images, progress=False)
    names = ("source_east", "source_north")
    place, error = (np.stack([of[name] for name in names], axis=1) for of in (fit.values, fit.errors))
    distance = distances(fit, truth)
    nearest, seen = distance.argmin(axis=1), distance.min(axis=1) < 1.0
    off = ((place[nearest] - truth["place"]) / error[nearest])[seen]
    return {"found": len(off), "mean": off.mean(axis=0).tolist(), "held": [held(way) for way in off.T]}


def distances(fit, truth: dict[str, np.ndarray]) -> np.ndarray:
    """From each true source (rows) to each that was fitted, arcsec."""
    place = np.stack([fit.values["source_east"], fit.values["source_north"]], axis=1)
    return np.hypot(*(truth["place"][:, None] - place[None]).transpose(2, 0, 1))


def gradient_ms(images, fit) -> float:
    """One value and gradient of the log posterior."""
    import jax

    import bayesjoint as bj
    from bayesjoint.infer.space import log_posterior

    def posterior(z, args):
        return log_posterior(bj.scene_model(), fit.layout, z, args)

    both = jax.jit(jax.value_and_grad(posterior), compiler_options=bj.compiler_options())
    args, times = jax.device_put((images,)), []
    for _ in range(6):
        began = time.perf_counter()
        jax.block_until_ready(both(fit.unconstrained, args))
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times[1:]))


def read_group(prefix: str) -> tuple[Any, dict[str, np.ndarray]]:
    """The images of a simulated group, and where and how bright its galaxies are."""
    import bayesjoint as bj

    with open(f"{prefix}_truth.json") as file:
        galaxies = json.load(file)["galaxies"]
    bands = list(galaxies[0]["flux"])
    images = bj.read_images(*(f"{prefix}_{band}.fits" for band in bands))
    unit = [10 ** (0.4 * (31.4 - images[band].zeropoint)) for band in bands]
    flux = np.array([[g["flux"][band] for band in bands] for g in galaxies]) * unit
    place = np.array([[g["east"], g["north"]] for g in galaxies])
    names = {"q": "q", "pa": "pa", "n": "n", "Re": "re"}
    shapes = {key: np.array([g[name] for g in galaxies]) for key, name in names.items()}
    return images, {"place": place, "flux": flux, **shapes}


def noise_chi2(images, prefix: str) -> list[float]:
    """Per pixel of each image of a group, that of the noise: of the true pixels."""
    found = []
    for image in images:
        true = fits.getdata(f"{prefix}_{image.band}.fits", "TRUTH") * 10 ** (0.4 * (31.4 - image.zeropoint))
        found.append(float(np.mean(np.asarray(image.invvar) * (np.asarray(image.data) - true) ** 2)))
    return found


def simulated(count: int, number: int, seed: int = 3) -> tuple[Any, dict[str, np.ndarray]]:
    """A square field of galaxies, `SIDE`^2 pixels for each, in images of as many bands."""
    import jax
    import jax.numpy as jnp
    from helpers.scenes import make_image

    import bayesjoint as bj

    rng, side, scale = np.random.default_rng(seed), int(np.ceil(SIDE * max(count, 4) ** 0.5)), 0.3
    half = 0.5 * side * scale - 4
    places = [rng.uniform(-half, half, 2)]
    while len(places) < count:
        new = rng.uniform(-half, half, 2)
        if min(np.hypot(*(new - old)) for old in places) > 3.5:
            places.append(new)
    place, flux = np.array(places), 10 ** rng.uniform(3.4, 4.3, (count, number))
    shape = {
        "q": rng.uniform(0.4, 0.95, count),
        "pa": rng.uniform(0, 180, count),
        "n": rng.uniform(0.8, 3, count),
    }
    shape["Re"] = rng.uniform(0.6, 1.2, count)
    unit = bj.Sersic(place, **shape, Ie=1.0)
    images = []
    draw = jax.jit(bj.render)
    for i in range(number):
        blank = make_image(
            (side, side),
            scale,
            bj.gaussian_psf(1.0 + 0.02 * i),
            invvar=np.full((side, side), SIGMA**-2),
            name=f"b{i}",
            band=f"b{i}",
        ).with_windows(30.0)
        light = bj.Windowed(bj.Sersic(place, **shape, Ie=jnp.asarray(flux[:, i]) / unit.flux))
        images.append(blank.with_data(np.asarray(draw(blank, light)) + rng.normal(0, SIGMA, (side, side))))
    return bj.ImageSet(images), {"place": place, "flux": flux, **shape}


if __name__ == "__main__":
    main()
