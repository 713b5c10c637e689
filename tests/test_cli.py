"""The command line: a whole fit of a small scene, what it leaves, and one sentence for each bad input."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from astropy.io import fits
from helpers.small_run import FEW, run, scene

import bayesjoint as bj
from bayesjoint import cli, demo, output, pipeline
from bayesjoint.cli import main
from bayesjoint.compilation import enable_compilation_cache
from bayesjoint.data.hdus import WEIGHTS
from bayesjoint.infer import chains
from bayesjoint.options import keyed, parse_position

sample, chains_wait = bj.sample, chains.wait


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """A compilation cache of these tests' own, and JAX's settings put back afterwards."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("jax")))
        yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(autouse=True)
def as_users_run_it(strict_promotion):
    """The command runs under JAX's default promotion: NumPyro's sampler mixes dtypes."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def files(own_cache):
    """FITS files of a small scene, as strings."""
    return scene()[0]


@pytest.fixture(scope="module")
def fitted(files):
    """What `bayesjoint fit` left of that scene."""
    return run()


@pytest.fixture
def quick(fitted, monkeypatch):
    """The fit and the draws of `fitted` in place of new ones, and one figure in place of four."""
    monkeypatch.setattr(bj, "fit_map", lambda *_, **__: fitted.fit)
    monkeypatch.setattr(bj, "sample", lambda *_, **__: fitted.posterior)
    monkeypatch.setattr(output, "FIGURES", ("colours",))


def refused(capsys, arguments, *words):
    """The command ends with 1 and one sentence that holds these words."""
    assert main([str(a) for a in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("bayesjoint: error: ") or "\nbayesjoint: error: " in captured.err
    sentence = captured.err.split("bayesjoint: error: ")[1]
    assert "Traceback" not in captured.err and sentence.count("\n") == 1
    for word in words:
        assert word in sentence
    assert captured.out == ""
    return sentence


def altered(path, folder, change):
    """A copy of a FITS file with something changed."""
    with fits.open(path) as hdus:
        change(hdus)
        copy = folder / os.path.basename(path)
        hdus.writeto(copy)
    return copy


def test_fit_leaves_all_files_and_nothing_else(fitted):
    folder = fitted.folder
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("posterior.nc", "summary.ecsv", "colours.ecsv", "table.tex", "fit.json"),
        *("images.png", "corner.png", "colours.png", "trace.png"),
    }
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_fit_finds_the_truth(fitted):
    posterior = bj.Posterior.load(fitted.folder / "posterior.nc")
    rows = demo.pulls(posterior, scene()[1])
    assert len(rows) == 18
    assert max(abs(row[-1]) for row in rows) < 4


def test_fit_says_what_it_does_and_what_came_out(fitted):
    folder, out, err = fitted.folder, fitted.out, fitted.err
    for step in ("read", "fit", "sample", "write"):
        lines = err.splitlines()
        assert sum(line.startswith(step) for line in lines) == 1
    assert sum(line.endswith(" s") for line in lines) == 4
    assert "chi2/dof" in err and "leapfrogs" in err
    for text in ("galaxy n ", "galaxy mag r", "galaxy r - W1", "sky NUV", "The posterior ", str(folder)):
        assert text in out


def test_command_is_kept_with_the_posterior(fitted, files):
    command = bj.Posterior.load(fitted.folder / "posterior.nc").idata.attrs["command"]
    assert command.startswith("bayesjoint fit ") and files[0] in command


def test_quiet_prints_no_more_than_a_warning(quick, files, tmp_path, capsys):
    assert main(["fit", *files, "--out", str(tmp_path / "x"), *FEW, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all("NOT to be trusted" in line for line in captured.err.splitlines())


def test_check_writes_its_tables_and_figures(quick, files, tmp_path, capsys):
    assert main(["fit", *files, "--out", str(tmp_path / "x"), *FEW, "--check"]) == 0
    names = {path.name for path in (tmp_path / "x").glob("check*")}
    tables = {f"check{name}.ecsv" for name in ("", "_scores", "_sensitivity", "_information")}
    assert names == tables | {"check_residuals.png", "check_information.png", "check.json"}
    assert "The model of the images" in capsys.readouterr().err


def test_existing_folder_is_refused_and_untouched(files, tmp_path, capsys):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "notes.txt").write_text("precious")
    refused(capsys, ["fit", *files, "--out", out], "mine", "exists", "--overwrite")
    refused(capsys, ["fit", *files, "--out", out, "--overwrite"], "no earlier result")
    refused(capsys, ["demo", "--out", out], "exists")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (out / "notes.txt").read_text() == "precious"


def test_overwrite_replaces_an_earlier_result(quick, files, tmp_path):
    out = tmp_path / "again"
    assert main(["fit", *files, "--out", str(out), "--quiet"]) == 0
    (out / "extra.txt").write_text("old")
    assert main(["fit", *files, "--out", str(out), "--quiet", "--overwrite"]) == 0
    assert not (out / "extra.txt").exists() and (out / "fit.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_options_reach_fit_and_sampler(quick, fitted, files, tmp_path, monkeypatch):
    seen = {}

    def sample(program, images, **options):
        seen.update(options, program=program, images=images)
        return fitted.posterior

    monkeypatch.setattr(bj, "sample", sample)
    given = "--draws 7 --chains 3 --warmup 11 --seed 5 --no-sky --size 8 --quiet".split()
    assert main(["fit", *files, "--out", str(tmp_path / "x"), *given]) == 0
    assert {key: seen[key] for key in ("draws", "chains", "warmup", "seed")} == {
        "draws": 7,
        "chains": 3,
        "warmup": 11,
        "seed": 5,
    }
    assert seen["program"] == bj.joint_model(sky=False)
    assert seen["init"] is fitted.fit and seen["progress"] is False
    assert [image.shape for image in seen["images"]] == [(15, 15), (7, 7), (7, 7)]


def test_correlated_noise_is_measured_where_it_can_be(quick, fitted, files, tmp_path, monkeypatch, capsys):
    """On blank sky; images with too little of it are told, and stay as they are."""
    seen, measure = {}, bj.noise_correlation
    monkeypatch.setattr(
        bj, "noise_correlation", lambda image: measure(image, reach=1 if image.name == "r" else 3)
    )
    monkeypatch.setattr(
        bj, "sample", lambda program, images, **_: seen.update(images=images) or fitted.posterior
    )
    assert main(["fit", *files, "--out", str(tmp_path / "x"), "--correlated-noise"]) == 0
    known = {image.name: image.noise_correlation is not None for image in seen["images"]}
    told = capsys.readouterr().err
    assert set(known.values()) == {True, False}
    for name, is_known in known.items():
        assert (f"{name}: means of many pixels scatter" in told) is is_known
        assert (f"image '{name}': " in told and "too few to tell how noise correlates" in told) or is_known


def test_separate_images_of_one_band(files, tmp_path):
    images = pipeline.read(pipeline.Log(quiet=True), files, {"band": {"W1": "r"}})
    assert images.bands == ("r", "NUV")
    apart = pipeline.read(pipeline.Log(quiet=True), files, {"band": {"W1": "r"}}, separate=True)
    assert len(apart.bands) == 3 and apart.names == images.names
    keyed = {"band": {"W1": "r"}, "psf": {"r": bj.gaussian_psf(2.0)}}
    apart = pipeline.read(pipeline.Log(quiet=True), files, keyed, separate=True)
    assert [str(image.psf) for image in apart if image.name != "NUV"] == [str(bj.gaussian_psf(2.0))] * 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stopped during warm-up: no draws to keep"], "stopped during warm-up"),
        ([], "nothing was written"),
    ],
)
def test_interrupt_without_draws_leaves_nothing(quick, files, tmp_path, monkeypatch, capsys, words, said):
    def interrupted(*_, **__):
        raise KeyboardInterrupt(*words)

    monkeypatch.setattr(bj, "sample", interrupted)
    assert main(["fit", *files, "--out", str(tmp_path / "x"), *FEW]) == 130
    assert f"interrupted: {said}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_interrupt_with_draws_keeps_them(quick, files, tmp_path, monkeypatch, capsys):
    """Ctrl-C reaches the sampler while it waits for its chains, after warm-up: what they have by then is written."""
    monkeypatch.setattr(bj, "sample", sample)
    monkeypatch.setattr(output, "FIGURES", ("colours",))

    waited = []

    def wait(futures):
        chains_wait(futures)
        waited.append(futures)
        if len(waited) == 2:
            raise KeyboardInterrupt
        return None

    monkeypatch.setattr(chains, "wait", wait)
    assert main(["fit", *files, "--out", str(tmp_path / "x"), *FEW]) == 0
    assert "interrupted after 50 of 50 draws" in capsys.readouterr().err
    posterior = bj.Posterior.load(tmp_path / "x" / "posterior.nc")
    assert posterior.idata.attrs["interrupted"] and posterior.idata.posterior.sizes["draw"] == 50
    assert "stopped early" in str(posterior.verdict)


def test_sigterm_acts_as_an_interrupt():
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), cli._terminate_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_failure_while_writing_leaves_nothing(quick, files, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline, "write_results", full)
    assert main(["fit", *files, "--out", str(tmp_path / "x"), *FEW]) == 1
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--psf", "gausian:1.12"], ["--psf", "gausian:1.12", "gaussian:FWHM"]),
        (["--psf", "gaussian:abc"], ["--psf", "'gaussian:abc'", "in arcsec"]),
        (["--psf", "gaussian:-1"], ["--psf", "-1"]),
        (["--psf", "moffat:0.9"], ["--psf", "moffat:FWHM:BETA"]),
        (["--psf", "moffat:1:1"], ["--psf", "'moffat:1:1'", "beta > 1"]),
        (["--psf", "gaussian:1", "--psf", "r=gaussian:2"], ["--psf", "one value for all"]),
        (["--psf", "=gaussian:1"], ["--psf", "KEY="]),
        (["--zeropoint", "bright"], ["--zeropoint", "'bright'", "number"]),
        (["--zeropoint", "r=nan"], ["--zeropoint", "'nan'"]),
        (["--zeropoint", "Ks=22.5"], ["zeropoint", "'Ks'", "NUV"]),
        (["--mask", "nothing.fits"], ["--mask", "nothing.fits"]),
        (["--position", "here"], ["--position", "'here'", "degrees"]),
        (["--position", "400 10"], ["--position", "RA 0 to 360"]),
        (["--position", "10 10"], ["outside every image"]),
        (["--size", "-3"], ["--size", "positive", "'-3'"]),
        (["--size", "big"], ["--size", "'big'"]),
        (["--draws", "0"], ["--draws", "from 1 on", "'0'"]),
        (["--chains", "2.5"], ["--chains", "whole number", "'2.5'"]),
        (["--warmup", "3"], ["--warmup", "from 10 on"]),
        (["--seed", "x"], ["--seed", "'x'"]),
        (["--tempo", "3"], ["--tempo", "--help"]),
        (["--method", "laplace", "--until-ess", "100"], ["until_ess does not go with", "laplace"]),
    ],
)
def test_bad_options(files, tmp_path, capsys, options, words):
    refused(capsys, ["fit", *files, "--out", tmp_path / "x", *options], *words)
    assert list(tmp_path.iterdir()) == []


def test_options_are_checked_before_the_fit(files, tmp_path, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("fitted")

    monkeypatch.setattr("bayesjoint.fit_map", never)
    out = ["--out", tmp_path / "x"]
    refused(capsys, ["fit", *files, *out, "--method", "smc", "--checkpoint", "run"], "checkpoint does not go")
    monkeypatch.setitem(sys.modules, "blackjax", None)
    refused(capsys, ["fit", *files, *out, "--method", "smc"], "needs blackjax")


def test_a_check_of_too_few_draws_leaves_the_result(files, tmp_path, capsys):
    few = ["--draws", "10", "--chains", "2", "--warmup", "20", "--check"]
    assert main([str(each) for each in ("fit", *files, "--out", tmp_path / "x", *few)]) == 0
    assert "not done: this posterior has 20 draws" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "x" / "posterior.nc").is_file()


def test_bad_files(files, tmp_path, capsys):
    text = tmp_path / "notes.txt"
    text.write_text("not an image")
    out = ["--out", tmp_path / "x"]
    refused(capsys, ["fit", "missing.fits", *out], "missing.fits", "no file")
    refused(capsys, ["fit", text, *out], "notes.txt", "not a FITS file")
    refused(capsys, ["fit", tmp_path, *out], "is a folder")
    refused(capsys, ["fit", *files[:2], *out, "--band", "q=g"], "band", "'q'")
    refused(capsys, ["fit", *out], "FILE", "--help")
    refused(capsys, ["fit", *files], "--out", "--help")
    refused(capsys, [], "COMMAND", "--help")
    refused(capsys, ["info", "missing.fits"], "missing.fits")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda hdus: hdus[0].header.remove("ZPT"), ["no zero point", "--zeropoint 22.5"]),
        (lambda hdus: hdus.pop(2), ["no PSF", "--psf gaussian:1.12"]),
        (lambda hdus: hdus[0].header.remove("CTYPE1"), ["WCS"]),
        (lambda hdus: hdus[1].data.fill(0), ["weight"]),
        (lambda hdus: hdus[2].data.fill(np.nan), ["PSF", "NaN"]),
        (lambda hdus: hdus[2].data.fill(-1), ["PSF", "sum"]),
        (lambda hdus: hdus[0].header.update(CRVAL2=-40.0), ["overlap"]),
        (lambda hdus: setattr(hdus[1], "data", hdus[1].data[:9].copy()), ["shape", "(9, 28)"]),
    ],
)
def test_bad_content(files, tmp_path, capsys, change, words):
    bad = altered(files[0], tmp_path, change)
    refused(capsys, ["fit", files[1], bad, "--out", tmp_path / "x"], *words)
    assert [path.name for path in tmp_path.iterdir()] == [bad.name]


def test_unwritable_output(files, tmp_path, capsys):
    blocker = tmp_path / "file"
    blocker.write_text("")
    refused(capsys, ["fit", *files, "--out", blocker], "is a file")
    refused(capsys, ["fit", *files, "--out", blocker / "x"], "another output folder")


def test_warnings_are_one_line_each(files, tmp_path, capsys, monkeypatch):
    """Negative variance is masked, counted and told, without the line of code that found it."""

    def spoil(hdus):
        hdus[1].data[3, 4] = -1

    bad = altered(files[0], tmp_path, spoil)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["info", str(bad)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("bayesjoint: warning: ") and "r.fits" in lines[0]


def test_info(files, capsys):
    assert main(["info", *files, "--psf", "W1=moffat:3.3:3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "zero point" in lines[0]
    assert "28x28" in lines[1] and '0.5500"' in lines[1] and "22.500" in lines[1]
    assert '3.30"' in lines[2]


def test_keyed_values(tmp_path, monkeypatch):
    assert keyed([], "--psf", str, "x") is None
    assert keyed(["3"], "--psf", float, "x") == 3
    assert keyed(["a=1", "b=2"], "--psf", float, "x") == {"a": 1.0, "b": 2.0}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=1.fits").write_text("")
    assert keyed(["a=1.fits"], "--mask", str, "x") == "a=1.fits"


@pytest.mark.parametrize(
    "text",
    ["187.3119 -12.9783", "187.3119,-12.9783", "12:29:14.856 -12:58:41.88", "12 29 14.856 -12 58 41.88"],
)
def test_positions(text):
    np.testing.assert_allclose(parse_position(text), (187.3119, -12.9783), atol=1e-6)


def test_compilation_cache_places(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert enable_compilation_cache().name != "jax" or "xdg" not in str(enable_compilation_cache())
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert enable_compilation_cache() == tmp_path / "xdg" / "bayesjoint" / "jax"
    assert enable_compilation_cache(tmp_path / "own") == tmp_path / "own"
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        enable_compilation_cache(tmp_path / "file" / "x")


def test_compilation_cache_is_used(tmp_path):
    """A program compiled with the cache on is found there."""
    before = jax.config.jax_persistent_cache_min_compile_time_secs
    folder = enable_compilation_cache(tmp_path / "programs")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        jax.jit(lambda x: x * 3.25 + tmp_path.stat().st_mode)(np.arange(7.0)).block_until_ready()
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", before)
    assert any(path.is_file() for path in folder.iterdir())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(option):
    done = subprocess.run([sys.executable, "-m", "bayesjoint.cli", option], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bayesjoint" in done.stdout
    assert "bayesjoint" in done.stdout


def test_help_of_fit_names_all_extensions_that_are_read(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    told = capsys.readouterr().out
    assert [name for name in WEIGHTS if name not in told] == []


def test_programs_loaded_from_the_cache_are_not_reported(tmp_path):
    """Also where JAX was imported before the package; XLA does so, as of errors, on some processors."""
    code = (
        "import jax, jax.numpy as jnp, logging, bayesjoint as bj; "
        f"bj.enable_compilation_cache({str(tmp_path)!r}); "
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0); "
        "print(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((9, 9))).shape, logging.getLogger('jax').handlers)"
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TF_CPP", "JAX"))
    }
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("(9, 9) []\n", "")
    assert list(tmp_path.iterdir())
