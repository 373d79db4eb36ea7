"""Gymnasium environments: the pipeline with one or both halves of the controller left to an agent."""

from wisp_gym.envs.action import Command, wisp_action
from wisp_gym.envs.agent import AgentScheduler
from wisp_gym.envs.edge_cloud import EdgeCloud
from wisp_gym.envs.vector import EdgeCloudVector

__all__ = ["AgentScheduler", "Command", "EdgeCloud", "EdgeCloudVector", "wisp_action"]
