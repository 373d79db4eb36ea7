"""Learning agents for the environments of wisp_gym.

`load` turns a trained model's folder into a policy for the pipeline. It needs NumPy and safetensors only;
torch is imported by the modules that train.
"""

from __future__ import annotations

from agents.model_file import load

__all__ = ["load"]
