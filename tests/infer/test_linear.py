"""What may be added to a curvature, by closed forms."""

import numpy as np
import pytest
from scipy import sparse

from bayesjoint.infer.linear import bounded, factors, is_positive

CURVATURE = np.diag([4.0, 1.0, 9.0, 2.0, 5.0])
NEAR = np.zeros(5)


def bending(**blocks):
    """Of the blocks (0, 1) and (2,), nothing of what is left."""
    found = np.zeros((5, 5))
    found[:2, :2], found[2, 2] = blocks["pair"], blocks["lone"]
    return sparse.csr_array(found)


@pytest.mark.parametrize("kind", (np.asarray, sparse.csr_array))
def test_what_is_small_is_added_as_it_is(kind):
    small = bending(pair=[[0.8, 0.3], [0.3, -0.2]], lone=-2.0)
    np.testing.assert_allclose(
        bounded(small, kind(CURVATURE), NEAR, -0.6).toarray(), small.toarray(), atol=1e-12
    )


def test_what_is_large_is_held_in_units_of_the_curvature():
    root = np.sqrt(np.diag([4.0, 1.0]))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    large = bending(pair=root @ turn @ np.diag([-3.0, 0.5]) @ turn.T @ root, lone=900.0)
    found = bounded(large, CURVATURE, NEAR, -0.6).toarray()
    np.testing.assert_allclose(found[:2, :2], root @ turn @ np.diag([-0.6, 0.5]) @ turn.T @ root)
    assert found[2, 2] == pytest.approx(90.0)
    assert np.linalg.eigvalsh(CURVATURE + found).min() > 0


def test_far_from_the_maximum_nothing_is_added_and_less_far_nothing_taken_away():
    root, turn = np.diag([2.0, 1.0]), np.array([[0.6, -0.8], [0.8, 0.6]])
    more = bending(pair=root @ turn @ np.diag([-0.3, 0.5]) @ turn.T @ root, lone=2.0)
    # a step of the pair alone would gain 0.5 * 4 in log posterior, one of the other 0.5 * 900 / 9
    found = bounded(more, CURVATURE, np.array([4.0, 0.0, 30.0, 0.0, 0.0]), -0.6).toarray()
    np.testing.assert_allclose(found[:2, :2], root @ turn @ np.diag([0.0, 0.5]) @ turn.T @ root, atol=1e-12)
    assert found[2, 2] == 0.0


def test_a_curvature_that_is_singular_is_no_obstacle():
    """Where a flux is nought the data say nothing of structure, nor may a prior."""
    singular = CURVATURE.copy()
    singular[:2, :2] = [[4.0, 0.0], [0.0, 0.0]]
    more = bending(pair=[[1.0, 0.0], [0.0, 0.0]], lone=2.0)
    np.testing.assert_allclose(bounded(more, singular, NEAR, -0.6).toarray(), more.toarray(), atol=1e-12)


@pytest.mark.parametrize("kind", (np.asarray, sparse.csr_array))
def test_a_matrix_is_positive_or_not(kind):
    """What is taken from two blocks may be too much for both where they are coupled; what is only added is not."""
    coupled = np.array([[1.0, 0.9], [0.9, 1.0]])
    softer = sparse.csr_array(np.diag([-0.6, -0.6]))
    assert is_positive(kind(coupled))
    for softest, positive in ((-0.6, False), (0.0, True)):
        assert is_positive(kind(coupled + bounded(softer, coupled, NEAR[:2], softest))) == positive


def test_what_is_exactly_singular_is_made_positive_and_what_is_not_finite_refused():
    singular = sparse.csc_array(np.ones((2, 2)))
    found, ridge = factors(singular)
    np.testing.assert_allclose(found.solve(np.ones(2)), 0.5, rtol=1e-6)
    assert 0 < ridge < 1e-6
    with pytest.raises(ValueError, match="the curvature of the log posterior is not finite"):
        factors(sparse.csc_array(np.array([[1.0, np.nan], [np.nan, 1.0]])))
