"""How figures look: sizes for a two-column paper, sans-serif type, colours safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

from bayesjoint.report.quantities import Quantity

COLUMN_WIDTH, PAGE_WIDTH = 3.4, 7.1  # inches
# Okabe & Ito (2008): told apart by readers with any of the common colour deficiencies.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
TRUTH_COLOUR = "#D55E00"
DRAWS_COLOUR = "#0072B2"
MASKED_COLOUR = "#b5b5b5"

_SYMBOLS = {
    "east": "East",
    "north": "North",
    "q": "$q$",
    "pa": "PA",
    "n": "$n$",
    "Re": r"$R_\mathrm{e}$",
    "Ie": r"$I_\mathrm{e}$",
    "flux": "flux",
    "sky": "sky",
}
_UNITS = {"arcsec": "arcsec", "deg": "deg", "nJy": "nJy", "nJy / arcsec2": r"nJy/arcsec$^2$"}
_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "axes.formatter.useoffset": False,
    "figure.dpi": 150,
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Matplotlib settings for a two-column paper, put back afterwards."""
    with mpl.rc_context(_SETTINGS):
        yield


def axis_label(quantity: Quantity, several_sources: bool = False, separator: str = " ") -> str:
    """A quantity's symbol and unit for an axis, with its source only where there are several."""
    where = quantity.image or quantity.band
    if quantity.parameter == "mag":
        symbol, unit = f"{where}{separator}mag" if where else "mag", ""
    else:
        symbol = _SYMBOLS.get(quantity.parameter, quantity.parameter.replace("_", " "))
        symbol, unit = f"{symbol} {where}".strip(), _UNITS.get(quantity.unit, quantity.unit)
    source = f"{quantity.source} " if several_sources and quantity.source else ""
    return f"{source}{symbol}" + (f"{separator}[{unit}]" if unit else "")
