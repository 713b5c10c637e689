"""`Scores`: whether images ask for another PSF, place, zero point or sky, and what that does to the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from bayesjoint.data.image import Image
from bayesjoint.infer.descriptions import DIRECTIONS
from bayesjoint.infer.score import ScoreTests
from bayesjoint.infer.verdict import Finding, Severity

if TYPE_CHECKING:
    from astropy.table import QTable

ALL = "all images"
FALSE_ALARMS = 0.01  # of each kind of test, in a check of a right model
FAILURE = 6.0
SLIGHT_SHIFT, GRAVE_SHIFT = 0.3, 2.0
_TAKEN_UP = 1e-3  # share of a direction that is left, under which the program has it
_KINDS = {
    "PSF width": ("%", "sample_seeing (of a ScalablePSF), or a better PSF"),
    "offset": ("arcsec", "sample_registration(images, offset=...), or mend the WCS"),
    "sky slope": ("nJy / (arcmin arcsec2)", "sample_sky(images, order=1) and PlaneSky"),
    "flux scale": ("%", "sample_registration(images, flux_scale=...), or mend the zero point"),
}


@dataclass(frozen=True, eq=False)
class Score:
    """The score test of one thing that one image may be off by, or all of them alike.

    Attributes
    ----------
    image : str
        Its name, or "all images".
    kind : str
        "PSF width", "offset", "sky slope" or "flux scale".
    amplitude, error : array (1,) or (2,)
        What a fit would find, had the program such a parameter, and its error: %, or arcsec and nJy/arcsec^2/arcmin to the
        East and to the North. NaN where it cannot be tested.
    sigma : float
        How far the data are from an amplitude of 0, as improbable as so many sigma.
    state : str
        "tested"; "prior" where the program has such a parameter, and its prior stands against the data; "taken up" where
        the program has one, or others that do the same; "no light" where nothing depends on it.
    labels : tuple of str
        Of the scalars that it may move.
    shifts : array (1, scalars) or (2, scalars)
        How far these are off for one unit of each amplitude, in standard deviations.
    """

    image: str
    kind: str
    amplitude: np.ndarray
    error: np.ndarray
    sigma: float
    state: str
    labels: tuple[str, ...]
    shifts: np.ndarray

    @property
    def p_value(self) -> float:
        """Probability of as much, where the model is right."""
        return float(2 * special.ndtr(-self.sigma))

    @property
    def is_tested(self) -> bool:
        """Whether there is a test at all."""
        return self.state in ("tested", "prior")

    def most_moved(self, amplitude: np.ndarray) -> tuple[str, float]:
        """The scalar that an amplitude moves most, and how far, in standard deviations; "" of none."""
        moved = np.asarray(amplitude) @ self.shifts
        if not moved.size or not np.isfinite(moved).all():
            return "", 0.0
        most = int(np.argmax(np.abs(moved)))
        return self.labels[most], float(moved[most])

    def in_words(self) -> str:
        """What the image seems to be off by."""
        psf = "PSFs seem" if self.image == ALL else "PSF seems"
        size = float(np.hypot(*np.pad(self.amplitude, (0, 2 - self.amplitude.size))))
        direction = self.amplitude / max(size, 1e-300)
        error = float(np.sqrt(np.sum((direction * self.error) ** 2)))
        about = f"{size:.2g} +- {error:.1g}"
        up = self.amplitude[0] > 0
        told = {
            "PSF width": f"{psf} {about} % too {'narrow' if up else 'wide'}",
            "flux scale": f"fluxes seem {about} % too {'high' if up else 'low'}",
            "offset": f"sources seem shifted by {about} arcsec",
            "sky slope": f"sky seems to rise by {about} nJy/arcsec2 an arcmin",
        }[self.kind]
        if self.amplitude.size == 2:
            told += f" towards {_bearing(self.amplitude)}"
        return f"{self.image}: the {told}"


@dataclass(frozen=True, eq=False)
class Scores:
    """Score tests of all images: those of one kind one after the other.

    Attributes
    ----------
    tests : tuple of Score
    """

    tests: tuple[Score, ...]

    def of_kind(self, kind: str) -> list[Score]:
        """Those that could be made."""
        return [one for one in self.tests if one.kind == kind and one.is_tested]

    def suspects(self, kind: str) -> list[Score]:
        """Those that chance gives in one of a hundred checks of right models at most, the gravest first.

        Where all PSFs off alike explain the data better than any single one, that is all that is said of PSFs.
        """
        made = self.of_kind(kind)
        odd = sorted(
            (one for one in made if one.p_value * len(made) < FALSE_ALARMS), key=lambda one: -one.sigma
        )
        if odd and odd[0].image == ALL:
            return odd[:1]
        return [one for one in odd if one.image != ALL]

    def findings(self) -> list[Finding]:
        """What the images ask to be told otherwise, and what the parameters would feel that the images cannot tell."""
        found = [_judge(one) for kind in _KINDS for one in self.suspects(kind)]
        made = [one for one in self.tests if one.is_tested]
        if made and not found:
            most = max(made, key=lambda one: one.sigma)
            what = (
                f"{len(made)} score tests of PSFs, places, skies and fluxes: at most {most.sigma:.1f} sigma"
            )
            found.append(Finding("ok", f"{what} ({most.image}: {most.kind})", most.sigma))
        return found + self._judge_sensitivity()

    def _judge_sensitivity(self) -> list[Finding]:
        """Whether a PSF that is off by one per cent would be felt."""
        lit = [one for one in self.tests if one.kind == "PSF width" and one.state != "no light"]
        if not lit:
            return []
        felt = max(lit, key=lambda one: abs(one.most_moved(np.ones(1))[1]))
        name, shift = felt.most_moved(np.ones(1))
        if abs(shift) < SLIGHT_SHIFT:
            return []
        known = f"; the images tell its width to {felt.error[0]:.1g} %" if felt.is_tested else ""
        whose = "PSFs of all images" if felt.image == ALL else f"the PSF of {felt.image}"
        what = f"{whose} wider by 1 % than told would have moved {name} by {shift:+.1f} sd{known}"
        advice = "know the PSF better than that, or let the program sample its width (sample_seeing)"
        return [Finding("note", what, shift, advice)]

    def __str__(self) -> str:
        """Sigma of each test, a line for each image; those that are told are marked."""
        odd = {(one.image, one.kind) for kind in _KINDS for one in self.suspects(kind)}
        cells = {(one.image, one.kind): _cell(one, odd) for one in self.tests}
        names = list(dict.fromkeys(one.image for one in self.tests))
        width = max(map(len, names), default=0)
        lines = ["Score tests, sigma", "  " + " " * width + "".join(f"  {kind:>14}" for kind in _KINDS)]
        for name in names:
            row = (cells.get((name, kind), "") for kind in _KINDS)
            lines.append(f"  {name:<{width}}" + "".join(f"  {cell:>14}" for cell in row).rstrip())
        return "\n".join(lines)

    def table(self) -> QTable:
        """A row for each amplitude: what it is and its error, in sigma, the scalar it moves most, and how far."""
        from astropy.table import QTable

        rows: list[Mapping[str, Any]] = []
        for one in self.tests:
            names = [one.kind] if one.amplitude.size == 1 else [f"{one.kind} {d}" for d in ("East", "North")]
            for i, name in enumerate(names):
                unit = np.eye(len(names))[i]
                label, shift = one.most_moved(unit * np.nan_to_num(one.amplitude))
                rows.append(
                    {
                        "image": one.image,
                        "direction": name,
                        "amplitude": one.amplitude[i],
                        "error": one.error[i],
                        "unit": _KINDS[one.kind][0],
                        "sigma": one.amplitude[i] / one.error[i],
                        "state": one.state,
                        "moves most": label,
                        "by": shift,
                        "by per unit": one.most_moved(unit)[1],
                    }
                )
        columns = rows[0] if rows else {}
        table = QTable({name: [row[name] for row in rows] for name in columns})
        for name in ("amplitude", "error"):
            table[name].info.format = ".3g"  # type: ignore
        for name in ("sigma", "by", "by per unit"):
            table[name].info.format = ".2f"  # type: ignore
        return table


def _cell(one: Score, odd: set[tuple[str, str]]) -> str:
    return f"{one.sigma:.1f}{'*' * ((one.image, one.kind) in odd)}" if one.is_tested else "-"


def _judge(one: Score) -> Finding:
    name, shift = one.most_moved(one.amplitude)
    what = f"{one.in_words()} ({one.sigma:.1f} sigma)"
    if name:
        what += f", which has moved {name} by {shift:+.1f} sd"
    advice = f"free it in the program: {_KINDS[one.kind][1]}"
    if one.state == "prior":
        what += ", beyond what the program's prior of it allows"
        advice = "widen the prior of what the program samples of it"
    elif one.kind == "PSF width":
        advice += "; where chi2 of the source is told, too, it may be the profile that is wrong"
    severity: Severity = "warning" if abs(shift) > SLIGHT_SHIFT or not name else "note"
    if one.sigma > FAILURE and abs(shift) > GRAVE_SHIFT:
        severity = "fail"
    return Finding(severity, what, one.sigma, advice)


def _bearing(amplitude: np.ndarray) -> str:
    """The nearest of eight points of the compass.

    Examples
    --------
    >>> _bearing(np.array([1.0, 0.1])), _bearing(np.array([-1.0, -1.0]))
    ('East', 'South-West')
    """
    points = "North North-East East South-East South South-West West North-West".split()
    return points[round(np.degrees(np.arctan2(*amplitude)) / 45) % 8]


def mixtures(images: Sequence[Image]) -> tuple[list[tuple[str, str, list[int]]], np.ndarray]:
    """The tests (image, kind, which rows) of images, and the mixtures (rows, images x directions) that these rows are.

    A row is a direction of one image, in the units of `Score`; last, where there are several, all PSFs together.
    """
    count = len(images)
    scale = np.diag(np.ones(count * len(DIRECTIONS)))
    rows, tests = [], []
    for kind in _KINDS:
        unit = 0.01 if _KINDS[kind][0] == "%" else 1.0
        members = [j for j, name in enumerate(DIRECTIONS) if name.startswith(kind)]
        for i, image in enumerate(images):
            tests.append((image.name, kind, list(range(len(rows), len(rows) + len(members)))))
            rows += [scale[i * len(DIRECTIONS) + j] * unit for j in members]
        if kind == "PSF width" and count > 1:
            tests.append((ALL, kind, [len(rows)]))
            rows.append(np.sum(rows, axis=0))
    return tests, np.array(rows)


def scores_of(
    tests: Sequence[tuple[str, str, list[int]]],
    found: ScoreTests,
    labels: tuple[str, ...],
    shifts: np.ndarray,
) -> Scores:
    """`Scores` from tests of the rows of `mixtures`, and how far scalars (rows, scalars) are off for one unit of each."""
    return Scores(tuple(_score(*test, found, labels, shifts[test[2]]) for test in tests))


def _score(image: str, kind: str, rows: list[int], found: ScoreTests, labels, shifts) -> Score:
    known, left = found.information[rows], np.diag(found.variance)[rows]
    state, nothing = "tested", np.full(len(rows), np.nan)
    if np.any(known <= 0):
        state = "no light"
    elif np.any(left < _TAKEN_UP * known):
        state = "taken up"
    if state != "tested":
        return Score(image, kind, nothing, nothing, np.nan, state, labels, shifts)
    if np.any(found.likelihood_only[rows] < _TAKEN_UP * known):
        state = "prior"
    covariance = np.linalg.inv(found.variance[np.ix_(rows, rows)])
    score = found.score[rows]
    amplitude = covariance @ score
    sigma = float(-special.ndtri(0.5 * special.chdtrc(len(rows), score @ amplitude)))
    sigma = min(sigma, float(np.sqrt(score @ amplitude)))  # of what is too improbable for a probability
    return Score(image, kind, amplitude, np.sqrt(np.diag(covariance)), sigma, state, labels, shifts)
