"""A galaxy written with plain NumPyro, without any of the package's priors.

Plates, a hierarchical prior (n of each band scatters about a common mean), a deterministic colour, a fixed parameter
(the position angle) and a tie (Re is a power law of wavelength, as in MegaMorph's fits). Magnitudes are sampled here,
so fluxes are positive: right for a bright galaxy, wrong for a band that may not detect it.

    python examples/handwritten.py DATA_DIR handwritten
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import bayesjoint as bj

WAVELENGTH = {"g": 0.477, "r": 0.623, "i": 0.762}  # effective, micron


def galaxy(images, wavelength):
    centre = numpyro.sample("centre", dist.Normal(images.start.position, 0.5).to_event(1))
    q = numpyro.sample("q", dist.Uniform(0.1, 1.0))
    pa = 168.0  # fixed: a number in place of a sample
    Re_r = numpyro.sample("Re_r", dist.LogNormal(jnp.log(2.0), 0.5))
    slope = numpyro.sample("slope", dist.Normal(0.0, 0.5))
    Re = numpyro.deterministic("Re", Re_r * (wavelength / 0.623) ** slope)  # tied to other latents

    mean = numpyro.sample("ln_n_mean", dist.Normal(0.5, 0.5))
    scatter = numpyro.sample("ln_n_scatter", dist.LogNormal(jnp.log(0.1), 0.5))
    with numpyro.plate("band", len(images.bands)):
        ln_n = numpyro.sample("ln_n", dist.Normal(mean, scatter))  # a hierarchy: the bands tell each other
        magnitude = numpyro.sample("magnitude", dist.Normal(17.0, 1.5))
    numpyro.deterministic("g_minus_r", magnitude[0] - magnitude[1])

    with numpyro.plate("image", len(images)):
        sky = numpyro.sample("sky", dist.Normal(images.start.sky, images.start.sky_scatter))

    shape = {"centre": centre, "q": q, "pa": pa, "n": jnp.exp(ln_n), "Re": Re}
    flux_at_unit_Ie = bj.Sersic(**shape, Ie=1.0).flux
    Ie = 10 ** (0.4 * (31.4 - magnitude)) / flux_at_unit_Ie
    bj.observe(images, bj.Sersic(**shape, Ie=Ie, name="galaxy"), bj.FlatSky(sky))


def main(data, out=".", draws=1000):
    data, out = Path(data), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numpyro.enable_x64()
    images = bj.read_images(*(data / "j0056m0021" / f"{band}.fits" for band in WAVELENGTH))
    wavelength = jnp.array(list(WAVELENGTH.values()))
    fit = bj.fit_map(galaxy, images, wavelength)
    posterior = bj.sample(galaxy, images, wavelength, init=fit, draws=int(draws))

    print(fit, posterior.verdict, sep="\n")
    for site in ("g_minus_r", "slope", "ln_n_scatter"):
        draws = posterior.values(site)
        print(f"{site} = {draws.mean():.4f} ± {draws.std():.4f}")
    posterior.summary().write(out / "summary.ecsv", overwrite=True)
    posterior.plot_images().savefig(out / "images.png", dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
