"""AstroPhot's and pysersic's pixels and speed, run by `rendering.py` in an environment that has one of them.

    python -m venv astrophot && astrophot/bin/pip install torch astrophot==0.18.0
    python -m venv pysersic && pysersic/bin/pip install pysersic==0.1.5 "jax!=0.10.2"
    PYTHON peers_render.py PEER render CASES.npz PIXELS.npz
    PYTHON peers_render.py PEER speed SCENE.npz SPEED.json

Cases are arrays x, y, q, angle (radians, from +x to +y), n, Re, Ie, flux (pixels), size and the name of the stamp of its
PSF, `effective`, `optical` or `fine` (optical, three samples a pixel), which the file has too.
"""

import importlib.metadata
import json
import resource
import sys
import time
import warnings

import numpy as np

FINE = 3


def main() -> None:
    """Read the cases, write what the peer makes of them."""
    peer, task, source, out = sys.argv[1:]
    warnings.simplefilter("ignore")
    began = time.process_time()
    backend = {"astrophot": AstroPhot, "pysersic": Pysersic}[peer]()
    loaded = {"import_s": time.process_time() - began, "import_mb": peak_mb()}
    with np.load(source) as file:
        data = dict(file)
    if task == "render":
        stamps = [data[name] for name in data["stamp"]]
        pixels = {str(i): backend.render(case, stamps[i], str(data["stamp"][i])) for i, case in each(data)}
        np.savez(out, version=importlib.metadata.version(peer), **pixels)
        return
    report = loaded | backend.speed(
        next(each(data))[1], data["stamp_pixels"], data["data"], float(data["weight"])
    )
    with open(out, "w") as file:
        json.dump(report | {"peak_mb": peak_mb(), "version": importlib.metadata.version(peer)}, file)


def each(data):
    """Number and parameters of every case."""
    names = ("x", "y", "q", "angle", "n", "Re", "Ie", "flux", "size")
    for i in range(len(data["n"])):
        yield i, {name: data[name][i].item() for name in names}


def peak_mb() -> float:
    """The largest resident memory of this process so far.

    Linux counts in `getrusage` what the parent held when it started this process; in its status file it does not.
    """
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_turn(*calls, rounds: int = 15) -> list:
    """Median milliseconds of processor time of functions, called in turn: four calls a round, the first not counted.

    On one core that is the time that they take when nothing else runs there.
    """
    times = [[] for _ in calls]
    for _ in range(rounds):
        for kept, call in zip(times, calls, strict=True):
            for i in range(4):
                began = time.process_time()
                call()
                if i:
                    kept.append(time.process_time() - began)
    return [1e3 * float(np.median(kept)) for kept in times]


def timed(forward, gradient, jacobian) -> dict:
    """Seconds of the first calls together, and milliseconds of later ones, of processor time."""
    began = time.process_time()
    forward(), gradient(), jacobian()
    first = time.process_time() - began
    names = ("forward_ms", "gradient_ms", "jacobian_ms")
    return {"first_s": first} | dict(zip(names, in_turn(forward, gradient, jacobian), strict=True))


class AstroPhot:
    """`sersic galaxy model` (and `flat sky model`) as its documents have them, in float64."""

    def __init__(self):
        import astrophot
        import torch

        torch.set_num_threads(1)
        self.ap, self.torch = astrophot, torch

    def target(self, size, stamp, upsample, **data):
        """A target image of pixels of 1 arcsec, with its PSF."""
        psf = self.ap.PSFImage(data=stamp, upsample=upsample)
        data = {"data": np.zeros((size, size)), "weight": np.ones((size, size))} | data
        return self.ap.TargetImage(pixelscale=1.0, psf=psf, zeropoint=0.0, **data)

    def galaxy(self, case, target):
        """The galaxy as AstroPhot's model."""
        return self.ap.Model(
            name="galaxy",
            model_type="sersic galaxy model",
            target=target,
            psf_convolve=True,
            center=[case["x"], case["y"]],
            q=min(case["q"], 0.9999999),
            PA=(case["angle"] - np.pi / 2) % np.pi,
            n=case["n"],
            Re=case["Re"],
            Ie=case["Ie"],
        )

    def render(self, case, stamp, kind):
        """Pixels (y, x)."""
        target = self.target(case["size"], stamp, FINE if kind.startswith("fine") else 1)
        model = self.galaxy(case, target)
        with self.torch.no_grad():
            return model().data.detach().numpy()

    def speed(self, case, stamp, data, weight):
        """Forward, gradient of the log likelihood and Jacobian of galaxy and sky."""
        target = self.target(case["size"], stamp, 1, data=data, weight=np.full(data.shape, weight))
        sky = self.ap.Model(name="sky", model_type="flat sky model", target=target, I0=0.01)
        models = [self.galaxy(case, target), sky]
        group = self.ap.Model(name="both", model_type="group model", models=models, target=target)
        group.initialize()
        values = group.get_values().detach().clone()
        leaf = values.clone().requires_grad_(True)

        def gradient():
            leaf.grad = None
            group.gaussian_log_likelihood(leaf).backward()

        forward = self.torch.no_grad()(lambda: group(params=values))
        report = timed(forward, gradient, lambda: group.jacobian(params=values))
        return report | {"parameters": len(values), "precision": str(values.dtype).split(".")[-1]}


class Pysersic:
    """`HybridRenderer`, its default, in its own precision."""

    def __init__(self):
        import jax
        from pysersic.rendering import HybridRenderer

        self.jax, self.renderer = jax, HybridRenderer
        self.compiled, self.made = {}, {}

    def parameters(self, case):
        """The galaxy as pysersic has it."""
        return {
            "xc": case["x"],
            "yc": case["y"],
            "flux": case["flux"],
            "r_eff": case["Re"],
            "n": case["n"],
            "ellip": 1 - case["q"],
            "theta": case["angle"] - np.pi / 2,
        }

    def function(self, size, stamp):
        """Compiled pixels of a dictionary of parameters."""
        key = size, stamp.shape, float(stamp.max())
        if key not in self.compiled:
            renderer = self.renderer((size, size), self.jax.numpy.asarray(stamp))
            self.compiled[key] = self.jax.jit(lambda p: renderer.render_source(p, "sersic"))
        return self.compiled[key]

    def render(self, case, stamp, kind):
        """Pixels (y, x)."""
        parameters = {name: self.jax.numpy.asarray(v, float) for name, v in self.parameters(case).items()}
        return np.asarray(self.function(case["size"], stamp)(parameters), float)

    def speed(self, case, stamp, data, weight):
        """Forward, gradient of chi2 and Jacobian of galaxy and sky."""
        jax, jnp = self.jax, self.jax.numpy
        renderer = self.renderer((case["size"],) * 2, jnp.asarray(stamp))
        data = jnp.asarray(data)
        values = {name: jnp.asarray(v, float) for name, v in self.parameters(case).items()}
        values |= {"sky": jnp.asarray(0.01)}

        def model(p):
            return renderer.render_source({k: v for k, v in p.items() if k != "sky"}, "sersic") + p["sky"]

        def chi2(p, data):
            return jnp.sum((model(p) - data) ** 2 * weight)

        forward, gradient, jacobian = (
            jax.jit(model),
            jax.jit(jax.value_and_grad(chi2)),
            jax.jit(jax.jacfwd(model)),
        )
        report = timed(
            lambda: jax.block_until_ready(forward(values)),
            lambda: jax.block_until_ready(gradient(values, data)),
            lambda: jax.block_until_ready(jacobian(values)),
        )
        return report | {"parameters": len(values), "precision": str(forward(values).dtype)}


if __name__ == "__main__":
    main()
