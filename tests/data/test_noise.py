"""Noise and background against pictures whose noise is known, down to stamps of 8 by 8 pixels."""

import numpy as np
import pytest

from bayesjoint.data.noise import background, estimate_inverse_variance

RNG = np.random.default_rng


def variance_ratios(picture, rounds, seed=0, sky=7.0):
    """Estimated over true variance, and level less true sky, for `rounds` realisations of unit noise."""
    rng, used = RNG(seed), np.ones(picture.shape, bool)
    found = [background(picture + sky + rng.normal(size=picture.shape), used) for _ in range(rounds)]
    level, rms, _ = np.array(found).T
    return rms**2, level - sky


@pytest.mark.parametrize("size, rounds", [(6, 200), (8, 200), (16, 100), (66, 20), (300, 3)])
def test_blank_sky(size, rounds):
    ratio, level = variance_ratios(np.zeros((size, size)), rounds)
    assert ratio.mean() == pytest.approx(1.0, abs=0.12 if size < 20 else 0.03)
    assert abs(level.mean()) < 4 * max(level.std() / np.sqrt(rounds), 1e-3)


@pytest.mark.parametrize("snr", [20, 100])
@pytest.mark.parametrize("re, n", [(3.0, 2.0), (8.0, 4.0)])
def test_a_galaxy_fills_a_stamp_of_8_by_8(build, re, n, snr):
    galaxy = build.sersic((8, 8), 2.75, 6.1, flux=1.0, re=re, n=n, q=0.6, pa=30)
    ratio, _ = variance_ratios(galaxy * snr / np.sqrt((galaxy**2).sum()), 150)
    assert 0.8 < np.median(ratio) < 2.0
    assert ratio.max() < 15


@pytest.mark.parametrize(
    "size, scale, fwhm, re, n",
    [
        (16, 1.5, 5.2, 3.0, 1.0),
        (41, 0.26, 0.9, 3.0, 4.0),
        (66, 0.4, 1.3, 2.0, 2.0),
        (101, 0.4, 1.3, 30.0, 1.0),
    ],
)
def test_bright_galaxies_do_not_pass_for_noise(build, size, scale, fwhm, re, n):
    galaxy = build.sersic((size, size), scale, fwhm, flux=1.0, re=re, n=n, q=0.6)
    ratio, _ = variance_ratios(galaxy * 1000 / np.sqrt((galaxy**2).sum()), 30)
    assert 0.9 < ratio.mean() < 1.4


def test_a_crowded_field_leaves_level_and_noise(build):
    rng, field = RNG(3), np.zeros((200, 200))
    for _ in range(30):
        east, north = rng.uniform(-28, 28, 2)
        field += build.sersic(
            (200, 200), 0.3, 1.0, flux=rng.uniform(100, 5000), re=0.8, n=1.5, q=0.7, east=east, north=north
        )
    ratio, level = variance_ratios(field, 3)
    assert ratio.mean() == pytest.approx(1.0, abs=0.06)
    assert np.abs(level).max() < 0.2


def test_a_slope_of_the_sky_is_no_noise():
    y, x = np.mgrid[:60, :60]
    ratio, _ = variance_ratios(0.2 * x + 0.1 * y, 10)
    assert ratio.mean() == pytest.approx(1.0, abs=0.15)


def test_units_carry_through():
    data = RNG(2).normal(3.0, 1.0, (50, 50))
    level, rms, number = background(data, np.ones(data.shape, bool))
    scaled = background(1e6 * data - 4e6, np.ones(data.shape))
    assert scaled == pytest.approx((1e6 * level - 4e6, 1e6 * rms, number))


def test_masked_pixels_do_not_matter():
    data, used = RNG(4).normal(size=(40, 40)), np.ones((40, 40), bool)
    used[10:20], data[10:20] = False, np.nan
    invvar = estimate_inverse_variance(data, used)
    assert np.all(invvar[10:20] == 0)
    assert np.unique(invvar[used]).size == 1
    assert invvar[0, 0] == pytest.approx(1.0, abs=0.15)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(ValueError, match="at least 6 used pixels, got 3"):
        background(np.zeros((10, 10)), np.arange(100).reshape(10, 10) < 3)
    with pytest.raises(ValueError, match="all alike"):
        estimate_inverse_variance(np.ones((20, 20)), np.ones((20, 20), bool))


@pytest.mark.parametrize("shape", [(1, 40), (2, 9), (40, 3)])
def test_strips_are_images_too(shape):
    _, rms, _ = background(RNG(5).normal(size=shape), np.ones(shape, bool))
    assert 0.4 < rms < 2.0


@pytest.mark.parametrize("name", ["g", "r", "i", "u"])
def test_observed_images_agree_with_their_weight_maps(observed, name):
    from astropy.io import fits

    with fits.open(observed / "j0056m0021" / f"{name}.fits") as hdus:
        data, invvar = np.array(hdus[0].data, float), np.array(hdus["INVVAR"].data, float)
    _, rms, _ = background(data, invvar)
    assert rms == pytest.approx(np.median(invvar) ** -0.5, rel=0.35)
