"""Several images of a band, and sources that vary: joint fits against stacks; writes docs/benchmarks/epochs.md.

    python tests/benchmarks/epochs.py [--parts dithers,undersampled,supernova,observed] [--count 50]
        [--observed FOLDER] [--scratch FOLDER] [--results FOLDER] [--page docs/benchmarks/epochs.md]

Each realisation is kept in the scratch folder as soon as it is there: what was stopped goes on from it. Truths are drawn by
GalSim; `observed` wants a folder with observed images (BAYESJOINT_DATA).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from epochs_page import page
from epochs_statistics import realisations
from machine import measured


def main() -> None:
    """Run the parts asked for and write the page of all that are there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--observed", type=Path, default=os.environ.get("BAYESJOINT_DATA"))
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "epochs")
    parser.add_argument("--results", type=Path, default=Path("docs/benchmarks/epochs"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks/epochs.md"))
    args = parser.parse_args()
    import numpyro

    numpyro.enable_x64()
    import bayesjoint as bj

    bj.enable_compilation_cache()
    args.results.mkdir(parents=True, exist_ok=True)
    for part in filter(None, args.parts.split(",")):
        saved = {"found": PARTS[part](args), "measured": measured()}
        (args.results / f"{part}.json").write_text(json.dumps(saved, indent=1) + "\n")
    found = {path.stem: json.loads(path.read_text()) for path in args.results.glob("*.json")}
    args.page.write_text(page(found))


def dithers(args: argparse.Namespace) -> dict:
    """Eight exposures and their average."""
    import epochs_dithers

    found = realisations(args.scratch / "dithers", args.count, epochs_dithers.dithers)
    return epochs_dithers.summary(found, 1)


def undersampled(args: argparse.Namespace) -> dict:
    """Pixels as wide as the PSF."""
    import epochs_dithers

    found = realisations(args.scratch / "undersampled", args.count, epochs_dithers.undersampled)
    return epochs_dithers.summary(found, 2)


def supernova(args: argparse.Namespace) -> dict:
    """A light curve by joint fits and by difference imaging."""
    import epochs_supernova

    made = realisations(args.scratch / "supernova", args.count, epochs_supernova.supernova)
    found = epochs_supernova.summary(made)
    drawn = epochs_supernova.figure(found["first"])
    drawn.savefig(args.page.parent.parent / "figures" / "supernova.png", dpi=200)
    return found


def observed(args: argparse.Namespace) -> dict:
    """Observed exposures, each predicted from the others."""
    import epochs_observed

    return epochs_observed.observed(args.observed, args.scratch / "observed")


PARTS = {"dithers": dithers, "undersampled": undersampled, "supernova": supernova, "observed": observed}

if __name__ == "__main__":
    main()
