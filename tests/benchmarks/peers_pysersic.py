"""pysersic's posterior of one band by its own NUTS, run by `posterior.py` in an environment that has it.

    python -m venv pysersic && pysersic/bin/pip install pysersic==0.1.5 "jax!=0.10.2"
    PYTHON peers_pysersic.py IMAGE.fits SECONDS OUT.npz

Prior and sampler are pysersic's defaults (`autoprior`; NUTS that adapts step size and diagonal mass in WARMUP draws), the
chain starts at the prior's median. Warm-up is given SECONDS at most, and so are the draws after it; what was done by then
is reported.
"""

import importlib.metadata
import sys
import time
import warnings

import jax
import numpy as np
from astropy.io import fits
from numpyro.infer import NUTS, init_to_median
from pysersic import FitSingle
from pysersic.priors import autoprior

WARMUP = 1000


def main() -> None:
    """Warm up, sample until the time is over, write draws, seconds and leapfrog steps."""
    path, seconds, out = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    warnings.simplefilter("ignore")
    kernel = NUTS(model(path), init_strategy=init_to_median)
    state = kernel.init(jax.random.PRNGKey(1), WARMUP, None, (), {})
    step = jax.jit(lambda state: kernel.sample(state, (), {}))
    state = jax.block_until_ready(step(state))
    state, warmed, _ = run(step, state, seconds, WARMUP - 1)
    _, drawn, took = run(step, state, seconds, 10 * WARMUP)
    flat = [np.concatenate([np.ravel(x) for _, x in sorted(z.items())]) for z, _ in drawn]
    np.savez(
        out,
        version=importlib.metadata.version("pysersic"),
        warmed=len(warmed) + 1,
        warmup=WARMUP,
        draws=np.stack(flat),
        steps=np.array([steps for _, steps in drawn]),
        seconds=took,
    )


def model(path: str):
    """One Sersic and a flat sky."""
    with fits.open(path) as hdus:
        data = hdus[0].data.astype(np.float32)
        rms = (1 / np.sqrt(hdus["INVVAR"].data)).astype(np.float32)
        stamp = hdus["PSF"].data.astype(np.float32)
    prior = autoprior(image=data, profile_type="sersic", sky_type="flat")
    return FitSingle(data=data, rms=rms, psf=stamp, prior=prior).build_model(return_model=False)


def run(step, state, seconds: float, most: int):
    """The last state, all draws with their leapfrog steps, and the seconds, of at most so many draws and seconds."""
    kept, began = [], time.perf_counter()
    while time.perf_counter() - began < seconds and len(kept) < most:
        state = jax.block_until_ready(step(state))
        kept.append((state.z, int(state.num_steps)))
    return state, kept, time.perf_counter() - began


if __name__ == "__main__":
    main()
