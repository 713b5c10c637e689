"""Tables of sources as edited by hand or read from text: what is out of range is named, what is not passes."""

from io import StringIO

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from helpers.blobs import blobs

import bayesjoint as bj


@pytest.fixture(scope="module")
def images():
    return bj.ImageSet([blobs((30.0, 30.0, 3000.0, 3.0))])


@pytest.fixture
def table():
    """A galaxy and a star."""
    return Table(
        {
            "name": ["a", "b"],
            "kind": ["galaxy", "star"],
            "east": [0.0, 4.0],
            "north": [0.0, 0.0],
            "Re": [1.0, 0.1],
            "q": [0.8, 1.0],
            "pa": [30.0, 0.0],
            "window": [8.0, 0.6],
            "flux_r": [3000.0, 500.0],
            "flux_error_r": [20.0, 10.0],
        }
    )


def test_a_row_added_without_fluxes_is_named(images, table):
    table.add_row({"name": "c", "kind": "star", "east": -4.0, "Re": 0.1, "q": 1.0, "window": 0.6})
    with pytest.raises(
        ValueError, match="'c': flux_error_r is 0, wanted over 0; a row added by hand needs flux_<band>"
    ):
        images.with_sources(table)


@pytest.mark.parametrize(("n", "start"), [(12.0, 7.9), (0.2, 0.31), (np.nan, 1.7), (4.0, 4.0)])
def test_fits_start_within_the_prior_of_n(images, table, n, start):
    table["n"] = [n, 0.0]
    assert images.with_sources(table).sources.index[0] == start


@pytest.mark.parametrize("n", [0.0, -1.0])
def test_an_index_that_is_none_is_named(images, table, n):
    table["n"] = [n, np.nan]
    with pytest.raises(ValueError, match=f"'a': n is {n:g}, wanted over 0; where it is not known write nan"):
        images.with_sources(table)


def test_a_source_is_seen_where_its_window_is(images, table):
    """Of the core 2 arcsec are masked, more than a PSF of 0.9."""
    cored = bj.ImageSet([blobs((30.0, 30.0, 3000.0, 3.0), hole=(29.5, 29.5, 7.0))])
    assert len(cored.with_sources(table).sources) == 2
    table["window"][0] = 2.0
    with pytest.raises(ValueError, match=r"source 'a' at .* lies outside all images, or where none"):
        cored.with_sources(table)


def test_two_stars_at_one_place_are_not_to_be_tied(images, table):
    table["kind"][0], table["east"][1] = "star", 0.0
    with pytest.raises(ValueError, match=r"keep one of them, as nothing tells two stars apart there$"):
        images.with_sources(table)
    table["kind"][0] = "galaxy"
    with pytest.raises(ValueError, match=r'or say that they share it \(tied = "centre=a"\)'):
        images.with_sources(table)


def test_a_table_survives_csv(images):
    """Places that text rounds still agree with each other."""
    east, north = np.array([[0.0123456, 3.7654321], [-0.3141593, 2.7182818]])
    found = bj.find_sources(images, catalogue=SkyCoord(*images.frame.sky(east, north), unit="deg"))
    text = StringIO()
    found.write(text, format="ascii.csv")
    back = images.with_sources(Table.read(text.getvalue(), format="ascii.csv")).sources
    np.testing.assert_allclose(back.position, np.stack([east, north], axis=1), atol=1e-4)
