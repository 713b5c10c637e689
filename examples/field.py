"""A crowded field seen by three telescopes, from detection to the colours of every galaxy.

Five galaxies that blend, in r (0.262" pixels), W1 (2.75") and NUV (1.5"), where hardly anything is seen. The images are
simulated, so that the truth is known; sources are found on the sharpest image, and W1's blends are told apart by it.

    python examples/field.py field
"""

import sys
from pathlib import Path

import numpy as np
import numpyro
from astropy.wcs import WCS

import bayesjoint as bj

# pixels, their side and the seeing in arcsec, noise of a pixel in nJy
BANDS = {"r": (90, 0.262, 1.1, 12.0), "W1": (9, 2.75, 6.1, 700.0), "NUV": (16, 1.5, 5.4, 80.0)}
PLACES = np.array([[0.0, 0.5], [4.2, 2.1], [-3.1, -2.8], [1.4, -5.6], [-5.3, 3.0]])  # arcsec East and North
SHAPES = {
    "q": np.array([0.8, 0.5, 0.7, 0.9, 0.6]),
    "pa": np.array([20.0, 75.0, 130.0, 5.0, 50.0]),
    "n": np.array([2.5, 1.0, 1.5, 3.0, 1.2]),
    "Re": np.array([1.5, 1.8, 1.0, 0.9, 1.3]),
}
FLUXES = {
    "r": np.array([1.2e5, 5.0e4, 4.0e4, 6.0e4, 3.0e4]),  # nJy
    "W1": np.array([1.0e5, 2.0e4, 4.5e4, 5.0e4, 1.0e4]),
    "NUV": np.array([1000.0, 3000.0, 500.0, 0.0, 1500.0]),
}


def simulated(band, rng):
    """An image of the field, noise included."""
    size, scale, seeing, sigma = BANDS[band]
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [156.73, 15.55]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(size + 1) / 2] * 2, [-scale / 3600, scale / 3600]
    about = {"wcs": wcs, "zeropoint": 31.4, "psf": bj.gaussian_psf(seeing), "band": band}
    weight = np.full((size, size), sigma**-2)
    light = []
    for i, place in enumerate(PLACES):
        shape = {key: float(values[i]) for key, values in SHAPES.items()}
        unit = bj.Sersic(tuple(place), **shape, Ie=1.0).flux
        light.append(bj.Sersic(tuple(place), **shape, Ie=FLUXES[band][i] / unit))
    pixels = np.asarray(bj.render(bj.Image(0 * weight, invvar=weight, **about), *light))
    return bj.Image(pixels + sigma * rng.normal(size=pixels.shape), invvar=weight, **about)


def print_table(posterior, sources):
    """Fluxes that were put in, and mean and standard deviation of the posterior."""
    print(f"{'':12}" + "".join(f"{band:>10}{'posterior':>11}{'sd':>9}" for band in BANDS))
    for row in sources:
        i = int(np.argmin(np.hypot(*(PLACES - [row["east"], row["north"]]).T)))
        draws = posterior.values(f"{row['name']}_flux")
        cells = [(FLUXES[band][i], draws[..., k].mean(), draws[..., k].std()) for k, band in enumerate(BANDS)]
        print(f"{row['name']:12}" + "".join(f"{t:10.0f}{m:11.0f}{s:9.0f}" for t, m, s in cells))


def main(out=".", draws=1000):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numpyro.enable_x64()
    rng = np.random.default_rng(1)
    images = bj.ImageSet([simulated(band, rng) for band in BANDS])

    sources = bj.find_sources(images)  # an astropy table, to be edited as liked
    images = images.with_sources(sources)
    field = bj.scene_model()
    fit = bj.fit_map(field, images)
    posterior = bj.sample(field, images, init=fit, draws=int(draws))

    sources.pprint(max_lines=-1)
    print(posterior, posterior.verdict, sep="\n")
    print_table(posterior, sources)
    posterior.colours().write(out / "colours.ecsv", overwrite=True)
    posterior.plot_images().savefig(out / "images.png", dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
