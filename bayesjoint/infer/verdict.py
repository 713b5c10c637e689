"""Whether to trust a result, and what to do about it, in plain words.

Rules (`judge_...`, here and in `goodness.py` and `mixing.py`) take numbers and return findings; `Verdict.from_findings`
sums them up.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Severity = Literal["ok", "note", "warning", "fail"]

_ORDER: tuple[Severity, ...] = ("fail", "warning", "note", "ok")


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes
    ----------
    severity : {"ok", "note", "warning", "fail"}
        A note is for information; a warning asks to be looked at before publishing; a fail forbids trust.
    what : str
        What was found, in words.
    figure : float
        The number behind it (NaN where there is none).
    advice : str
        What to do about it; empty when nothing needs to be done.
    """

    severity: Severity
    what: str
    figure: float = float("nan")
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.severity}: {self.what}" + (f" -> {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Verdict:
    """Whether a result can be trusted, with the findings behind it, gravest first.

    Examples
    --------
    >>> print(Verdict.from_findings([Finding("ok", "no divergences")], "the posterior"))
    The posterior can be trusted: all 1 checks passed.
    """

    trusted: bool
    headline: str
    findings: tuple[Finding, ...] = ()

    @classmethod
    def from_findings(cls, findings: Iterable[Finding], subject: str = "the posterior") -> Verdict:
        """Sum up: one fail takes the trust away; warnings leave it, but are named in the headline."""
        ordered = tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))
        fails, warned = (sum(f.severity == s for f in ordered) for s in ("fail", "warning"))
        subject = subject[0].upper() + subject[1:]
        if fails:
            headline = f"{subject} is NOT to be trusted yet: {counted(fails, 'check')} failed"
            headline += f" and {counted(warned, 'warning')} came up." if warned else "."
        elif warned:
            headline = f"{subject} can be used with care: {counted(warned, 'warning')} to look at."
        else:
            headline = f"{subject} can be trusted: all {len(ordered)} checks passed."
        return cls(not fails, headline, ordered)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict.from_findings(self.findings + other.findings, "the result")

    def __str__(self) -> str:
        """The headline and what deserves a look, each advice once; checks that passed are left out."""
        lines = [self.headline]
        for severity, advice, found in self.grouped():
            lines += _wrapped(f"{severity}: " + "; ".join(found), "  ", "    ")
            lines += _wrapped(f"-> {advice}", "    ", "       ") if advice else []
        return "\n".join(lines)

    def grouped(self) -> list[tuple[Severity, str, list[str]]]:
        """What deserves a look as (severity, advice, findings that share them), gravest first."""
        groups: dict[tuple[Severity, str], list[str]] = {}
        for finding in self.findings:
            if finding.severity != "ok":
                groups.setdefault((finding.severity, finding.advice), []).append(finding.what)
        return [(severity, advice, found) for (severity, advice), found in groups.items()]

    def _repr_html_(self) -> str:
        grouped = (f"{severity}: {'; '.join(found)} → {advice}" for severity, advice, found in self.grouped())
        items = "".join(f"<li>{html.escape(text)}</li>" for text in grouped)
        return f"<b>{html.escape(self.headline)}</b><ul>{items}</ul>"

    def as_dict(self) -> dict:
        """Plain types for JSON; figures that are not finite become None."""
        findings = [
            {**vars(f), "figure": float(f.figure) if np.isfinite(f.figure) else None} for f in self.findings
        ]
        return {"trusted": self.trusted, "headline": self.headline, "findings": findings}


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent=first, subsequent_indent=rest)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def named(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
