"""The figure of a program: every latent in its plate, arrows where something depends on something, and no crowd of boxes."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.fields import field
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import bayesjoint as bj
from bayesjoint.infer.sites import sites_of

pytestmark = pytest.mark.loose


@pytest.fixture(scope="module")
def images():
    return field()


def hierarchy(images):
    """An index for each band about one that is drawn, too; W1's sky is looked at apart."""
    middle = numpyro.sample("middle", dist.LogNormal(0.5, 0.5))
    with numpyro.plate("band", 3):
        n = numpyro.sample("n", dist.TruncatedNormal(middle, 0.2, low=0.3, high=8.0))
    doubled = numpyro.deterministic("doubled", 2 * middle)
    numpyro.sample("seen", dist.Normal(doubled, 1.0), obs=3.0)
    structure = bj.sample_structure("galaxy", images, n=n)
    Ie = bj.sample_brightness("galaxy", images, structure)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.FlatSky(0.0))


def test_what_depends_on_what(images):
    sites = {site.name: site for site in sites_of(hierarchy, images)}
    assert sites["n"].parents == ("middle",) and sites["n"].plates == (("band", 3),)
    assert sites["n"].family == "truncated Normal"
    assert sites["seen"].parents == ("middle",) and sites["seen"].is_observed  # through a deterministic site
    pixels = [site for site in sites.values() if site.images]
    assert sorted(name for site in pixels for name in site.images) == ["NUV", "W1", "r"]
    assert all({"n", "galaxy_east", "galaxy_total"} <= set(site.parents) for site in pixels)
    assert not any("middle" in site.parents for site in pixels)


def boxes_and_words(figure):
    (ax,) = figure.axes
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    words = {text.get_text(): text.get_window_extent(renderer) for text in ax.texts if text.get_text()}
    return boxes, words, [text for text in ax.texts if not text.get_text()]


def test_a_field_is_a_few_boxes(images):
    known = images.with_sources(bj.find_sources(images))
    figure = bj.plot_program(bj.scene_model(), known)
    boxes, words, _ = boxes_and_words(figure)
    assert 4 <= len(boxes) <= 8 and figure.get_figwidth() < 7.7
    assert "band × source: 3 × 4" in words and "3 images ~ GaussianPixels" in words and "r, W1, NUV" in words
    for place in words.values():  # each within one box
        middle = place.x0, place.x1, place.y0, place.y1
        inside = [
            b.x0 <= middle[0] and middle[1] <= b.x1 and b.y0 <= middle[2] and middle[3] <= b.y1 for b in boxes
        ]
        assert sum(inside) == 1


def test_arrows_go_from_what_is_drawn_to_what_depends_on_it(images):
    figure = bj.plot_program(hierarchy, images)
    _, words, arrows = boxes_and_words(figure)
    middle, n = words["middle ~ LogNormal"], words["n ~ truncated Normal"]
    assert middle.y0 > n.y1 > words["r, W1, NUV"].y1
    tops = np.array([arrow.get_position()[1] for arrow in arrows])
    heads = np.array([arrow.xy[1] for arrow in arrows])
    # middle to n and to what is seen of it; to the images the galaxy's scalars, and what is in the plate of bands
    assert len(arrows) == 4 and np.all(tops > heads)


def test_it_is_drawn_where_asked(images):
    own = Figure().add_subplot()
    assert bj.plot_program(hierarchy, images, axes=own) is own.get_figure() and own.patches
