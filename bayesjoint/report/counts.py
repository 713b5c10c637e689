"""Numbers of draws, chains and simulations, as users give them."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_whole(name: str, count: Any, least: int) -> None:
    """Raise ValueError unless a count is a whole number from `least` on."""
    is_number = isinstance(count, int | float | np.number) and np.isfinite(count)
    if not is_number or count != int(count) or count < least:
        raise ValueError(f"{name} must be a whole number from {least} on, got {count!r}")
