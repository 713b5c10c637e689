"""A field's table for two sets of images: found on all, placed in one frame, of other images that show a part."""

import numpy as np
import pytest
from helpers.blobs import blobs

import bayesjoint as bj
from bayesjoint.data.joined import join_images

BRIGHT, STAR = (14.0, 44.0, 9000.0, 3.0), (44.0, 16.0, 600.0, 1.3)


@pytest.fixture(scope="module")
def case():
    """The table of the star, the whole field in r, and its corner with the star in g."""
    whole = blobs(BRIGHT, STAR)
    part = blobs((10.0, 11.0, *STAR[2:]), shape=(24, 24), name="g", wcs=whole.wcs[5:29, 34:58], seed=4)
    table = bj.find_sources([whole, part])
    assert len(table) == 2
    return table[table["east"] < 0], bj.ImageSet([whole]), part


def test_others_may_show_another_part_of_a_field(case):
    table, images, part = case
    others = bj.ImageSet([part], frame=images.frame).with_sources(table)
    own, both = join_images(images.with_sources(table), others)
    assert own.bands == ("g",) and both.bands == ("r", "g")
    np.testing.assert_array_equal(own.start.position, images.start.position)
    np.testing.assert_array_equal(both.sources.flux[:, 0], [table["flux_r"][0], table["flux_g"][0]])


def test_the_way_to_one_table_is_told(case):
    table, images, part = case
    with pytest.raises(ValueError, match=r"bj.ImageSet\(others, frame=images.frame\).with_sources"):
        join_images(images.with_sources(table), [part])
    with pytest.raises(ValueError, match=r"give these the frame of those \(bj.ImageSet\(images, frame=those"):
        bj.ImageSet([part]).with_sources(table)
