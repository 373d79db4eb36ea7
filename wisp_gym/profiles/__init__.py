"""Figures on servers, devices, networks and draft/target pairs, each with unit, source and status."""

from wisp_gym.profiles.acceptance import AcceptanceProfile
from wisp_gym.profiles.device import DeviceProfile
from wisp_gym.profiles.estimator import Estimator, read_estimator
from wisp_gym.profiles.figures import Figure, Profile, Source
from wisp_gym.profiles.load import acceptance, device, digest, names, network, path_of, server, shared_sources
from wisp_gym.profiles.network import NetworkProfile
from wisp_gym.profiles.predictor import Predictor, predictor
from wisp_gym.profiles.server import ServerProfile

__all__ = [
    "AcceptanceProfile",
    "DeviceProfile",
    "Estimator",
    "Figure",
    "NetworkProfile",
    "Predictor",
    "Profile",
    "ServerProfile",
    "Source",
    "acceptance",
    "device",
    "digest",
    "names",
    "network",
    "path_of",
    "predictor",
    "read_estimator",
    "server",
    "shared_sources",
]
