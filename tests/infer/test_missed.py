"""Sources that a fit has left in the images are found there, and nothing else is."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.fields import GALAXIES, field, light_of
from helpers.scenes import rendered
from scipy import ndimage

import bayesjoint as bj

HIDDEN = 2  # of the galaxies


@pytest.fixture(scope="module")
def case():
    """Images, the table without one galaxy, and a fit as good as the truth but for that and 2 % of all light."""
    images = field(names=("r", "W1"))
    table = bj.find_sources(images)
    place = np.stack([table["east"], table["north"]], axis=1)
    own = int(np.argmin(np.hypot(*(place - GALAXIES[HIDDEN][:2]).T)))
    models = []
    for band, image in enumerate(images):
        light = light_of(band)
        del light[HIDDEN]
        models.append(SimpleNamespace(model=1.02 * np.asarray(rendered(image, *light))))
    fit = SimpleNamespace(images=tuple(models), image_names=images.names)
    table.remove_row(own)
    return images, table, fit


def test_what_was_missed_is_added_and_nothing_else(case):
    images, table, fit = case
    more = bj.add_sources(fit, images, table)
    assert len(more) == len(table) + 1 and list(more["name"][:-1]) == list(table["name"])
    new = more[-1]
    assert new["name"] not in table["name"] and new["kind"] == "galaxy"
    assert np.hypot(new["east"] - GALAXIES[HIDDEN][0], new["north"] - GALAXIES[HIDDEN][1]) < 0.3
    assert new["flux_r"] == pytest.approx(GALAXIES[HIDDEN][6][0], rel=0.2)
    assert len(images.with_sources(more).sources) == len(more)


def test_nothing_is_added_where_nothing_is_missed(case):
    images, table, _ = case
    whole = [
        SimpleNamespace(model=np.asarray(rendered(image, *light_of(band))))
        for band, image in enumerate(images)
    ]
    same = bj.add_sources(SimpleNamespace(images=whole, image_names=images.names), images, table)
    assert list(same["name"]) == list(table["name"]) and same is not table


def test_a_fit_of_other_images_is_refused(case):
    images, table, fit = case
    with pytest.raises(ValueError, match=r"the fit is of other images: r, W1, and 'W1' .* give bj.fit_map"):
        bj.add_sources(fit, bj.ImageSet(list(images)[1:]), table)


def test_what_only_the_coarser_image_shows_is_found_there(case):
    images, _, _ = case
    place, models = (-8.0, -8.0), []
    for band, image in enumerate(images):
        models.append(SimpleNamespace(model=np.asarray(rendered(image, *light_of(band)))))
    seen = images[1].with_data(
        images[1].data + np.asarray(rendered(images[1], bj.PointSource(place, 6000.0)))
    )
    whole = bj.find_sources(images)
    fit = SimpleNamespace(images=tuple(models), image_names=images.names)
    more = bj.add_sources(fit, bj.ImageSet([images[0], seen], images.frame), whole)
    assert len(more) == len(whole) + 1
    assert np.hypot(more["east"][-1] - place[0], more["north"][-1] - place[1]) < 1.0
    assert more["flux_W1"][-1] == pytest.approx(6000, rel=0.2) and abs(more["flux_r"][-1]) < 600


def test_noise_that_correlates_is_no_source(case):
    """Smoothed, and of the right width in each pixel."""
    images, table, _ = case
    rng, new, models = np.random.default_rng(4), [], []
    for band, image in enumerate(images):
        model = np.asarray(rendered(image, *light_of(band)))
        noise = ndimage.gaussian_filter(rng.normal(size=image.shape), 1.0)
        new.append(image.with_data(model + noise / noise.std() * np.median(image.invvar) ** -0.5))
        models.append(SimpleNamespace(model=model))
    fit = SimpleNamespace(images=tuple(models), image_names=images.names)
    more = bj.add_sources(fit, bj.ImageSet(new, images.frame), bj.find_sources(images))
    assert len(more) == len(table) + 1
