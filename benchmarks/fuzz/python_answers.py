"""Odd Python values: actions, options of a reset, arguments of an environment, controllers that misbehave."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

GOOD_ACTION = (8, 0, 4, 3, 8, 8, 8, 8)


def _odd_actions(shape: tuple[int, ...], rng: random.Random) -> list[Any]:
    """Return odd actions of about a shape."""
    good = np.broadcast_to(np.array(GOOD_ACTION), shape)

    def at(value: Any, kind: Any = np.float64) -> Any:
        changed = good.astype(kind)
        changed[..., rng.randrange(shape[-1])] = value
        return changed

    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    return [
        None,
        True,
        1,
        "action",
        b"\x08" * 8,
        [],
        [[]],
        nested,
        [*GOOD_ACTION, 0],
        list(GOOD_ACTION)[:-1],
        [list(GOOD_ACTION), [1]],
        {"action": GOOD_ACTION},
        object(),
        np.array(3),
        good.astype(np.float64),
        good.astype(np.float16),
        good.astype(np.uint64),
        good.astype(np.complex128),
        good.astype(str),
        good.astype(object),
        good.astype(bool),
        good.T,
        good[..., np.newaxis],
        good.reshape(-1)[:0],
        at(np.nan),
        at(np.inf),
        at(-np.inf),
        at(0.5),
        at(-1),
        at(-1, np.int8),
        at(9),
        at(1e300),
        at(2**63, np.uint64),
        at(2**40, np.int64),
        at(None, object),
        at("x", object),
        np.ma.masked_array(good, mask=True),
        np.zeros(shape, [("a", np.int64)]),
        np.zeros(shape, "datetime64[s]"),
        memoryview(bytes(GOOD_ACTION)),
        [10**30] * 8,
        ["1"] * 8,
        [None] * 8,
        range(8),
        iter(GOOD_ACTION),
        np.broadcast_to(good, (100, *shape)),
    ]


def odd_action(rng: random.Random, copies: int) -> Any:
    """Return an odd action of an environment, or of a vector of some copies."""
    return rng.choice(_odd_actions((copies, 8) if copies else (8,), rng))


ODD: tuple[Any, ...] = (
    None,
    True,
    np.True_,
    0,
    -1,
    1.0,
    1.5,
    float("nan"),
    float("inf"),
    "3",
    "",
    b"3",
    [],
    [3],
    {},
    2**31,
    2**63,
    2**64,
    10**30,
    65_537,
    np.float64(2),
    np.int8(2),
    np.array(2),
    np.array([2]),
    object(),
    "\ud800",
)


def odd_reset(rng: random.Random, copies: int) -> dict[str, Any]:
    """Return odd arguments of a reset."""
    chance = rng.random()
    if chance < 0.3:
        return {"seed": rng.choice((*ODD, [1, 2], [None] * copies, (1,), [-1] * copies))}
    if chance < 0.4:
        return {
            "options": rng.choice(("devices", [("devices", 3)], 1, {1: 2}, {"device": 3}, {"": 1}, {None: 1}))
        }
    if chance < 0.5 and copies:
        masks = (
            None,
            True,
            [True] * copies,
            np.zeros(copies, bool),
            np.ones(copies),
            np.ones(copies + 1, bool),
        )
        return {"options": {"reset_mask": rng.choice(masks)}}
    return {"options": {rng.choice(("devices", "world")): rng.choice(ODD)}}


ARGUMENTS = (
    "scenario",
    "overrides",
    "seed",
    "split",
    "environment",
    "reward",
    "control",
    "episode_s",
    "hold_s",
    "tau_s",
    "render_mode",
)


def odd_argument(rng: random.Random) -> tuple[str, Any]:
    """Return the name of an environment's argument and an odd value for it."""
    name = rng.choice(ARGUMENTS)
    return name, rng.choice((*ODD, "abc", ("a",), ("fleet.devices=0",), "fleet.devices=3", 1e-9, 1e300))


_GOOD = "def select(self, view):\n        return [0]"
_ODD_OBJECT = "class Bad:\n            def {}(self, *a, **k):\n                raise RuntimeError('odd')"


def _answers(answer: str) -> str:
    """Return a scheduler's method that gives one answer."""
    return f"def select(self, view):\n        return {answer}"


def _does(statement: str) -> str:
    """Return a scheduler's method that does something else."""
    return f"def select(self, view):\n        {statement}"


SCHEDULERS = {
    "raises": _does("raise RuntimeError('two\\nlines')"),
    "divides by zero": _answers("1 // 0"),
    "leaves": _does("import sys; sys.exit(0)"),
    "leaves with words": _does("raise SystemExit('bye')"),
    "ends the generator": _does("raise StopIteration"),
    "recurses": _answers("self.select(view)"),
    "asserts": _does("assert False"),
    "needs more": "def select(self, view, more):\n        return [0]",
    "needs nothing": "def select():\n        return [0]",
    "is no method": "select = 3",
    "is not there": "def choose(self, view):\n        return [0]",
    "yields": _does("yield 0"),
    "waits 1 ns": _answers("Wait(view.now_ns + 1)"),
    "waits in floats": _answers("Wait(view.now_ns + 1e6)"),
    "waits for ever": _answers("Wait(2**62)"),
    "waits behind": _answers("Wait(0)"),
    "gives None": _answers("None"),
    "gives nan": _answers("[float('nan')]"),
    "gives truth": _answers("[True]"),
    "gives a NumPy truth": _answers("np.array([True])"),
    "gives floats": _answers("[0.0]"),
    "gives text": _answers("'abc'"),
    "gives a lot": _answers("[0] * 100000"),
    "gives an object": _answers("object()"),
    "gives a surprise": _does(f"{_ODD_OBJECT.format('__repr__')}\n        return Bad()"),
    "gives a bad array": _does(f"{_ODD_OBJECT.format('__array__')}\n        return Bad()"),
    "writes into its view": _does("view.requests['deadline_ns'] = 0\n        return [0]"),
    "makes a number of infinity": _answers("[int(np.float64(np.inf))]"),
    "is right": _GOOD,
    "fails when made": f"def __init__(self):\n        raise OSError(5, 'io')\n\n    {_GOOD}",
    "wants arguments": f"def __init__(self, x):\n        pass\n\n    {_GOOD}",
    "leaves when made": f"def __init__(self):\n        raise SystemExit\n\n    {_GOOD}",
    "has odd readings": f"requests_as = 3\n\n    {_GOOD}",
}
"""Bodies of a scheduler's class, by what it does."""

DRAFTERS = {
    "raises": ("raise RuntimeError('x')", "return (1, 0.0)"),
    "scores nothing": ("return None", "return (1, 0.0)"),
    "scores nan": ("return np.full(len(stream), np.nan)", "return (1, 0.0)"),
    "scores text": ("return ['a'] * len(stream)", "return (1, 0.0)"),
    "scores objects": ("return np.full(len(stream), None)", "return (1, 0.0)"),
    "scores too few": ("return np.zeros(3)", "return (1, 0.0)"),
    "scores complex": ("return np.zeros(len(stream), complex)", "return (1, 0.0)"),
    "scores infinity": ("return np.full(len(stream), np.inf)", "return (1, 0.0)"),
    "limits by nan": ("return np.zeros(len(stream))", "return (1, float('nan'))"),
    "limits by infinity": ("return np.zeros(len(stream))", "return (1, float('inf'))"),
    "limits by a NumPy truth": ("return np.zeros(len(stream))", "return (np.bool_(True), 0.0)"),
    "limits by a float": ("return np.zeros(len(stream))", "return (1.0, 0.0)"),
    "limits by a list": ("return np.zeros(len(stream))", "return [1, 0.0]"),
    "limits by text": ("return np.zeros(len(stream))", "return ('1', '0')"),
    "limits by too much": ("return np.zeros(len(stream))", "return (33, 0.0)"),
    "limits by less than nothing": ("return np.zeros(len(stream))", "return (-1, 0.0)"),
    "limits by an array": ("return np.zeros(len(stream))", "return np.array([1, 0])"),
    "limits by a truth": ("return np.zeros(len(stream))", "return (1, True)"),
    "limits by 10**400": ("return np.zeros(len(stream))", "return (1, 10**400)"),
    "divides": ("return np.zeros(len(stream))", "return (1 // 0, 0.0)"),
    "leaves": ("return np.zeros(len(stream))", "raise SystemExit(3)"),
    "is right": ("return np.zeros(len(stream))", "return (2, -1.0)"),
}
"""What a drafter's `score` and `limit` do, by what is wrong."""

FILES = {
    "does not parse": "class C:\n    def select(self view)\n",
    "raises": "raise ValueError('at once\\nand more')\n",
    "leaves": "import sys\nsys.exit(0)\n",
    "imports what is not there": "import no_such_module\n",
    "holds NULs": "class C:\0pass\n",
    "is not UTF-8": "# \udcff\nclass C: pass\n",
    "is empty": "",
    "has no class": "C = 3\n",
    "has a function": "def C(): return 3\n",
    "defines __getattr__": "def __getattr__(name):\n    raise RuntimeError(name)\n",
    "prints": "print('hello')\nclass C:\n    def select(self, view):\n        return [0]\n",
    "recurses": "def f(): f()\nf()\n",
}
"""Contents of a controller's file that are wrong as a whole."""

HEAD = "import numpy as np\nfrom wisp_gym.pipeline import Wait\n\n\nclass C:\n"


def odd_controller(rng: random.Random) -> tuple[str, str, str]:
    """Return what is wrong with a controller, its file's text, and the policy that uses it."""
    chance = rng.random()
    if chance < 0.25:
        what = rng.choice(list(FILES))
        return f"the file {what}", FILES[what], "predictor+mine.py:C"
    if chance < 0.6:
        what = rng.choice(list(SCHEDULERS))
        return f"the scheduler {what}", f"{HEAD}    {SCHEDULERS[what]}\n", "predictor+mine.py:C"
    what = rng.choice(list(DRAFTERS))
    score, limit = DRAFTERS[what]
    body = f"    def score(self, stream):\n        {score}\n\n    def limit(self, view):\n        {limit}\n"
    return f"the drafter {what}", HEAD + body, "mine.py:C+fcfs"
