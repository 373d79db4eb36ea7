"""A second simulator, written from the definitions and not from the kernel, to check the kernel with.

Plain Python, one object per device, session, request and server, an event heap; slow and obvious. It reads a
drawn world (the draws themselves, and the stop scores of token streams, are given) and a policy of compiled
rules, and makes an event log, outcomes, counters and metrics of its own. docs/semantics.md says what both
simulators do where the other pages leave it open.

    draws       random numbers by address          server      queue, KV memory, passes
    parts       devices, sessions, requests        ordering    whom a scheduler takes
    simulator   the event loop, devices, links     waiting     drafting ahead, time-outs
    drafting    how long drafts are                belief      the Bayesian drafter's rounds
    books       running sums                       measures    outcomes and metrics
    compare     the first difference from the kernel
"""

from reference.compare import Reference, difference, disagreement, simulate

__all__ = ["Reference", "difference", "disagreement", "simulate"]
