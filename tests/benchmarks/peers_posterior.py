"""AstroPhot's likelihood sampled by Pyro's NUTS, run by `posterior.py` in an environment that has both.

    python -m venv astrophot && astrophot/bin/pip install torch astrophot==0.18.0 pyro-ppl
    PYTHON peers_posterior.py SCENE_FOLDER SECONDS OUT.npz

The joint model and fit are those of AstroPhot's documents; the sampler works in coordinates whitened by the fit's
covariance, with a unit mass matrix, as ours does. AstroPhot has no priors: parameters are as its fit has them. Sampling ends
after SECONDS.
"""

import sys
import time
import warnings

import astrophot as ap
import numpy as np
import pyro
import torch
from astropy.io import fits
from astropy.wcs import WCS
from pyro.infer.mcmc import NUTS

BANDS = ("r", "W1", "NUV")
WARMUP = 75


def main() -> None:
    """Fit, sample until the time is over, write draws and seconds."""
    folder, seconds, out = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    pyro.set_rng_seed(1)
    joint = model(folder)
    joint.initialize()
    began = time.perf_counter()
    fit = ap.fit.LM(joint, verbose=0).fit()
    fitted = time.perf_counter() - began
    centre = joint.get_values().detach().clone()
    covariance = torch.as_tensor(np.asarray(fit.covariance_matrix.detach()), dtype=centre.dtype)
    root = torch.linalg.cholesky(0.5 * (covariance + covariance.T))

    def potential(site):
        return -joint.gaussian_log_likelihood(centre + root @ site["u"])

    draws, stepping = sample(potential, len(centre), centre.dtype, seconds)
    values = (centre + draws @ root.T).detach().numpy()
    np.savez(out, draws=values, seconds=stepping, fit_seconds=fitted, version=ap.__version__)


def model(folder: str):
    """One Sersic of shared structure in all bands."""
    targets = [target(folder, band) for band in BANDS]
    models = []
    for band, one in zip(BANDS, targets, strict=True):
        start = {} if band == "r" else {"center": [0, 0]}
        kind = {"model_type": "sersic galaxy model", "psf_convolve": True}
        models.append(ap.Model(name=band, target=one, **kind, **start))
    for other in models[1:]:
        for name in ("center", "q", "PA", "n", "Re"):
            other[name].value = models[0][name]
    images = ap.TargetImageList(tuple(targets))
    return ap.Model(name="joint", model_type="group model", models=models, target=images)


def target(folder: str, band: str):
    """An image with its weights and PSF."""
    with fits.open(f"{folder}/{band}.fits") as hdus:
        return ap.TargetImage(
            data=hdus[0].data.astype(float),
            wcs=WCS(hdus[0].header),
            zeropoint=hdus[0].header["ZPT"],
            weight=hdus["INVVAR"].data.astype(float),
            psf=hdus["PSF"].data.astype(float),
            name=f"{band}_image",
        )


def sample(potential, size: int, dtype, limit: float):
    """Draws (N, size) after warm-up, and the seconds that they and the warm-up took."""
    kernel = NUTS(
        potential_fn=potential, adapt_mass_matrix=False, full_mass=False, step_size=0.5, max_tree_depth=6
    )
    kernel.initial_params = {"u": torch.zeros(size, dtype=dtype)}
    kernel.setup(WARMUP)
    state, kept = kernel.initial_params, []
    began = time.perf_counter()
    while time.perf_counter() - began < limit:
        state = kernel.sample(state)
        kept.append(state["u"].detach().clone())
    if len(kept) < 2 * WARMUP:
        raise SystemExit(f"only {len(kept)} draws in {limit:.0f} s: give more seconds")
    return torch.stack(kept[WARMUP:]), time.perf_counter() - began


if __name__ == "__main__":
    main()
