"""The world: everything exogenous, drawn before control from one seed."""

from wisp_gym.world.draw import draw_world, template_of, world_seed
from wisp_gym.world.types import World, WorldArrays

__all__ = ["World", "WorldArrays", "draw_world", "template_of", "world_seed"]
