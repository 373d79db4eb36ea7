"""Pictures of a simulation: its event log as spans, as a frame, as a Chrome trace."""

from wisp_gym.rendering.chrome import TraceProcess, trace_bytes
from wisp_gym.rendering.frame import LOG_S, frame
from wisp_gym.rendering.spans import GPU, Kind, Span, spans

__all__ = ["GPU", "LOG_S", "Kind", "Span", "TraceProcess", "frame", "spans", "trace_bytes"]
