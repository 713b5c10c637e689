"""A supernova close to the nucleus of its host: from images of eight epochs in two filters to its light curve.

The images are simulated, so that the truth is known: three seeings, two orientations, two epochs before the explosion.
Nothing is subtracted or resampled: the host is one model in all images, the supernova a flux in each at a place of its own.

    python examples/supernova.py supernova
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from astropy.wcs import WCS

import bayesjoint as bj

TIMES = (-20.0, -10.0, 2.0, 6.0, 12.0, 20.0, 35.0, 60.0)  # days from the explosion
SEEING = (0.9, 1.2, 1.5)  # arcsec
PLACE = (0.24, -0.32)  # arcsec East and North of the nucleus
HOST = {"g": 40000.0, "r": 80000.0}  # nJy
PEAK = {"g": 1100.0, "r": 1000.0}


def brightness(band, time):
    """A linear rise to day 10, then an exponential fall; nJy."""
    return PEAK[band] * (np.clip(time, 0, 10) / 10) * np.exp(-max(time - 10, 0) / 15)


def supernova(images):
    structure = bj.sample_structure("host", images)
    host = bj.Sersic(**structure, Ie=bj.sample_brightness("host", images, structure))
    place = numpyro.sample("place", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    flux = bj.sample_light_curve("supernova", images, before=0.0)  # dark before the explosion
    sky = bj.FlatSky(bj.sample_sky(images))
    bj.observe(images, host, bj.PointSource(place, flux, name="supernova"), sky)


def simulated(band, epoch, rng, size=40, scale=0.3, sigma=8.0):
    """An image of the host and the supernova; every other epoch is turned by 90 degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    wcs.wcs.crpix = (size + 1) / 2 + rng.uniform(-2, 2, 2)
    wcs.wcs.cd = np.array([[-1, 0], [0, 1]] if epoch % 2 == 0 else [[0, 1], [1, 0]]) * scale / 3600
    psf, weight = bj.gaussian_psf(SEEING[epoch % 3]), np.full((size, size), sigma**-2)
    about = {"wcs": wcs, "zeropoint": 31.4, "psf": psf, "invvar": weight}
    about |= {
        "name": f"{band}{epoch}",
        "band": band,
        "time": TIMES[epoch],
        "frame": bj.TangentFrame(150.0, 2.0),
    }
    shape = {"centre": (0.0, 0.0), "q": 0.7, "pa": 50.0, "n": 2.0, "Re": 1.5}
    host = bj.Sersic(**shape, Ie=HOST[band] / bj.Sersic(**shape, Ie=1.0).flux)
    star = bj.PointSource(PLACE, brightness(band, TIMES[epoch]))
    pixels = np.asarray(bj.render(bj.Image(0 * weight, **about), host, star))
    return bj.Image(pixels + sigma * rng.normal(size=pixels.shape), **about)


def main(out=".", draws=500):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numpyro.enable_x64()
    rng = np.random.default_rng(1)
    images = bj.ImageSet([simulated(band, i, rng) for i in range(len(TIMES)) for band in HOST])

    fit = bj.fit_map(supernova, images)
    posterior = bj.sample(supernova, images, init=fit, draws=int(draws))

    curve = posterior.light_curve("supernova")
    print(posterior.verdict, *curve.table().pformat(max_lines=-1, max_width=-1), sep="\n")
    true = np.array([brightness(band, time) for band, time in zip(curve.bands, curve.times, strict=True)])
    lit = true > 0
    print("deviations in sigma:", np.round(((curve.flux - true)[lit] / curve.error[lit]), 1))
    curve.table().write(out / "light_curve.ecsv", overwrite=True)
    curve.plot().savefig(out / "light_curve.png", dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:])
