"""PSFs as plain text and stamps, and back: with the very numbers that they had."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np

from bayesjoint.data.analytic_psf import AnalyticPSF
from bayesjoint.data.psf import PSF
from bayesjoint.data.psf_basis import (
    EigenPSF,
    EigenWeights,
    PolynomialWeights,
    ScalablePSF,
    StampBasisPSF,
    VaryingPSF,
)
from bayesjoint.data.transfer import PointSpread


def psf_stamps(psf: PointSpread) -> np.ndarray | None:
    """What of a PSF is no text: its stamp (ny, nx), or of a sum the first stamp and its terms (1 + terms, ny, nx)."""
    if isinstance(psf, PSF):
        return psf.stamp
    return np.stack([psf.first.stamp, *psf.stamps]) if isinstance(psf, StampBasisPSF) else None


def psf_record(psf: PointSpread) -> dict[str, Any]:
    """All else of a PSF, ready for JSON."""
    if isinstance(psf, PSF):
        shared = {"oversampling": psf.oversampling, "includes_pixel": psf.includes_pixel}
        return {"kind": "stamp", **shared, "centre": psf.centre}
    if isinstance(psf, ScalablePSF):
        return {"kind": "scalable", "psf": psf_record(psf.psf), "spread": psf.spread}
    if isinstance(psf, VaryingPSF):
        weights = dataclasses.asdict(psf.weights)
        return {"kind": "varying", "first": psf_record(psf.first), "places": psf.places, "weights": weights}
    if isinstance(psf, EigenPSF):
        return {"kind": "eigen", "first": psf_record(psf.first)}
    return {"kind": _kind(type(psf)), **dataclasses.asdict(cast(Any, psf))}


def _kind(family: type) -> str:
    return family.__name__.removesuffix("PSF").lower()


def recorded_psf(record: dict[str, Any], stamps: np.ndarray | None) -> PointSpread:
    """The PSF of a record and of `psf_stamps`."""
    kind = record.pop("kind")
    if kind == "stamp":
        psf = PSF(stamps, **record)
        psf.stamp = np.array(stamps, dtype=float)  # normalised already: keep its last bits
        return psf
    if kind == "scalable":
        return ScalablePSF(cast(AnalyticPSF, recorded_psf(record["psf"], None)), record["spread"])
    if kind in ("varying", "eigen") and stamps is not None:
        first, terms = cast(PSF, recorded_psf(record["first"], stamps[0])), np.array(stamps[1:], dtype=float)
        if kind == "eigen":
            return EigenPSF.of_terms(first, terms, EigenWeights(len(terms) - 1))
        found = VaryingPSF.of_terms(first, terms, PolynomialWeights(**_with_tuples(record["weights"])))
        found.places = record["places"]
        return found
    families: dict[str, Any] = {_kind(family): family for family in AnalyticPSF.__subclasses__()}
    return families[kind](**_with_tuples(record))


def _with_tuples(record: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
