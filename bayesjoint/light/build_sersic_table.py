"""Make ``sersic_table.npz``, the table of the Sersic profile's Fourier transform used for rendering.

Run ``python -m bayesjoint.light.build_sersic_table [OUT]``: under a minute on two cores.

In kappa^2 the nodes follow the floating-point format: with v = kappa^2 + 2^FIRST_OCTAVE, each octave
[2^e, 2^(e+1)) of v is cut into CELLS equal cells, so that the exponent and the leading bits of the mantissa
of v name its cell. In the Sersic index, ln n is cut into panels and everything is a polynomial of low degree
in each, through Chebyshev-Lobatto points: neighbouring panels share a point, so values are continuous across
them. The file holds, as Chebyshev coefficients: f and df/dkappa^2 at the nodes, b_n / n and ln of the total
flux (``hankel.sersic_log_norm_exact``).
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from bayesjoint.light.hankel import sersic_b_exact, sersic_hankel, sersic_hankel_slope, sersic_log_norm_exact

Array = NDArray[np.float64]

INDEX_EDGES = (0.3, 0.6, 1.35, 3.4, 10.0)
TERMS = 16
FIRST_OCTAVE, LAST_OCTAVE = -22, 26
CELLS = 64


def kappa_squared_nodes() -> Array:
    """Ends of the cells in kappa^2, increasing from 0; shape (octaves * CELLS + 1,)."""
    octaves = 2.0 ** np.arange(FIRST_OCTAVE, LAST_OCTAVE)
    v = octaves[:, None] * (1.0 + np.arange(CELLS)[None, :] / CELLS)
    return np.append(v.ravel(), 2.0**LAST_OCTAVE) - 2.0**FIRST_OCTAVE


def index_nodes() -> Array:
    """Sersic indices at the Chebyshev-Lobatto points of each panel in ln n; shape (panels, TERMS)."""
    edges = np.log(INDEX_EDGES)
    x = chebyshev.chebpts2(TERMS)
    n = np.exp(edges[:-1, None] + 0.5 * (x + 1.0) * np.diff(edges)[:, None])
    return np.clip(n, INDEX_EDGES[0], INDEX_EDGES[-1])


def series_in_index(values: Array) -> Array:
    """Chebyshev coefficients, axis 1, of values at `index_nodes` (panels, TERMS, ...)."""
    x = chebyshev.chebpts2(TERMS)
    to_series = np.linalg.inv(chebyshev.chebvander(x, TERMS - 1))
    return np.einsum("jt,pt...->pj...", to_series, values)


def rounded(series: Array, bits: int) -> Array:
    """`series` (..., nodes) to `bits` bits of each node's largest coefficient: the file compresses."""
    largest = np.abs(series).max(axis=(0, 1))
    unit = 2.0 ** (np.ceil(np.log2(largest)) - bits)
    return np.round(series / unit) * unit


def transform_at(n: float) -> tuple[Array, Array]:
    """f and df/dkappa^2 at all nodes, each of shape (nodes,)."""
    kappa = np.sqrt(kappa_squared_nodes())
    return sersic_hankel(kappa, n), sersic_hankel_slope(kappa, n)


def build(workers: int = 2) -> dict[str, np.ndarray]:
    """All arrays of the file, by name."""
    n = index_nodes()
    with ProcessPoolExecutor(workers) as pool:
        values = np.array(list(pool.map(transform_at, n.ravel())))
    values = values.reshape(*n.shape, 2, -1)
    return {
        "index_edges": np.array(INDEX_EDGES),
        "octaves": np.array([FIRST_OCTAVE, LAST_OCTAVE, CELLS], dtype=np.int64),
        "nodes": kappa_squared_nodes(),
        "value": rounded(series_in_index(values[:, :, 0]), 51),
        "slope": rounded(series_in_index(values[:, :, 1]), 44),
        "b_over_n": series_in_index(sersic_b_exact(n) / n),
        "log_norm": series_in_index(sersic_log_norm_exact(n)),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("sersic_table.npz")
    np.savez_compressed(out, allow_pickle=False, **build())
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")
