"""Command lines with something wrong, for the programs that have one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzz import bases
from benchmarks.fuzz.trials import Input

WORLD = tuple(word for change in bases.WORLD for word in ("--set", change))

NAMES = (
    "wisp:",
    "wisp:,",
    "wisp:late=",
    "wisp:late=urgent,late=urgent",
    "wisp:margin=nan",
    "wisp:margin=1e400",
    "wisp:suspect=",
    "wisp:best,late=last",
    "sled:",
    "sled:tuned,size=3",
    "sled:size=tuned,size=3",
    "sled:confidence,fixed",
    "sled:limit=-1",
    "sled:size=0",
    "sled:timeout=nan",
    "centralized:",
    "centralized:rtc,rtc",
    "centralized:grow,",
    "fixed",
    "fixed:",
    "fixed:33",
    "fixed:-1",
    "fixed:½",
    "fixed:" + "9" * 5000,
    "predictor",
    "predictor:",
    "predictor:+fcfs",
    "predictor+",
    "+fcfs",
    "+",
    "++",
    "specdec+++fcfs",
    "specdec++",
    "predictor:0.9,drop,drop+fcfs",
    "predictor:2+fcfs",
    "predictor:nan+fcfs",
    "entropy:1e400+fcfs",
    "table:+fcfs",
    "table:1=1,1=2+fcfs",
    "ucb:inf+fcfs",
    "confidence:0.5,ahead,ahead+fcfs",
    "none:1+fcfs",
    "oracle:best",
    "oracle:best+fcfs",
    "oracle:0+fcfs",
    "bayes:best+nothing",
    "fcfs+predictor",
    "predictor+predictor",
    "predictor+fcfs+fcfs",
    "predictor+static:99999",
    "predictor+slo-aware:late=never",
    "predictor+proportional-fair:0",
    "action:",
    "action:1,2,3",
    "action:0,0,0,0,0,0,0,0",
    "action:9,9,9,9,9,9,9,9",
    "action:8,0,4,3,8,8,8,8" + "9" * 400,
    "mine.py:C+fcfs",
    "predictor+nowhere.py:C",
    "predictor+in/:C",
    "/dev/null/model.json",
    "model.json",
    "./",
    "..",
    "nowhere/",
    "x" * 5000,
    "x" * 5000 + "/",
    "",
    " ",
    "\uff57\uff49\uff53\uff50",
    "wisp\u202e",
    "wisp\n",
    "\x1b[31m",
    "--policy",
    "-",
)

SEEDS = (
    "0",
    "-1",
    "",
    ",",
    "1,1",
    "1,x",
    "1.5",
    "1e3",
    "9" * 30,
    "0," + "1," * 5,
    "100001",
    "½",
    " 1",
    "1_0",
)
NUMBERS = (
    "",
    "0",
    "-1",
    "nan",
    "inf",
    "1e400",
    "9" * 400,
    "½",
    "x",
    "1,2",
    "[1]",
    "0x10",
    " 3",
    "1_0",
    "null",
)
OPTIONS = (
    "--polic",
    "--Policy",
    "-p",
    "--unknown",
    "--",
    "-",
    "---",
    "--=",
    "--seeds=",
    "@file",
    "--set",
    "--out",
)


def odd_output(rng: random.Random, folder: Path) -> tuple[str, str]:
    """Return a path that cannot be written to, and what it is."""
    (folder / "file").write_text("")
    ways: dict[str, Callable[[], Any]] = {
        "in a file": lambda: None,
        "a folder": (folder / "out").mkdir,
        "a circular link": lambda: (folder / "out").symlink_to("out"),
        "a link to nowhere": lambda: (folder / "out").symlink_to("nowhere/at/all"),
        "a link to /dev/full": lambda: (folder / "out").symlink_to("/dev/full"),
        "a link to /dev/null": lambda: (folder / "out").symlink_to("/dev/null"),
        "in a circular link": lambda: (folder / "loop").symlink_to("loop"),
        "in a folder that is not there": lambda: None,
        "too long": lambda: None,
        "long in all": lambda: None,
        "empty": lambda: None,
        "in /proc": lambda: None,
        "a file": (folder / "out").touch,
    }
    what = rng.choice(list(ways))
    ways[what]()
    elsewhere = {
        "in a file": "file/out",
        "in a circular link": "loop/out",
        "in a folder that is not there": "not/there",
        "too long": "x" * 300,
        "long in all": "/".join(["x" * 200] * 30),
        "empty": "",
        "in /proc": "/proc/1/nothing/out",
    }
    return elsewhere.get(what, "out"), f"--out is {what}"


def _with(words: list[str], option: str, value: str) -> tuple[str, ...]:
    """Return a command line in which an option has another value, in place of the one that it has."""
    words = list(words)
    if option in words:
        at = words.index(option)
        del words[at : at + 2]
    return (*words, f"{option}={value}")


def odd_command(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """Return a command line with one thing wrong, of one of the programs."""
    made = rng.choices((_evaluate, _train, _estimation, _predictor), (6, 3, 1, 1))[0]
    program, words, what = made(rng, folder)
    words = tuple(word.replace("\0", "") for word in words)
    return Input("command", f"{program}: {what}", program, words, fresh=True)


def _changed(words: list[str], rng: random.Random) -> tuple[list[str], str]:
    """Return a good command line with its words changed at random, and what changed."""
    words = list(words)
    at = rng.randrange(len(words))
    ways: dict[str, Callable[[], Any]] = {
        f"without {words[at]}": lambda: words.pop(at),
        f"{words[at]} twice": lambda: words.insert(at, words[at]),
        f"empty for {words[at]}": lambda: words.__setitem__(at, ""),
        "the last option twice": lambda: words.extend(words[-2:]),
        "an odd option": lambda: words.insert(at, rng.choice(OPTIONS)),
        "bytes that are no text": lambda: words.insert(at, "\udcff\udcfe"),
        "a word too many": lambda: words.append("more\nlines"),
        "10,000 words": lambda: words.extend(["wisp"] * 10_000),
        "help": lambda: words.append("--help"),
        "nothing": words.clear,
    }
    what = rng.choice(list(ways))
    ways[what]()
    return words, what


def _evaluate(rng: random.Random, folder: Path) -> tuple[str, tuple[str, ...], str]:
    name, seeds, number = rng.choice(NAMES), rng.choice(SEEDS), rng.choice(NUMBERS)
    good = ["--policy", "wisp", "--seeds", "1", *WORLD, "--out", "out"]
    studies = (
        (["--capacity", "--grid"], "two studies"),
        (["--class", "9"], "--class alone"),
        (["--loads", number], f"--loads {number[:20]}"),
        (["--loads", "2", "--class", number], f"--class {number[:20]}"),
        (["--trace-window", number], f"--trace-window {number[:20]} alone"),
        (["--trace-out", "out/t.json", "--trace-window", f"{number}:{number}"], "an odd --trace-window"),
        (
            ["--trace-out", rng.choice(("t.txt", "", "x" * 300 + ".json", "/dev/null/t.json", "\n.json"))],
            "--trace-out",
        ),
        (["--drafters", "none"], "--drafters alone"),
        (["--plot-from", rng.choice(("", "nowhere", "/", "/dev/null"))], "--plot-from"),
        (["--jobs", number], f"--jobs {number[:20]}"),
    )
    chance = rng.random()
    if chance < 0.4:
        return "evaluate", ("--policy", name, *good[2:]), f"--policy {name[:60]!r}"
    if chance < 0.5:
        return "evaluate", _with(good, "--seeds", seeds), f"--seeds {seeds[:30]!r}"
    if chance < 0.65:
        out, what = odd_output(rng, folder)
        return "evaluate", (*good[:-1], out), what
    if chance < 0.85:
        more, what = rng.choice(studies)
        return "evaluate", (*good, *more), what
    if chance < 0.9:
        option = rng.choice(("--devices", "--horizon"))
        return "evaluate", _with(good, option, number), f"{option} {number[:20]!r}"
    words, what = _changed(good, rng)
    return "evaluate", tuple(words), what


def _train(rng: random.Random, folder: Path) -> tuple[str, tuple[str, ...], str]:
    small = [word for change in bases.AGENT_SET for word in ("--agent-set", change)]
    good = ["--scenario", "quickstart", *WORLD, *small, "--validation-seeds", "0", "--out", "out"]
    number = rng.choice(NUMBERS)
    chance = rng.random()
    if chance < 0.4:
        option = rng.choice(
            ("--timesteps", "--envs", "--seed", "--seeds", "--validation-seeds", "--agent", "--scenario")
        )
        return "train", _with(good, option, number), f"{option} {number[:20]!r}"
    if chance < 0.7:
        out, what = odd_output(rng, folder)
        return "train", (*good[:-1], out), what
    if chance < 0.8:
        return "train", ("--resume", rng.choice(("", "nowhere", "/dev/null", "x" * 5000, "\n"))), "--resume"
    words, what = _changed(good, rng)
    return "train", tuple(words), what


def _estimation(rng: random.Random, folder: Path) -> tuple[str, tuple[str, ...], str]:
    rows = bases.measurement_rows()
    (folder / "mine.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    good = ["--csv", "mine.csv", "--out", "out.json"]
    if rng.random() < 0.5:
        out, what = odd_output(rng, folder)
        return "estimation", ("--csv", "mine.csv", "--out", out), what
    words, what = _changed(good, rng)
    return "estimation", tuple(words), what


def _predictor(rng: random.Random, folder: Path) -> tuple[str, tuple[str, ...], str]:
    good = ["--pair", bases.PAIR, "--streams", "20", "--length", "40", "--epochs", "1", "--out", "out"]
    chance = rng.random()
    if chance < 0.5:
        option, number = (
            rng.choice(("--streams", "--length", "--units", "--k", "--seed")),
            rng.choice(NUMBERS),
        )
        return "predictor", _with(good, option, number), f"{option} {number[:20]!r}"
    if chance < 0.8:
        out, what = odd_output(rng, folder)
        return "predictor", (*good[:-1], out), what
    words, what = _changed(good, rng)
    return "predictor", tuple(words), what
