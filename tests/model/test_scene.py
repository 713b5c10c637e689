"""The program of a field: what it samples, and under which names a posterior tells of it."""

import numpy as np
import pytest
from helpers.fields import field

import bayesjoint as bj
from bayesjoint.infer.space import find_latents
from bayesjoint.infer.windowed import parameter_places


@pytest.fixture(scope="module")
def images():
    found = field(names=("r", "W1"))
    return found.with_sources(bj.find_sources(found))


@pytest.fixture(scope="module")
def posterior(images):
    fit = bj.fit_map(bj.scene_model(), images)
    return bj.sample(bj.scene_model(), images, init=fit, method="laplace", draws=200)


def test_sites(images):
    layout = find_latents(bj.scene_model(), (images,))
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    assert shapes == {
        "source_east": (4,),
        "source_north": (4,),
        "source_total": (2, 4),
        "source_ellipticity": (3, 2),
        "source_n": (3,),
        "source_Re_circular": (3,),
        "sky": (2,),
    }


def test_each_source_is_told_of_by_name(images, posterior):
    assert posterior.sources == images.sources.names
    table = posterior.summary()
    names = set(zip(table["source"], table["parameter"], table["band"], strict=True))
    star = images.sources.kinds.index("star")
    for i, name in enumerate(images.sources.names):
        assert {(name, "flux", "r"), (name, "mag", "W1"), (name, "east", "")} <= names
        assert ((name, "Re", "") in names) == (i != star)
    assert not [row for row in table["parameter"] if row.startswith("source")]


def test_fluxes_and_structure_are_those_of_the_plates(images, posterior):
    total, n = posterior.values("source_total"), posterior.values("source_n")
    np.testing.assert_array_equal(posterior.values("s1_flux"), total[..., 0])
    galaxies = images.sources.of_kind("galaxy")
    np.testing.assert_array_equal(posterior.values(f"{images.sources.names[galaxies[1]]}_n"), n[..., 1])
    assert "r - W1" in repr(posterior.colour("r", "W1", source="s1"))


def test_programs_compare_by_what_they_are():
    assert bj.scene_model() == bj.scene_model() and bj.scene_model(sky=False) != bj.scene_model()


def test_correlated_noise_takes_the_common_road(images):
    stamp = np.array([[0.0, 0.1, 0.0], [0.1, 1.0, 0.1], [0.0, 0.1, 0.0]])
    noisy = images.with_noise_correlations([stamp, None])
    layout = find_latents(bj.scene_model(), (noisy,))
    assert parameter_places(bj.scene_model(), layout, (noisy,)) == []
    assert parameter_places(bj.scene_model(), layout, (images,)) != []
