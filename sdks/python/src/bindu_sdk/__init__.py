"""Makes an A2A agent of a function.

The ``bindu`` command does the work of an agent (HTTP, identity, tasks, streams); it is started
beside this process, or found running, and calls back for every turn.
"""

from ._agent import Agent, bindufy, run
from ._core import CoreError
from ._types import (
    AgentConfig,
    Capabilities,
    ChatMessage,
    Deployment,
    ExecutionCost,
    Handler,
    HandlerContext,
    HandlerResponse,
    InlineSkill,
    Options,
    Piece,
    State,
)

__all__ = [
    "Agent",
    "AgentConfig",
    "Capabilities",
    "ChatMessage",
    "CoreError",
    "Deployment",
    "ExecutionCost",
    "Handler",
    "HandlerContext",
    "HandlerResponse",
    "InlineSkill",
    "Options",
    "Piece",
    "State",
    "bindufy",
    "run",
]
