"""A second simulator, written from the definitions and not from the kernel, to check the kernel with.

Plain Python, one object per device, session, request and server, an event heap; slow and obvious. It reads
a drawn world and a policy of compiled rules, or what an agent did, and makes an event log, outcomes, counters
and metrics of its own. docs/semantics.md says what both simulators do where the other pages leave it open.

It shares with the kernel what it is given: the world (its tables, those of link delays and noise among them,
lengths, token streams), the stop scores, the stream law and Bayes filter, the estimator's coefficients, the
policy's fields and what the choices of an action stand for. A mistake in one of these would be in both.

    draws       random numbers by address          server      queue, KV memory, passes
    parts       devices, sessions, requests        ordering    whom a scheduler takes
    simulator   the event loop, devices, links     waiting     drafting ahead, time-outs
    drafting    how long drafts are                belief      the Bayesian drafter's rounds
    books       running sums                       measures    outcomes and metrics
    compare     the first difference       agent       an agent's actions carried out
"""

from reference.compare import Reference, difference, disagreement, simulate

__all__ = ["Reference", "difference", "disagreement", "simulate"]
