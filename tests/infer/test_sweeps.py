"""Fields fitted block by block: the fit of all at once, and what is refused."""

import jax
import numpy as np
import pytest
from helpers.fields import field, strip

import bayesjoint as bj
from bayesjoint.infer import fit, sweeps
from bayesjoint.infer.groups import find_groups, piece_of
from bayesjoint.infer.map_fit import pack_fit, unpack_fit
from bayesjoint.infer.space import find_latents, log_posterior

PROGRAM = bj.scene_model()


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """So that a few sources make several blocks."""
    patch = pytest.MonkeyPatch()
    patch.setattr(sweeps, "SIZE", 3)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def images():
    found = strip()
    table = bj.find_sources(found)
    kinds = [str(kind) for kind in table["kind"]]
    kinds[int(np.argmax(table["flux_b0"]))] = "bulge+disc"
    table["kind"] = kinds
    return found.with_sources(table)


@pytest.fixture(scope="module")
def joint(images):
    return bj.fit_map(PROGRAM, images, progress=False)


@pytest.fixture(scope="module")
def blocks(images):
    return bj.fit_map(PROGRAM, images, method="blocks", progress=False)


def test_it_is_the_fit_of_all_at_once(joint, blocks):
    assert blocks.converged and blocks.layout == joint.layout and len(blocks.covariance.blocks) > 3
    assert blocks.log_posterior == pytest.approx(joint.log_posterior, abs=2e-3)
    error = np.sqrt(np.diag(joint.covariance))
    assert np.all(np.abs(blocks.unconstrained - joint.unconstrained) < 0.03 * error)
    np.testing.assert_allclose(np.sqrt(blocks.covariance.diagonal()), error, rtol=0.01)
    assert blocks.errors.keys() == joint.errors.keys()
    for name, wanted in joint.errors.items():
        np.testing.assert_allclose(blocks.errors[name], wanted, rtol=0.03, err_msg=name)
    np.testing.assert_allclose(blocks.chi2, joint.chi2, rtol=1e-5)
    assert blocks.verdict.trusted == joint.verdict.trusted


def test_all_covariances_are_those_of_the_joint_fit(joint, blocks):
    error = np.sqrt(np.diag(joint.covariance))
    difference = (np.asarray(blocks.covariance) - joint.covariance) / np.outer(error, error)
    assert np.abs(difference).max() < 0.03


def test_a_block_has_the_log_posterior_of_the_field_about_it(images, joint):
    """As a function of its own latents and of the skies, all others as they are."""
    args = jax.device_put((images,))
    state = sweeps._Field(PROGRAM, images, joint.layout, joint.unconstrained.copy())
    density = jax.jit(log_posterior, static_argnums=(0, 1))
    rng, seen = np.random.default_rng(2), []

    def climb(program, layout, z, cut, *rest):
        """In place of an ascent: how the block's density and the field's differ, at steps about where it begins."""
        rows = state._rows(state.whole.blocks[0], state.made[1])
        inside, differences = rows >= 0, []
        for scale in (0.0, *[1.0] * 5):
            there, whole = z.copy(), joint.unconstrained.copy()
            error = np.sqrt(np.diag(joint.covariance))[rows[inside]]
            there[inside] += scale * error * rng.normal(size=error.size)
            whole[rows[inside]] = there[inside]
            a, b = density(PROGRAM, layout, there, cut), density(PROGRAM, joint.layout, whole, args)
            differences.append(float(a - b))
        seen.append(differences)
        raise InterruptedError

    patch = pytest.MonkeyPatch()
    patch.setattr(sweeps, "climb", climb)
    with pytest.raises(InterruptedError):
        state.refit(0, 1.0)
    patch.undo()
    assert np.ptp(seen[0]) < 5e-3


def test_a_fit_goes_on_where_another_ended(images, joint):
    again = bj.fit_map(PROGRAM, images, method="blocks", start=joint, progress=False)
    assert again.converged and again.iterations <= 3
    error = np.sqrt(np.diag(joint.covariance))
    assert np.all(np.abs(again.unconstrained - joint.unconstrained) < 0.02 * error)


def test_a_fit_that_did_not_converge_says_so(images):
    short = bj.fit_map(PROGRAM, images, method="blocks", max_iterations=1, progress=False)
    assert not short.converged and short.iterations == 1
    assert "stopped at 1 sweeps" in short.reason and "start=fit" in short.advice[0]
    assert not short.verdict.trusted


def test_fewer_than_one_sweep_are_refused(images):
    with pytest.raises(ValueError, match="wants max_iterations, sweeps, from 1 on, got 0"):
        bj.fit_map(PROGRAM, images, method="blocks", max_iterations=0)


def test_other_pixel_grids_and_no_sky():
    """Images smaller than a window are seen whole by every block."""
    found = field(names=("r", "W1"))
    table = bj.find_sources(found)
    table["window"] = 3.0
    found = found.with_sources(table)
    for program in (PROGRAM, bj.scene_model(sky=False)):
        ours, whole = (
            bj.fit_map(program, found, method=method, progress=False) for method in ("blocks", "joint")
        )
        error = np.sqrt(np.diag(whole.covariance))
        assert ours.converged
        assert np.all(np.abs(ours.unconstrained - whole.unconstrained) < 0.05 * error)
        np.testing.assert_allclose(np.sqrt(ours.covariance.diagonal()), error, rtol=0.05)


def test_groups_and_pruning_are_those_of_the_joint_fit(images, joint, blocks):
    for coupling in (0.05, 0.2):
        ours, whole = (find_groups(one, images.sources, "source", coupling) for one in (blocks, joint))
        assert [g.members for g in ours] == [g.members for g in whole]
        np.testing.assert_allclose([g.narrowing for g in ours], [g.narrowing for g in whole], atol=2e-3)
    a, b = (piece_of(PROGRAM, images, one, ours[0], "source").images.start for one in (blocks, joint))
    np.testing.assert_allclose(a.sky, b.sky, atol=0.05 * float(np.min(joint.errors["sky"])))
    np.testing.assert_allclose(a.sky_scatter, b.sky_scatter, rtol=0.01)
    table = bj.find_sources(images)
    kinds = {name: kind for name, kind in zip(images.sources.parents, images.sources.names, strict=True)}
    table["kind"] = [
        "bulge+disc" if kinds[name] != name else kind
        for name, kind in zip(table["name"], table["kind"], strict=True)
    ]
    ours, whole = (bj.prune_sources(one, table) for one in (blocks, joint))
    assert list(ours["dropped"]) == list(whole["dropped"])


def test_a_fit_comes_back_from_a_file(images, blocks, tmp_path):
    np.savez(tmp_path / "fit.npz", **pack_fit(blocks))
    with np.load(tmp_path / "fit.npz") as packed:
        args = jax.device_put((images,))
        again = unpack_fit(PROGRAM, images, args, find_latents(PROGRAM, args), dict(packed))
    assert repr(again) == repr(blocks)
    np.testing.assert_allclose(again.chi2, blocks.chi2, rtol=1e-12)


def test_many_latents_at_once_are_warned_of(images, joint, monkeypatch):
    monkeypatch.setattr(fit, "_MANY", 10)
    with pytest.warns(UserWarning, match=r'latents takes 0 GB, and twice .* method="blocks" keeps'):
        bj.fit_map(PROGRAM, images, start=joint, progress=False)


def test_what_blocks_are_not_for_is_refused(images):
    with pytest.raises(ValueError, match=r"of bj.scene_model\(\) only"):
        bj.fit_map(bj.joint_model(), strip(), method="blocks")
    with pytest.raises(ValueError, match="has one start, got starts=3"):
        bj.fit_map(PROGRAM, images, method="blocks", starts=3)
    with pytest.raises(ValueError, match='method must be "joint" or "blocks", got \'block\''):
        bj.fit_map(PROGRAM, images, method="block")
