"""Accuracy and speed of rendering, ours and the peers'; writes docs/benchmarks/rendering.md and .csv.

    python tests/benchmarks/rendering.py [--parts accuracy,sizes,edges,peers,speed] [--peers PYTHON ...]
        [--rows docs/benchmarks/rendering] [--out docs/benchmarks/rendering.md]

Each part saves its rows, with its date and machine, in the folder `--rows`; the page is made of all that lie there, so
parts may be measured at different times. On one core: accuracy 8 minutes, sizes 4, edges 1, peers 3, speed 7.
`--peers` takes the Python of an environment that has AstroPhot or pysersic; without it those columns are left out:

    python -m venv astrophot && astrophot/bin/pip install torch astrophot==0.18.0
    python -m venv pysersic && pysersic/bin/pip install pysersic==0.1.5 "jax!=0.10.2"
    python tests/benchmarks/rendering.py --peers astrophot/bin/python --peers pysersic/bin/python
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import measured
from rendering_page import page

PEERS = ("AstroPhot", "pysersic")


def main() -> None:
    """Measure the parts asked for and write the page of all that are there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS) + "; '' only rebuilds the page"
    )
    parser.add_argument("--peers", action="append", default=[], metavar="PYTHON")
    parser.add_argument("--rows", type=Path, default=Path("docs/benchmarks/rendering"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/rendering.md"))
    args = parser.parse_args()
    asked = [part for part in args.parts.split(",") if part]
    if unknown := set(asked) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    args.rows.mkdir(parents=True, exist_ok=True)
    pythons = find_peers(args.peers)
    for part in asked:
        rows = PARTS[part](pythons, args.out.with_suffix(".csv"))
        saved = {"measured": measured(), "rows": rows}
        (args.rows / f"{part}.json").write_text(json.dumps(saved, indent=1) + "\n")
    found = {path.stem: json.loads(path.read_text()) for path in args.rows.glob("*.json")}
    args.out.write_text(page(found, args.out.with_suffix(".csv").name))
    print(args.out.read_text())


def find_peers(pythons: list[str]) -> dict[str, str]:
    """Which peer each Python has."""
    found = {}
    for python in pythons:
        code = "import importlib.util as u; print(*(n for n in {names!r} if u.find_spec(n)))"
        command = [python, "-c", code.format(names=[name.lower() for name in PEERS])]
        has = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        if not has:
            raise SystemExit(
                f"{python} has neither AstroPhot nor pysersic: see --help for how to install them"
            )
        found |= {name: str(Path(python).absolute()) for name in PEERS if name.lower() in has}
    return found


def accuracy(pythons, path: Path) -> dict:
    """Ours over the whole grid."""
    from rendering_grid import accuracy_rows

    return accuracy_rows(path)


def edges(pythons, path: Path) -> list:
    """Sources on and off the edge."""
    from rendering_grid import edge_rows

    return edge_rows()


def peers(pythons, path: Path) -> dict:
    """Every code on part of the grid."""
    from rendering_peers import peer_rows

    return peer_rows(pythons)


def speed(pythons, path: Path) -> dict:
    """Every code on the r band of the demo."""
    from rendering_speed import speed_rows

    return speed_rows(pythons)


def sizes(pythons, path: Path) -> list:
    """Galaxies far smaller than a pixel, and far larger than the image."""
    from rendering_grid import size_rows

    return size_rows()


PARTS = {"accuracy": accuracy, "sizes": sizes, "edges": edges, "peers": peers, "speed": speed}

if __name__ == "__main__":
    main()
