"""Does every wrong input end in success or in one clear line?

    python benchmarks/fuzz.py --inputs 500 --seed 0 [--jobs 2] [--kind scenario] [--only 17] [--keep DIR]

Each input is a valid scenario, profile, trace, file of measurements, agent setting, model, run, folder of
results, controller, action or command line with something wrong in it: types, missing and unknown keys, huge,
negative, NaN and infinite numbers, odd text, truncated and binary files, deep nesting, aliases, tags;
folders, pipes, devices and circular links in place of files. The seed decides all of them. Each is tried in a
process of its own in an empty folder; command lines start a new Python, the others call the same main() in a
fork. What can come of one:

success: exit code 0, something on standard output, nothing on standard error.
refused: exit code 2, one line on standard error, nothing written.
traceback: Python's own report, or death by a signal.
hang: longer than --limit-s by the clock on the wall.
memory: more than 4 GiB at any time.
wrote: files changed though it failed.
unclear: another exit code, or more or less than a line.

The last line is JSON. The exit code is 1 where anything but success and refusal was met; such inputs are
named.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.fuzz.command import main  # noqa: E402 (this clone's, wherever this is run)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], __doc__ or ""))
