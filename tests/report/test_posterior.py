"""The posterior object: results by name, what it keeps, and its file."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

import bayesjoint as bj
from bayesjoint.infer.draws import Importance
from bayesjoint.report import files, psf_record
from bayesjoint.report.posterior import Posterior
from bayesjoint.report.statistics import diagnose

STAMPS = [
    np.exp(-0.5 * (np.arange(-6, 7)[:, None] ** 2 + np.arange(-6, 7) ** 2) / sigma**2)
    / (2 * np.pi * sigma**2)
    for sigma in (1.3, 1.4, 1.35, 1.5)
]


def test_colour_is_tighter_than_quadrature(posterior):
    colour = posterior.colour("NUV", "r")
    quadrature = np.hypot(posterior.magnitude("NUV").sd, posterior.magnitude("r").sd)
    assert colour.sd == pytest.approx(1.0857 * 0.02 * np.sqrt(2), rel=0.05) and colour.sd < 0.5 * quadrature
    assert colour.lower < colour.median < colour.upper and colour.draws.shape == (4, 500)
    assert repr(colour).startswith("NUV - r = 2.94") and "68.27 % equal-tailed interval" in repr(colour)


def test_interval_probability_can_be_chosen(posterior):
    narrow, wide = posterior.magnitude("r"), posterior.magnitude("r", probability=0.95)
    assert (wide.upper - wide.lower) / (narrow.upper - narrow.lower) == pytest.approx(1.96, rel=0.1)
    assert "95 % equal-tailed" in repr(wide)


def test_flux_has_the_full_covariance(posterior):
    flux = posterior.flux()
    assert flux.bands == ("NUV", "r", "W1")
    np.testing.assert_allclose(flux.median, [2e4, 3e5, 5e4], rtol=0.01)
    np.testing.assert_allclose(np.sqrt(np.diag(flux.covariance)), flux.sd)
    expected = 0.05**2 / (0.05**2 + 0.02**2)
    np.testing.assert_allclose(flux.correlation[np.triu_indices(3, 1)], expected, atol=0.03)
    one = posterior.flux("r")
    assert one.covariance.shape == (1, 1) and one.median == flux["r"].median


def test_undetected_bands_are_limits(faint):
    mag, colour = faint.magnitude("NUV"), faint.colour("NUV", "r")
    assert mag.limit.direction == ">" and mag.upper == np.inf and mag.lower == mag.limit.value
    assert "NUV > 25." in repr(mag) and "not detected" in repr(mag)
    assert colour.limit.direction == ">" and faint.colour("r", "NUV").limit.direction == "<"
    assert faint.flux("NUV").median == pytest.approx(50, abs=10)
    assert "NUV > 25." in repr(faint)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: p.colour("NUV", "x"), "its bands are NUV, r, W1"),
        (lambda p: p.colour("r", "r"), "two bands"),
        (lambda p: p.magnitude("r", source="disk"), "sources are galaxy"),
        (lambda p: p.flux("K"), "its bands are NUV, r, W1"),
        (lambda p: p.values("galaxy_m"), "galaxy_Re"),
        (lambda p: p.plot_corner(parameters=["mass"]), "no parameter 'mass'"),
    ],
)
def test_unknown_names_are_answered_with_those_there_are(posterior, call, words):
    with pytest.raises(ValueError, match=words):
        call(posterior)


def test_several_sources_and_point_sources(scene, mock):
    rng = np.random.default_rng(2)
    extra = {
        "star_east": rng.normal(3, 0.1, (4, 500)),
        "star_flux": rng.normal([100, 200, 300], 5, (4, 500, 3)),
    }
    draws = mock.make_draws(extra=extra)
    draws.dims["star_flux"] = ("band",)
    posterior = Posterior.from_draws(draws, scene[0])
    assert posterior.sources == ("galaxy", "star")
    with pytest.raises(ValueError, match="2 sources: say which by source=, one of galaxy, star"):
        posterior.magnitude("r")
    assert posterior.magnitude("r", source="star").median == pytest.approx(
        31.4 - 2.5 * np.log10(200), abs=0.01
    )
    assert "star" in posterior.to_latex() and set(posterior.to_table()["source"]) == {"galaxy", "star"}


def test_fluxes_per_image(mock):
    images, _ = mock.make_images(("r", "r", "NUV"), names=("r1", "r2", "NUV"))
    draws = mock.make_draws(("r", "NUV"), 3)
    shared = draws.values.pop("galaxy_flux")[..., 0]
    for name in images.names:
        draws.values[f"galaxy_flux_{name}"] = shared * (1.0 if name.startswith("r") else 0.1)
    del draws.values["galaxy_Ie"]
    posterior = Posterior.from_draws(draws, images)
    assert posterior.colour("NUV", "r").median == pytest.approx(2.5)  # shared by both exposures
    draws.values["galaxy_flux_r2"] = 1.5 * shared
    posterior = Posterior.from_draws(draws, images)
    with pytest.raises(ValueError, match="one per image: name one of r1, r2"):
        posterior.magnitude("r")
    assert posterior.colour("r1", "r2").median == pytest.approx(2.5 * np.log10(1.5))


def test_program_without_a_flux_says_so(scene, mock):
    draws = mock.make_draws()
    del draws.values["galaxy_flux"]
    posterior = Posterior.from_draws(draws, scene[0])
    with pytest.raises(ValueError, match="no source has a flux"):
        posterior.magnitude("r")
    assert len(posterior.summary()) and "Posterior" in repr(posterior)


@pytest.mark.parametrize(
    "psf",
    [
        bj.moffat_psf(1.2, 3.0),
        bj.airy_psf(0.8, 2.4, 0.33),
        bj.gaussian_mixture_psf([0.9, 2.2], [0.85, 0.15]),
        bj.ScalablePSF(bj.moffat_psf(1.2, 3.0), spread=1.3),
        bj.PSF(np.pad(np.outer([1, 2, 1], [1, 2, 1]) / 16, 3), oversampling=2, centre=(4.25, 3.75)),
        bj.EigenPSF(STAMPS[0], [STAMPS[1] - STAMPS[0]], oversampling=2),
        bj.VaryingPSF(STAMPS, [(0, 0), (40, 0), (0, 50), (40, 50)]),
    ],
    ids=lambda psf: type(psf).__name__,
)
def test_psfs_come_back_from_text(psf):
    record = json.loads(json.dumps(psf_record.psf_record(psf)))
    back = psf_record.recorded_psf(record, psf_record.psf_stamps(psf))
    assert repr(back) == repr(psf)
    k = np.linspace(-3, 3, 50)
    answers = (each.transfer(k, 0.3 * k, np.eye(2) / 0.4) for each in (back, psf))
    np.testing.assert_array_equal(*answers)
    if isinstance(psf, bj.EigenPSF | bj.VaryingPSF):
        np.testing.assert_array_equal(back.nominal((7.0, 3.0)), psf.nominal((7.0, 3.0)))


@pytest.mark.parametrize("family", ("EigenPSF", "VaryingPSF"))
def test_images_of_many_stamps_come_back_from_files(mock, tmp_path, build, family):
    psf = {
        "EigenPSF": bj.EigenPSF(STAMPS[0], [STAMPS[1] - STAMPS[0]]),
        "VaryingPSF": bj.VaryingPSF(STAMPS, [(0, 0), (40, 0), (0, 50), (40, 50)]),
    }[family]
    draws = mock.make_draws()
    names = ("NUV", "r", "W1")
    images = bj.ImageSet([build.image((24, 25), 0.4, psf, name=band, band=band) for band in names])
    posterior = Posterior.from_draws(draws, images)
    back = Posterior.load(posterior.save(tmp_path / "galaxy.nc"))
    for image, old in zip(back.images, images, strict=True):
        assert repr(image.psf) == repr(old.psf)
        np.testing.assert_array_equal(image.transfer, old.transfer)


def test_save_and_load_give_everything_back(posterior, scene, tmp_path):
    path = posterior.save(tmp_path / "galaxy.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["galaxy.nc"]
    back = Posterior.load(path)
    for name in posterior.idata.posterior.data_vars:
        np.testing.assert_array_equal(back.values(name), posterior.values(name))
    assert back.idata.sample_stats.diverging.dtype == bool
    assert list(back.idata.posterior.coords["band"].values) == ["NUV", "r", "W1"]
    assert repr(back) == repr(posterior) and back.to_latex() == posterior.to_latex()
    assert len(back.idata.attrs["numpyro_version"]) and back.idata.attrs["seed"] == 3
    for image, old in zip(back.images, scene[0], strict=True):
        np.testing.assert_array_equal(image.data, old.data)
        np.testing.assert_array_equal(image.invvar, old.invvar)
        np.testing.assert_allclose(image.transfer, old.transfer, atol=1e-9)
        assert (image.name, image.band, image.zeropoint) == (old.name, old.band, old.zeropoint)
        assert image.time == old.time and repr(image.psf) == repr(old.psf)
        centre = np.array([1.0, -2.0])
        np.testing.assert_allclose(image.pixel_map.pixel(centre), old.pixel_map.pixel(centre), atol=1e-8)
    np.testing.assert_array_equal(back.images.start.flux, scene[0].start.flux)
    np.testing.assert_allclose(back.model_images()[1], scene[1][1], rtol=1e-6)
    assert back.plot_images() is not None


def test_saving_over_a_loaded_file_works(posterior, tmp_path):
    path = posterior.save(tmp_path / "galaxy.nc")
    Posterior.load(path).save(path)
    assert Posterior.load(path).bands == posterior.bands


def test_failed_write_leaves_the_old_file(posterior, tmp_path, monkeypatch):
    path = posterior.save(tmp_path / "galaxy.nc")
    before = path.read_bytes()
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        posterior.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["galaxy.nc"]


def test_sites_named_with_a_slash_can_be_saved(scene, mock, tmp_path):
    extra = {"disk/h": np.random.default_rng(0).normal(size=(4, 500)), "disk/w": np.zeros((4, 500, 2))}
    posterior = Posterior.from_draws(mock.make_draws(extra=extra), scene[0])
    back = Posterior.load(posterior.save(tmp_path / "p.nc"))
    np.testing.assert_array_equal(back.values("disk/h"), extra["disk/h"])
    assert back.values("disk/w").shape == (4, 500, 2)


def test_loading_something_else_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        Posterior.load(tmp_path / "none.nc")
    other = tmp_path / "other.nc"
    other.write_text("not netCDF")
    with pytest.raises(ValueError, match="not a netCDF file"):
        Posterior.load(other)


def test_saving_to_a_missing_folder_says_so(posterior, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        posterior.save(tmp_path / "nowhere" / "p.nc")


def test_fit_travels_with_the_posterior(scene, mock, tmp_path):
    numbers = {
        "values": {"galaxy_n": np.float64(1.7)},
        "covariance": np.eye(2),
        "chi2": np.array([1.0, np.nan]),
    }
    words = {"labels": ("a", "b"), "reason": "no step lowers chi2", "advice": ("try several starts",)}
    fit = SimpleNamespace(**numbers, **words, converged=False, iterations=7, seconds=1.2)
    posterior = Posterior.from_draws(
        mock.make_draws(), scene[0], fit=fit, provenance={"command": "bayesjoint fit a.fits"}
    )
    back = Posterior.load(posterior.save(tmp_path / "p.nc"))
    assert back.map_fit["values"] == {"galaxy_n": 1.7} and back.map_fit["chi2"] == [1.0, None]
    assert back.idata.attrs["command"] == "bayesjoint fit a.fits"
    assert not back.verdict.trusted and "no step lowers chi2" in str(back.verdict)
    json.dumps(back.verdict.as_dict())


def test_verdict_sees_bad_images_and_divergences(scene, mock):
    images, models = scene
    draws = mock.make_draws()
    draws.stats["diverging"][:, :50] = True
    wrong = [models[0], 0.5 * models[1], models[2]]
    verdict = Posterior.from_draws(draws, images, model_images=wrong).verdict
    text = str(verdict)
    assert (
        not verdict.trusted
        and "200 divergences" in text
        and "r: chi2/pixel" in text
        and "NUV: chi2" not in text
    )


def test_verdict_knows_the_ends_of_the_program_s_own_priors(scene, mock, tmp_path):
    """A prior that ends where the draws lie is named, and still is after saving and loading."""
    images, models = scene
    draws = dataclasses.replace(mock.make_draws(), ends={"galaxy_n": (0.5, 1.71), "galaxy_Re": (1.0, 50.0)})
    posterior = Posterior.from_draws(draws, images, model_images=models)
    posterior.save(tmp_path / "ends.nc")
    for one in (posterior, Posterior.load(tmp_path / "ends.nc")):
        assert "of the posterior of galaxy n leans on its end at 1.71" in str(one.verdict)
        assert "galaxy Re leans" not in str(one.verdict)


def test_verdict_says_which_likelihood_made_the_draws(scene, mock, tmp_path):
    """Also of a file; one saved before says nothing of it."""
    images, models = scene
    ratios = Importance(0.31, 1800.0, 2000, True)
    draws = dataclasses.replace(mock.make_draws(), road="corrected", importance=ratios)
    posterior = Posterior.from_draws(draws, images, model_images=models)
    told = "compressed, corrected by exact renders (PSIS k-hat 0.31)"
    back = Posterior.load(posterior.save(tmp_path / "road.nc"))
    for one in (posterior, back):
        assert one.idata.attrs["road"] == told and one.idata.attrs["likelihood"] == "compressed"
        assert told in " ".join(str(one.verdict).split()) and one.importance is None
    del back.idata.attrs["road"]
    assert "the likelihood that made" not in str(Posterior(back.idata).verdict)


def test_verdict_of_the_mock_is_good(posterior):
    assert posterior.verdict.trusted and posterior.verdict.headline in repr(posterior)
    assert len(repr(posterior).splitlines()) == 3
    assert "<pre>" in posterior._repr_html_() and "<script" not in posterior._repr_html_()


def test_diagnose_by_hand():
    rng = np.random.default_rng(3)
    good = rng.normal(size=(4, 1000))
    r_hat, bulk, tail = diagnose(good)
    assert r_hat < 1.005 and 3000 < bulk < 5000 and 3000 < tail < 5000
    assert diagnose(good + np.arange(4)[:, None])[0] > 1.3
    drifting = np.cumsum(rng.normal(size=(1, 1000)), axis=1)
    assert diagnose(drifting)[0] > 1.1 and diagnose(drifting)[1] < 100
    assert np.isnan(diagnose(np.ones((4, 100)))).all() and np.isnan(diagnose(good[:, :4])).all()


def test_nothing_large_is_kept_per_draw(posterior):
    assert set(posterior.idata.groups()) == {"posterior", "sample_stats", "constant_data"}
    assert all(array.ndim <= 3 for array in posterior.idata.posterior.data_vars.values())
