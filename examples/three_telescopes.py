"""One galaxy seen by three telescopes: GALEX (1.5" pixels), SDSS (0.4") and 2MASS (1.0"), each in its own pixels.

The structure is sampled once and shared, the brightness once in each band. Writes the posterior, tables and figures.

    python examples/three_telescopes.py DATA_DIR three_telescopes
"""

import sys
from pathlib import Path

import numpyro

import bayesjoint as bj


def galaxy(images):
    structure = bj.sample_structure("galaxy", images)  # centre, q, PA, n, Re: drawn once, shared
    Ie = bj.sample_brightness("galaxy", images, structure)  # plate "band": one Ie in each band
    sky = bj.sample_sky(images)  # plate "image": one sky in each image
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(sky))


def main(data, out=".", draws=1000):
    data, out = Path(data), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numpyro.enable_x64()
    images = bj.read_images(*(data / "j0056m0021" / f"{band}.fits" for band in ("NUV", "r", "Ks")))
    fit = bj.fit_map(galaxy, images)
    posterior = bj.sample(galaxy, images, init=fit, draws=int(draws))

    NUV, r, Ks = images.bands
    print(fit, posterior, posterior.verdict, sep="\n")
    print(posterior.colour(NUV, r), posterior.colour(r, Ks), sep="\n")
    posterior.save(out / "galaxy.nc")
    posterior.summary().write(out / "summary.ecsv", overwrite=True)
    for name, draw in (("images", posterior.plot_images), ("corner", posterior.plot_corner)):
        draw().savefig(out / f"{name}.png", dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
