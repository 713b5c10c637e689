"""Speed and memory of rendering the r band of the demo, ours and the peers', each in a process of its own on one core.

As a script, `rendering_speed.py SCENE.npz SPEED.json`, it measures ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).absolute().parents[0]))
sys.path.insert(0, str(Path(__file__).absolute().parents[1]))
sys.path.insert(0, str(Path(__file__).absolute().parents[2]))
from peers_render import in_turn, peak_mb, timed

SCENE = {
    "size": 500,
    "scale": 0.262,
    "fwhm": 1.12,
    "q": 0.62,
    "pa": 37.0,
    "n": 1.7,
    "Re": 12.5,
    "at": (0.83, -1.21),
}
SKY, NOISE, BRIGHTNESS, SMALL, MANY, WINDOW = 0.5, 1.0, 100.0, 3.0, 10, 48
ONE_THREAD = {"OMP_NUM_THREADS": "1", "JAX_ENABLE_COMPILATION_CACHE": "false"}
KEPT = "ours, heap kept"
HEAP_KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_TOP_PAD_": "300000000"}
PSFS = {"AstroPhot": "optical", "AstroPhot, PSF x3": "fine", "pysersic": "effective"}


def speed_rows(pythons: dict[str, str], rounds: int = 2) -> dict:
    """Everything measured, by code; the least over `rounds` of all codes in turn."""
    found: dict = {}
    with tempfile.TemporaryDirectory() as folder:  # AstroPhot writes its log there
        jobs = write_jobs(pythons, Path(folder))
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cores)})
        try:
            for _ in range(rounds):
                for name, command in jobs.items():
                    environment = os.environ | ONE_THREAD | (HEAP_KEPT if name == KEPT else {})
                    subprocess.run(command, check=True, cwd=folder, env=environment)
                    report = json.loads(Path(command[-1]).read_text())
                    found[name] = least(found.get(name, report), report)
                    print(name, report, flush=True)
        finally:
            os.sched_setaffinity(0, cores)
    return found


def least(one: dict, other: dict) -> dict:
    """The smaller of each number."""
    return {key: value if isinstance(value, str) else min(value, other[key]) for key, value in one.items()}


def write_jobs(pythons: dict[str, str], folder: Path) -> dict[str, list]:
    """The command that measures each code; writes the scenes that they read."""
    from rendering_peers import case_arrays

    image, galaxy, data = scene()
    here = Path(__file__).absolute()
    jobs = {name: [sys.executable, str(here)] for name in ("ours", KEPT)}
    for name in PSFS:
        code = name.split(",")[0]
        if code in pythons:
            jobs[name] = [pythons[code], str(here.with_name("peers_render.py")), code.lower(), "speed"]
    for i, (name, command) in enumerate(jobs.items()):
        arrays = case_arrays([(image, galaxy, PSFS.get(name, "effective"))])
        stamp = arrays[arrays["stamp"][0]]
        source = folder / f"{i}.npz"
        np.savez(source, data=data, weight=NOISE**-2, stamp_pixels=stamp, **arrays)
        jobs[name] = [*command, str(source), str(folder / f"{i}.json")]
    return jobs


def scene():
    """Image without data, galaxy, and noisy pixels of them: the r band of the demo."""
    from helpers.scenes import make_image
    from rendering_grid import rendered

    import bayesjoint as bj

    image = make_image((SCENE["size"],) * 2, SCENE["scale"], bj.gaussian_psf(SCENE["fwhm"]))
    galaxy = bj.Sersic(SCENE["at"], SCENE["q"], SCENE["pa"], SCENE["n"], SCENE["Re"], BRIGHTNESS)
    noise = np.random.default_rng(1).normal(0, NOISE, image.shape)
    return image, galaxy, np.asarray(rendered(image, galaxy)) + SKY + noise


def measure_ours(data: np.ndarray) -> dict:
    """Forward, value and gradient, and Jacobian of galaxy and sky; one irfft2 beside; ten small sources over one."""
    began = time.process_time()
    import jax
    import numpyro

    numpyro.enable_x64()
    import bayesjoint as bj

    report = {"import_s": time.process_time() - began, "import_mb": peak_mb()}
    from helpers.scenes import make_image

    image = make_image(data.shape, SCENE["scale"], bj.gaussian_psf(SCENE["fwhm"]), data=data)
    blank, image = image, jax.device_put(image)
    values = np.array([*SCENE["at"], SCENE["q"], SCENE["pa"], SCENE["n"], SCENE["Re"], BRIGHTNESS, SKY])
    report |= {"parameters": values.size, "precision": "float64"}
    report |= one_galaxy(image, values) | {"peak_mb": peak_mb()}
    return report | many_sources(blank)


def model(values, image):
    """Pixels of one galaxy and the sky: East, North, q, PA, n, Re, Ie, sky."""
    import bayesjoint as bj

    return bj.render(image, bj.Sersic(values[:2], *values[2:7]), bj.FlatSky(values[7]))


def chi2(function):
    """Half the sum of squared residuals of a model of values and image."""
    import jax.numpy as jnp

    return lambda values, image: 0.5 * jnp.sum((function(values, image) - image.data) ** 2 * image.invvar)


def columns(values, image):
    """The Jacobian, one parameter at a time, as the fit takes it."""
    import jax
    import jax.numpy as jnp

    def column(direction):
        return jax.jvp(lambda v: model(v, image), (values,), (direction,))[1]

    return jax.lax.map(column, jnp.eye(values.size))


def one_galaxy(image, values) -> dict:
    """First calls, then times in turn with one irfft2, and what each program allocates."""
    import jax

    from bayesjoint import compiler_options

    functions = {"forward": model, "gradient": jax.value_and_grad(chi2(model)), "jacobian": columns}
    default = {name: jax.jit(function) for name, function in functions.items()}
    began = time.process_time()
    for function in default.values():
        caller(function, values, image)()
    default_first = time.process_time() - began
    options = compiler_options()
    compiled = {
        name: jax.jit(lambda *a, f=function: f(*a), compiler_options=options)
        for name, function in functions.items()
    }
    calls = {name: caller(function, values, image) for name, function in compiled.items()}
    report = timed(*calls.values()) | {"default_first_s": default_first}
    fft, *again = in_turn(padded_fft(image), *calls.values())
    report |= {f"{name}_ms": min(report[f"{name}_ms"], ms) for name, ms in zip(calls, again, strict=True)}
    report["irfft2_ms"] = fft
    compiled["jacfwd"] = jax.jit(jax.jacfwd(model), compiler_options=options)
    report["jacfwd_ms"] = in_turn(caller(compiled["jacfwd"], values, image))[0]
    return report | {f"{name}_images": allocation(f, values, image) for name, f in compiled.items()}


def many_sources(blank) -> dict:
    """Ten small sources in windows over one on the whole image: forward, value and gradient, allocation."""
    import jax

    import bayesjoint as bj
    from bayesjoint import compiler_options

    rng = np.random.default_rng(2)
    each = np.array([0, 0, SCENE["q"], SCENE["pa"], SCENE["n"], SMALL * SCENE["scale"], BRIGHTNESS])
    values = np.tile(each, (MANY, 1))
    values[:, :2] = rng.uniform(-50, 50, (MANY, 2))
    whole, windows = (jax.device_put(image) for image in (blank, blank.with_windows(WINDOW * SCENE["scale"])))

    def one(values, image):
        return bj.render(image, bj.Sersic(values[0, :2], *values[0, 2:]))

    def several(values, image):
        return bj.render(image, bj.Windowed(bj.Sersic(values[:, :2], *values[:, 2:].T)))

    programs = [
        (jax.jit(function, compiler_options=compiler_options()), image)
        for model, image in ((one, whole), (several, windows))
        for function in (model, jax.value_and_grad(chi2(model)))
    ]
    calls = [caller(program, values, image) for program, image in programs]
    names = ("one_small_ms", "one_small_gradient_ms", "ten_ms", "ten_gradient_ms")
    report = dict(zip(names, in_turn(*calls), strict=True))
    return report | {"ten_gradient_images": allocation(programs[-1][0], values, windows)}


def caller(function, *arguments):
    """The function with its arguments, waited for."""
    import jax

    arguments = jax.device_put(arguments)
    return lambda: jax.block_until_ready(function(*arguments))


def allocation(function, *arguments) -> float:
    """Temporary memory of a compiled function, in images of its float64 pixels."""
    analysis = function.lower(*arguments).compile().memory_analysis()
    return analysis.temp_size_in_bytes / (8 * SCENE["size"] ** 2)


def padded_fft(image):
    """One irfft2 on the padded grid of an image; the only use of its inner parts here."""
    import jax
    import jax.numpy as jnp

    ny, nx = image.fft_shape
    function = jax.jit(lambda spectrum: jnp.fft.irfft2(spectrum, s=(ny, nx)))
    return caller(function, jnp.ones((ny, nx // 2 + 1), complex))


if __name__ == "__main__":
    with np.load(sys.argv[1]) as file:
        pixels = file["data"]
    Path(sys.argv[2]).write_text(json.dumps(measure_ours(pixels)))
