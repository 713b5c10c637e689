"""Programs that cannot be compiled, or have no finite density at the start: one sentence that says which part does it."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayesjoint as bj


@pytest.fixture(scope="module")
def images(build):
    noise = np.random.default_rng(1).normal(size=(24, 24))
    small = np.random.default_rng(2).normal(size=(16, 20))
    psf = bj.gaussian_psf(1.2)
    return bj.ImageSet(
        [
            build.image((24, 24), 0.5, psf, data=noise, invvar=np.ones((24, 24)), band="r", name="deep"),
            build.image((16, 20), 0.5, psf, data=small, invvar=np.ones((16, 20)), band="g", name="wide"),
        ]
    )


def sky(images, level):
    bj.observe(images, bj.FlatSky(level))


def selects(images):
    level = numpyro.sample("level", dist.Normal(0.0, 1.0))
    bright = images["deep"].data[images["deep"].data > 0]
    numpyro.sample("bright", dist.Normal(level, 1.0), obs=bright)
    sky(images, level)


def branches(images):
    level = numpyro.sample("level", dist.Normal(0.0, 1.0))
    if level > 0:
        level = -level
    sky(images, level)


def counts(images):
    level = numpyro.sample("level", dist.Normal(0.0, 1.0))
    sky(images, level * int(jnp.sum(images["deep"].data > 0)))


@pytest.mark.parametrize(
    "program, line", [(selects, "bright = "), (branches, "if level"), (counts, "int(jnp")]
)
def test_what_depends_on_values_is_one_sentence(images, program, line):
    with pytest.raises(
        ValueError, match=f"{program.__name__}.*cannot be compiled.*line [0-9]+: .*"
    ) as caught:
        bj.fit_map(program, images)
    assert line in str(caught.value)


def test_images_observed_twice(images):
    def twice(images):
        level = numpyro.sample("level", dist.Normal(0.0, 1.0))
        sky(images, level)
        sky(images, level)

    with pytest.raises(ValueError, match="has two sites 'pixels_24x24': images are observed once"):
        bj.fit_map(twice, images)


def test_two_latents_of_one_name(images):
    def twice(images):
        sky(images, numpyro.sample("a", dist.Normal(0.0, 1.0)) + numpyro.sample("a", dist.Normal(0.0, 1.0)))

    with pytest.raises(ValueError, match="has two sites 'a': give each site a name of its own"):
        bj.fit_map(twice, images)


def test_the_site_without_a_density_is_named(images):
    def odd(images):
        level = numpyro.sample("level", dist.Normal(0.0, 1.0))
        numpyro.factor("odd", jnp.log(-1.0 - level**2))
        numpyro.factor("even", -(level**2))
        sky(images, level)

    with pytest.raises(ValueError, match="not finite at the start: site 'odd' has nan; give another start="):
        bj.fit_map(odd, images)


def test_the_image_without_a_density_is_named(images):
    dark = images.with_data([images["deep"].data, np.where(np.arange(20) == 3, np.nan, images["wide"].data)])

    def program(images):
        sky(images, numpyro.sample("level", dist.Normal(0.0, 1.0)))

    with pytest.raises(ValueError, match="at the start: image 'wide' has no finite density; give"):
        bj.fit_map(program, dark)


def test_light_out_of_its_range_is_said(images):
    def program(images):
        n = numpyro.sample("n", dist.Uniform(12.0, 14.0))
        bj.observe(images, bj.Sersic((0.0, 0.0), 0.5, 10.0, n, 1.0, 1.0))

    with pytest.raises(ValueError, match="a parameter of the light lies outside the range of its profile"):
        bj.fit_map(program, images)
