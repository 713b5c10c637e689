"""A bulge in a disc, seen in g, r and z: how much of the light is the bulge's, in each filter.

The images are simulated, so that the truth is known. Bulge and disc share a centre; each has one shape in all filters and a
flux in each. Prints what was put in beside what was found.

    python examples/bulge_disc.py bulge_disc
"""

import sys
from pathlib import Path

import numpy as np
import numpyro
from astropy.wcs import WCS

import bayesjoint as bj

FILTERS = {"g": (0.26, 1.3), "r": (0.26, 1.1), "z": (0.40, 1.2)}  # pixel and seeing, arcsec
TOTAL = {"g": 6000.0, "r": 12000.0, "z": 20000.0}  # nJy
FRACTION = {"g": 0.12, "r": 0.25, "z": 0.40}
BULGE = {"q": 0.85, "pa": 20.0, "Re": 0.8}
DISC = {"q": 0.55, "pa": 65.0, "Re": 3.5}
CENTRE = (0.2, -0.1)


def galaxy(images):
    bulge, disc = bj.sample_bulge_disc("galaxy", images)
    bj.observe(images, bulge, disc, bj.FlatSky(bj.sample_sky(images)))


def simulated(band, rng, size=72):
    """An image of the galaxy with noise of 1.5 nJy a pixel."""
    scale, seeing = FILTERS[band]
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(size + 1) / 2] * 2, [-scale / 3600, scale / 3600]
    about = {"wcs": wcs, "zeropoint": 31.4, "psf": bj.gaussian_psf(seeing), "band": band}
    weight = np.full((size, size), 1.5**-2)
    light = []
    for kind, shape, share in (
        (bj.DeVaucouleurs, BULGE, FRACTION[band]),
        (bj.Exponential, DISC, 1 - FRACTION[band]),
    ):
        unit = kind(CENTRE, **shape, Ie=1.0).flux
        light.append(kind(CENTRE, **shape, Ie=share * TOTAL[band] / unit))
    pixels = np.asarray(bj.render(bj.Image(0 * weight, invvar=weight, **about), *light))
    return bj.Image(pixels + 1.5 * rng.normal(size=pixels.shape), invvar=weight, **about)


def print_table(posterior):
    """Truth, and mean and standard deviation of the posterior."""
    truth = {f"galaxy_bulge_{key}": value for key, value in BULGE.items()}
    truth |= {f"galaxy_disc_{key}": value for key, value in DISC.items()}
    truth |= {"galaxy_total": [*TOTAL.values()], "galaxy_bulge_fraction": [*FRACTION.values()]}
    print(f"{'':26}{'truth':>10}{'posterior':>11}{'sd':>9}")
    for site, true in truth.items():
        draws = posterior.values(site)
        for i, value in enumerate(np.atleast_1d(true)):
            one = draws[..., i] if np.ndim(true) else draws
            label = f"{site} {[*TOTAL][i]}" if np.ndim(true) else site
            print(f"{label:26}{value:10.4g}{one.mean():11.4g}{one.std():9.2g}")


def main(out=".", draws=1000):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numpyro.enable_x64()
    rng = np.random.default_rng(1)
    images = bj.ImageSet([simulated(band, rng) for band in FILTERS])
    fit = bj.fit_map(galaxy, images)
    posterior = bj.sample(galaxy, images, init=fit, draws=int(draws))

    print(fit, posterior.verdict, sep="\n")
    print_table(posterior)
    for part in ("bulge", "disc"):
        print(part, posterior.colour("g", "r", source=f"galaxy_{part}"))
    posterior.summary().write(out / "summary.ecsv", overwrite=True)
    posterior.plot_images().savefig(out / "images.png", dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
