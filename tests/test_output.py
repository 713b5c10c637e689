"""The result folder: what its files hold, and that no run leaves half of one."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from astropy.table import QTable
from helpers.small_run import BANDS, run, scene
from matplotlib.image import imread

import bayesjoint as bj
from bayesjoint.output import FIGURES, result_folder, write_results

SUMMARY = "parameter source band unit median mean sd lower upper interval ess_bulk ess_tail r_hat".split()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A result folder with a truth, written from a real fit, with the fit and the posterior."""
    folder = tmp_path_factory.mktemp("written")
    made, (files, truth) = run(), scene()
    paths = write_results(folder, made.posterior, made.fit, seconds={"fit": 1.25}, files=files, truth=truth)
    return folder, paths, made.fit, made.posterior, truth


def test_every_file_is_named_and_there(written):
    folder, paths, *_ = written
    names = {path.name for path in paths}
    assert names == {path.name for path in folder.iterdir()}
    assert {f"{name}.png" for name in FIGURES} < names


def test_summary_reads_back(written):
    folder, _, fit, posterior, _ = written
    table = QTable.read(folder / "summary.ecsv")
    assert set(SUMMARY) <= set(table.colnames)
    assert set(table["parameter"]) == {"east", "north", "q", "pa", "n", "Re", "Ie", "flux", "mag", "sky"}
    for parameter in ("Ie", "flux", "mag"):
        assert sorted(table["band"][table["parameter"] == parameter]) == sorted(BANDS)
    assert np.sum(table["parameter"] == "sky") == 3
    row = table[table["parameter"] == "Re"][0]
    assert row["unit"] == "arcsec" and row["lower"] < row["median"] < row["upper"]
    np.testing.assert_allclose(row["median"], np.median(posterior.values("galaxy_Re")))
    assert abs(row["median"] - fit.values["galaxy_Re"]) < 3 * row["sd"]


def test_colours_read_back(written):
    table = QTable.read(written[0] / "colours.ecsv")
    pairs = {(row["band_1"], row["band_2"]) for row in table}
    assert pairs == {("r", "W1"), ("r", "NUV"), ("W1", "NUV")}
    assert np.all(table["lower"] < table["median"]) and np.all(table["median"] < table["upper"])


def test_posterior_loads_with_its_groups(written):
    folder, _, _, posterior, _ = written
    loaded = bj.Posterior.load(folder / "posterior.nc")
    assert {"posterior", "sample_stats", "constant_data"} <= set(loaded.idata.groups())
    assert (
        loaded.idata.attrs["command"].startswith("bayesjoint fit ")
        and loaded.idata.attrs["bayesjoint_version"]
    )
    np.testing.assert_array_equal(loaded.values("galaxy_n"), posterior.values("galaxy_n"))
    assert [image.shape for image in loaded.images] == [(28, 28), (24, 24), (24, 24)]


def test_fit_json(written):
    folder, _, fit, posterior, _ = written
    record = json.loads((folder / "fit.json").read_text())
    covariance = np.array(record["map"]["covariance"])
    assert covariance.shape == (len(record["map"]["labels"]),) * 2
    np.testing.assert_allclose(covariance, fit.covariance)
    assert record["map"]["values"]["galaxy_n"] == pytest.approx(float(fit.values["galaxy_n"]))
    assert [image["name"] for image in record["images"]] == list(BANDS)
    degrees = sum(image["chi2"] / image["chi2_per_dof"] for image in record["images"])
    assert degrees == pytest.approx(28**2 + 2 * 24**2 - fit.layout.size)
    assert sum(image["chi2"] for image in record["images"]) / degrees == pytest.approx(fit.chi2_per_dof)
    assert os.path.basename(record["images"][1]["file"]) == "W1.fits"
    assert record["verdict"]["trusted"] == posterior.verdict.trusted and record["verdict"]["findings"]
    assert record["seconds"] == {"fit": 1.25}
    assert record["sampling"] == {
        "chains": 2,
        "draws": 50,
        "warmup": 50,
        "seed": 0,
        "likelihood": "compressed",
        "interrupted": False,
    }


def test_truth_json(written):
    assert json.loads((written[0] / "truth.json").read_text()) == written[-1]


def test_table_is_latex(written):
    text = (written[0] / "table.tex").read_text()
    assert r"\begin{" in text and r"\end{" in text and "NUV" in text


@pytest.mark.parametrize("name", FIGURES)
def test_figures_decode_and_are_not_blank(written, name):
    pixels = imread(written[0] / f"{name}.png")
    assert min(pixels.shape[:2]) > 300 and np.ptp(pixels[..., :3]) > 0.9


def test_folder_appears_only_when_complete(tmp_path):
    out = tmp_path / "deep" / "result"
    with result_folder(out) as folder:
        (folder / "fit.json").write_text("{}")
        assert not out.exists() and folder.parent == out.parent
    assert [path.name for path in out.parent.iterdir()] == ["result"]
    assert (out / "fit.json").is_file()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failed_block_leaves_the_old_result(tmp_path, error):
    out = tmp_path / "result"
    with result_folder(out) as folder:
        (folder / "fit.json").write_text("old")
    with pytest.raises(error), result_folder(out, overwrite=True) as folder:
        (folder / "fit.json").write_text("new")
        raise error
    assert (out / "fit.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_failed_rename_puts_the_old_result_back(tmp_path, monkeypatch):
    out = tmp_path / "result"
    with result_folder(out) as folder:
        (folder / "fit.json").write_text("old")
    replace = os.replace

    def failing(source, target):
        if ".partial-" in str(source):
            raise OSError("no")
        replace(source, target)

    with pytest.raises(OSError, match="no"), result_folder(out, overwrite=True) as folder:
        (folder / "fit.json").write_text("new")
        monkeypatch.setattr(os, "replace", failing)
    assert (out / "fit.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_overwrite_replaces_only_results(tmp_path):
    out = tmp_path / "result"
    out.mkdir()
    with result_folder(out) as folder:  # empty: nothing to lose
        (folder / "fit.json").write_text("1")
    with pytest.raises(ValueError, match="--overwrite"), result_folder(out):
        pass
    with result_folder(out, overwrite=True) as folder:
        (folder / "fit.json").write_text("2")
    assert (out / "fit.json").read_text() == "2"
    (out / "fit.json").unlink()
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="no earlier result"), result_folder(out, overwrite=True):
        pass
    assert (out / "thesis.tex").read_text() == "precious"


def test_inputs_inside_the_output_are_safe(tmp_path):
    out = tmp_path / "result"
    with result_folder(out) as folder:
        (folder / "fit.json").write_text("1")
        (folder / "r.fits").write_text("data")
    inputs = [out / "r.fits"]
    with pytest.raises(ValueError, match="would delete"), result_folder(out, overwrite=True, inputs=inputs):
        pass
    assert (out / "r.fits").is_file()


def test_root_is_no_output_folder():
    with pytest.raises(ValueError, match="name of a new one"), result_folder("/"):
        pass
