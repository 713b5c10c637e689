"""Eight dithered exposures in three filters as one galaxy: nothing is resampled or coadded.

Each exposure keeps its pixels, seeing and zero point; exposures of one filter share one Ie. The sky was subtracted
and the galaxy fills the frames, so the sky is fixed at 0. Prints the colours with their errors.

    python examples/dithers.py DATA_DIR dithers
"""

import sys
from pathlib import Path

import numpyro

import bayesjoint as bj

EXPOSURES = ("g1", "g2", "g3", "r1", "r2", "z1", "z2", "z3")


def galaxy(images):
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness(
        "galaxy", images, structure
    )  # one in each filter, whatever the number of exposures
    bj.observe(images, bj.Sersic(**structure, Ie=Ie))


def read_exposures(folder):
    """Exposures named g1 ... z3, whose bands are their filters."""
    return bj.ImageSet(
        [bj.read_image(folder / f"{name}.fits", name=name, band=name[0]) for name in EXPOSURES]
    )


def main(data, out=".", draws=1000):
    data, out = Path(data), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numpyro.enable_x64()
    images = read_exposures(data / "decam_dithers_2447p120")
    fit = bj.fit_map(galaxy, images)
    posterior = bj.sample(galaxy, images, init=fit, draws=int(draws))

    print(fit, posterior.verdict, sep="\n")
    for image in fit.images:
        print(f"{image.name}  chi2/pixel {image.chi2_per_pixel:.3f}")
    print(posterior.colour("g", "r"), posterior.colour("r", "z"), sep="\n")
    posterior.colours().write(out / "colours.ecsv", overwrite=True)
    posterior.plot_images().savefig(out / "images.png", dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
