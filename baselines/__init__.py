"""Controllers that are not learned: WISP, SLED, centralized serving, any pair of a drafter and a scheduler.

`resolve` turns a name into a policy; `settings` holds every number a name leaves open, with its reason.
Nothing in wisp_gym imports this package.
"""

from __future__ import annotations

from baselines.names import candidates, drafter_names, is_foreign, resolve, resolve_trusted, scheduler_names

__all__ = [
    "candidates",
    "drafter_names",
    "is_foreign",
    "resolve",
    "resolve_trusted",
    "scheduler_names",
]
