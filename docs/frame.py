"""Draw what an environment's render() shows, of any policy in any scenario, into a PNG.

python docs/frame.py --out docs/images/frame.png
python docs/frame.py --scenario paper-qwen3-32b-a100 --policy sled --at 90 --out sled.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
if str(CLONE) not in sys.path:
    sys.path.insert(0, str(CLONE))

from wisp_gym.errors import InputError  # noqa: E402 (the clone's, wherever this is run)


def draw(options: argparse.Namespace) -> None:
    """Run a policy through a test world up to a time and draw its last seconds."""
    from PIL import Image

    from baselines import resolve
    from wisp_gym import scenario
    from wisp_gym.pipeline import Simulation
    from wisp_gym.rendering import frame
    from wisp_gym.world import draw_world, world_seed

    loaded = scenario.load(options.scenario, options.overrides)
    if not 0 < options.at <= loaded.horizon_s:
        raise InputError(f"--at {options.at:g}; allowed: seconds, up to the horizon, {loaded.horizon_s:g}")
    world = draw_world(loaded, world_seed("test", options.seed))
    simulation = Simulation(world, resolve(options.policy), policy_seed=options.seed, log=True)
    simulation.until(round(1e9 * options.at))
    picture = frame(simulation, title=f"{loaded.name}, {options.policy}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(options.out, optimize=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenario", default="quickstart", metavar="NAME", help="(%(default)s)")
    parser.add_argument("--policy", default="wisp", metavar="NAME", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the test world (%(default)s)")
    parser.add_argument(
        "--at", type=float, default=70.0, metavar="S", help="end of the picture (%(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    try:
        draw(parser.parse_args(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
