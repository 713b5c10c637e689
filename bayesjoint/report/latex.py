"""A paper's table: plain LaTeX with values, asymmetric errors and a caption that says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bayesjoint.data.frame import TangentFrame
from bayesjoint.report.estimates import Estimate, rounded
from bayesjoint.report.photometry import ONE_SIGMA, interval_words
from bayesjoint.report.quantities import Quantity
from bayesjoint.report.tables import colour_estimate, distinct_fluxes, estimate, fluxes_by_label

SYMBOLS = {
    "east": r"$\Delta_{\rm E}$",
    "north": r"$\Delta_{\rm N}$",
    "q": r"$q$",
    "pa": r"PA (E of N)",
    "n": r"$n$",
    "Re": r"$R_{\rm e}$",
    "Ie": r"$I_{\rm e}$",
    "flux": r"$F$",
    "mag": r"$m$",
    "sky": "sky",
}
UNITS = {
    "arcsec": "arcsec",
    "deg": "deg",
    "nJy": "nJy",
    "nJy / arcsec2": r"nJy\,arcsec$^{-2}$",
    "nJy / (arcmin arcsec2)": r"nJy\,arcsec$^{-2}$\,arcmin$^{-1}$",
    "mag": "mag",
}
_ESCAPES = {
    "_": r"\_",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
}


def to_latex(
    found: Sequence[Quantity],
    probability: float = ONE_SIGMA,
    sky: bool = False,
    frame: TangentFrame | None = None,
) -> str:
    """A LaTeX `table` of structure, brightness, magnitudes and colours.

    Parameters
    ----------
    found : sequence of Quantity
    probability : float
        Of the equal-tailed interval behind the errors.
    sky : bool
        Whether to list the sky levels too.
    frame : TangentFrame, optional
        Whose tangent point the caption names.

    Returns
    -------
    str
        Needs no LaTeX package. Undetected bands are limits, in 95 %.
    """
    sources = list(dict.fromkeys(q.source for q in found if q.source))
    body: list[str] = []
    for source in sources:
        if len(sources) > 1:
            body += [r"\hline", rf"\multicolumn{{4}}{{c}}{{{escape(source)}}} \\", r"\hline"]
        body += _source_rows(found, source, probability)
    others = [q for q in found if not q.source and (sky or not q.is_sky)]
    body += [r"\hline"] * bool(others and sources) + [_row(q, estimate(q, None, probability)) for q in others]
    head = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(probability, frame)}}}",
        r"\begin{tabular}{llll}",
    ]
    head += [r"\hline", r"Parameter & Band & Value & Unit \\", r"\hline"]
    return "\n".join([*head, *body, r"\hline", r"\end{tabular}", r"\end{table}", ""])


def _source_rows(found: Sequence[Quantity], source: str, probability: float) -> list[str]:
    """Parameters of one source, its magnitudes, and the colours of neighbouring bands."""
    fluxes = fluxes_by_label(found)
    rows = []
    for q in found:
        if q.source == source:
            rows.append(_row(q, estimate(q, fluxes.get((q.source, q.band, q.image)), probability)))
    for one, two in pairwise(distinct_fluxes(found, source)):
        shade = colour_estimate(one, two, probability)
        rows.append(rf"colour & {escape(shade.name).replace(' - ', ' $-$ ')} & {value(shade)} & mag \\")
    return rows


def _row(quantity: Quantity, one: Estimate) -> str:
    symbol = SYMBOLS.get(quantity.parameter, escape(quantity.parameter))
    where = escape(quantity.image or quantity.band)
    return rf"{symbol} & {where} & {value(one)} & {UNITS.get(one.unit, escape(one.unit))} \\"


def value(one: Estimate) -> str:
    r"""An estimate in maths mode, e.g. `$2.413^{+0.021}_{-0.020}$`, or `$>24.31$` for a limit.

    Examples
    --------
    >>> import numpy as np
    >>> print(value(Estimate("n", "", np.random.default_rng(0).normal(2, 0.2, (2, 5000)))))
    $2.00^{+0.20}_{-0.20}$
    """
    if one.limit is not None:
        return (
            r"\ldots"
            if one.limit.direction == "undetermined"
            else f"${one.limit.direction}{one.limit.value:.2f}$"
        )
    if one.upper == one.lower:
        return f"${one.median:.6g}$ (fixed)"
    median, above, below = rounded(one.median, one.upper - one.median, one.median - one.lower)
    return f"${median}^{{+{above}}}_{{-{below}}}$"


def _caption(probability: float, frame: TangentFrame | None) -> str:
    words = interval_words(probability).replace(" %", r"\,\%")
    where = "the images' tangent point"
    where += "" if frame is None else rf", RA {frame.ra:.6f}$^\circ$, Dec ${frame.dec:+.6f}^\circ$"
    return (
        rf"Posterior medians with {words} credible intervals; limits hold at 95\,\%. Magnitudes are AB and "
        rf"total, fluxes total, offsets East and North of {where}; "
        r"$R_{\rm e}$ is the semi-major axis that holds half the light."
    )


def escape(text: str) -> str:
    r"""Text safe in LaTeX.

    Examples
    --------
    >>> print(escape("g_1 & r"))
    g\_1 \& r
    """
    return "".join(_ESCAPES.get(letter, letter) for letter in text)
