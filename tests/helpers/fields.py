"""Fields of galaxies and stars, seen in three bands of other pixels, with noise of known width."""

import numpy as np
from helpers.scenes import make_image, rendered

from bayesjoint.data.analytic_psf import gaussian_psf
from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic

# east, north, q, pa, n, Re and fluxes (nJy) in r, W1 and NUV; the last is a star
GALAXIES = (
    (-4.0, 3.0, 0.6, 30.0, 1.2, 1.1, (9000.0, 5000.0, 40.0)),
    (2.0, 4.0, 0.8, 120.0, 2.5, 0.9, (14000.0, 12000.0, 60.0)),
    (1.0, -4.5, 0.45, 75.0, 1.0, 1.4, (6000.0, 1500.0, 0.0)),
)
STAR = (6.0, -1.0, (5000.0, 2500.0, 10.0))
BANDS = {
    "r": ((90, 96), 0.26, 1.0, 25.0),
    "W1": ((12, 14), 2.0, 5.0, 60.0),
    "NUV": ((18, 18), 1.4, 4.0, 12.0),
}


def light_of(band: int) -> list:
    """The components in one band."""
    light: list = []
    for east, north, q, pa, n, Re, flux in GALAXIES:
        unit = Sersic((east, north), q, pa, n, Re, 1.0)
        light.append(Sersic((east, north), q, pa, n, Re, flux[band] / float(unit.flux)))
    return [*light, PointSource(STAR[:2], STAR[2][band])]


def blank(name: str, angle: float = 0.0):
    """One band's image without light."""
    shape, scale, fwhm, sigma = BANDS[name]
    weights = np.full(shape, sigma**-2.0)
    return make_image(shape, scale, gaussian_psf(fwhm), invvar=weights, name=name, band=name, angle=angle)


def field(seed: int = 1, names=tuple(BANDS), angle: float = 20.0) -> ImageSet:
    """The field in these bands; all but the first are turned by `angle` degrees."""
    rng = np.random.default_rng(seed)
    images, first = [], blank(names[0])
    for i, name in enumerate(names):
        image = blank(name, angle=angle if i else 0.0).with_frame(first.frame)
        pixels = np.asarray(rendered(image, *light_of(list(BANDS).index(name))))
        images.append(image.with_data(pixels + rng.normal(0.0, BANDS[name][3], image.shape)))
    return ImageSet(images)


def strip(seed: int = 1, bands: int = 2) -> ImageSet:
    """Ten sources along a strip, a star among them, whose neighbours blend; in bands that share their pixels."""
    rng, images = np.random.default_rng(seed), []
    east = np.arange(10) * 7.0 - 31.5 + rng.uniform(-1.0, 1.0, 10)
    places = np.stack([east, rng.uniform(-4.0, 4.0, 10)], axis=1)
    shapes = np.stack([rng.uniform(0.5, 0.9, 10), rng.uniform(0, 180, 10), rng.uniform(0.8, 2.0, 10)], axis=1)
    radius, flux = rng.uniform(0.6, 1.1, 10), 10 ** rng.uniform(3.6, 4.2, (10, bands))
    for band in range(bands):
        light: list = [PointSource(places[0], flux[0, band])]
        for place, shape, Re, own in zip(places[1:], shapes[1:], radius[1:], flux[1:, band], strict=True):
            unit = Sersic(place, *shape, Re, 1.0)
            light.append(Sersic(place, *shape, Re, own / float(unit.flux)))
        weights = np.full((64, 264), 20.0**-2)
        blank = make_image(
            weights.shape,
            0.3,
            gaussian_psf(1.0 + 0.1 * band),
            invvar=weights,
            name=f"b{band}",
            band=f"b{band}",
        )
        pixels = np.asarray(rendered(blank, *light))
        images.append(blank.with_data(pixels + rng.normal(0.0, 20.0, weights.shape)))
    return ImageSet(images)
