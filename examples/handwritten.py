"""A disc and a bulge written with plain NumPyro, without any of the package's priors.

Plates, a hierarchical prior (the bulge's share of the light varies about a common mean), a deterministic colour, a
fixed parameter (n = 1 and n = 4) and a tie (the bulge's Re follows the disc's). Magnitudes are sampled here, so
fluxes are positive: right for a bright galaxy, wrong for a band that may not detect it.

    python examples/handwritten.py DATA_DIR --out handwritten
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import bayesjoint as bj


def galaxy(images):
    centre = numpyro.sample("centre", dist.Normal(images.start.position, 0.5).to_event(1))
    pa = numpyro.sample("pa", dist.Normal(170.0, 30.0))
    q = numpyro.sample("q", dist.Uniform(0.1, 1.0).expand([2]).to_event(1))
    Re = numpyro.sample("Re", dist.LogNormal(jnp.log(2.0), 0.5))
    ratio = numpyro.sample("ratio", dist.LogNormal(jnp.log(0.4), 0.3))

    mean = numpyro.sample("bulge_mean", dist.Normal(-1.0, 1.0))
    scatter = numpyro.sample("bulge_scatter", dist.HalfNormal(0.5))
    with numpyro.plate("band", len(images.bands)):
        magnitude = numpyro.sample("magnitude", dist.Normal(17.0, 1.5))
        deviation = numpyro.sample("bulge_deviation", dist.Normal(0.0, 1.0))
    share = numpyro.deterministic("bulge_share", jax.nn.sigmoid(mean + scatter * deviation))
    numpyro.deterministic("g_minus_r", magnitude[0] - magnitude[1])

    with numpyro.plate("image", len(images)):
        sky = numpyro.sample("sky", dist.Normal(images.start.sky, 5 * images.start.sky_error))

    flux = 10 ** (0.4 * (31.4 - magnitude))
    disc = of_flux(flux * (1 - share), centre=centre, q=q[0], pa=pa, n=1.0, Re=Re, name="disc")
    bulge = of_flux(flux * share, centre=centre, q=q[1], pa=pa, n=4.0, Re=ratio * Re, name="bulge")
    bj.observe(images, disc, bulge, bj.FlatSky(sky))


def of_flux(flux, **structure):
    """A Sersic of given total flux: Ie is the flux over that of unit Ie."""
    return bj.Sersic(**structure, Ie=flux / bj.Sersic(**structure, Ie=1.0).flux)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder that holds j0056m0021/")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for what is written")
    parser.add_argument("--draws", type=int, default=500, help="draws of each of the four chains")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    numpyro.enable_x64()
    images = bj.read_images(*(options.data / "j0056m0021" / f"{band}.fits" for band in ("g", "r", "i")))
    fit = bj.fit_map(galaxy, images)
    posterior = bj.sample(galaxy, images, init=fit, draws=options.draws)

    colour = posterior.values("g_minus_r")
    print(fit, posterior.verdict, sep="\n")
    print(f"g - r = {colour.mean():.4f} ± {colour.std():.4f} (all the light, a site of the program)")
    for component in posterior.sources:
        g, r, _ = images.bands
        print(f"{component}: {posterior.colour(g, r, source=component)}")
    posterior.summary().write(options.out / "summary.ecsv", overwrite=True)
    posterior.plot_images().savefig(options.out / "images.png", dpi=120)


if __name__ == "__main__":
    main()
