"""wisp-gym: a reinforcement-learning research gym for controllers of edge-cloud speculative LLM serving.

Importing it registers its environments with Gymnasium and does nothing else that takes time.
"""

from gymnasium.envs.registration import register, registry

__version__ = "0.1.0"

ENVIRONMENTS = {
    "wisp_gym/EdgeCloud-v0": ("wisp_gym.envs.edge_cloud:EdgeCloud", "wisp_gym.envs.vector:EdgeCloudVector")
}
"""Environment ids; where the environment is, and the vector of its copies."""

for _id, (_one, _many) in ENVIRONMENTS.items():
    if _id not in registry:
        register(_id, entry_point=_one, vector_entry_point=_many, disable_env_checker=True)

__all__ = ["ENVIRONMENTS", "__version__"]
