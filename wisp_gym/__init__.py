"""wisp-gym: a reinforcement-learning research gym for controllers of edge-cloud speculative LLM serving.

Importing it registers its environments with Gymnasium and does nothing else that takes time.
"""

from gymnasium.envs.registration import register, registry

__version__ = "0.1.0"

ENVIRONMENTS = {"wisp_gym/EdgeCloud-v0": "wisp_gym.envs.edge_cloud:EdgeCloud"}
"""Environment ids and where they are."""

for _id, _entry_point in ENVIRONMENTS.items():
    if _id not in registry:
        register(_id, entry_point=_entry_point, disable_env_checker=True)

__all__ = ["ENVIRONMENTS", "__version__"]
