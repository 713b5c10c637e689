"""Figures of images and of the sources on them: what is drawn lies where it should, and can be read."""

import numpy as np
import pytest
from helpers.fields import GALAXIES, STAR, field
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import bayesjoint as bj
from bayesjoint.report.fitted_pixels import fitted_pixels
from bayesjoint.report.image_panel import stretch_of
from bayesjoint.report.labels import place_labels


@pytest.fixture(scope="module")
def images():
    found = field()
    return found.with_sources(bj.find_sources(found))


def panels_of(figure):
    return [ax for ax in figure.axes if ax.images]


def boxes_of(figure, texts):
    """Where texts lie on paper: left, bottom, right, top."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    return np.array([text.get_window_extent(renderer).extents for text in texts])


def overlap(boxes) -> bool:
    """Whether any two overlap."""
    low, high = (np.minimum if i else np.maximum for i in range(2))
    for i, one in enumerate(boxes):
        others = boxes[i + 1 :]
        shared = high(one[2:], others[:, 2:]) - low(one[:2], others[:, :2])
        if np.any(np.all(shared > 0, axis=1)):
            return True
    return False


def test_faint_wings_and_the_core_have_colours_of_their_own(scene):
    image = scene[0]["r"]
    norm, background = stretch_of(image)
    sigma = float(np.median(image.invvar) ** -0.5)
    faint, bright = norm(np.array([0.0, 2 * sigma])), norm(np.array([0.5, 1.0]) * norm.vmax)
    assert np.diff(faint) > 0.15 and 0 < np.diff(bright) < 0.2
    assert abs(background - 20 * image.pixel_scale**2) < 0.2 * sigma and norm.vmax > 45 * sigma


def test_images_alone(images, scene):
    figure = bj.plot_images(images)
    panels = panels_of(figure)
    assert [ax.images[0].get_array().shape for ax in panels] == [image.shape for image in images]
    words = [text.get_text() for ax in panels for text in ax.texts]
    assert words.count("nJy/px") == 3 and {"N", "E", "r", "W1", "NUV"} <= set(words)
    masked = panels_of(bj.plot_images(scene[0]))
    for ax, image in zip(masked, scene[0], strict=True):
        np.testing.assert_array_equal(np.ma.getmaskarray(ax.images[0].get_array()), image.invvar == 0)


def test_given_axes_are_drawn_on(images):
    figure = Figure()
    axes = figure.subplots(1, 3)
    assert bj.plot_images(images, axes=axes) is figure
    assert all(len(ax.images) == 1 for ax in axes)
    with pytest.raises(ValueError, match="3 axes for 1 images"):
        bj.plot_images(images["r"], axes=axes)


def test_posteriors_and_arrays_are_models(posterior, scene):
    given, models = scene
    from_posterior, from_arrays = fitted_pixels(given, posterior), fitted_pixels(given, models)
    for one, other in zip(from_posterior, from_arrays, strict=True):
        np.testing.assert_allclose(one.model, other.model, rtol=1e-6)
        np.testing.assert_allclose(one.residual, other.residual, atol=1e-4)
    figure = bj.plot_residuals(given["r"], posterior)
    residual = panels_of(figure)[0].images[0]
    np.testing.assert_allclose(residual.get_array().filled(0), from_arrays[1].residual, atol=1e-4)
    assert residual.get_clim() == (-5, 5)


def test_models_of_other_images_are_refused(images, posterior, scene):
    with pytest.raises(ValueError, match="knows no image 'u': give images it was fitted to, of NUV, r, W1"):
        bj.plot_model(scene[0]["r"].with_frame(scene[0].frame, name="u"), posterior)
    with pytest.raises(ValueError, match=r"model of image 'r' has shape \(3, 3\)"):
        bj.plot_model(images["r"], [np.zeros((3, 3))])


@pytest.mark.loose
def test_a_fit_is_a_model(images):
    alone = bj.ImageSet([images["W1"]])
    fit = bj.fit_map(bj.joint_model(), alone)
    (one,) = fitted_pixels(alone, fit)
    np.testing.assert_array_equal(one.model, fit.images[0].model)
    assert len(panels_of(bj.plot_images(alone, fit))) == 3


def test_sources_are_drawn_where_they_are(images):
    figure = bj.plot_sources(images)
    truth = [galaxy[:2] for galaxy in GALAXIES]
    for ax, image in zip(panels_of(figure), images, strict=True):
        rings = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) > 50]
        middles = np.array([(ring.min(axis=0) + ring.max(axis=0)) / 2 for ring in rings])
        stars = [line.get_xydata()[0] for line in ax.lines if line.get_marker() == "x"]
        for place in image.pixel_map.pixel(np.array(truth)):
            off = np.min(np.hypot(*(middles - place).T)) * image.pixel_scale
            assert off < 0.3
        assert np.hypot(*(stars[0] - image.pixel_map.pixel(np.array(STAR[:2])))) * image.pixel_scale < 0.3
    names = [text for text in panels_of(figure)[0].texts if text.get_text() in images.sources.names]
    assert len(names) == 4 and not overlap(boxes_of(figure, names))


def test_of_a_crowd_the_first_are_named(images):
    """A panel of 1.6 inches has room for thirty names."""
    table = bj.find_sources(images)[[0] * 60]
    table["name"] = [f"c{i}" for i in range(60)]
    table["east"] = np.linspace(-8, 8, 60)
    table.remove_columns(["ra", "dec"])
    figure = Figure(figsize=(2.0, 2.0))
    ax = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    bj.plot_sources([images["r"]], table, axes=ax)
    named = [text.get_text() for text in ax.texts if text.get_text() in set(table["name"])]
    assert 20 < len(named) < 40 and named == [f"c{i}" for i in range(len(named))]


def test_an_ellipse_has_its_size_and_angle(images):
    """North is up in r, and East left."""
    image, sources = images["r"], images.sources
    rings = [
        line.get_xydata()
        for line in panels_of(bj.plot_sources(images))[0].lines
        if len(line.get_xdata()) > 50
    ]
    for ring, i in zip(rings, sources.of_kind("galaxy"), strict=True):
        from_middle = (ring - (ring.min(axis=0) + ring.max(axis=0)) / 2) * image.pixel_scale
        radius = np.hypot(*from_middle.T)
        assert radius.max() == pytest.approx(float(sources.effective_radius[i]), rel=0.01)
        x, y = from_middle[np.argmax(radius)]
        angle = np.degrees(0.5 * np.arctan2(*np.asarray(sources.ellipticity)[i][::-1]))
        assert (np.degrees(np.arctan2(-x, y)) - angle + 90) % 180 == pytest.approx(90, abs=4)


def test_windows_are_those_that_light_is_drawn_in(images):
    figure = bj.plot_windows(images)
    sources = images.sources
    for ax, image in zip(panels_of(figure), images, strict=True):
        sides = sorted(patch.get_width() for patch in ax.patches)
        own = [image.window_lattices[w].size for w in sources.window]
        assert sides == sorted(side for side in own if side)
        assert any("whole image" in text.get_text() for text in ax.texts) == (0 in own)


def test_sources_must_be_known(scene):
    with pytest.raises(ValueError, match="know of no sources: give a table"):
        bj.plot_sources(scene[0])


def test_labels_of_a_crowd_do_not_overlap():
    rng = np.random.default_rng(4)
    marks, names = rng.uniform(15, 235, (40, 2)), [f"s{i}" for i in range(40)]
    middles = place_labels(marks, np.full(40, 3.0), names, 6.0, (250.0, 250.0))
    half = 3.0 * np.array([0.62 * 2.5, 1.1])
    assert not overlap(np.concatenate([middles - half, middles + half], axis=1))
    assert np.all(np.hypot(*(middles - marks).T) < 30)
