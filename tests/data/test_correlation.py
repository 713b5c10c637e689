"""The correlation of noise: measured on blank sky that has a known one, and refused where it cannot be one."""

import jax
import numpy as np
import pytest
from helpers.correlations import RESAMPLED
from scipy.ndimage import convolve

import bayesjoint as bj


def correlated_sky(build, stamp, size=240, seed=0, **keywords):
    """A blank image with noise of a correlation, by moving averages of white noise."""
    rng = np.random.default_rng(seed)
    data = convolve(rng.normal(size=(size, size)), stamp, mode="wrap") / np.sqrt(np.sum(stamp**2))
    return build.image((size, size), data=data, **keywords)


KERNELS = {"white": np.ones((1, 1)), "2x2": np.ones((2, 2)), "3x1": np.array([[0.3], [1.0], [0.3]])}


@pytest.mark.parametrize("name", KERNELS)
def test_known_correlation_is_found(build, name):
    """Within its errors, which are neither too small nor too large."""
    kernel, wanted = KERNELS[name], np.zeros((7, 7))
    size = np.array(kernel.shape)
    for y, x in np.ndindex(*kernel.shape):
        for v, u in np.ndindex(*kernel.shape):
            wanted[3 + y - v, 3 + x - u] += kernel[y, x] * kernel[v, u] / np.sum(kernel**2)
    found = [bj.noise_correlation(correlated_sky(build, kernel, seed=seed)) for seed in range(6)]
    strong = np.abs(wanted) > 0.05
    strong[3, 3] = False
    off = np.array([(np.asarray(f) - wanted)[strong] / f.errors[strong] for f in found])
    assert size.max() == 1 or (0.5 < np.sqrt(np.mean(off**2)) < 2.2)
    assert np.abs(np.mean([np.asarray(f) for f in found], axis=0) - wanted).max() < 0.025
    assert 0.9 < np.sqrt(np.mean([f.coefficients.sum() for f in found]) / wanted.sum()) < 1.1
    assert all(np.asarray(f)[3, 3] == 1 and f.pixels > 0.9 * 240**2 for f in found)


def test_sources_masks_weights_and_slopes_do_not_pass_for_noise(build):
    rng, stars = np.random.default_rng(1), np.zeros((240, 240))
    blank = correlated_sky(build, np.ones((2, 2)), seed=2)
    y, x = np.mgrid[:240, :240]
    for _ in range(40):
        v, u = rng.uniform(0, 240, 2)
        stars += rng.uniform(20, 3000) * np.exp(-(np.hypot(y - v, x - u) ** 2) / 2 / 1.5**2)
    weight = 1.5 + np.sin(x / 40)
    data = np.asarray(blank.data) / np.sqrt(weight) + stars + 0.01 * x
    data[100:120], mask = 1e9, np.zeros((240, 240), bool)
    mask[100:120], mask[:10] = True, True
    image = build.image((240, 240), data=data, invvar=weight, mask=mask)
    found = bj.noise_correlation(image, reach=2)
    wanted = np.pad(np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]), 1)
    assert np.abs(np.asarray(found) - wanted).max() < 0.05
    fewer = bj.noise_correlation(image, reach=2, mask=x < 100)
    assert fewer.pixels < 0.7 * found.pixels
    assert "along x" in repr(found) and f"from {found.pixels} pixels" in repr(found)


def test_what_cannot_be_measured_is_said(build):
    with pytest.raises(
        ValueError, match=r"900 pixels of blank sky are too few .* wanted 980: give a larger cutout"
    ):
        bj.noise_correlation(correlated_sky(build, np.ones((2, 2)), 30))
    small = correlated_sky(build, np.ones((2, 2)), 30)
    assert bj.noise_correlation(small, reach=2).coefficients.shape == (5, 5)
    with pytest.raises(ValueError, match=r"mask has shape \(3, 3\), the data \(30, 30\)"):
        bj.noise_correlation(small, mask=np.zeros((3, 3)), reach=1)
    for reach in (0, 1.5, True):
        with pytest.raises(ValueError, match="reach must be a whole number"):
            bj.noise_correlation(small, reach=reach)
    with pytest.raises(ValueError, match="pixels that are all alike"):
        bj.noise_correlation(build.image((60, 60)))


def bad_stamps():
    good = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])
    lopsided, kernel = good.copy(), np.outer([0.9, 1, 0.9], [0.9, 1, 0.9])
    lopsided[0, 0] = 0.1
    return [
        (good[:2], r"odd sides .*, got shape \(2, 3\)"),
        (good[0], r"odd sides .*, got shape \(3,\)"),
        (2 * good, "got 2 in the middle: divide by it"),
        (lopsided, "differ by 0.15: give the mean of the stamp"),
        (kernel, "its power spectrum falls to -"),
        (np.where(good < 0.3, np.nan, good), "got 4 that are not finite"),
    ]


@pytest.mark.parametrize("stamp, words", bad_stamps())
def test_what_is_no_correlation_is_refused(build, stamp, words):
    with pytest.raises(ValueError, match=f"image 'r'.*{words}"):
        build.image((20, 20), noise_correlation=stamp)


def test_image_carries_its_correlation(build):
    stamp = RESAMPLED["bilinear by 0.3 px"]
    plain = build.image((20, 30))
    image = build.image((20, 30), noise_correlation=stamp)
    np.testing.assert_allclose(image.noise_correlation, stamp)
    assert plain.noise_correlation is None and plain.log_normaliser < image.log_normaliser
    assert "noise correlated" in repr(image) and "noise correlated" not in repr(plain)
    again = plain.with_noise_correlation(stamp).with_data(np.ones((20, 30)))
    assert again.log_normaliser == image.log_normaliser
    assert image.with_noise_correlation(None).log_normaliser == plain.log_normaliser
    assert len(jax.tree.leaves(image)) == len(jax.tree.leaves(plain)) + 5


def test_stacks_hold_images_with_and_without(build):
    """Images of one size that correlate share a stack of their own; smaller ones are padded; each comes back whole."""
    one, other = RESAMPLED["bilinear by 0.3 px"], RESAMPLED["bilinear by 0.3 px"].T
    hidden = np.where(np.random.default_rng(0).random((30, 29)) < 0.1, 0.0, 1.0)
    images = bj.ImageSet(
        [
            build.image((30, 30), name="a", noise_correlation=one),
            build.image((30, 30), name="b"),
            build.image((30, 29), name="c", invvar=hidden, noise_correlation=other),
        ]
    )
    assert images.members == ((0, 2), (1,))
    leaves, treedef = jax.tree.flatten(images)
    inside = jax.tree.unflatten(treedef, leaves)
    np.testing.assert_array_equal(inside["c"].whitening.index, images["c"].whitening.index)
    assert inside["b"].whitening is None
    plain = images.with_noise_correlations([None, None, None])
    assert plain.members == ((0, 1, 2),) and plain["a"].noise_correlation is None
    with pytest.raises(ValueError, match="got 1 correlations for 3 images"):
        images.with_noise_correlations([one])


def test_reach_grows_with_the_noise(build):
    """And says where there is too little blank sky for that."""
    kernel = np.exp(-0.5 * (np.arange(-9, 10) / 1.0) ** 2)
    image = correlated_sky(build, np.outer(kernel, kernel), 300)
    found = bj.noise_correlation(image)
    middle = len(found.coefficients) // 2
    assert middle > 3 and abs(found.coefficients[middle, middle + 1] - np.exp(-1 / 4)) < 0.04
    with pytest.warns(UserWarning, match="image 'r': "):
        bj.noise_correlation(image, reach=2)


def test_light_of_large_scale_is_warned_of(build):
    rng, x = np.random.default_rng(0), np.arange(300)
    slope = build.image((300, 300), data=rng.normal(size=(300, 300)) + 0.02 * x)
    assert abs(bj.noise_correlation(slope).coefficients.sum() - 1) < 0.1
    waves = np.sin(x / 8) * np.sin(x / 8)[:, None]
    with pytest.warns(UserWarning, match=r"image 'r': all lags of .* large-scale light or slopes"):
        bj.noise_correlation(build.image((300, 300), data=rng.normal(size=(300, 300)) + 0.6 * waves), reach=3)


def test_blank_sky_is_found_in_units_of_the_noise(build):
    sigma = np.where(np.arange(300) < 150, 1.0, 5.0) * np.ones((300, 300))
    blank = np.random.default_rng(0).normal(size=(300, 300)) * sigma
    found = bj.noise_correlation(build.image((300, 300), data=blank, invvar=sigma**-2.0))
    assert found.pixels > 0.95 * 300**2


def test_what_has_no_noise_to_measure_is_said(build):
    image = build.image((60, 60), data=np.random.default_rng(0).normal(size=(60, 60)))
    data = np.array(image.data)
    data[3, 4] = np.nan
    with pytest.raises(ValueError, match="image 'r': 1 of the pixels with weight are not finite"):
        bj.noise_correlation(image.with_data(data))
    with pytest.raises(ValueError, match="image 'r': noise cannot be measured without data"):
        bj.noise_correlation(image.without_data())
    with pytest.raises(TypeError, match=r"needs one bj\.Image, got ImageSet"):
        bj.noise_correlation(bj.ImageSet([image]))
    with pytest.raises(TypeError, match=r"image 'r': .*got 'auto': give an array"):
        image.with_noise_correlation("auto")
