"""Covariances known by a sparse inverse: what is asked of them is what arrays answer."""

import pickle
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from bayesjoint.infer.covariance import (
    KnownRows,
    SparseCovariance,
    correlated,
    curvature_of,
    given,
    is_determined,
    pack_covariance,
    root,
    unpack_covariance,
    variances_alone,
    within,
)
from bayesjoint.infer.linear import inverse
from bayesjoint.infer.lm import covariance_of

SIZES = (4, 3, 5)
SHARED = np.arange(12, 14)


@pytest.fixture(scope="module")
def both():
    """Three blocks that couple, and two elements that all share: by the curvature and as an array."""
    rng = np.random.default_rng(3)
    ends = np.cumsum([0, *SIZES])
    blocks = [np.arange(a, b) for a, b in pairwise(ends)]
    columns = rng.normal(size=(60, 14))
    columns[:20, 7:12], columns[20:40, :4], columns[40:, 4:7] = 0.0, 0.0, 0.0
    curvature = columns.T @ columns * np.outer(*[10.0 ** rng.uniform(-2, 2, 14)] * 2)
    return SparseCovariance(sparse.csr_array(curvature), (*blocks, SHARED)), np.linalg.inv(curvature)


def close(a, b, rtol=1e-9):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


def test_elements_are_those_of_the_array(both):
    ours, whole = both
    assert ours.shape == whole.shape
    close(np.asarray(ours), whole)
    close(ours.diagonal(), np.diag(whole))
    rows = np.array([1, 5, 13])
    close(within(ours, rows), within(whole, rows))
    close(ours.solve(np.arange(14.0)), whole @ np.arange(14.0))


def test_the_shared_follow_all_others_as_in_the_array(both):
    for a, b in zip(*(given(one, np.arange(12), SHARED) for one in both), strict=True):
        close(a, b)


@pytest.mark.parametrize("coupling", (0.0, 0.2, 0.6))
def test_pairs_that_correlate_are_those_of_the_array(both, coupling):
    ours, whole = ({*zip(*correlated(one, coupling), strict=True)} for one in both)
    assert ours == whole and len(whole) >= 14


def test_variances_alone_are_those_given_the_others(both):
    ours, whole = both
    sets = ours.blocks[:3]
    expected = variances_alone(whole, SHARED, sets)
    for a, b, rows in zip(variances_alone(ours, SHARED, sets), expected, sets, strict=True):
        close(a, b)
        others = np.setdiff1d(np.arange(12), rows)
        slope = np.linalg.solve(whole[np.ix_(others, others)], whole[np.ix_(others, rows)])
        close(b, np.diag(whole[np.ix_(rows, rows)] - whole[np.ix_(rows, others)] @ slope))


def test_the_root_gives_the_variance_of_what_depends_on_one_block(both):
    ours, whole = both
    short = root(ours)
    assert short.shape == (14, max(SIZES))
    close(root(whole) @ root(whole).T, whole)
    for rows in ours.blocks:
        slope = np.zeros(14)
        slope[rows] = np.random.default_rng(len(rows)).normal(size=len(rows))
        assert np.sum((slope @ short) ** 2) == pytest.approx(slope @ whole @ slope, rel=1e-9)


def test_a_curvature_is_put_together_from_rows(both):
    ours, _ = both
    whole = ours.curvature.toarray()
    seen = [(0, 1), (0, 1, 2), (1, 2)]
    known = [
        KnownRows(ours.blocks[i], np.concatenate([*(ours.blocks[j] for j in others), SHARED]), np.zeros(0))
        for i, others in enumerate(seen)
    ]
    rows = [one._replace(curvature=whole[np.ix_(one.own, one.members)]) for one in known]
    rows.append(KnownRows(SHARED, SHARED, whole[np.ix_(SHARED, SHARED)]))
    whole[:4, 7:12] = whole[7:12, :4] = 0.0  # which neither sees
    close(curvature_of(rows, 14).toarray(), whole, 1e-14)
    # the second block's rows alone know of its coupling
    rows[0] = KnownRows(ours.blocks[0], ours.blocks[0], whole[:4, :4])
    found = curvature_of(rows, 14).toarray()
    close(found[:4, 4:7], whole[:4, 4:7], 1e-14)


def test_a_direction_without_curvature_is_told(both):
    assert all(is_determined(one) for one in both)
    flat = sparse.csr_array(np.array([[1.0, 1.0], [1.0, 1.0 - 1e-13]]))
    assert not is_determined(SparseCovariance(flat, (np.arange(2),)))
    assert not is_determined(inverse(flat.toarray()))


def test_of_all_but_free_directions_errors_in_other_units_stay_what_they_are():
    """Of a flux in nJy, beside a position known to 1e-4 arcsec and a direction without curvature."""
    curvature = np.diag([1e8, 1e-8, 0.0])
    curvature[:2, :2] += 0.3 * np.sqrt(1e8 * 1e-8) * (1 - np.eye(2))
    found = covariance_of(SimpleNamespace(curvature=curvature))  # type: ignore[arg-type]
    close(np.sqrt(np.diag(found))[:2], np.sqrt(np.diag(np.linalg.inv(curvature[:2, :2]))), 1e-6)


def test_it_can_be_copied_and_pickled(both):
    ours = next(one for one in both if isinstance(one, SparseCovariance))
    ours.diagonal()
    close(pickle.loads(pickle.dumps(ours)).diagonal(), ours.diagonal(), 1e-14)


def test_it_can_be_put_in_a_file(both, tmp_path):
    for one in both:
        np.savez(tmp_path / "kept.npz", **pack_covariance(one))
        with np.load(tmp_path / "kept.npz") as packed:
            again = unpack_covariance(dict(packed))
        close(np.asarray(again), np.asarray(one), 1e-14)
        assert [list(rows) for rows in getattr(again, "blocks", ())] == [
            list(rows) for rows in getattr(one, "blocks", ())
        ]
