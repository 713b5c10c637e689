"""Sampling: seconds to a certified posterior, agreement of the likelihoods, coverage; writes docs/benchmarks/posterior.md.

    python tests/benchmarks/posterior.py [--parts certified,likelihoods,agreement,peer,pysersic,calibration,scenes,observed]
        [--each 14] [--run 1] [--scenes FOLDER] [--observed FOLDER] [--peer PYTHON] [--pysersic PYTHON]
        [--results FOLDER] [--page docs/benchmarks/posterior.md]

Every part leaves a JSON file in the folder of results; the page is made of those that are there. Run it on an otherwise idle
machine. `scenes` wants a folder as posterior_scenes.py says; `observed` one with observed images (BAYESJOINT_DATA).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from machine import measured
from performance import _WATCH, effective_samples, load, run
from posterior_page import page

ENOUGH = 1000
LONG = 20_000
PEER_SECONDS = 400


def main() -> None:
    """Run the parts asked for, each in a process of its own, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--each", type=int, default=14, help="simulations in each of 15 settings")
    parser.add_argument(
        "--run", type=int, default=1, help="of calibration: every run has seeds, and galaxies, of its own"
    )
    parser.add_argument("--scenes", type=Path, help="a folder of simulated scenes")
    parser.add_argument("--observed", type=Path, default=os.environ.get("BAYESJOINT_DATA"))
    parser.add_argument("--peer", help="the Python of an environment with AstroPhot and Pyro")
    parser.add_argument("--pysersic", help="the Python of an environment with pysersic")
    parser.add_argument("--results", type=Path, default=Path("docs/benchmarks/posterior"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks/posterior.md"))
    parser.add_argument("--alone", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    if args.alone:
        found = PARTS[args.alone](args)
        saved = {"measured": measured(), "found": found}
        (args.results / f"{args.alone}.json").write_text(json.dumps(saved, indent=1) + "\n")
        return
    for part in filter(None, args.parts.split(",")):
        command = [sys.executable, __file__, "--alone", part, *sys.argv[1:]]
        began = time.perf_counter()
        run(command)
        print(part, f"{time.perf_counter() - began:.0f} s", flush=True)
    found = {path.stem: json.loads(path.read_text()) for path in args.results.glob("*.json")}
    args.page.write_text(page(found))


def certified(args: argparse.Namespace) -> list[dict]:
    """From images in memory to a posterior with enough effective draws and its verdict: cold, then with a warm cache."""
    with tempfile.TemporaryDirectory() as folder:
        scene = _scene(folder)
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import posterior"
        code += f"; posterior.certify({str(scene)!r})"
        found = []
        enough = {"draws": 300, "until_ess": ENOUGH}
        for label, options in (("cold", {}), ("warm cache", {}), (f"warm cache, until_ess={ENOUGH}", enough)):
            watched = ["/usr/bin/env", "python3", "-c", _WATCH.replace("DEVNULL", "PIPE"), sys.executable]
            result = Path(folder) / "result.json"
            environment = {
                "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "cache"),
                "RESULT": str(result),
                "OPTIONS": json.dumps(options),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            }
            done = run([*watched, "-c", code], **environment)
            wall, peak = json.loads(done.stdout.strip().splitlines()[-1])
            found.append({"run": label, "process": wall, "peak_gb": peak} | json.loads(result.read_text()))
    return found


def certify(scene: str) -> None:
    """What `certified` runs."""
    images = load(Path(scene))
    import bayesjoint as bj

    bj.enable_compilation_cache(os.environ["JAX_COMPILATION_CACHE_DIR"])
    began = time.perf_counter()
    fit = bj.fit_map(bj.joint_model(), images)
    between = time.perf_counter()
    posterior = bj.sample(bj.joint_model(), images, init=fit, seed=1, **json.loads(os.environ["OPTIONS"]))
    headline, (label, ess) = posterior.verdict.headline, posterior.least_ess()
    seconds = time.perf_counter() - began
    r_hat = max(float(x) for x in posterior.summary()["r_hat"] if x == x)
    record = {
        "seconds": seconds,
        "fit": between - began,
        "parts": json.loads(posterior.idata.attrs["seconds"]),
        "ess": ess,
        "enough": ess >= ENOUGH,
        "of": label,
        "r_hat": r_hat,
        "headline": headline,
    }
    Path(os.environ["RESULT"]).write_text(json.dumps(record))


def likelihoods(args: argparse.Namespace) -> list:
    """Effective draws a second of either likelihood, on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        images = load(_scene(folder))
    import bayesjoint as bj

    fit, rows = bj.fit_map(bj.joint_model(), images), []
    for likelihood in ("exact", "auto"):
        began = time.perf_counter()
        posterior = bj.sample(bj.joint_model(), images, init=fit, seed=1, likelihood=likelihood)
        seconds = time.perf_counter() - began
        label = f"{posterior.idata.attrs['likelihood']}, one core"
        rows += effective_samples(posterior, label, seconds)
        rows.append((f"{label}: the same, warm-up apart", f"{_warmed_up(posterior):.0f}"))
    return rows


def _warmed_up(posterior: Any) -> float:
    """Bulk effective draws a second of chains that go on: as many draws again take no warm-up."""
    more = posterior.extend(draws=posterior.idata.posterior.sizes["draw"], progress=False)
    before, after = (json.loads(one.idata.attrs["seconds"])["sample"] for one in (posterior, more))
    return more.least_ess()[1] / (2 * (after - before))


def agreement(args: argparse.Namespace) -> dict[str, Any]:
    """The two likelihoods' means and standard deviations at many draws."""
    with tempfile.TemporaryDirectory() as folder:
        images = load(_scene(folder))
    import numpy as np

    import bayesjoint as bj

    fit = bj.fit_map(bj.joint_model(), images)
    draws = {}
    for likelihood in ("exact", "compressed"):
        posterior = bj.sample(
            bj.joint_model(), images, init=fit, seed=2, likelihood=likelihood, draws=LONG // 4
        )
        draws[likelihood] = {q.label: q.draws for q in posterior.quantities if q.varies}
    rows = []
    for label, exact in draws["exact"].items():
        other = draws["compressed"][label]
        rows.append(
            {
                "name": label,
                "mean": float((other.mean() - exact.mean()) / exact.std()),
                "sd": float(np.std(other) / np.std(exact) - 1),
            }
        )
    return {"draws": LONG, "rows": rows}


def peer(args: argparse.Namespace) -> dict[str, Any]:
    """AstroPhot's likelihood under Pyro's NUTS, on one core: least effective sample size of the draws made in a time."""
    import numpy as np

    from bayesjoint.report.statistics import diagnose

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        scene, out = _scene(folder), Path(folder) / "draws.npz"
        script = str(Path(__file__).with_name("peers_posterior.py"))
        run([args.peer, script, str(scene), str(PEER_SECONDS), str(out)], OMP_NUM_THREADS="1")
        with np.load(out) as file:
            found = {name: file[name] for name in file.files}
    least = min(diagnose(column[None])[1] for column in found["draws"].T)
    return {
        "version": str(found["version"]),
        "draws": len(found["draws"]),
        "seconds": float(found["seconds"]),
        "fit_seconds": float(found["fit_seconds"]),
        "least_ess": float(least),
    }


def pysersic(args: argparse.Namespace) -> dict[str, Any]:
    """pysersic's NUTS on the r band alone, on one core: least effective sample size after what warm-up the time allows."""
    import numpy as np

    from bayesjoint.report.statistics import diagnose

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        scene, out = _scene(folder), Path(folder) / "draws.npz"
        script = str(Path(__file__).with_name("peers_pysersic.py"))
        run([args.pysersic, script, str(scene / "r.fits"), str(PEER_SECONDS), str(out)], OMP_NUM_THREADS="1")
        with np.load(out) as file:
            found = {name: file[name] for name in file.files}
    least = min(diagnose(column[None])[1] for column in found["draws"].T)
    whole = {name: int(found[name]) for name in ("warmed", "warmup")}
    return whole | {
        "version": str(found["version"]),
        "draws": len(found["draws"]),
        "seconds": float(found["seconds"]),
        "limit": PEER_SECONDS,
        "steps": float(found["steps"].mean()),
        "least_ess": float(least),
    }


def calibration(args: argparse.Namespace) -> dict[str, Any]:
    """Ranks and coverage in fifteen settings, beside those of other runs; simulations that were done stay in a folder."""
    import numpyro

    numpyro.enable_x64()
    import bayesjoint as bj

    bj.enable_compilation_cache()
    from posterior_calibration import calibrated, pooled

    folder = Path(tempfile.gettempdir()) / f"posterior-calibration-{args.each}-{args.run}"
    found = calibrated(args.each, args.run, folder)
    whole = pooled(found)
    whole.plot().savefig(args.page.parent.parent / "figures" / "calibration.png", dpi=110)
    settings = [
        {
            "kind": kind,
            "signal_to_noise": signal_to_noise,
            "simulations": len(one.seconds),
            "failed": len(one.failures),
            "trusted": int(one.trusted.sum()),
            "seconds": float(sorted(one.seconds)[len(one.seconds) // 2]),
        }
        for (kind, signal_to_noise), one in found.items()
    ]
    before = args.results / "calibration.json"
    runs = json.loads(before.read_text())["found"] if before.exists() else {}
    this = {"settings": settings, "table": _table(whole), "failures": list(whole.failures)}
    return runs | {str(args.run): this}


def scenes(args: argparse.Namespace) -> dict[str, Any]:
    """Scenes simulated by others."""
    import numpyro

    numpyro.enable_x64()
    import bayesjoint as bj

    bj.enable_compilation_cache()
    from posterior_scenes import fitted

    whole, rows = fitted(args.scenes)
    kept = [{name: value for name, value in row.items() if name != "quantities"} for row in rows]
    return {"table": _table(whole), "rows": kept, "failures": list(whole.failures)}


def observed(args: argparse.Namespace) -> list[dict]:
    """Observed galaxies."""
    import numpyro

    numpyro.enable_x64()
    from posterior_observed import all_sets

    return all_sets(Path(args.observed), args.page.parent.parent / "figures")


def _scene(folder: str) -> Path:
    from bayesjoint.demo import simulate

    scene = Path(folder) / "scene"
    simulate(str(scene))
    return scene


def _table(whole: Any) -> list[list]:
    return [[x.item() if hasattr(x, "item") else str(x) for x in row] for row in whole.table()]


PARTS = {
    "certified": certified,
    "likelihoods": likelihoods,
    "agreement": agreement,
    "peer": peer,
    "pysersic": pysersic,
    "calibration": calibration,
    "scenes": scenes,
    "observed": observed,
}

if __name__ == "__main__":
    main()
