"""Many EdgeCloud pipelines as one Gymnasium `VectorEnv`: one kernel call advances all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from wisp_gym import scenario as scenarios
from wisp_gym.envs.action import SIZES, Control, action_space, kept_components, may_wait, stop_thresholds
from wisp_gym.envs.bank import ACT, OUT, REST
from wisp_gym.envs.clone import clone_vector
from wisp_gym.envs.edge_cloud import check_control, observation_space
from wisp_gym.envs.episode import TAU_S, Begun, Episodes, check_options, check_seed, step_settings
from wisp_gym.envs.features import SIZE
from wisp_gym.envs.reward import TERMS, Reward, named_terms, resolve_reward
from wisp_gym.envs.rows import Stack
from wisp_gym.envs.step import observe_row, step_rows
from wisp_gym.errors import InputError, shown
from wisp_gym.metrics import measure
from wisp_gym.pipeline.answers import as_array, is_whole
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.scenario import Scenario
from wisp_gym.world.draw import Split

Array = npt.NDArray[Any]
Observations = npt.NDArray[np.float32]
Infos = dict[str, Any]

MAX_ENVIRONMENTS = 4096


class EdgeCloudVector(VectorEnv[Observations, npt.NDArray[np.int64], Array]):
    """`num_envs` copies of EdgeCloud-v0; copy i is the scalar environment with `environment + i`.

    Observations, rewards and infos are those of as many scalar environments in a `SyncVectorEnv`, in every
    autoreset mode; after `reset(seed=s)` copy i has seed s + i, as there.

    :param num_envs: copies
    :param environment: which copy the first one is: its worlds' name
    :param autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, as the enum or its text
    :param terms: whether `infos["terms"]` holds the reward's terms; without them a step is cheaper
    The other parameters are EdgeCloud's.
    :raises InputError: an argument that is not allowed
    """

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Path | Scenario = "quickstart",
        overrides: Sequence[str] = (),
        seed: int | None = None,
        split: Split = "train",
        environment: int = 0,
        reward: str | Reward = "goodput",
        control: Control = "joint",
        episode_s: float | None = None,
        hold_s: float = 0.0,
        tau_s: float = TAU_S,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        terms: bool = True,
        render_mode: str | None = None,
    ) -> None:
        check_control(control)
        if render_mode is not None:
            raise InputError(f"render_mode: {shown(render_mode)}; allowed: None; one EdgeCloud-v0 renders")
        if not is_whole(num_envs) or not 1 <= num_envs <= MAX_ENVIRONMENTS:
            raise InputError(f"num_envs: {shown(num_envs)}; allowed: 1 to {MAX_ENVIRONMENTS}")
        self.num_envs, self.autoreset_mode = num_envs, _autoreset(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.scenario = scenarios.load(scenario, overrides)
        self.episodes = Episodes(self.scenario, split, episode_s)
        self.environment = check_seed(environment, "environment") or 0
        self.control, self.with_terms = control, terms
        self.seeds: list[int | None] = [check_seed(seed)] * num_envs
        self.numbers = [-1] * num_envs
        self.fleets: list[int | None] = [None] * num_envs
        which, self.own_reward = resolve_reward(reward)
        self._settings = step_settings(hold_s, tau_s, which)
        self.single_action_space, self.single_observation_space = action_space(), observation_space()
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.stack = Stack(num_envs)
        self._kept, self._thresholds = kept_components(control), stop_thresholds(self.scenario)
        self.obs = np.zeros((num_envs, SIZE), np.float32)
        self.terms = np.zeros((num_envs, len(TERMS)))
        self.out = np.zeros(num_envs, OUT)
        self.over = np.ones(num_envs, np.bool_)
        self.begun = np.zeros(num_envs, np.bool_)
        self._sizes = np.array(SIZES)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, Infos]:
        """Begin an episode in every copy, or in those of `options["reset_mask"]`.

        :param seed: copy i takes seed + i, or the list's entry; None goes on
        :param options: "devices", "world" as EdgeCloud's, and "reset_mask" bool[num_envs]
        :raises InputError: an unknown option or an impossible value
        """
        seeds = self._seeds(seed)
        mask, rest = self._mask(options)
        if not (mask | self.begun).all():
            raise gymnasium.error.ResetNeeded("EdgeCloudVector: the first reset takes all copies")
        chosen = np.flatnonzero(mask).tolist()
        drawn = [
            self._draw(i, seeds[i], rest) for i in chosen
        ]  # whatever fails, fails before any copy begins
        if is_whole(seed):
            super().reset(seed=seeds[0])
        infos: Infos = {}
        for i, one in zip(chosen, drawn, strict=True):
            infos = self._add_info(infos, self._take(i, one, rest), i)
        return self.obs.copy(), infos

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observations, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Infos]:
        """Carry one dispatch out in every copy.

        :param actions: EdgeCloud-v0's  # (num_envs, 8)
        :raises InputError: actions of a wrong shape or range
        :raises ResetNeeded: a copy's episode is over and nothing has reset it (mode DISABLED)
        """
        self._check_begun()
        checked = check_actions(actions, self.num_envs, self._sizes)
        if self.autoreset_mode == AutoresetMode.DISABLED and self.over.any():
            raise gymnasium.error.ResetNeeded(
                f"EdgeCloudVector: copies {np.flatnonzero(self.over).tolist()} are over; reset them first"
            )
        begins = self.over.copy()
        self.advance(checked, begins)
        active = ~begins
        rewards = np.where(active, self.rewards(active), 0.0)
        infos = self._infos(active)
        over = active & (self.out["over"] == 1)
        for i in np.flatnonzero(over):
            infos = self._add_info(infos, {"episode_metrics": self.metrics(int(i))}, int(i))
        for i in np.flatnonzero(begins):
            infos = self._add_info(infos, self.begin(int(i), None, {}), int(i))
        self.over = over.copy()
        if self.autoreset_mode == AutoresetMode.SAME_STEP and over.any():
            infos = self._reset_same_step(infos, over)
        return self.obs.copy(), rewards, np.zeros(self.num_envs, np.bool_), over, infos

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return each copy's allowed values of each action component, end to end.  # (num_envs, 62)"""
        self._check_begun()
        masks = np.ones((self.num_envs, sum(SIZES)), np.bool_)
        assert self.stack.bank is not None
        clock = self.stack.bank.clock[:, 0]
        for i in np.flatnonzero(clock["waits"] > 0):
            masks[i, 0] = may_wait(clock[i])
        return masks

    def simulation(self, i: int) -> Simulation:
        """Return copy i's pipeline."""
        begun = self.stack.begun[i]
        assert begun is not None
        return begun.simulation

    def metrics(self, i: int) -> dict[str, float]:
        """Return the metrics of copy i's episode so far."""
        return measure(self.simulation(i))

    def advance(self, actions: npt.NDArray[np.int64], resting: npt.NDArray[np.bool_] | None = None) -> None:
        """Run the kernel; what it gives is in `obs`, `out` and `terms`, written anew by the next call.

        :param actions: checked  # (num_envs, 8)
        :param resting: copies that do nothing; None lets all act
        """
        bank = self.stack.bank
        assert bank is not None
        bank.rows["todo"] = ACT if resting is None else np.where(resting, REST, ACT)
        full = step_rows(
            bank,
            actions,
            self._kept,
            self._thresholds,
            self._settings,
            self.obs,
            self.terms,
            self.out,
        )
        if full:
            raise RuntimeError("a row's room for events ran short; Stack.take gives each row enough")

    def rewards(self, active: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return the rewards of the last kernel call.

        :param active: copies that acted in it
        """
        if self.own_reward is None:
            return np.asarray(self.out["reward"], np.float64)
        own = self.own_reward
        return np.array(
            [float(own(named_terms(row))) if on else 0.0 for row, on in zip(self.terms, active, strict=True)]
        )

    def clone(self) -> EdgeCloudVector:
        """Return an exact, independent copy; see `EdgeCloud.clone`."""
        return clone_vector(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> EdgeCloudVector:
        """Let `copy.deepcopy` of wrappers copy what is inside."""
        memo[id(self)] = twin = self.clone()
        return twin

    def _check_begun(self) -> None:
        if not self.begun.all():
            raise gymnasium.error.ResetNeeded("EdgeCloudVector: call reset() before step()")

    def begin(self, i: int, seed: int | None, options: dict[str, Any]) -> dict[str, Any]:
        """Begin copy i's next episode; return the info of its reset.

        :param seed: of its worlds from now on; None goes on
        :param options: checked, see `check_options`
        """
        return self._take(i, self._draw(i, seed, options), options)

    def _draw(self, i: int, seed: int | None, options: dict[str, Any]) -> tuple[int, Begun]:
        """Return copy i's seed from now on and its next episode; nothing has changed yet."""
        known, number = (self.seeds[i], self.numbers[i]) if seed is None else (seed, -1)
        if known is None:
            known = int(self.np_random.integers(2**31))
        number = int(options.get("world", number + 1))
        return known, self.episodes.begin(known, self.environment + i, number, options.get("devices"))

    def _take(self, i: int, drawn: tuple[int, Begun], options: dict[str, Any]) -> dict[str, Any]:
        """Let copy i go on with a drawn episode; return the info of its reset."""
        self.seeds[i], begun = drawn
        self.numbers[i], self.fleets[i] = begun.number, options.get("devices")
        self.stack.take(i, begun)
        self.over[i], self.begun[i] = False, True
        assert self.stack.bank is not None
        observe_row(self.stack.bank, i, self.obs[i])
        return {"world_seed": np.uint64(begun.simulation.world.seed), "episode": self.numbers[i]}

    def _reset_same_step(self, infos: Infos, over: npt.NDArray[np.bool_]) -> Infos:
        """Begin the next episode of the copies that just ended; keep how they ended."""
        ended: Infos = {}
        for i in np.flatnonzero(over):
            final = {"final_obs": self.obs[i].copy(), "final_info": _row_info(infos, int(i))}
            ended = self._add_info(ended, final, int(i))
        for key in [key for key in infos if not key.startswith("_")]:
            _clear(infos, key, over)
        for i in np.flatnonzero(over):
            infos = self._add_info(infos, self.begin(int(i), None, {}), int(i))
        return infos | ended

    def _infos(self, active: npt.NDArray[np.bool_]) -> Infos:
        """Return what the step says beside the reward, in Gymnasium's form: arrays and their masks."""
        if not active.any():
            return {}
        out = self.out
        values: Infos = {
            "dt": np.where(active, out["dt"], 0.0),
            "discount": np.where(active, out["discount"], 0.0),
            "forced": active & (out["forced"] == 1),
            "cost": np.where(active, out["cost"], 0.0),
        }
        infos: Infos = {}
        for key, value in values.items():
            infos[key], infos[f"_{key}"] = value, active.copy()
        if self.with_terms:
            terms: Infos = {}
            for at, name in enumerate(TERMS):
                terms[name], terms[f"_{name}"] = np.where(active, self.terms[:, at], 0.0), active.copy()
            infos["terms"], infos["_terms"] = terms, active.copy()
        return infos

    def _seeds(self, seed: Any) -> Sequence[int | None]:
        """Return a seed for every copy."""
        if seed is None:
            return [None] * self.num_envs
        if is_whole(seed):
            first = check_seed(seed)
            assert first is not None
            return [check_seed(first + i) for i in range(self.num_envs)]
        try:
            seeds = list(seed)
        except TypeError:
            seeds = []
        if len(seeds) != self.num_envs:
            raise InputError(f"seed: {shown(seed)}; allowed: an integer, or a list of {self.num_envs}")
        return [check_seed(one, f"seed[{i}]") for i, one in enumerate(seeds)]

    def _mask(self, options: dict[str, Any] | None) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
        """Return which copies a reset takes, and the other options."""
        if not isinstance(options, dict) or "reset_mask" not in options:
            return np.ones(self.num_envs, np.bool_), check_options(options, self.scenario)
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise InputError(
                f"reset option reset_mask: {shown(mask)}; allowed: bool array of ({self.num_envs},)"
            )
        if not mask.any():
            raise InputError("reset option reset_mask: no copy is chosen; allowed: one True or more")
        rest = {name: value for name, value in options.items() if name != "reset_mask"}
        return mask, check_options(rest, self.scenario)


def check_actions(actions: Any, count: int, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the actions of all copies as integers.

    :param count: number of copies
    :param sizes: values of each component  # (8,)
    :raises InputError: a wrong shape, a number that is not whole, or one out of range
    """
    values = as_array(actions, "actions")
    if values.shape != (count, len(sizes)) or values.dtype.kind not in "iuf":
        given = f"{values.dtype} of shape {values.shape}"
        raise InputError(f"actions: {given}; allowed: ({count}, {len(sizes)}) whole numbers")
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise InputError("actions: not all are whole; allowed: whole numbers")
    wrong = (values < 0) | (values >= sizes)
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise InputError(f"actions[{i}, {j}]: {values[i, j]}; allowed: 0 to {sizes[j] - 1}")
    return np.ascontiguousarray(values, np.int64)


def _autoreset(mode: AutoresetMode | str) -> AutoresetMode:
    """Return the autoreset mode."""
    try:
        return AutoresetMode(mode)
    except (ValueError, TypeError):
        known = ", ".join(known.value for known in AutoresetMode)
        raise InputError(f"autoreset_mode: {shown(mode)}; allowed: {known}") from None


def _row_info(infos: Infos, i: int) -> dict[str, Any]:
    """Return one copy's part of the infos, as its scalar environment would have given it."""
    row: dict[str, Any] = {}
    for key, value in infos.items():
        if not key.startswith("_") and infos[f"_{key}"][i]:
            row[key] = _row_info(value, i) if isinstance(value, dict) else value[i].item()
    return row


def _clear(infos: Infos, key: str, gone: npt.NDArray[np.bool_]) -> None:
    """Take some copies' values of one key out of the infos, and the key where nothing is left."""
    infos[f"_{key}"] = infos[f"_{key}"] & ~gone
    if not infos[f"_{key}"].any():
        del infos[key], infos[f"_{key}"]
        return
    if isinstance(infos[key], dict):
        for inner in [name for name in infos[key] if not name.startswith("_")]:
            _clear(infos[key], inner, gone)
    else:
        infos[key][gone] = np.zeros((), infos[key].dtype)
