"""Fit WISP's verification time estimator to a server's own measurements.

python -m wisp_gym.estimation --csv measured.csv --out estimator.json
python evaluate.py --policy wisp --set server.estimator=estimator.json

Of the batches, 123 in 173 are fitted and the others test the fit; the file is made of all of them. The
columns are batch,new,cached,time_ms, one row per request of a batch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wisp_gym._files import check_target
from wisp_gym._parser import INPUT_ERROR, OneLineParser, path_argument
from wisp_gym.errors import InputError
from wisp_gym.estimation.batches import Batches
from wisp_gym.estimation.fit import TERMS, Errors, fit
from wisp_gym.estimation.measurements import read_measurements
from wisp_gym.profiles import Estimator


def fitted(batches: Batches, source: str) -> tuple[Estimator, Errors]:
    """Return the estimator of measured batches, fitted to all of them, and the errors on the batches
    held out of a fit to the others.

    :param batches: what was measured; :param source: what to call them in the file's note
    """
    _, errors = batches.fit_and_test()
    values = [float(f"{value * 1e-6:.9g}") for value in fit(batches.sums, batches.times_ns)]
    assert len(values) == TERMS
    note = (
        f"{len(batches.times_ns)} batches of {source}; held out {errors.batches}: "
        f"MAPE {100 * errors.mape:.2f} %, MAE {errors.mae_ms:.3g} ms, R2 {errors.r2:.3f}"
    )
    c0, c1, c2, c3 = values
    return Estimator(c0=c0, c1=c1, c2=c2, c3=c3, note=note), errors


def _write(path: Path, text: str) -> None:
    """Write a file under another name and rename it, so that it is there whole or not at all."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror})") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        os.replace(name, path)
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror})") from None
    finally:
        Path(name).unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 for wrong input, with nothing written."""
    purpose, _, rest = (__doc__ or "").partition("\n\n")
    parser = OneLineParser(
        prog="python -m wisp_gym.estimation",
        description=purpose,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--csv", required=True, metavar="FILE", type=path_argument, help="measurements")
    parser.add_argument(
        "--out", required=True, metavar="FILE", type=path_argument, help="the estimator, JSON"
    )
    options = parser.parse_args(arguments)
    try:
        check_target(options.out, f"--out {options.out}")
        estimator, errors = fitted(read_measurements(options.csv), options.csv.name)
        _write(options.out, estimator.text())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return INPUT_ERROR
    print(estimator.note)
    print(json.dumps({"file": str(options.out), **errors.as_dict()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
