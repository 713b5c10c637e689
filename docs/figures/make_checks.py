"""Figures of docs/checks.md: a simulated bulge and disc in three bands, fitted by one Sersic profile and by both parts.

python docs/figures/make_checks.py
"""

from pathlib import Path

import numpy as np
import numpyro
from astropy.wcs import WCS

import bayesjoint as bj

FOLDER = Path(__file__).parent
# pixels, arcsec per pixel, FWHM of the PSF (arcsec), total flux (nJy), bulge fraction
BANDS = {
    "g": (64, 0.4, 1.5, 3000.0, 0.25),
    "r": (64, 0.4, 1.2, 7000.0, 0.35),
    "K": (48, 0.6, 1.8, 9000.0, 0.5),
}
CENTRE = (0.1, -0.15)


def simulate():
    """The galaxy with noise of 1 nJy per arcsec, and a faint star 8 arcsec to the East that no model has."""
    rng = np.random.default_rng(7)
    images = []
    for band, (size, scale, fwhm, flux, fraction) in BANDS.items():
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
        wcs.wcs.crpix, wcs.wcs.cdelt = [(size + 1) / 2] * 2, [-scale / 3600, scale / 3600]
        weights = np.full((size, size), 1 / (2.5 * scale) ** 2)
        known = {"wcs": wcs, "zeropoint": 31.4, "psf": bj.gaussian_psf(fwhm), "invvar": weights, "band": band}
        blank = bj.Image(np.zeros((size, size)), **known)
        light = bj.render(blank, *parts(flux, fraction), bj.PointSource((8.0, 3.0), 90.0), bj.FlatSky(5.0))
        images.append(bj.Image(np.asarray(light) + 2.5 * scale * rng.normal(size=(size, size)), **known))
    return bj.ImageSet(images)


def parts(flux, fraction):
    """A de Vaucouleurs bulge in an exponential disc, of this total flux."""
    bulge = {"centre": CENTRE, "q": 0.85, "pa": 40.0, "Re": 0.8}
    disc = {"centre": CENTRE, "q": 0.5, "pa": 40.0, "Re": 3.6}
    shares = (bj.DeVaucouleurs, bulge, fraction), (bj.Exponential, disc, 1 - fraction)
    return [
        kind(**shape, Ie=share * flux / float(kind(**shape, Ie=1.0).flux)) for kind, shape, share in shares
    ]


def bulge_disc(images):
    bulge, disc = bj.sample_bulge_disc("galaxy", images)
    bj.observe(images, bulge, disc, bj.FlatSky(bj.sample_sky(images)))


def main():
    numpyro.enable_x64()
    images = simulate()
    posteriors = {
        "one Sérsic": bj.sample(bj.joint_model(), images),
        "bulge + disc": bj.sample(bulge_disc, images),
    }
    for name, posterior in posteriors.items():
        check = posterior.check()
        print(name, posterior.verdict, check, sep="\n")
        check.sensitivity_table().pprint(max_lines=-1, max_width=-1)
        check.information_table().pprint(max_lines=-1, max_width=-1)
        figure = check.plot_residuals() if name == "one Sérsic" else check.plot_information()
        kind = "residuals" if name == "one Sérsic" else "information"
        figure.savefig(FOLDER / f"check_{kind}.png", dpi=150)
    comparison = bj.compare(posteriors)
    print(comparison)
    comparison.plot().savefig(FOLDER / "comparison.png", dpi=150)


if __name__ == "__main__":
    main()
