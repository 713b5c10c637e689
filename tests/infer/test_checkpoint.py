"""Long runs: killed and resumed to the same bits, extended, run until enough; and files that are no checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import killed_run

import bayesjoint as bj
from bayesjoint.infer import chains
from bayesjoint.infer import checkpoint as checkpoint_module
from bayesjoint.infer.checkpoint import Checkpoint, pack, unpack
from bayesjoint.report import extending

FEW = {"draws": 30, "chains": 2, "warmup": 60, "progress": False}


def assert_same(found, wanted):
    assert set(found) == set(wanted)
    assert [name for name in wanted if not np.array_equal(found[name], wanted[name])] == []


@pytest.fixture(scope="module")
def linear(scene):
    """Images of the linear program and their fit."""
    images = scene.linear(seed=1)
    return images, bj.fit_map(scene.linear_program, images)


def sample(scene, linear, **options):
    return bj.sample(
        scene.linear_program, linear[0], init=linear[1], **(FEW | {"likelihood": "exact"} | options)
    )


@pytest.fixture(scope="module")
def posterior(scene, linear):
    return sample(scene, linear)


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        ("exact", (3, 9)),
        ("adapted", (5, 12)),
        ("compressed", (6, 10)),
        ("corrected", (9, 15)),
        ("grouped", (7, 18)),
    ],
)
def test_killed_and_resumed_gives_the_same_bits(kind, kills, tmp_path):
    """Killed while it writes, twice, at one moment of writing and another; the third run comes to the end."""
    path, out = tmp_path / "run.ckpt", tmp_path / "draws.npz"
    first = np.random.default_rng(len(kind)).integers(3)
    moments = [killed_run.MOMENTS[(first + k) % 3] for k in range(len(kills))]
    done = 0
    for count, moment in zip(kills, moments, strict=True):
        child = killed_run.start(kind, path, out, count - done, moment)
        assert child.wait() == -9
        assert path.exists() and not out.exists()
        done = count - 1 if moment == "renamed" else count - 2
    child = killed_run.start(kind, path, out)
    assert child.wait() == 0
    assert list(tmp_path.iterdir()) == [out]
    with np.load(out) as found:
        assert_same(dict(found), killed_run.draws_of(killed_run.sample(kind)))


def test_a_killed_write_leaves_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "run.ckpt"
    Checkpoint(path).note("a", {"x": np.arange(3)})

    def fails(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint_module.os, "fsync", fails)
    with pytest.warns(
        UserWarning, match=r"run.ckpt' could not be written \(no space left on device\); sampling goes on"
    ):
        Checkpoint(path).note("a", {"x": np.arange(4)})
    assert np.array_equal(Checkpoint(path).recall("a")["x"], np.arange(3))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "no whole .npz file"),
        (lambda whole: b"", "no whole .npz file"),
        (lambda whole: b"SIMPLE  =                    T" * 100, "no whole .npz file"),
        (lambda whole: whole.replace(b"\0\0\0\0\0\0\0\x40", b"\0\0\0\0\0\0\0\x41", 1), "no whole .npz file"),
        (lambda whole: pack({"x": np.arange(3)}), "it lacks a fingerprint"),
        (lambda whole: pack({**unpack(whole), "format": np.array(0)}), "format 0, not 1"),
    ],
)
def test_files_that_are_no_checkpoint(scene, linear, damage, reason, tmp_path):
    path = tmp_path / "run.ckpt"
    Checkpoint(path).note("a", {"x": np.full(50, 2.0)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        ValueError, match=rf"run.ckpt' is not a checkpoint .* {reason}.*\. Delete it, or give another"
    ):
        sample(scene, linear, checkpoint=path)


def test_the_folder_of_a_checkpoint_must_exist(scene, linear, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder '.*none' of the checkpoint does not exist: make it"):
        sample(scene, linear, checkpoint=tmp_path / "none" / "run.ckpt")


def stopped_early(scene, linear, path):
    """A run that ends by its time limit, whose checkpoint stays."""
    return sample(scene, linear, draws=200, checkpoint=path, max_seconds=1e-6)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"draws": 201}, "draws was 200 and is 201"),
        ({"seed": 1, "warmup": 61}, "warmup was 60 and is 61; seed was 0 and is 1"),
        ({"likelihood": "auto"}, "likelihood was exact and is auto"),
    ],
)
def test_another_run_is_refused(scene, linear, changed, words, tmp_path):
    path = tmp_path / "run.ckpt"
    stopped_early(scene, linear, path)
    with pytest.raises(
        ValueError, match=rf"is of another run: {words}\. Give what it was begun with, delete the file"
    ):
        sample(scene, linear, **({"draws": 200, "checkpoint": path} | changed))


def test_other_images_programs_and_fits_are_refused(scene, linear, tmp_path):
    import numpyro

    path = tmp_path / "run.ckpt"
    stopped_early(scene, linear, path)
    options = {**FEW, "draws": 200, "likelihood": "exact", "checkpoint": path}
    with pytest.raises(
        ValueError, match="another run: the images' pixels differ; the images' PSFs and places differ"
    ):
        bj.sample(scene.linear_program, scene.linear(seed=2), **options)
    with pytest.raises(ValueError, match=r"another run: latents was flux \(2,\), sky and is galaxy_east, "):
        bj.sample(bj.joint_model(), linear[0], **options)

    def brighter(images):
        numpyro.factor("more", 1.0)
        scene.linear_program(images)

    with pytest.raises(
        ValueError, match=r"made by another program: at the fit its log posterior was .*\(its priors too\)"
    ):
        bj.sample(brighter, linear[0], **options)
    import dataclasses

    moved = dataclasses.replace(linear[1], unconstrained=linear[1].unconstrained + 1.0)
    with pytest.raises(ValueError, match=r"was begun at another fit, .* standard deviations from init"):
        sample(scene, (linear[0], moved), draws=200, checkpoint=path)


def test_a_time_limit_leaves_draws_and_a_checkpoint(scene, linear, tmp_path):
    """What is stopped by the clock, then resumed, gives the bits of a run that was not; the fit comes from the file."""
    path = tmp_path / "run.ckpt"
    short = stopped_early(scene, linear, path)
    count = short.idata.posterior.sizes["draw"]
    assert 4 <= count < 200 and path.exists()
    assert (
        short.stopped == f"max_seconds=1e-06 passed after {count} of 200 draws a chain"
        and short.stopped in repr(short)
    )
    resumed = bj.sample(
        scene.linear_program, linear[0], **FEW | {"draws": 200, "likelihood": "exact"}, checkpoint=path
    )
    whole = sample(scene, linear, draws=200)
    assert_same(killed_run.draws_of(resumed), killed_run.draws_of(whole))
    assert not path.exists() and resumed.map_fit["chi2"] == whole.map_fit["chi2"]


def test_an_interruption_leaves_draws_and_a_checkpoint(scene, linear, tmp_path, monkeypatch):
    path, real = tmp_path / "run.ckpt", chains.wait

    def interrupted(futures):
        monkeypatch.setattr(chains, "wait", real)
        real(futures)
        raise KeyboardInterrupt

    monkeypatch.setattr(chains, "wait", interrupted)
    posterior = sample(scene, linear, checkpoint=path)
    assert posterior.idata.attrs["interrupted"] and path.exists()
    assert not sample(scene, linear, checkpoint=path).idata.attrs["interrupted"] and not path.exists()


@pytest.mark.parametrize("kind", ["exact", "adapted", "compressed"])
def test_extended_is_one_long_run(kind, tmp_path):
    program = killed_run.settings_of(kind)[0]
    short, whole = (killed_run.sample(kind, draws=draws) for draws in (30, 100))
    extended = short.extend(draws=70, progress=False)
    assert_same(killed_run.draws_of(extended), killed_run.draws_of(whole))
    assert short.idata.posterior.sizes["draw"] == 30
    loaded = bj.Posterior.load(short.save(tmp_path / "short.nc"))
    with pytest.raises(ValueError, match="a posterior from a file does not know its program: give it as"):
        loaded.extend(draws=5)
    twice = loaded.extend(program, draws=25, progress=False).extend(program, draws=45, progress=False)
    assert_same(killed_run.draws_of(twice), killed_run.draws_of(whole))
    assert twice.map_fit == short.map_fit and twice.verdict.headline == whole.verdict.headline


def test_corrected_draws_are_extended_and_corrected(images):
    short = killed_run.sample("corrected", draws=60)
    longer = short.extend(bj.joint_model(), draws=60, progress=False)
    assert "corrected by exact renders" in longer.idata.attrs["road"]
    assert longer.idata.posterior.sizes["draw"] == 120
    assert longer.extend(bj.joint_model(), draws=5).idata.posterior.sizes["draw"] == 125


def test_extending_wants_the_program(scene, posterior, images):
    import numpyro

    def other(images):
        numpyro.sample("galaxy_total", numpyro.distributions.Normal(0.0, 1.0))
        scene.linear_program(images)

    with pytest.raises(
        ValueError, match=r"latents are flux\(2,\), sky, those of the program given galaxy_total, flux"
    ):
        posterior.extend(other, draws=5)

    def shifted(images):
        numpyro.factor("more", 1.0)
        scene.linear_program(images)

    with pytest.raises(
        ValueError, match="the posterior was made by another program: at the fit its log posterior was"
    ):
        posterior.extend(shifted, draws=5)
    with pytest.raises(ValueError, match="draws must be a whole number from 1 on, got 0"):
        posterior.extend(scene.linear_program, draws=0)


def test_draws_from_elsewhere_cannot_be_extended(scene, linear, posterior):
    idata = posterior.idata.copy()
    idata.constant_data = idata.constant_data.drop_vars("continuation")
    with pytest.raises(ValueError, match=r"only those that bj\.sample made can be extended"):
        bj.Posterior(idata).extend(scene.linear_program, draws=5)


def test_until_there_are_enough(scene, linear, tmp_path):
    found = sample(scene, linear, draws=40, until_ess=200, checkpoint=tmp_path / "run.ckpt")
    count = found.idata.posterior.sizes["draw"]
    assert found.least_ess()[1] >= 200 and count % 40 == 0 and count > 40
    assert (
        found.stopped.startswith("until_ess=200 reached: least bulk ESS ")
        and f"{count} draws" in found.stopped
    )
    assert_same(killed_run.draws_of(found), killed_run.draws_of(sample(scene, linear, draws=count)))
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_between_chunks_keeps_the_batches_before(scene, linear, monkeypatch):
    real = extending.continue_program

    def pressed(*args, **options):
        if args[5].draws > 20:  # of the second batch more
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(extending, "continue_program", pressed)
    found = sample(scene, linear, draws=10, until_ess=1e9)
    assert found.idata.posterior.sizes["draw"] == 20 and found.idata.attrs["interrupted"]
    assert found.stopped.startswith("interrupted before until_ess=1e+09: least bulk ESS ")


def test_until_the_time_is_over(scene, linear):
    found = sample(scene, linear, draws=10, until_ess=1e9, max_seconds=1e-6)
    assert found.stopped.startswith("max_seconds passed before until_ess=1e+09: least bulk ESS ")


@pytest.mark.parametrize("name", ["until_ess", "max_seconds"])
def test_limits_are_checked(scene, linear, name):
    with pytest.raises(ValueError, match=f"{name} must be a positive number, got -1"):
        sample(scene, linear, **{name: -1})
