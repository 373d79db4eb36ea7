"""The drafters by name: how many tokens a device drafts before it asks the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from baselines import settings
from baselines.options import no_options, number, parts, ranges, seconds, whole
from wisp_gym.errors import unknown
from wisp_gym.pipeline import DrafterRule
from wisp_gym.pipeline.policy import MOST_TIMEOUT_S
from wisp_gym.rules.control import MAX_DRAFT

MOST_NATS = 12.0
"""More than a distribution over 151,936 tokens can have."""

MOST_EXPLORE = 100.0


def none(options: str) -> DrafterRule:
    """Return no drafting: the target makes every token, one a round trip."""
    no_options("none", options)
    return DrafterRule.none()


def waiting(name: str, rule: DrafterRule, switches: str) -> DrafterRule:
    """Return a drafter that does more than wait for its answers.

    :param name: what the switches belong to, for the message
    :param switches: "", or as in "ahead,timeout=0.5"
    """
    for part in parts(name, switches):
        key, _, value = part.partition("=")
        if part == "ahead":
            rule = dataclasses.replace(rule, ahead=True)
        elif key == "timeout":
            rule = dataclasses.replace(rule, timeout_s=seconds(name, key, value, MOST_TIMEOUT_S))
        else:
            known = ("ahead", "timeout=SECONDS", *(("drop",) if name == "predictor" else ()))
            raise unknown(f"switch of {name}", part, known)
    return rule


def fixed(options: str) -> DrafterRule:
    """Return drafts of one length, K."""
    parts("fixed", options)
    length, _, switches = options.partition(",")
    return waiting("fixed", DrafterRule.fixed(whole("fixed", length, 0, MAX_DRAFT)), switches)


def value_and_switches(name: str, options: str) -> tuple[str, str]:
    """Return a drafter's own number, "" where it is left open, and the switches after it."""
    parts(name, options)
    first, _, rest = options.partition(",")
    if first == "ahead" or "=" in first:
        return "", options
    return first, rest


def confidence(options: str) -> DrafterRule:
    """Return SLED's rule: stop at a token whose top probability is below a threshold."""
    at, switches = value_and_switches("confidence", options)
    threshold = number("confidence", at, 0.0, 1.0) if at else settings.CONFIDENCE_THRESHOLD
    return waiting("confidence", DrafterRule.confidence(threshold, settings.ADAPTIVE_CAP), switches)


def predictor(options: str) -> DrafterRule:
    """Return WISP's rule: stop at a token that the stop predictor takes for a rejection.

    :param options: recall on accepted tokens, "drop" where the suspect is not sent, switches: "0.9,drop"
    """
    at, rest = value_and_switches("predictor", options)
    if at == "drop":
        at, rest = "", options
    recall = settings.PREDICTOR_RECALL
    if at:
        recall = number("predictor", at, settings.LOWEST_RECALL, settings.HIGHEST_RECALL)
    switches = [part for part in rest.split(",") if part]
    drop = "drop" in switches
    if drop:
        switches.remove("drop")
    rule = DrafterRule.predictor(recall, settings.ADAPTIVE_CAP, drop)
    return waiting("predictor", rule, ",".join(switches))


def entropy(options: str) -> DrafterRule:
    """Return SVIP's and AdaEDL's rule: stop at a token drawn at more entropy than a threshold, nats."""
    nats = number("entropy", options, 0.0, MOST_NATS) if options else settings.ENTROPY_NATS
    return DrafterRule.entropy(nats, settings.ADAPTIVE_CAP)


def specdec(options: str) -> DrafterRule:
    """Return SpecDec++'s rule: stop when P(at least one token is rejected) exceeds a threshold."""
    limit = number("specdec++", options, 0.0, 1.0) if options else settings.REJECTION_LIMIT
    return DrafterRule.specdec(limit, settings.ADAPTIVE_CAP)


def table(options: str) -> DrafterRule:
    """Return vLLM's dynamic speculation: K by the size of the pass, as in "64=3,128=1"."""
    return DrafterRule.by_batch(ranges("table", options) if options else settings.DRAFT_TABLE)


def goodput(options: str) -> DrafterRule:
    """Return TurboSpec's rule: the K with most expected committed tokens per second of the server."""
    no_options("goodput", options)
    return DrafterRule.goodput(settings.ADAPTIVE_CAP)


def ucb(options: str) -> DrafterRule:
    """Return UCB-SpecStop: each device learns which K brings it tokens fastest."""
    explore = number("ucb", options, 0.0, MOST_EXPLORE) if options else settings.EXPLORE
    return DrafterRule.ucb(explore, settings.ADAPTIVE_CAP)


def random(options: str) -> DrafterRule:
    """Return a random length for every round."""
    return waiting("random", DrafterRule.random(), options)


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
    "entropy": entropy,
    "specdec++": specdec,
    "table": table,
    "goodput": goodput,
    "ucb": ucb,
    "random": random,
    "oracle": oracle,
    "bayes": bayes,
}
