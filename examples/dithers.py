"""Eight dithered exposures in three filters as one galaxy: nothing is resampled or coadded.

Each exposure keeps its pixels, seeing and zero point; exposures of one filter share one Ie. The sky was subtracted
and the galaxy fills the frames, so the sky is fixed at 0. Prints the colours with their errors.

    python examples/dithers.py DATA_DIR --out dithers
"""

import argparse
from pathlib import Path

import numpyro

import bayesjoint as bj

EXPOSURES = ("g1", "g2", "g3", "r1", "r2", "z1", "z2", "z3")


def galaxy(images):
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images)  # one in each filter, whatever the number of exposures
    bj.observe(images, bj.Sersic(**structure, Ie=Ie))


def read_exposures(folder):
    """Exposures named g1 ... z3, whose bands are their filters."""
    return bj.ImageSet(
        [bj.read_image(folder / f"{name}.fits", name=name, band=name[0]) for name in EXPOSURES]
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, metavar="DATA_DIR", help="folder that holds decam_dithers_2447p120/"
    )
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for what is written")
    parser.add_argument("--draws", type=int, default=500, help="draws of each of the four chains")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    numpyro.enable_x64()
    images = read_exposures(options.data / "decam_dithers_2447p120")
    fit = bj.fit_map(galaxy, images)
    posterior = bj.sample(galaxy, images, init=fit, draws=options.draws)

    print(fit, posterior.verdict, sep="\n")
    for image in fit.images:
        print(f"{image.name}  chi2/pixel {image.chi2_per_pixel:.3f}")
    print(posterior.colour("g", "r"), posterior.colour("r", "z"), sep="\n")
    posterior.colours().write(options.out / "colours.ecsv", overwrite=True)
    posterior.plot_images().savefig(options.out / "images.png", dpi=120)


if __name__ == "__main__":
    main()
