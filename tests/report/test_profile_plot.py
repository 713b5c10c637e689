"""Isophotes on images of other pixels: annuli that lie where they should, and light from which all else is removed."""

import astropy.units as u
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from astropy.coordinates import SkyCoord
from helpers.scenes import make_image, rendered

import bayesjoint as bj
from bayesjoint.infer.draws import Draws
from bayesjoint.infer.source_pixels import source_pixels
from bayesjoint.infer.space import find_latents
from bayesjoint.report.annuli import (
    annuli_of,
    edges_of,
    mean_errors,
    nearest_pixel,
    semi_major_axes,
    without_empty_core,
)
from bayesjoint.report.isophotes import isophotes
from bayesjoint.report.photometry import magnitude
from bayesjoint.report.posterior import Posterior

CENTRE, Q, PA = np.array([0.4, -0.3]), 0.6, 35.0
SHAPE = {"centre": CENTRE, "q": Q, "pa": PA, "n": 1.5, "Re": 2.0}
FLUX = {"g": 3000.0, "r": 6000.0}
GRIDS = {"g": ((60, 56), 0.4, 0.0), "r": ((44, 44), 0.6, 70.0)}


@pytest.fixture(autouse=True)
def strict_promotion():
    """JAX's own promotion here: NumPyro mixes ranks."""


def galaxy_and_neighbour(images):
    """What is sampled is known beforehand but for the brightness."""
    Ie = numpyro.sample("galaxy_Ie", dist.Normal(np.zeros(2), 1000.0).to_event(1))
    neighbour = bj.Exponential((-5.0, 3.0), 0.8, 10.0, 1.0, np.array([20.0, 90.0]), name="neighbour")
    bj.observe(images, bj.Sersic(**SHAPE, Ie=Ie, name="galaxy"), neighbour, bj.FlatSky(np.array([3.0, 8.0])))


@pytest.fixture(scope="module")
def noiseless():
    """A posterior about the truth of images without noise, of which 5 % of the pixels are masked."""
    rng, images, true = np.random.default_rng(2), [], []
    for i, (band, (shape, scale, angle)) in enumerate(GRIDS.items()):
        mask = rng.uniform(size=shape) < 0.05
        blank = make_image(shape, scale, bj.gaussian_psf(1.3), name=band, angle=angle, mask=mask)
        blank = blank.with_frame(images[0].frame) if images else blank
        true.append(FLUX[band] / float(bj.Sersic(**SHAPE, Ie=1.0).flux))
        light = bj.Sersic(**SHAPE, Ie=true[-1]), bj.Exponential((-5.0, 3.0), 0.8, 10.0, 1.0, (20.0, 90.0)[i])
        pixels = np.asarray(rendered(blank, *light, bj.FlatSky((3.0, 8.0)[i])))
        images.append(blank.with_data(np.where(mask, 1e6, pixels)))
    images = bj.ImageSet(images)
    draws = np.array(true) * (1 + 1e-3 * rng.normal(size=(2, 20, 2)))
    draws[0, 0] = true
    stats = {"lp": np.zeros((2, 20)), "diverging": np.zeros((2, 20), bool), "n_steps": np.ones((2, 20), int)}
    stats["lp"][0, 0] = 1.0
    stats |= {"acceptance_rate": np.ones((2, 20)), "energy": np.zeros((2, 20))}
    values = {"galaxy_Ie": draws, "galaxy_flux": draws, "neighbour_flux": np.ones((2, 20, 2))}
    posterior = Posterior.from_draws(Draws(values, {}, stats, np.zeros(2), np.ones(2), 10, 1, {}), images)
    posterior.program = galaxy_and_neighbour
    return posterior


@pytest.mark.parametrize("flipped", [False, True])
def test_annuli_lie_on_ellipses_of_the_sky(flipped):
    """At the position angle the semi-major axis is the separation; across it, this over q."""
    image = make_image((40, 50), 0.3, angle=25.0, flipped=flipped, sip=True)
    axes = semi_major_axes(image, CENTRE, Q, PA)
    middle = SkyCoord(*image.frame.sky(*CENTRE), unit="deg")
    y, x = np.mgrid[:40, :50]
    place = SkyCoord.from_pixel(x, y, image.wcs)
    separation, angle = middle.separation(place).arcsec, middle.position_angle(place).to_value(u.rad)
    turned = angle - np.radians(PA)
    expected = separation * np.hypot(np.cos(turned), np.sin(turned) / Q)
    np.testing.assert_allclose(axes, expected, atol=2e-3)


def test_means_and_errors_of_annuli():
    image = make_image((81, 81), 0.5, invvar=np.full((81, 81), 0.25))
    axes = semi_major_axes(image, np.zeros(2), 1.0, 0.0)
    annuli = annuli_of(image, axes, 1.0, edges_of(0.5, 60.0))
    assert annuli.radii[-1] < 25 and np.all(np.diff(annuli.radii) > 0)
    np.testing.assert_allclose(annuli.mean(axes), annuli.radii)
    np.testing.assert_allclose(mean_errors(image, annuli), 2 / np.sqrt(annuli.counts))
    noise = 2 * np.random.default_rng(1).normal(size=(400, 81, 81))
    scatter = np.std([annuli.mean(one) for one in noise], axis=0)
    np.testing.assert_allclose(scatter, mean_errors(image, annuli), rtol=0.2)


def test_an_empty_core_is_part_of_the_first_annulus():
    """Of a flat galaxy no pixel's middle may lie within a pixel of its centre, and a core may be masked."""
    mask = np.zeros((40, 40), bool)
    mask[17:23, 17:23] = True
    for q, masked in ((0.1, None), (0.7, mask)):
        image = make_image((40, 40), 0.5, bj.gaussian_psf(1.5), mask=masked)
        axes = semi_major_axes(image, np.zeros(2), q, 0.0)
        edges = edges_of(0.5, 8.0)
        assert not len(annuli_of(image, axes, q, edges).radii)
        annuli = annuli_of(image, axes, q, without_empty_core(edges, nearest_pixel(image, axes)))
        assert annuli.counts[0] > 0 and 0 < annuli.radii[0] < annuli.radii[-1] < 8.5


def test_profiles_without_an_axis_ratio_have_isophotes(noiseless):
    """Their axes say what ellipses they are about."""

    def program(images):
        Ie = numpyro.sample("galaxy_Ie", dist.Normal(np.zeros(2), 1000.0).to_event(1))
        disc = bj.EdgeOnDisc(CENTRE, PA, 1.0, 0.4, Ie, name="galaxy")
        bj.observe(images, disc, bj.FlatSky(np.array([3.0, 8.0])))

    layout = find_latents(program, (noiseless.images,))
    found = source_pixels(program, layout, np.ones(2), (noiseless.images,), "r", ("galaxy",))
    assert float(found.q) == pytest.approx(0.4) and float(found.pa) == pytest.approx(PA)


def test_light_is_the_models_where_that_is_right(noiseless):
    """Without noise the truth is measured, in the same pixels: without neighbour, sky and masked pixels."""
    for one in isophotes(noiseless, galaxy_and_neighbour, (), ["g", "r"], "galaxy"):
        middle = np.mean(one.seen, axis=0)
        np.testing.assert_allclose(one.light, middle, rtol=2e-3)
        assert one.radii[-1] > 4 and len(one.radii) > 6
        scatter = np.std(one.seen / middle, axis=0)
        np.testing.assert_allclose(scatter, 1e-3, rtol=0.5)


def test_seen_and_intrinsic_agree_far_out(noiseless):
    """Beyond the PSF, which moves light outwards near the middle."""
    (one,) = isophotes(noiseless, galaxy_and_neighbour, (), ["g"], "galaxy")
    intrinsic = np.interp(one.radii, one.intrinsic.radii, one.intrinsic.median)
    ratio = np.median(one.seen, axis=0) / intrinsic
    assert ratio[0] < 0.8 and np.all(np.abs(ratio[one.radii > 4] - 1) < 0.15)


def test_figure(noiseless):
    figure = noiseless.plot_profile("g", "r", colours=[("g", "r")], source="galaxy")
    g, r, colour = figure.axes
    assert g.yaxis_inverted() and not colour.yaxis_inverted() and "r" in r.get_ylabel()
    true = magnitude(FLUX["g"]) - magnitude(FLUX["r"])
    level = next(line for line in colour.lines if line.get_label() == "model without PSF")
    np.testing.assert_allclose(level.get_ydata(), true, atol=2e-3)
    assert colour.get_xscale() == "log" and colour.get_ylabel() == "g $-$ r [mag]"
    with pytest.raises(ValueError, match="1 axes for 2 profiles"):
        noiseless.plot_profile(axes=g, source="galaxy")
    with pytest.raises(ValueError, match="no band 'u' in this posterior: there are g, r"):
        noiseless.plot_profile(colours=[("u", "z")], source="galaxy")


def test_colours_compare_the_same_annuli(noiseless):
    """Also where the core of one of the images is masked."""
    g, r = noiseless.images
    core = semi_major_axes(r, CENTRE, Q, PA) < 1.5
    masked = Posterior(noiseless.idata, noiseless.images.with_images((g, r.with_mask(core))))
    one, two = isophotes(masked, galaxy_and_neighbour, (), ["g", "r"], "galaxy", together=True)
    number = min(len(one.radii), len(two.radii))
    assert number > 5
    np.testing.assert_allclose(one.radii[1:number], two.radii[1:number], rtol=0.05)


def test_points_have_no_profile(noiseless):
    with pytest.raises(ValueError, match="the sources are galaxy, neighbour"):
        noiseless.plot_profile("g", source="star")
