"""Sources found: all of them and nothing else, where they are, as large and as bright; bad input named."""

import builtins

import jax
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from helpers.fields import GALAXIES, STAR, field
from helpers.scenes import make_image

import bayesjoint as bj


@pytest.fixture(scope="module")
def images():
    return field()


@pytest.fixture(scope="module")
def table(images):
    return bj.find_sources(images)


def nearest(table, east, north):
    return table[int(np.argmin(np.hypot(table["east"] - east, table["north"] - north)))]


def test_all_sources_and_nothing_else(table):
    assert len(table) == len(GALAXIES) + 1
    for east, north, *_ in (*GALAXIES, STAR):
        row = nearest(table, east, north)
        assert np.hypot(row["east"] - east, row["north"] - north) < 0.25


def test_shapes_are_near_enough_to_start_from(table):
    for east, north, q, pa, _, Re, _ in GALAXIES:
        row = nearest(table, east, north)
        assert row["kind"] == "galaxy"
        assert abs(np.log(row["Re"] / Re)) < 0.3
        assert abs(row["q"] - q) < 0.2
        assert abs((row["pa"] - pa + 90) % 180 - 90) < 20


def test_a_star_is_told_from_galaxies(table):
    assert nearest(table, *STAR[:2])["kind"] == "star"


@pytest.mark.parametrize("band", ("r", "W1"))
def test_fluxes_of_blends_come_from_the_sharp_image(table, band):
    number = ("r", "W1").index(band)
    for east, north, *_, flux in (*GALAXIES, (*STAR,)):
        row = nearest(table, east, north)
        assert (
            abs(row[f"flux_{band}"] / flux[number] - 1) < 0.25 + 3 * row[f"flux_error_{band}"] / flux[number]
        )


def test_sky_positions_are_those_of_the_frame(images, table):
    east, north = images.frame.offsets(table["ra"], table["dec"])
    np.testing.assert_allclose(east, table["east"], atol=1e-6)
    np.testing.assert_allclose(north, table["north"], atol=1e-6)


def test_a_source_that_a_band_does_not_see_has_an_open_flux(images, table):
    weights = np.array(images["W1"].invvar)
    weights[:, 1:] = 0.0
    w1 = images["W1"]
    blind = make_image(
        w1.shape,
        2.0,
        w1.psf,
        data=w1.data,
        invvar=weights,
        name="W1",
        band="W1",
        wcs=w1.wcs,
        frame=images.frame,
    )
    found = bj.find_sources(bj.ImageSet([images["r"], blind]))
    errors = np.asarray(found["flux_error_W1"])
    assert np.all(np.isfinite(errors)) and errors.max() > 3 * np.asarray(table["flux_error_W1"]).max()
    with pytest.warns(UserWarning, match="band 'W1'"):
        assert len(bj.ImageSet([images["r"], blind]).with_sources(found).sources) == len(found)


def test_a_segmentation_may_be_given(images):
    labels = np.zeros(images["r"].shape, int)
    labels[10:40, 50:80] = 7
    table = bj.find_sources(images, on="r", segmentation=labels)
    assert list(table["label"]) == [7]


def test_a_segmentation_of_another_shape_is_named(images):
    with pytest.raises(ValueError, match=r"image 'r', got int64 of shape \(3, 3\); on= names the image"):
        bj.find_sources(images, segmentation=np.zeros((3, 3), int))


def test_a_segmentation_without_labels_is_named(images):
    labels = np.zeros(images["r"].shape, int)
    labels[:3] = 1
    masked = bj.ImageSet([images["r"].with_mask(labels > 0)])
    with pytest.raises(ValueError, match="segmentation has no label on a valid pixel of image 'r'"):
        bj.find_sources(masked, segmentation=labels)


def test_a_blank_field_is_told_of(images):
    rng = np.random.default_rng(2)
    blank = images.with_data([rng.normal(0, image.invvar.max() ** -0.5, image.shape) for image in images])
    with pytest.raises(ValueError, match="no source was found on image 'r': lower threshold="):
        bj.find_sources(blank)


def test_without_photutils_it_says_what_to_install(images, monkeypatch):
    known = builtins.__import__

    def refuse(name, *args, **keywords):
        if name.startswith("photutils"):
            raise ImportError(name)
        return known(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r'pip install "bayesjoint\[scenes\]"'):
        bj.find_sources(images)


def moved(table, row, east):
    """The same table with a source elsewhere."""
    table.remove_columns(["ra", "dec"])
    table["east"][row] = east


def both(table, row, fixed, tied):
    table["fixed"][row], table["tied"][row] = fixed, tied


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.remove_column("flux_W1"), "lacks flux_W1"),
        (lambda t: t["name"].__setitem__(0, "s2"), "2 sources are called 's2'"),
        (lambda t: t["kind"].__setitem__(0, "quasar"), "'s1' is a 'quasar'"),
        (lambda t: t["q"].__setitem__(1, 1.5), "'s2': q is 1.5, wanted over 0, up to 1"),
        (lambda t: moved(t, 1, np.nan), "'s2': east is nan, wanted a finite number"),
        (lambda t: moved(t, 2, 500.0), "'s3' at 500.0, .* lies outside all images"),
        (lambda t: t["east"].__setitem__(2, 500.0), "'s3': ra and dec are .* arcsec from east and north"),
        (lambda t: t["kind"].__setitem__(0, "bulge+"), r'if bulge\+disc was cut, widen the column: .*"U16"'),
        (
            lambda t: t["fixed"].__setitem__(0, "m=4"),
            "'s1': fixed names 'm'; its parameters are centre, q, pa",
        ),
        (lambda t: t["fixed"].__setitem__(0, "n"), "'s1': fixed says n, for which the table has no value"),
        (lambda t: t["fixed"].__setitem__(0, "n=high"), "fixed says n=high, which is no number"),
        (lambda t: t["fixed"].__setitem__(0, "q=2"), "fixed says q=2, wanted over 0, up to 1"),
        (lambda t: t["fixed"].__setitem__(0, "centre=3"), "a centre is held where the table has it"),
        (lambda t: t["tied"].__setitem__(0, "n=s9"), "tied says n=s9; n may be taken from s3, s4"),
        (lambda t: both(t, 0, "n=1", "n=s3"), "'s1': n is both fixed and tied"),
        (lambda t: t.__setitem__("tied", ["n=s3", "", "n=s1", ""]), "in a circle: n of s1 from s3 from s1"),
        (lambda t: t.remove_rows(slice(0, None)), "the table of sources is empty"),
    ],
)
def test_bad_tables(images, table, change, words):
    edited = table.copy()
    change(edited)
    with pytest.raises(ValueError, match=words):
        images.with_sources(edited)


def test_coincident_sources(images, table):
    edited = table.copy()
    edited["ra"][1], edited["dec"][1] = edited["ra"][0], edited["dec"][0]
    edited.remove_columns(["east", "north"])
    with pytest.raises(ValueError, match="'s1' and 's2' are at the same place"):
        images.with_sources(edited)
    edited["tied"][1] = "centre=s1"
    sources = images.with_sources(edited).sources
    assert sources.owner.centre[:2] == (0, 0)


def within(image, place, radius):
    """The pixels of an image within a radius, arcsec, of a place."""
    y, x = np.indices(image.shape)
    middle = image.pixel_map.pixel(np.array([place]))[0]
    return np.hypot(x - middle[0], y - middle[1]) * image.pixel_scale < radius


def test_a_source_that_a_band_does_not_see_is_told(images, table):
    """In W1 all within 14 arcsec of the star is masked."""
    one = bj.ImageSet([images["r"], images["W1"].with_mask(within(images["W1"], STAR[:2], 14.0))])
    name = nearest(table, *STAR[:2])["name"]
    with pytest.warns(UserWarning, match=rf"band 'W1' \(images: W1\) has no valid pixel of {name}: their"):
        one.with_sources(table)


def test_a_band_that_sees_no_source_is_refused(images, table):
    """Of W1 only pixels further than 17 arcsec from the field's middle are left."""
    one = bj.ImageSet([images["r"], images["W1"].with_mask(within(images["W1"], (0.0, 0.0), 17.0))])
    edited = table[np.hypot(table["east"], table["north"]) < 5]
    with pytest.raises(ValueError, match=r"band 'W1' .* sees none of the sources"):
        one.with_sources(edited)


def test_windows_of_fields_alike_are_alike(images, table):
    """They come in steps of 19 %, so that what is compiled for one field does for another in other noise."""
    own = table["window"][table["kind"] == "galaxy"]
    steps = 4 * np.log2(np.asarray(own))
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    rng = np.random.default_rng(4)
    again = bj.ImageSet(
        [image.with_data(image.data + 0.05 * rng.normal(size=image.shape)) for image in images]
    )
    structures = [jax.tree.structure(one.with_sources(bj.find_sources(one))) for one in (images, again)]
    assert structures[0] == structures[1]


def test_columns_are_written_short(table):
    rows = [line.split() for line in table.pformat(max_lines=-1, max_width=-1, show_name=False)]
    assert len(rows) == len(table) and max(len(cell) for row in rows for cell in row) < 13


def test_columns_that_say_nothing_are_told(images, table):
    edited = table.copy()
    edited["fix"] = "n=4"
    with pytest.warns(UserWarning, match="columns fix of the table of sources are not used"):
        images.with_sources(edited)


def test_a_table_of_another_field_is_placed_by_its_sky_positions(images, table):
    moved = table.copy()
    moved.remove_columns(["east", "north"])
    other = bj.ImageSet(list(images), frame=bj.TangentFrame(150.0, 30.0005))
    place = np.asarray(other.with_sources(moved).sources.position)
    north = np.asarray(images.with_sources(table).sources.position)[:, 1]
    np.testing.assert_allclose(place[:, 1], north - 1.8, atol=1e-6)


def test_places_from_a_catalogue(images, table):
    """Each source where it is said to be, measured as well as one that was found; a place outside all images is told."""
    sky = SkyCoord([*table["ra"], 151.0], [*table["dec"], 30.0], unit="deg")
    with pytest.warns(
        UserWarning, match="1 of 5 sources of the catalogue lie outside all images, the first in row 4"
    ):
        found = bj.find_sources(images, catalogue=sky)
    for column in ("ra", "dec", "east", "north"):
        np.testing.assert_allclose(found[column], table[column], atol=1e-6)
    assert list(found["kind"]) == list(table["kind"])
    np.testing.assert_allclose(found["flux_r"], table["flux_r"], rtol=0.2)
    galaxies = found["kind"] == "galaxy"
    assert np.all(np.abs(np.log(found["Re"][galaxies] / table["Re"][galaxies])) < 0.3)


def test_a_catalogue_that_knows_more(images, table):
    """What it says of a source stays, and a place where nothing is seen is a star of no flux."""
    known = table["ra", "dec"][:2]
    known.add_row((150.0 + 8 / 3600, 30.0 - 8 / 3600))
    known["name"], known["kind"] = ["a", "b", "c"], ["galaxy", "bulge+disc", "star"]
    known["n"], known["fixed"] = [4.0, np.nan, np.nan], ["n, centre", "", "centre"]
    found = bj.find_sources(images, catalogue=known)
    assert list(found["name"]) == ["a", "b", "c"] and found["kind"][1] == "bulge+disc"
    assert abs(found["flux_r"][2]) < 4 * found["flux_error_r"][2]
    sources = images.with_sources(found).sources
    assert sources.held.centre == (True, False, False, True) and float(sources.index[0]) == 4.0


def test_sizes_that_a_catalogue_knows_set_windows_and_fluxes(images, table):
    """A galaxy that the sharp image hardly sees is drawn as large as it is; what is masked is measured."""
    known = table["ra", "dec"][:2]
    known["Re"], known["q"], known["pa"] = (
        MaskedColumn([2.0, 0.0], mask=[False, True]),
        [0.5, 0.8],
        [100.0, 20.0],
    )
    known["kind"] = MaskedColumn(["galaxy", "star"], mask=[False, True])
    found, plain = (bj.find_sources(images, catalogue=one) for one in (known, known["ra", "dec"]))
    assert found["Re"][0] == 2.0 and found["Re"][1] == plain["Re"][1] and found["kind"][1] == plain["kind"][1]
    np.testing.assert_allclose(found["q"], known["q"])
    np.testing.assert_allclose(found["pa"], known["pa"])
    assert found["window"][0] > 1.3 * plain["window"][0] and found["flux_r"][0] > 1.1 * plain["flux_r"][0]
    assert images.with_sources(found).sources.effective_radius[0] == 2.0


def test_what_is_not_modelled_is_masked_in_every_image(images, table):
    """A galaxy of which the table has no row: its light is masked, and that of the rest is not."""
    kept = table[1:]
    masked = images.with_sources(kept, mask_others=True)
    place = np.array([table["east"][0], table["north"][0]])
    for before, after in zip(images, masked, strict=True):
        x, y = np.round(before.pixel_map.pixel(place)).astype(int)
        assert after.invvar[y, x] == 0
        assert 0 < before.number_used - after.number_used < 0.3 * before.number_used
        for row in kept:
            x, y = np.round(before.pixel_map.pixel(np.array([row["east"], row["north"]]))).astype(int)
            assert after.invvar[y, x] > 0
    assert images.with_sources(table, mask_others=True)["r"].number_used == images["r"].number_used


@pytest.mark.parametrize(
    ("catalogue", "error", "words"),
    [
        ([1.0, 2.0], TypeError, "catalogue must be a SkyCoord or a table with ra and dec, got list"),
        (Table({"RA": [150.0], "dec": [30.0]}), ValueError, "the catalogue lacks ra: it has RA, dec; rename"),
        (Table({"ra": [150.0, np.nan], "dec": [30.0, 30.0]}), ValueError, "row 1 has no finite position"),
        (Table({"ra": [], "dec": []}), ValueError, "it is empty"),
    ],
)
def test_bad_catalogues(images, catalogue, error, words):
    with pytest.raises(error, match=words):
        bj.find_sources(images, catalogue=catalogue)


def test_a_table_without_its_segmentation_masks_nothing(images, table):
    bare = table.copy()
    bare.meta = {}
    with pytest.raises(ValueError, match="mask_others needs the table's meta"):
        images.with_sources(bare, mask_others=True)
