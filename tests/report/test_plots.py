"""Figures: they are made without windows, show what they should, and point the right way."""

from __future__ import annotations

from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bayesjoint.report import image_panel, images_plot, plots
from bayesjoint.report.plots import plot_trace, select
from bayesjoint.report.posterior import Posterior
from bayesjoint.report.quantities import UNITS, Quantity


@pytest.fixture(autouse=True)
def no_global_state():
    """No figure may be left with pyplot, and no setting changed."""
    from matplotlib import pyplot

    before = {key: value for key, value in matplotlib.rcParams.items() if not key.startswith("backend")}
    yield
    assert not pyplot.get_fignums()
    assert {key: matplotlib.rcParams[key] for key in before} == before


def written(figure: Figure, path) -> int:
    """Size in bytes of the figure as PNG."""
    figure.savefig(path)
    return path.stat().st_size


def test_images_figure(posterior, tmp_path):
    figure = posterior.plot_images()
    panels = [ax for ax in figure.axes if ax.images]
    assert (
        len(
            [
                ax
                for ax in panels
                if np.asarray(ax.images[0].get_array()).shape in ((40, 40), (80, 72), (31, 33))
            ]
        )
        == 9
    )
    texts = " ".join(text.get_text() for ax in figure.axes for text in ax.texts)
    assert texts.count("chi") == 3 and all(band in texts for band in ("NUV", "r", "W1"))
    assert written(figure, tmp_path / "images.png") > 30_000


def test_masked_pixels_are_hidden_and_residuals_normalised(posterior, scene):
    panels = posterior.plot_images(size=None).axes[:9]
    for i, image in enumerate(scene[0]):
        data, model, residual = (panels[3 * i + k].images[0] for k in range(3))
        np.testing.assert_array_equal(np.ma.getmaskarray(data.get_array()), image.invvar == 0)
        assert residual.get_clim() == (-5, 5) and data.get_clim() == model.get_clim()
        assert np.std(residual.get_array()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("number", [1, 4, 5, 9, 27])
def test_images_figure_of_any_number(scene, number):
    images, models = [list(x) * 9 for x in scene]
    for figure, panels in (
        (images_plot.plot_images(images[:number], models[:number]), 3),
        (images_plot.plot_images(images[:number]), 1),
        (images_plot.plot_model(images[:number], models[:number]), 1),
        (images_plot.plot_residuals(images[:number], models[:number]), 1),
    ):
        assert len([ax for ax in figure.axes if ax.images]) == panels * number
        assert figure.get_figwidth() < 7.7 and figure.get_figheight() < 9.5


def test_images_figure_wants_one_model_each(scene):
    with pytest.raises(ValueError, match="3 images but 1 models"):
        images_plot.plot_images(scene[0], scene[1][:1])


def test_compass_follows_the_wcs(scene):
    from astropy.coordinates import SkyCoord

    for image in scene[0]:
        here = SkyCoord.from_pixel((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2, image.wcs)
        x0, y0 = here.to_pixel(image.wcs)
        for angle, direction in zip((90, 0), image_panel.compass_directions(image), strict=True):
            x, y = here.directional_offset_by(angle * np.pi / 180 * _radian(), 1 * _arcsec()).to_pixel(
                image.wcs
            )
            moved = np.array([x - x0, y - y0])
            np.testing.assert_allclose(direction, moved / np.hypot(*moved), atol=1e-3)


def _radian():
    from astropy import units

    return units.rad


def _arcsec():
    from astropy import units

    return units.arcsec


def test_scale_bar_has_its_length(scene):
    image = scene[0][1]
    axes = Figure().subplots()
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    length = image_panel.draw_scale_bar(axes, image)
    drawn = np.ptp(axes.lines[0].get_xdata()) * image.shape[1] * image.pixel_scale
    assert length == pytest.approx(drawn) and length in (5, 10)


def test_corner(posterior, tmp_path):
    figure = posterior.plot_corner(truths={"n": 1.75, "mag": {"r": 17.7}})
    assert len(figure.axes) == 9**2
    assert "arcsec" in figure.axes[-9].get_xlabel() and "W1\nmag" in figure.axes[-1].get_xlabel()
    assert written(figure, tmp_path / "corner.png") > 50_000
    small = posterior.plot_corner(parameters=["n", "Re"])
    assert len(small.axes) == 4


def test_corner_marks_truths_even_outside_the_draws(posterior):
    figure = posterior.plot_corner(parameters=["n", "Re"], truths={"n": 3.0})
    low, high = figure.axes[0].get_xlim()
    assert low < 1.7 < 3.0 < high


def test_figures_of_undetected_bands(faint, tmp_path):
    figure = faint.plot_corner()
    assert any("flux NUV" in ax.get_xlabel() for ax in figure.axes)
    assert written(faint.plot_colours(), tmp_path / "c.png") > 15_000
    assert len(faint.plot_trace().axes) == 2 * 12


def test_a_band_of_which_a_draw_has_no_light_is_shown(scene, mock):
    """By its flux, as its magnitude is infinite there."""
    draws = mock.make_draws()
    draws.values["galaxy_flux"][0, 0, 0] = -1.0
    found = Posterior.from_draws(draws, scene[0]).quantities
    labels = [q.label for q in select(found)]
    assert "galaxy flux NUV" in labels and "galaxy mag NUV" not in labels and "galaxy mag r" in labels
    with pytest.warns(UserWarning, match="galaxy mag NUV left out of the figure"):
        assert [q.label for q in select(found, ["mag"])] == ["galaxy mag r", "galaxy mag W1"]


def test_limit_arrow_points_to_fainter(faint):
    axes = faint.plot_colours().axes[0]
    arrow = next(note for note in axes.texts if note.arrow_patch is not None)
    assert axes.yaxis_inverted() and arrow.get_position()[1] < 0  # down on paper, where faint is


def test_trace(posterior, tmp_path):
    figure = posterior.plot_trace(truths={"q": 0.7})
    assert len(figure.axes) == 2 * 12
    assert "R-hat 1.00" in figure.axes[0].get_title(loc="right")
    assert len(figure.axes[0].lines) == 4
    assert written(figure, tmp_path / "trace.png") > 50_000


def test_labels_of_many_traces_do_not_overlap():
    rng = np.random.default_rng(3)
    names = [(f"companion_{i}", p) for i in range(6) for p in ("east", "pa", "Re", "flux")]
    found = [Quantity(p, rng.normal(size=(2, 20)), s, "", "", UNITS[p]) for s, p in names]
    figure = plot_trace(found, lambda draws: (1.0, 40.0, 40.0), parameters=[q.label for q in found])
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    rows = [ax for ax in figure.axes if ax.get_ylabel()]
    labels = [ax.yaxis.label.get_window_extent(renderer) for ax in rows]
    assert len(labels) == 24 and min(box.x0 for box in labels) > 0
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(labels))
    for ax, label in zip(rows, labels, strict=True):
        ticks = [tick.get_window_extent(renderer) for tick in ax.get_yticklabels() if tick.get_text()]
        assert all(label.x1 < tick.x0 for tick in ticks)


def test_trace_without_chains(posterior):
    """Where R-hat does not apply it is not written."""
    figure = plot_trace(posterior.quantities, lambda draws: (np.nan, 500.0, 400.0), parameters=["q"])
    assert figure.axes[0].get_title(loc="right") == "ESS 500 bulk, 400 tail"


def test_colours_figure_shows_values_and_truths(posterior):
    figure = posterior.plot_colours(truths={"mag": {"NUV": 20.65, "r": 17.71, "W1": 19.65}})
    magnitudes, colours = figure.axes
    assert [t.get_text() for t in magnitudes.get_xticklabels()] == ["NUV", "r", "W1"]
    assert [t.get_text() for t in colours.get_yticklabels()] == ["NUV $-$ r", "r $-$ W1"]
    assert "2.94" in colours.texts[0].get_text()
    assert sum(line.get_marker() == "D" for line in magnitudes.lines) == 4  # three and the legend's


def test_truth_of_a_position_angle_is_brought_near_the_draws():
    draws = np.random.default_rng(0).normal(1.0, 2.0, (2, 100))
    assert plots.truth_of(Quantity("pa", draws, "galaxy"), {"pa": 179.5}) == pytest.approx(-0.5)
    assert plots.truth_of(Quantity("mag", draws, "a", "r"), {"a mag r": 3.0, "mag": 4.0}) == 3.0
    assert plots.truth_of(Quantity("n", draws, "a"), {"Re": 3.0}) is None


def test_several_chains_of_one_draw_cannot_be_plotted_silently(posterior):
    fixed = [Quantity("x", np.ones((4, 10)))]
    with pytest.raises(ValueError, match="no parameter that varies"):
        plots.plot_corner(fixed)
