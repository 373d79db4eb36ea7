"""Training curves for tensorboard, under the names that docs/training-curves.md explains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from agents.environment import TrainingEnvironments
from agents.validation import COLUMNS
from wisp_gym.envs.action import NAMES
from wisp_gym.envs.reward import TERMS

EPISODE_METRICS: Mapping[str, str] = {
    "goodput_tps": "tokens that fell due and were delivered by then, per second",
    "throughput_tps": "committed tokens per second",
    "attainment": "share of session time in on-time sessions, mean over the devices",
    "attainment_worst": "the attainment of the worst class",
    "attainment_class_1": "the attainment of the loosest class",
    "attainment_class_2": "the attainment of the second class",
    "attainment_class_3": "the attainment of the third class",
    "attainment_class_4": "the attainment of the tightest class",
    "longest_stall_s": "the longest time that any device waited for a token, in seconds",
    "acceptance_rate": "accepted over verified draft tokens",
    "tokens_per_round": "committed tokens per verified round",
    "wdt_share": "wasted drafting time as a share of the devices' drafting time",
    "wdt_per_token_s": "wasted drafting time per committed token, in seconds",
    "vi_mix_per_token_s": "verification interference of mixed batches, per committed token, in seconds",
    "vi_queue_per_token_s": "time waited behind a running pass's interference, per committed token, seconds",
    "batch_size_mean": "requests in a verification pass",
    "queue_wait_mean_s": "time a request waits for its pass, in seconds",
    "gpu_busy_share": "share of the time in which the server ran a pass",
}

STEP_VALUES: Mapping[str, str] = {
    "dt_s": "simulated time between two decisions, in seconds",
    "cost": "share of the devices that are behind their timeline",
    "forced_share": "share of the decisions in which the action was masked and read as another",
}


class TrainingCurves(BaseCallback):
    """Records the episodes' metrics, the step's values and the actions taken, once per rollout.

    Means are over the rollout; an episode counts in the rollout in which it ends. Metrics that are NaN in an
    episode (a class that is absent) are left out.
    """

    def _on_rollout_start(self) -> None:
        self._steps, self._sums, self._terms = 0, np.zeros(len(STEP_VALUES)), np.zeros(len(TERMS))

    def _on_step(self) -> bool:
        environments = cast(TrainingEnvironments, self.training_env)
        out = environments.out
        self._steps += 1
        self._sums += (out["dt"].mean(), out["cost"].mean(), out["forced"].mean())
        self._terms += environments.terms.mean(axis=0)
        if self.locals["dones"].any():
            for index in np.flatnonzero(self.locals["dones"]):
                self._record_episode(self.locals["infos"][index].get("episode_metrics", {}))
        return True

    def _on_rollout_end(self) -> None:
        for name, total in zip(STEP_VALUES, self._sums, strict=True):
            self.logger.record_mean(f"step/{name}", float(total) / self._steps)
        for name, total in zip(TERMS, self._terms, strict=True):
            self.logger.record_mean(f"reward/{name}", float(total) / self._steps)
        taken = self.locals["rollout_buffer"].actions  # (steps, environments, components)
        for index, name in enumerate(NAMES):
            choices = taken[..., index]
            self.logger.record(f"action/{name}_mean", float(choices.mean()))
            self.logger.record(f"action/{name}", torch.as_tensor(np.ravel(choices)))

    def _record_episode(self, metrics: Mapping[str, float]) -> None:
        for name in EPISODE_METRICS.keys() & metrics.keys():
            if math.isfinite(metrics[name]):
                self.logger.record_mean(f"episode/{name}", float(metrics[name]))


def curve_names() -> dict[str, str]:
    """Return every curve of a run but the learner's own and the reward's terms, and what it means."""
    episodes = {f"episode/{name}": text for name, text in EPISODE_METRICS.items()}
    steps = {f"step/{name}": text for name, text in STEP_VALUES.items()}
    actions = {f"action/{name}": f"choices of the action's component {name}, a histogram" for name in NAMES}
    means = {f"action/{name}_mean": f"mean index chosen for {name}" for name in NAMES}
    validation = {f"validation/{name}": text for name, text in COLUMNS.items() if name != "timesteps"}
    return episodes | steps | actions | means | validation
