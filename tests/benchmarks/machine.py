"""What every benchmark page says of where and with what it was measured, and its tables."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

PACKAGES = ("bayesjoint", "jax", "jaxlib", "numpyro", "numpy", "scipy", "astropy", "arviz", "galsim")


def heading(title: str, how: str | None) -> str:
    """Title, how it is made, date, machine and versions, in Markdown."""
    about = (how or "").strip().splitlines()[0]
    return f"# {title}\n\n{about}\n\n{measured()}\n\n"


def measured() -> str:
    """Date, machine and versions in one sentence."""
    versions = ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    return (
        f"Measured {datetime.date.today().isoformat()} on {_processor()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {versions}."
    )


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
