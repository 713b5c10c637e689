"""Names beside many marks in one panel, where they cover as little as can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_ANGLES = np.radians([45, 0, 90, 135, 315, 180, 225, 270])  # in the order in which they are liked
_REACHES = (1.0, 2.2, 3.4)  # how far out, in heights of a line
_LETTER = 0.62  # width of a letter over the height of a line


def place_labels(
    marks: np.ndarray,
    radii: np.ndarray,
    names: Sequence[str],
    size: float,
    panel: tuple[float, float],
    taken: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Middles (N, 2) of labels, one after the other each where it overlaps least with those before, the marks and the edge.

    Parameters
    ----------
    marks, radii : array (N, 2), (N,)
        Middles and radii of the marks, points (1/72 inch) from the panel's lower left corner.
    names : sequence of str
    size : float
        Of the text, points.
    panel : (width, height)
        Points.
    taken : sequence of array (4,), optional
        Left, bottom, right and top of what else is written there, points.

    Examples
    --------
    >>> marks = np.array([[50.0, 50.0], [55.0, 50.0]])
    >>> first, second = place_labels(marks, np.full(2, 4.0), ["s1", "s2"], 6.0, (100.0, 100.0))
    >>> bool(np.all(np.abs(first - second) < 6.0))
    False
    """
    boxes = list(taken)
    for i, (mark, radius, name) in enumerate(zip(marks, radii, names, strict=True)):
        half = 0.5 * size * np.array([_LETTER * len(name), 1.1])
        others = np.delete(np.arange(len(marks)), i)
        best, least = np.zeros(4), np.inf
        for penalty, middle in _candidates(mark, radius, half, size):
            box = np.concatenate([middle - half, middle + half])
            cost = penalty + _covered(box, boxes, marks, np.minimum(radii, size), others, panel)
            if cost < least:
                best, least = box, cost
        boxes.append(best)
    return np.array([(box[:2] + box[2:]) / 2 for box in boxes[len(taken) :]]).reshape(-1, 2)


def _candidates(mark: np.ndarray, radius: float, half: np.ndarray, size: float):
    """Places for a label about its mark, each with what it costs to be farther off, square points."""
    for k, reach in enumerate(_REACHES):
        for j, angle in enumerate(_ANGLES):
            towards = np.array([np.cos(angle), np.sin(angle)])
            yield size * (6 * k + 0.2 * j), mark + towards * (radius + 0.3 * size * reach + half)


def _covered(box, boxes, marks, radii, others, panel) -> float:
    """Square points of labels, marks and the outside of the panel that a label would cover."""
    area = np.prod(box[2:] - box[:2])
    inside = _overlap(box, np.array([0.0, 0.0, *panel]))
    cost = 4 * (area - inside) + sum(2 * _overlap(box, other) for other in boxes)
    if len(others):
        squares = np.concatenate(
            [marks[others] - radii[others, None], marks[others] + radii[others, None]], axis=1
        )
        cost += sum(_overlap(box, square) for square in squares)
    return float(cost)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(np.maximum(sides, 0.0)))
