"""What an agent's author writes and gets: the configuration, the handler, the answer."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, Union

State = Literal["completed", "input-required", "auth-required", "failed", "rejected"]


@dataclass(frozen=True)
class ChatMessage:
    """One message of a conversation."""

    role: str
    """Who said it: ``user``, ``assistant`` (this agent, earlier) or ``system``."""
    content: str
    """What was said. Files and data of the caller are in it as text."""


@dataclass(frozen=True)
class HandlerResponse:
    """An answer that says more than a text."""

    content: str = ""
    """The text of the answer."""
    state: State | None = None
    """How the turn ends. Nothing or ``completed``: done. ``input-required``, ``auth-required``:
    the task waits for the caller. ``failed``, ``rejected``: it ends without a result."""
    prompt: str = ""
    """The question to the caller, where the task waits."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Remarks on the answer, kept with the task."""


@dataclass(frozen=True)
class HandlerContext:
    """What a handler knows of its turn beside the conversation."""

    task_id: str
    """The task that is worked on."""
    context_id: str
    """The conversation it belongs to."""
    agent_id: str
    """The agent that answers."""
    traceparent: str | None
    """The W3C trace context of the caller, if tracing is on."""
    gone: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when nobody wants the answer any more: canceled, timed out, or the end of a stop.
    For handlers that run in a thread; one that is a coroutine is cancelled."""


Piece = Union[str, HandlerResponse]
"""A piece of an answer: text, which continues what came before, or an object, which ends it."""

Handler = Callable[..., Union[Piece, Awaitable[Piece], Iterator[Piece], AsyncIterator[Piece]]]
"""Answers one turn: takes the messages, the last of which is to be answered, and the context if
it has a second parameter. What is no coroutine runs in a thread. A generator streams: callers see
each piece as it is yielded. What it raises fails the task with the exception's text."""


class _InlineSkill(TypedDict):
    name: str
    description: str


class InlineSkill(_InlineSkill, total=False):
    """A skill that is described in place."""

    tags: Sequence[str]
    input_modes: Sequence[str]
    output_modes: Sequence[str]
    version: str
    author: str


class _Deployment(TypedDict):
    url: str


class Deployment(_Deployment, total=False):
    """Where an agent is reached; ``url`` is its HTTP address, with its port."""

    expose: bool
    protocol_version: str
    cors_origins: Sequence[str]


class _ExecutionCost(TypedDict):
    amount: str | float


class ExecutionCost(_ExecutionCost, total=False):
    """What a call of the agent costs."""

    token: str
    network: str
    pay_to_address: str


class Capabilities(TypedDict, total=False):
    """What an agent says it can do; ``streaming`` is on by itself for a generator."""

    streaming: bool
    push_notifications: bool
    state_transition_history: bool


class _AgentConfig(TypedDict):
    author: str
    name: str
    deployment: Deployment


class AgentConfig(_AgentConfig, total=False):
    """An agent's configuration.

    ``author`` and ``name`` are its identity. ``skills`` are described in place, or paths: of a
    file, or of a directory with ``skill.yaml`` or ``SKILL.md``. ``core_address`` is where the
    core takes registrations (``localhost:3774``), ``callback_port`` where this process takes
    turns (a free port). Any mapping will do in its place: what is not named here is handed on to
    the core as it is, and the core ignores what it does not know.
    """

    description: str
    version: str
    skills: Sequence[str | InlineSkill]
    capabilities: Capabilities
    kind: Literal["agent", "team", "workflow"]
    execution_cost: ExecutionCost | Sequence[ExecutionCost]
    extra_metadata: Mapping[str, Any]
    debug_mode: bool
    telemetry: bool
    num_history_sessions: int
    core_address: str
    callback_port: int


def _print(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True)
class Options:
    """How this library behaves. Nothing of it reaches the core. Times are in seconds."""

    heartbeat_interval: float = 30.0
    """How often the core is told that this process is alive."""
    register_timeout: float = 60.0
    """How long a registration may take."""
    grace: float = 5.0
    """How long running turns may go on after a stop."""
    take_over_after: float = 10.0
    """How long a core of someone else may be gone before this process starts its own."""
    max_message_bytes: int = 4 * 1024 * 1024
    """The longest message sent or taken."""
    threads: int = 32
    """How many turns of a handler that is no coroutine run at once."""
    start_core: bool = True
    """Whether a core may be started when none runs."""
    cwd: str | None = None
    """The directory that a core started here works in: its keys and its ``.env``."""
    callback_host: str | None = None
    """The host under which a core on another machine reaches this process."""
    token: str | None = None
    """The shared token of the core, if it wants one. Else the variable GRPC__AUTH_TOKEN."""
    handle_signals: bool = True
    """Whether SIGINT, SIGTERM and SIGHUP stop the agents of this process."""
    log: Callable[[str], None] = _print
    """Takes what there is to say, line by line."""
