"""Fields in blocks of neighbours: every source in one, all blocks of one make."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers.fields import strip

import bayesjoint as bj
from bayesjoint.infer.partition import partition


@pytest.fixture(scope="module")
def images():
    """The strip, with sources that are held, tied, and of two parts."""
    found = strip()
    table = bj.find_sources(found)
    galaxies = np.flatnonzero(table["kind"] == "galaxy")
    fixed, tied, kinds = (["" for _ in table] for _ in range(2)), None, [str(kind) for kind in table["kind"]]
    fixed, tied = fixed
    kinds[galaxies[2]], kinds[galaxies[6]] = "bulge+disc", "bulge+disc"
    tied[galaxies[0]] = f"n={table['name'][galaxies[1]]}"
    fixed[galaxies[4]] = "n=1, q"
    table["kind"], table["tied"], table["fixed"] = kinds, tied, fixed
    return found.with_sources(table)


def of(images, size, seeing=(1.0, 1.1)):
    return partition(images.sources, seeing, size)


@pytest.mark.parametrize("size", (1, 3, 5, 100))
def test_every_component_is_one_blocks_own(images, size):
    found, count = of(images, size), len(images.sources)
    own = np.concatenate([block.own for block in found.blocks])
    assert sorted(own) == list(range(count))
    for block in found.blocks:
        assert set(block.own) <= set(block.members) and len(set(block.members)) == len(block.members)
        for owners in images.sources.owner:
            assert {owners[i] for i in block.own} <= set(block.own)
        parents = {images.sources.parents[i] for i in block.own}
        assert {i for i in range(count) if images.sources.parents[i] in parents} == set(block.own)
        assert len(block.own) <= max(size, 2)
    assert (len(found.blocks) == 1) == (size == 100)


def test_blocks_are_of_one_make(images):
    found, count = of(images, 3), len(images.sources)
    subsets = [found.sources.subset(block.members.tolist()) for block in found.blocks]
    assert len({jax.tree.structure(one) for one in subsets}) == 1
    assert len({tuple(np.shape(leaf) for leaf in jax.tree.leaves(one)) for one in subsets}) == 1
    assert any(np.any(block.members >= count) for block in found.blocks)


def test_what_is_added_is_round_and_small(images):
    found, count = of(images, 3), len(images.sources)
    assert np.all(np.asarray(found.sources.axis_ratio)[count:] == 1.0)
    assert np.all(np.asarray(found.sources.effective_radius)[count:] < 0.2)
    assert len(set(found.sources.names)) == len(found.sources)
    start = replace(images.sources)
    for name in ("effective_radius", "flux", "position_error", "index"):
        np.testing.assert_array_equal(
            np.asarray(getattr(found.sources, name))[..., :count], getattr(start, name)
        )


def test_those_about_a_block_come_along(images):
    place, sources = np.asarray(images.sources.position), images.sources
    half = np.array([sources.widths[w] for w in sources.window]) / 2
    for block in of(images, 3).blocks:
        for i in block.own:
            for j in range(len(sources)):
                if np.max(np.abs(place[i] - place[j])) < max(
                    half[i] + half[j] + 4.0, max(half[i], half[j]) + 1.1
                ):
                    assert j in block.members


def test_windows_are_about_the_centres_that_components_have(images):
    """Also where the table has another place for a component whose centre is tied."""
    table = bj.find_sources(images)
    table["tied"] = [f"centre={table['name'][1]}"] + [""] * (len(table) - 1)
    sources = strip().with_sources(table).sources
    np.testing.assert_array_equal(sources.places[0], sources.position[1])
    np.testing.assert_array_equal(sources.places[1:], sources.position[1:])
    assert np.hypot(*(sources.position[0] - sources.position[1])) > 1.0
