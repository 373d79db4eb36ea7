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
    """Return WISP's rule: stop at a token that the stop predictor takes for the first rejection."""
    recall = number("predictor", options, 0.0, 1.0) if options else settings.PREDICTOR_RECALL
    if recall not in settings.RECALLS:
        allowed = ", ".join(map(str, settings.RECALLS))
        raise InputError(f"predictor:{options}: no threshold is known for this recall; allowed: {allowed}")
    return DrafterRule.predictor(recall, settings.ADAPTIVE_CAP)


def random(options: str) -> DrafterRule:
    """Return a random length for every round."""
    no_options("random", options)
    return DrafterRule.random()


def oracle(options: str) -> DrafterRule:
    """Return the clairvoyant drafter: the run of agreements that lies ahead, up to a cap. A ceiling."""
    return DrafterRule.oracle(whole("oracle", options, 1, MAX_DRAFT) if options else settings.ORACLE_CAP)


def bayes(options: str) -> DrafterRule:
    """Return the drafter that knows the law of the streams: on while the next token is accepted with at least
    this probability. A ceiling for what can be learned."""
    return DrafterRule.bayes(number("bayes", options, 0.001, 1.0) if options else settings.BAYES_LEAST)


BY_NAME: Mapping[str, Callable[[str], DrafterRule]] = {
    "none": none,
    "fixed": fixed,
    "confidence": confidence,
    "predictor": predictor,
    "random": random,
    "oracle": oracle,
    "bayes": bayes,
}
