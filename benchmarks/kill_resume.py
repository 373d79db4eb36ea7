"""Trainings killed with SIGKILL, taken up again, compared byte for byte with what nothing disturbed.

    python benchmarks/kill_resume.py --kills 20

Short trainings of all three agents end with their comparison. Each is run undisturbed, then again and again:
killed with its process group, at a random moment of its time or where it is about to make, rename or remove a
file (checkpoint, validation, model, run.json, the comparison's set), every third once more while it goes on,
and resumed to the end. One killed before its run.json stands is started anew by the same command. After the
kill, checkpoint and run.json must be readable or absent, and no set of files may pass for whole that is not;
at the end the weights, the records and every CSV must have the undisturbed run's bytes and nothing may be
left over. Left out are files with clock times: manifest.json and tensorboard's.
The last line is JSON. About ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents import checkpoint, model_file, run_record
from wisp_gym.errors import InputError
from wisp_gym.evaluation.output import unsealed

BENCHMARKS = Path(__file__).resolve().parent
TRAIN = BENCHMARKS.parent / "train.py"
AGENTS = ("ppo", "ppo", "a2c", "ppo", "maskable_ppo")
"""Which agent the kills fall on, in turn."""

RUN = "run"
WORLD = ("fleet.devices=8", "episode_s=5", "horizon_s=60")
SETTINGS = (
    *("environments=2", "rollout_steps=128", "hidden=[16]", "checkpoint_every=128"),
    *("validation_every=256", "validation_worlds=1", "validation_s=5"),
)
STEPS = 1024
SAME = (
    *("model.safetensors", "model.json", "run.json", "validation.csv"),
    *("validation/metrics.csv", "validation/summary.json"),
)
LIMIT_S = 600.0


@dataclass(frozen=True)
class Whole:
    """An undisturbed training.

    :param folder: where it ran
    :param seconds: from its start to its end
    :param moments: names of the moments at which it works with files
    """

    folder: Path
    seconds: float
    moments: list[str]


@dataclass
class Outcome:
    """What came of one kill.

    :param when: the moment
    :param faults: what was wrong after the kill, empty if nothing
    :param again: whether the resumed run was killed too
    :param anew: whether there was nothing to resume yet
    :param resumed: whether it ran to its end
    :param different: files that differ from the undisturbed run's
    """

    when: str
    faults: list[str]
    again: bool = False
    anew: bool = False
    resumed: bool = False
    different: tuple[str, ...] = ()


def words(agent: str) -> list[str]:
    """Return the arguments of a new training."""
    settings = SETTINGS + (() if agent == "a2c" else ("batch_size=64", "epochs=2"))
    return [
        *("--agent", agent, "--scenario", "quickstart", "--seed", "3", "--timesteps", str(STEPS)),
        *(word for change in WORLD for word in ("--set", change)),
        *(word for change in settings for word in ("--agent-set", change)),
        *("--validation-seeds", "1", "--out", RUN),
    ]


def start(folder: Path, arguments: list[str], moment: int | None = None) -> subprocess.Popen[str]:
    """Start a training in a process group of its own.

    :param folder: it runs in
    :param arguments: of train.py
    :param moment: at which it kills itself, see killed_at.py
    """
    watched = [str(BENCHMARKS / "killed_at.py"), str(moment), str(folder / "moments")]
    script = [str(TRAIN)] if moment is None else watched
    return subprocess.Popen(
        [sys.executable, *script, *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a training; return its exit code and what it said on standard error."""
    try:
        said = process.communicate(timeout=LIMIT_S)[1]
    finally:
        _kill(process)
    return process.returncode, said.strip()


def _kill(process: subprocess.Popen[str]) -> None:
    """End what is left of a process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def undisturbed(agent: str, folder: Path) -> Whole:
    """Run a training twice: once to compile and to find the bounds of the comparison, once to be timed."""
    for _ in range(2):
        shutil.rmtree(folder / RUN, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        begin = time.monotonic()
        code, said = finished(start(folder, words(agent), moment=-1))
        if code != 0:
            raise SystemExit(f"the undisturbed training failed ({code}): {said}")
    moments = (folder / "moments").read_text().splitlines()
    return Whole(folder, time.monotonic() - begin, moments)


def aims(whole: Whole, random_: random.Random) -> list[int]:
    """Return moments to aim at, the last first: one of every name, renames and removals before others."""
    named: dict[str, list[int]] = {}
    for moment, name in enumerate(whole.moments):
        named.setdefault(name, []).append(moment)
    chosen = [random_.choice(moments) for moments in named.values()]
    random_.shuffle(chosen)
    return sorted(chosen, key=lambda moment: " new " not in f" {whole.moments[moment]}")


def kill_one(agent: str, whole: Whole, folder: Path, aim: int | None, random_: random.Random) -> Outcome:
    """Train, kill, look at what is left, resume and compare.

    :param agent: its name
    :param whole: the undisturbed training of that agent
    :param folder: to work in
    :param aim: moment to kill at; None for a random time
    """
    folder.mkdir()
    if (whole.folder / "results").exists():  # the bounds of the comparison, found once
        shutil.copytree(whole.folder / "results", folder / "results")
    again = random_.random() < 1 / 3
    when = None if aim is None else f"at: {whole.moments[aim]}"
    process = start(folder, words(agent), moment=aim)
    while when is None:
        when = kill_at(process, random_, whole)
        if when is None:  # it was faster than the undisturbed one: nothing has been killed yet
            shutil.rmtree(folder / RUN)
            process = start(folder, words(agent))
    finished(process)
    outcome = Outcome(f"{agent} killed {when}", faults(folder / RUN, whole), again=again)
    if again:
        process = start(folder, ["--resume", RUN])
        when = kill_at(process, random_, whole)
        outcome.again = when is not None
        outcome.when += f", then {when}" if when else ""
        finished(process)
        outcome.faults += faults(folder / RUN, whole)
    code, said = finished(start(folder, ["--resume", RUN]))
    if code == 2 and "start it anew" in said:
        outcome.anew = True
        code, said = finished(start(folder, words(agent)))
    outcome.resumed = code == 0 or (code == 2 and "the run is complete" in said)
    if said and not (code == 2 and said.count("\n") == 0):
        outcome.faults.append(said.splitlines()[-1])
    outcome.different = tuple(differences(whole.folder / RUN, folder / RUN))
    return outcome


def kill_at(process: subprocess.Popen[str], random_: random.Random, whole: Whole) -> str | None:
    """Kill a training at a random moment of an undisturbed one's time; return it in words, None if it had
    ended before."""
    after_s = random_.uniform(0.0, whole.seconds)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"after {after_s:.2f} s of {whole.seconds:.1f}"
    return None


def faults(folder: Path, whole: Whole) -> list[str]:
    """Return what is wrong with a folder right after a kill: half a file, or a set that passes for whole."""
    found = []
    try:
        if (folder / "run.json").exists():
            run_record.read(folder)
        checkpoint.load(folder)
    except InputError as error:
        found.append(str(error))
    if unsealed(folder / "validation") is None:
        name = "validation/metrics.csv"
        if (folder / name).read_bytes() != (whole.folder / RUN / name).read_bytes():
            found.append("a comparison that passes for whole is another")
    try:
        model_file.read(folder)
        if (folder / "model.json").read_bytes() != (whole.folder / RUN / "model.json").read_bytes():
            found.append("a model that passes for whole is another")
    except InputError:
        pass  # not there yet, or refused
    return found


def differences(whole: Path, other: Path) -> list[str]:
    """Return the files in which two finished runs differ, and those that only one of them has."""
    there = [{path.name for path in one.iterdir()} for one in (whole, other)]
    different = sorted(there[0] ^ there[1])
    for name in SAME:
        contents = [(one / name).read_bytes() if (one / name).exists() else None for one in (whole, other)]
        if contents[0] != contents[1]:
            different.append(name)
    return different


def main() -> None:
    """Kill, resume, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="trainings to kill (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    options = parser.parse_args()
    if options.kills < 1:
        parser.error("--kills: at least 1")
    random_ = random.Random(options.seed)
    outcomes = []
    with tempfile.TemporaryDirectory() as place:
        agents = [AGENTS[index % len(AGENTS)] for index in range(options.kills)]
        wholes = {agent: undisturbed(agent, Path(place) / agent) for agent in sorted(set(agents))}
        aimed = {agent: aims(whole, random_) for agent, whole in wholes.items()}
        for index, agent in enumerate(agents):
            aim = aimed[agent].pop() if index % 2 and aimed[agent] else None
            outcome = kill_one(agent, wholes[agent], Path(place) / f"kill-{index}", aim, random_)
            outcomes.append(outcome)
            end = "started anew" if outcome.anew else "resumed" if outcome.resumed else "NOT RESUMED"
            end += ", equal" if not outcome.different else f", DIFFERENT: {', '.join(outcome.different)}"
            end += f", WRONG: {'; '.join(outcome.faults)}" if outcome.faults else ""
            print(f"{index + 1:3d}  {outcome.when}: {end}", flush=True)
    result = {
        "kills": len(outcomes),
        "killed_again": sum(one.again for one in outcomes),
        "resumed": sum(one.resumed for one in outcomes),
        "started_anew": sum(one.anew for one in outcomes),
        "corrupt": sum(bool(one.faults) for one in outcomes),
        "equal": sum(one.resumed and not one.different for one in outcomes),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
