"""Structure that changes with wavelength: a galaxy in g, r, i and z with its own Re and n in each band, of one family.

Centre and ellipticity are shared by all bands. Re and n of the bands depart from a shared value by a hierarchical prior
whose width the images tell: bands that say little lean on the others. Prints Re and n with 68 % intervals, and draws them
against wavelength beside fits of each band alone: Re falls and n rises towards the red, as the older stars are the more
concentrated.

    python examples/structure_with_wavelength.py DATA_DIR structure
"""

import sys
from pathlib import Path

import numpy as np
import numpyro
import numpyro.distributions as dist

import bayesjoint as bj

WAVELENGTH = {"SDSS_g": 0.477, "SDSS_r": 0.623, "SDSS_i": 0.762, "SDSS_z": 0.913}  # effective, micron
# bands measure Re and n far better than how much these may differ: the centred form
HIERARCHY = bj.Trend(width=dist.HalfNormal(0.3), centred=True)  # bj.Trend(WAVELENGTH, order=1): a line


def galaxy(images):
    structure = bj.sample_structure("galaxy", images, per_band={"Re": HIERARCHY, "n": HIERARCHY})
    Ie = bj.sample_brightness("galaxy", images, structure)
    sky = bj.sample_sky(images)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(sky))


def print_structure(posterior):
    """Medians and 68 % intervals of Re and n in each band, and how much they differ."""
    for site in ("galaxy_Re", "galaxy_n"):
        low, middle, high = np.quantile(posterior.values(site), [0.16, 0.5, 0.84], axis=(0, 1))
        for band, *numbers in zip(posterior.bands, middle, high - middle, middle - low, strict=True):
            print("{}  {} = {:.3f} +{:.3f} -{:.3f}".format(site, band[-1], *numbers))
    for site in ("galaxy_Re_circular_width", "galaxy_n_width"):
        print("{} = {:.3f} +- {:.3f}".format(site, *(f(posterior.values(site)) for f in (np.mean, np.std))))


def main(data, out=".", draws=1000):
    data, out = Path(data), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numpyro.enable_x64()
    images = bj.read_images(*(data / "j0056m0021" / f"{band[-1]}.fits" for band in WAVELENGTH))
    fit = bj.fit_map(galaxy, images)
    posterior = bj.sample(galaxy, images, init=fit, draws=int(draws))
    print(fit, posterior.verdict, sep="\n")
    print_structure(posterior)
    alone = {image.band: bj.fit_map(bj.joint_model(), bj.ImageSet([image])) for image in images}
    posterior.plot_wavelength(WAVELENGTH, singles=alone).savefig(out / "structure.png", dpi=200)
    posterior.summary().write(out / "summary.ecsv", overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
