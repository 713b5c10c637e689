"""Colour composites: images of other pixels come to lie on each other, and colours are those of the light."""

import numpy as np
import pytest
from helpers.scenes import make_image, rendered

import bayesjoint as bj
from bayesjoint.report.rgb import Composite, on_grid

STARS = {"red": ((-2.0, 1.5), (3.0, 1.0, 0.3)), "blue": ((2.5, -2.0), (0.3, 1.0, 3.0))}
GRIDS = {"R": ((24, 20), 0.8, 25.0), "G": ((64, 64), 0.3, 0.0), "B": ((40, 44), 0.45, -70.0)}


@pytest.fixture(scope="module")
def images():
    """A red and a blue star on three grids, with a masked pixel in R."""
    found, frame = [], None
    for i, (name, (shape, scale, angle)) in enumerate(GRIDS.items()):
        mask = np.zeros(shape, bool)
        mask[5, 4] = i == 0
        psf = bj.gaussian_psf(1.5)
        noise = {"invvar": np.full(shape, scale**-2.0), "mask": mask}
        image = make_image(shape, scale, psf, name=name, angle=angle, **noise)
        frame = frame or image.frame
        image = image.with_frame(frame)
        light = [bj.PointSource(place, 500.0 * flux[i]) for place, flux in STARS.values()]
        found.append(image.with_data(np.asarray(rendered(image, *light, bj.FlatSky(4.0)))))
    return found


def test_light_lies_where_it_should(images):
    """Bilinear sampling of the coarse image has its star at the place that the fine one has it."""
    coarse, fine, _ = images
    sampled = np.nan_to_num(on_grid(coarse, coarse.data, fine))
    place = fine.pixel_map.pixel(np.array(STARS["red"][0]))
    y, x = np.mgrid[: fine.shape[0], : fine.shape[1]]
    near = (np.hypot(x - place[0], y - place[1]) < 8) * np.maximum(sampled - np.median(sampled), 0)
    middle = np.array([(near * x).sum(), (near * y).sum()]) / near.sum()
    assert np.hypot(*(middle - place)) < 0.5


def test_what_an_image_lacks_is_unknown(images):
    coarse, fine, _ = images
    sampled = on_grid(coarse, coarse.data, fine)
    known = np.isfinite(sampled)
    hole = fine.pixel_map.pixel(np.linalg.solve(coarse.jacobian, [4 - 9.5, 5 - 11.5]) + coarse.centre)
    x, y = np.round(hole).astype(int)
    assert not known[y, x] and 0.4 < known.mean() < 1


def test_stars_have_their_colours(images):
    composite = Composite(images)
    colours = composite.light([image.data for image in images])
    assert composite.reference.name == "G" and colours.shape == (64, 64, 3)
    assert np.nanmin(colours) >= 0 and np.nanmax(colours) <= 1
    for name, (place, _) in STARS.items():
        x, y = np.round(composite.reference.pixel_map.pixel(np.array(place))).astype(int)
        red, _, blue = colours[y, x]
        assert (red > 1.3 * blue) == (name == "red") and (blue > 1.3 * red) == (name == "blue")


def test_gains_make_all_light_white(images):
    composite = Composite(images, [4.0 * float(image.pixel_area) for image in images])
    np.testing.assert_allclose(composite.gains * [3.3, 2.0, 3.3], 2.867, rtol=0.02)


def test_residuals_are_grey_where_there_are_none(images):
    composite = Composite(images)
    grey = composite.residual([np.zeros(image.shape) for image in images])
    np.testing.assert_allclose(grey[np.isfinite(grey)], 0.5, atol=0.01)
    redder = composite.residual([np.full(i.shape, 5.0 if i is images[0] else 0.0) for i in images])
    known = np.isfinite(redder[..., 0])
    np.testing.assert_allclose(redder[known].mean(axis=0), [1.0, 0.5, 0.5], atol=0.01)


def test_figure(images):
    figure = bj.plot_rgb(images, ("R", "G", "B"))
    assert len(figure.axes) == 1
    with_model = bj.plot_rgb(images, ("R", "G", "B"), [image.data for image in images])
    assert [ax.get_title() for ax in with_model.axes] == ["data", "model", "residual"]
    first, second = (ax.images[0].get_array() for ax in with_model.axes[:2])
    np.testing.assert_allclose(first, second)


def test_bands_must_be_three_that_are_there(images):
    with pytest.raises(ValueError, match=r"must name three images or bands.*got 'RGB'"):
        bj.plot_rgb(images, "RGB")
    with pytest.raises(ValueError, match="no image or band is called 'u': there are R, G, B"):
        bj.plot_rgb(images, ("u", "G", "B"))
