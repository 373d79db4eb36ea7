"""The drafters by name: how many tokens a device drafts before it asks the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from baselines import settings
from baselines.options import no_options, number, whole
from wisp_gym.errors import InputError
from wisp_gym.pipeline import DrafterRule
from wisp_gym.rules.control import MAX_DRAFT


def none(options: str) -> DrafterRule:
    """Return no drafting: the target makes every token, one a round trip."""
    no_options("none", options)
    return DrafterRule.none()


def fixed(options: str) -> DrafterRule:
    """Return drafts of one length, K."""
    return DrafterRule.fixed(whole("fixed", options, 0, MAX_DRAFT))


def confidence(options: str) -> DrafterRule:
    """Return SLED's rule: stop at a token whose top probability is below a threshold."""
    threshold = number("confidence", options, 0.0, 1.0) if options else settings.CONFIDENCE_THRESHOLD
    return DrafterRule.confidence(threshold, settings.ADAPTIVE_CAP)


def predictor(options: str) -> DrafterRule:
    """Return WISP's rule: stop at a token that the stop predictor takes for a rejection.

    :param options: recall on accepted tokens, "drop" where the suspect is not sent, or both: "0.9,drop"
    """
    parts = options.split(",") if options else []
    drop = parts[-1:] == ["drop"]
    given = parts[:-1] if drop else parts
    if len(given) > 1:
        raise InputError(f"predictor:{options}: {options!r} must be a recall, 'drop' or both, as in 0.9,drop")
    recall = settings.PREDICTOR_RECALL
    if given:
        recall = number("predictor", given[0], settings.LOWEST_RECALL, settings.HIGHEST_RECALL)
    return DrafterRule.predictor(recall, settings.ADAPTIVE_CAP, drop)


def random(options: str) -> DrafterRule:
    """Return a random length for every round."""
    no_options("random", options)
    return DrafterRule.random()


BY_NAME: Mapping[str, Callable[[str], DrafterRule]] = {
    "none": none,
    "fixed": fixed,
    "confidence": confidence,
    "predictor": predictor,
    "random": random,
}
