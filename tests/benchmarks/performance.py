"""Made by `python tests/benchmarks/performance.py`: speed and memory of the joint fit of the demo's three images.

Run it on an otherwise idle machine. Ratios and their parts are timed in one run; whole processes are started anew with
an empty compilation cache, then with the one they left.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import heading, markdown_table

SCENE_FWHM = {"r": 1.12, "W1": 6.1, "NUV": 5.4}


def main() -> None:
    """Run every part in a process of its own and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/performance.md"))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--scene", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(PARTS[args.part](args.scene)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene"
        run([sys.executable, "-c", f"from bayesjoint.demo import simulate; simulate({str(scene)!r})"])
        for part in PARTS:
            done = run([sys.executable, __file__, "--part", part, "--scene", str(scene)])
            new = json.loads(done.stdout.strip().splitlines()[-1])
            print(*("  ".join(row) for row in new), sep="\n", flush=True)
            rows += new
        rows += whole_processes(scene, Path(folder))
    text = heading("Performance", __doc__) + markdown_table(("what", "measured"), rows)
    args.out.write_text(text)
    print(text)


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess:
    """Run a command to its end; its failure is ours."""
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment)


def load(scene: Path, names=("r", "W1", "NUV")):
    """The scene's images with analytic PSFs."""
    import numpyro

    numpyro.enable_x64()
    import bayesjoint as bj

    psf = {name: bj.gaussian_psf(SCENE_FWHM[name]) for name in names}
    return bj.read_images(*(scene / f"{name}.fits" for name in names), psf=psf)


def median_ms(*calls, rounds: int = 20) -> list[float]:
    """Median milliseconds of compiled functions, (function, *arguments) each: in turn, ten calls a round, caches warm."""
    import jax
    import numpy as np

    times = [[] for _ in calls]
    for _ in range(rounds):
        for kept, (function, *arguments) in zip(times, calls, strict=True):
            for call in range(12):
                began = time.perf_counter()
                jax.block_until_ready(function(*arguments))
                if call >= 2:
                    kept.append(time.perf_counter() - began)
    return [1e3 * float(np.median(kept)) for kept in times]


def gradient(scene: Path) -> list:
    """Value and gradient of the r band's log posterior over one irfft2 of its padded grid."""
    images = load(scene, ("r",))
    import jax
    import jax.numpy as jnp

    import bayesjoint as bj
    from bayesjoint.infer.space import log_posterior

    fit = bj.fit_map(bj.joint_model(), images)
    args = jax.device_put((images,))
    size = images.stacks[0].fft_shape
    posterior = lambda z, args: log_posterior(bj.joint_model(), fit.layout, z, args)  # noqa: E731
    both = jax.jit(jax.value_and_grad(posterior))
    inverse = jax.jit(lambda spectrum: jnp.fft.irfft2(spectrum, s=size))
    spectrum = jnp.ones((size[0], size[1] // 2 + 1), complex)
    here = (fit.unconstrained, args)
    forward, slope, fft = median_ms((jax.jit(posterior), *here), (both, *here), (inverse, spectrum))
    return [
        ("r band 500x500: log posterior, ms", f"{forward:.1f} ({forward / fft:.1f} x irfft2)"),
        (
            "r band 500x500: value and gradient, ms",
            f"{slope:.1f} ({slope / fft:.1f} x irfft2 of {fft:.2f} ms)",
        ),
    ]


def fit(scene: Path) -> list:
    """Levenberg-Marquardt, cold and warm; compile times."""
    images = load(scene)
    import bayesjoint as bj

    began = time.perf_counter()
    cold = bj.fit_map(bj.joint_model(), images)
    seconds = time.perf_counter() - began
    warm = min(bj.fit_map(bj.joint_model(), images).seconds for _ in range(3))
    return [
        ("LM: iterations, chi2/dof", f"{cold.iterations}, {cold.chi2_per_dof:.6f}"),
        ("LM: seconds, cold (compilation included)", f"{seconds:.1f}"),
        ("LM: seconds, warm", f"{warm:.2f}"),
    ]


def two_cores(scene: Path) -> list:
    """NUTS on all cores, on the exact and on the compressed likelihood."""
    return both_likelihoods(scene, f"{os.cpu_count()} cores")


def one_core(scene: Path) -> list:
    """The same, the whole process on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return both_likelihoods(scene, "one core")


def both_likelihoods(scene: Path, where: str) -> list:
    """Rows of the exact likelihood with a few draws, and of the default with its own number of draws."""
    images = load(scene)
    import bayesjoint as bj

    fit = bj.fit_map(bj.joint_model(), images)
    rows = []
    for likelihood, options in (("exact", {"draws": 300, "warmup": 75}), ("auto", {})):
        began = time.perf_counter()
        posterior = bj.sample(bj.joint_model(), images, init=fit, seed=1, likelihood=likelihood, **options)
        seconds = time.perf_counter() - began
        rows += effective_samples(posterior, f"NUTS, {posterior.idata.attrs['likelihood']}, {where}", seconds)
    return rows


def effective_samples(posterior, label: str, seconds: float) -> list:
    """Rows of leapfrogs, the smallest effective sample sizes and how many a second, compilation apart."""
    import numpy as np

    from bayesjoint.report.statistics import pareto_k

    table = posterior.summary()
    bulk, tail = (min(float(x) for x in table[kind] if x == x) for kind in ("ess_bulk", "ess_tail"))
    steps = posterior.idata.sample_stats["n_steps"]
    spent = json.loads(posterior.idata.attrs["seconds"])
    parts = ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
    rows = [
        (f"{label}: leapfrogs a draw", f"{float(steps.mean()):.1f}"),
        (f"{label}: smallest ESS, bulk and tail, of {steps.size} draws", f"{bulk:.0f}, {tail:.0f}"),
        (f"{label}: seconds, cold (and parts)", f"{seconds:.1f} ({parts})"),
        (f"{label}: bulk ESS a second of sampling", f"{bulk / spent['sample']:.0f}"),
        (f"{label}: verdict", posterior.verdict.headline),
    ]
    if posterior.likelihood_errors is not None:
        errors = posterior.likelihood_errors
        text = f"{np.std(errors):.1e} (PSIS k-hat {pareto_k(-errors):.2f})"
        rows.append((f"{label}: error of the log posterior (sd)", text))
    return rows


def compile_times(scene: Path) -> list:
    """Compile time of the gradient against the number of images of one size."""
    import numpyro

    numpyro.enable_x64()
    import jax
    import numpy as np

    import bayesjoint as bj
    from bayesjoint.infer.space import find_latents, log_posterior

    one = load(scene, ("NUV",))[0]
    data = one.data[:64, :64]
    seconds = {}
    for count in (1, 3, 9, 27):
        same = dict(wcs=one.wcs, zeropoint=31.4, psf=one.psf, invvar=np.ones_like(data), band="r")
        images = bj.ImageSet([bj.Image(data, name=f"r{i}", **same) for i in range(count)])
        program = bj.joint_model(f"galaxy{count}")
        layout = find_latents(program, (images,))
        slope = jax.jit(jax.value_and_grad(lambda z, a, p=program, la=layout: log_posterior(p, la, z, a)))
        began = time.perf_counter()
        slope.lower(np.zeros(layout.size), jax.device_put((images,))).compile()
        seconds[count] = time.perf_counter() - began
    text = ", ".join(f"{count}: {s:.1f} s" for count, s in seconds.items())
    return [
        ("compile of value and gradient against images of one size", text),
        ("the same, 27 over 1", f"{seconds[27] / seconds[1]:.2f}"),
    ]


def whole_processes(scene: Path, folder: Path) -> list:
    """`bayesjoint fit` on the scene as a process: wall seconds and peak memory, first run and with a warm cache."""
    script = Path(sys.executable).with_name("bayesjoint")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "bayesjoint.cli"]
    command += ["fit", *(str(scene / f"{name}.fits") for name in SCENE_FWHM), "--overwrite", "--quiet"]
    rows = []
    for label in ("first run", "with a warm compilation cache"):
        watched = ["/usr/bin/env", "python3", "-c", _WATCH, *command, "--out", str(folder / "out")]
        done = run(watched, JAX_COMPILATION_CACHE_DIR=str(folder / "cache"))
        wall, peak = json.loads(done.stdout.strip().splitlines()[-1])
        rows.append((f"`bayesjoint fit`, whole process, {label}: seconds", f"{wall:.0f}"))
        rows.append((f"`bayesjoint fit`, {label}: peak memory, GB", f"{peak:.2f}"))
    return rows


_WATCH = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
print(json.dumps([time.perf_counter() - began, peak]))
"""

PARTS = {
    "gradient": gradient,
    "fit": fit,
    "two_cores": two_cores,
    "one_core": one_core,
    "compile_times": compile_times,
}

if __name__ == "__main__":
    main()
