"""Reproduce WISP's published figures: the whole set in one command.

    python benchmarks/paper.py [--seeds 5] [--jobs 2] [--only SECTION] [--quick] [--out DIR]

Sections: table (12 capacities, 3 goodputs, headline ratios), predictions (other servers, nothing else
changed), sensitivity (calibrated parameters by 20 % up and down), readings (every other choice undone alone),
limits (engine limits 8 to 256), sled (from SLED to WISP part by part), dip-sd (a slower law of passes).
Finished rows are kept in DIR: the same command goes on where it was interrupted. A run ends with one line of
JSON with every cell. A run of all sections writes it to benchmarks/results/paper.json, draws
docs/images/paper-*.png and makes the tables of docs/reproduction.md anew; `--only` and `--quick` write into
DIR alone. `--quick` is a toy that shows that everything runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.paper.command import main  # noqa: E402 (this clone's, wherever this is run)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], __doc__ or ""))
