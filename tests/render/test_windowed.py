"""Sources in windows against the same ones drawn each on the whole image."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.scenes import make_image, rendered

import bayesjoint as bj
from bayesjoint.infer.features import Parts, light_features
from bayesjoint.render.images import light_on_stacks, render_light
from bayesjoint.render.parts import render_parts
from bayesjoint.render.spectral import add_windows

RNG = np.random.default_rng(7)
CENTRES = np.concatenate(
    [RNG.uniform(-12, 12, (4, 2)), [[19.0, 0.4], [-40.0, 3.0]]]
)  # one at an edge, one outside
Q, PA, N, RE = (
    RNG.uniform(0.4, 0.9, 6),
    RNG.uniform(0, 180, 6),
    RNG.uniform(0.6, 1.2, 6),
    RNG.uniform(0.2, 0.4, 6),
)
IE = RNG.uniform(1.0, 3.0, (2, 6))
SKY = bj.FlatSky(0.3)


@pytest.fixture(scope="module")
def images():
    """A large image with two exposures' worth of neighbours, and a small one of larger pixels."""
    kinds = [((128, 140), 0.3, 0.9, "g"), ((30, 30), 1.2, 2.8, "W1")]
    return bj.ImageSet([make_image(shape, scale, bj.gaussian_psf(f), name=n) for shape, scale, f, n in kinds])


def windowed(Ie):
    return bj.Windowed(bj.Sersic(CENTRES, Q, PA, N, RE, Ie))


def one_by_one(Ie):
    return [bj.Sersic(*each) for each in zip(CENTRES, Q, PA, N, RE, Ie, strict=True)]


def test_pixels_are_those_of_the_sources_one_by_one(images):
    with_windows = images.with_windows(12.0)
    assert [image.window_lattices[0].size for image in with_windows] == [48, 16]
    for i, image in enumerate(with_windows):
        found, expected = rendered(image, windowed(IE[i]), SKY), rendered(images[i], *one_by_one(IE[i]), SKY)
        # the wings beyond the window
        np.testing.assert_allclose(found, expected, atol=3e-6 * float(expected.max()))


def test_an_image_no_larger_than_its_windows_draws_all(images):
    small = images[1].with_windows(60.0)
    assert small.window_lattices[0].size == 0
    found, expected = rendered(small, windowed(IE[1]), SKY), rendered(images[1], *one_by_one(IE[1]), SKY)
    np.testing.assert_allclose(found, expected, atol=1e-9 * float(expected.max()))


def test_by_band_and_points(images):
    images = images.with_windows(12.0)
    stars = bj.Windowed(bj.PointSource(CENTRES, 5.0))
    assert windowed(IE).flux.shape == (2, 6) and stars.flux.shape == (6,)
    drawn = jax.jit(lambda images: render_light(light_on_stacks(images, windowed(IE), stars, SKY)))(images)
    for i, image in enumerate(images):
        expected = rendered(image, windowed(IE[i]), stars, SKY)
        (found,) = [stack[0] for stack in drawn if stack.shape[1:] == image.shape]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_gradient_is_that_of_the_sources_one_by_one(images):
    image = images[0].with_windows(12.0)

    def total(render_all):
        return lambda re, centres, ie: jnp.sum(jnp.sin(render_all(re, centres, ie)))

    def whole(re, centres, ie):
        return bj.render(image, *(bj.Sersic(*each) for each in zip(centres, Q, PA, N, re, ie, strict=True)))

    def in_windows(re, centres, ie):
        return bj.render(image, bj.Windowed(bj.Sersic(centres, Q, PA, N, re, ie)))

    here = jnp.asarray(RE), jnp.asarray(CENTRES), jnp.asarray(IE[0])
    found, expected = (jax.jit(jax.grad(total(f), argnums=(0, 1, 2)))(*here) for f in (in_windows, whole))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * float(np.max(np.abs(b))))


def test_features_add_up(images):
    waves = jnp.asarray(RNG.normal(size=(2, 2, 7)))
    images = images.with_windows(12.0)
    light = light_on_stacks(images, windowed(IE), SKY)
    each = [bj.Sersic(CENTRES[i], Q[i], PA[i], N[i], RE[i], IE[:, i]) for i in range(6)]
    wanted = light_features(light_on_stacks(images, *each, SKY), Parts(waves)).whole
    np.testing.assert_allclose(light_features(light, Parts(waves)).whole, wanted, rtol=1e-9, atol=1e-9)
    apart = light_features(light, Parts(waves, (jnp.repeat(waves[:, None], 6, axis=1),)))
    assert apart.windows[0].shape == (2, 6, 14)
    np.testing.assert_allclose(
        apart.whole + jnp.pad(apart.windows[0].sum(axis=1), ((0, 0), (0, 1))), wanted, rtol=1e-9, atol=1e-9
    )


def test_parts_add_up(images):
    """What has no window, and each source in its own, make the image."""
    images = images.with_windows(12.0)
    light = light_on_stacks(images, windowed(IE), bj.Sersic((1.0, 2.0), 0.5, 30.0, 1.5, 2.0, 4.0), SKY)
    for stack, parts, whole in zip(light.stacks, render_parts(light), render_light(light), strict=True):
        for i, image in enumerate(whole):
            own = jax.tree.map(lambda a, i=i: a[i], stack)
            (kind,) = [kind for kind in light.kinds if hasattr(kind, "window")]
            (stamps,) = parts.windows
            drawn = add_windows(own, kind, stamps.origin[i], stamps.pixels[i])
            np.testing.assert_allclose(parts.whole[i] + drawn, image, atol=1e-10)


def test_windows_that_stay_where_they_are(images):
    """What lies in them is the same; there is no jump where a source crosses into the next pixel."""
    image, places = images[0].with_windows(9.0), jnp.asarray(CENTRES[:2])
    # the first source, at half a pixel
    middle = image.pixel_map.pixel(CENTRES[0])
    edge = CENTRES[0] + 0.3 * (np.floor(middle) + 0.5 - middle) * [-1, 1] + [0.0, 0.1]

    @jax.jit
    def total(centre, places):
        centres = jnp.stack([centre, jnp.asarray(CENTRES[1])])
        sources = bj.Sersic(centres, Q[:2], PA[:2], 4.0, RE[:2], IE[0, :2])
        return jnp.sum(bj.render(image, bj.Windowed(sources, places=places)))

    def jump(places):
        beside = [total(edge + jnp.array([side * 1e-7, 0.0]), places) for side in (-1, 1)]
        return abs(float(beside[1] - beside[0]))

    assert jump(places) < 1e-3 * jump(None)
    with pytest.raises(ValueError, match=r"Windowed: places must be \(2, 2\), got shape \(6, 2\)"):
        bj.Windowed(bj.PointSource(CENTRES[:2], 5.0), places=CENTRES)


def test_what_is_refused(images):
    with pytest.raises(
        ValueError, match=r"want window 0, but the images have 0: give images.with_windows\(12.0\)"
    ):
        bj.render(images[0], windowed(IE[0]))
    with pytest.raises(TypeError, match="Windowed wants a profile or PointSource"):
        bj.Windowed(SKY)
    with pytest.raises(ValueError, match=r"centre must be \(sources, 2\), got shape \(2,\)"):
        bj.Windowed(bj.PointSource((0.0, 0.0), 1.0))


def test_derivatives_of_several_images_of_one_stack():
    blank = make_image((40, 40), 0.3, bj.gaussian_psf(1.2))
    images = bj.ImageSet([blank.with_frame(blank.frame, name) for name in "abc"]).with_windows(6.0)

    def total(q):
        sources = bj.Sersic(jnp.array([[0.2, 0.1], [1.5, -0.7]]), q, 30.0, 1.5, 0.8, jnp.ones((3, 2)))
        pixels = render_light(light_on_stacks(images, bj.Windowed(sources)))
        return jnp.sum(pixels[0] ** 2)

    q, step = jnp.array([0.5, 0.8]), 1e-6
    slope = jax.jit(jax.grad(total))(q)
    value = jax.jit(total)
    for i in range(2):
        move = step * jnp.eye(2)[i]
        expected = (value(q + move) - value(q - move)) / (2 * step)
        np.testing.assert_allclose(slope[i], expected, rtol=1e-6)
