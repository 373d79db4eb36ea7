"""What happens between two updates: validation, checkpoints, and the end that Ctrl-C asks for."""

from __future__ import annotations

from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents import learners
from agents.progress import Interrupt
from agents.validation import Validation


class Boundary(BaseCallback):
    """Runs where a rollout begins: the update is done, the rollout buffer empty, no environment mid-step.

    Everything here depends on the number of steps alone, so an interrupted run does the same at the same
    steps.

    :param save: writes a checkpoint
    :param every: decisions between two checkpoints; 0 for none but the one that Ctrl-C leaves
    :param interrupt: whether the user wants to stop
    :param validation: judges the agent now and then; None does not
    """

    model: OnPolicyAlgorithm

    def __init__(
        self, save: Callable[[], None], every: int, interrupt: Interrupt, validation: Validation | None
    ) -> None:
        super().__init__()
        self.save, self.every, self.interrupt, self.validation = save, every, interrupt, validation
        self.stopped = False
        self.reached = 0
        """Decisions learned from when training ended."""

    def _on_training_start(self) -> None:
        self._saved = self.num_timesteps

    def _on_rollout_start(self) -> None:
        steps, rollout = self.model.num_timesteps, _rollout(self.model)
        self.reached = steps
        due = self.validation is not None and self.validation.due(steps, rollout)
        if self.validation is not None and due and not self.interrupt.pressed:  # else when it is taken up
            judge(self.validation, self.model)
        self.stopped = self.interrupt.pressed
        passed = self.every > 0 and steps // self.every > (steps - rollout) // self.every
        if self.stopped or (passed and steps > self._saved):
            self.save()

    def _on_step(self) -> bool:
        # The learner cannot be stopped where a rollout begins; the step it has just made counts for nothing.
        return not self.stopped

    def _on_training_end(self) -> None:
        if self.stopped:
            return
        self.reached = self.model.num_timesteps
        if self.validation is not None and not self.validation.done(self.reached):
            judge(self.validation, self.model)


def judge(validation: Validation, learner: OnPolicyAlgorithm) -> None:
    """Validate a learner as it is now and draw the row.

    :param validation: where the rows are kept
    :param learner: between two updates
    """
    row = validation.judge(learner.num_timesteps, learners.tensors(learner))
    values = {f"validation/{name}": value for name, value in vars(row).items() if name != "timesteps"}
    for output in learner.logger.output_formats:
        assert isinstance(output, KVWriter)
        output.write(values, dict.fromkeys(values, ()), row.timesteps)


def _rollout(learner: OnPolicyAlgorithm) -> int:
    """Return the decisions between two updates."""
    return learner.n_steps * learner.n_envs
