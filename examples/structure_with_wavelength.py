"""Structure that changes with wavelength: a galaxy in g, r, i and z with its own Re and n in each band.

Centre and ellipticity are shared by all bands. Prints Re and n with 68 % intervals, and draws them against
wavelength: Re falls and n rises towards the red, as the older stars are the more concentrated.

    python examples/structure_with_wavelength.py DATA_DIR structure
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import numpyro

import bayesjoint as bj

matplotlib.use("agg")
import matplotlib.pyplot as plt

WAVELENGTH = {"g": 0.477, "r": 0.623, "i": 0.762, "z": 0.913}  # effective, micron


def galaxy(images):
    structure = bj.sample_structure("galaxy", images, per_band=("Re", "n"))
    Ie = bj.sample_brightness("galaxy", images, structure)
    sky = bj.sample_sky(images)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(sky))


def draw_structure(posterior, path):
    """Print and draw the medians and 68 % intervals of Re and n in each band."""
    figure, axes = plt.subplots(2, 1, sharex=True, figsize=(5, 5.5), layout="constrained")
    for ax, site, label in zip(
        axes, ("galaxy_Re", "galaxy_n"), ("$R_e$ [arcsec]", "Sérsic index $n$"), strict=True
    ):
        low, middle, high = np.quantile(posterior.values(site), [0.16, 0.5, 0.84], axis=(0, 1))
        for band, *numbers in zip(WAVELENGTH, middle, high - middle, middle - low, strict=True):
            print("{}  {} = {:.3f} +{:.3f} -{:.3f}".format(site, band, *numbers))
        ax.errorbar(list(WAVELENGTH.values()), middle, [middle - low, high - middle], fmt="o", capsize=3)
        ax.set_ylabel(label)
    for band, wavelength in WAVELENGTH.items():
        axes[0].annotate(band, (wavelength, 1.02), xycoords=("data", "axes fraction"), ha="center")
    axes[1].set_xlabel("wavelength [micron]")
    figure.savefig(path, dpi=150)


def main(data, out=".", draws=1000):
    data, out = Path(data), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numpyro.enable_x64()
    images = bj.read_images(*(data / "j0056m0021" / f"{band}.fits" for band in WAVELENGTH))
    fit = bj.fit_map(galaxy, images)
    posterior = bj.sample(galaxy, images, init=fit, draws=int(draws))
    print(fit, posterior.verdict, sep="\n")
    draw_structure(posterior, out / "structure.png")
    posterior.summary().write(out / "summary.ecsv", overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
