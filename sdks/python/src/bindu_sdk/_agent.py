"""An agent's registration, kept alive until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import grpc
from grpc import aio

from . import agent_handler_pb2 as pb
from ._core import Address, Core, CoreError
from ._handler import HandlerServer, is_generator
from ._skills import load_skills
from ._types import AgentConfig, Handler, Options

# How long a heartbeat may take, in seconds.
_HEARTBEAT_TIMEOUT = 5.0

# The pause after a first failure; it doubles up to the longest.
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 10.0

# SIGHUP is not everywhere.
_SIGNALS = [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]


class Agent:
    """A registered agent. It lives until :meth:`stop`, or until the process is told to end."""

    def __init__(
        self, config: AgentConfig | Mapping[str, Any], handler: Handler, options: Options
    ) -> None:
        told: dict[str, Any] = dict(config)
        address = Address.parse(told.pop("core_address", "localhost:3774"))
        self._port = int(told.pop("callback_port", 0))
        self._skills = load_skills(told.pop("skills", ()))
        streaming = is_generator(handler)
        if streaming:
            told["capabilities"] = {"streaming": True, **told.get("capabilities", {})}
        self._config_json = json.dumps(told)
        self._options = options
        about = pb.GetCapabilitiesResponse(
            name=str(told.get("name", "")),
            description=str(told.get("description", "")),
            version=str(told.get("version", "")),
            supports_streaming=streaming,
        )
        self._server = HandlerServer(
            handler,
            about,
            max_message_bytes=options.max_message_bytes,
            threads=options.threads,
            log=options.log,
        )
        self._alarm = asyncio.Event()
        self._core = Core(
            address,
            start=options.start_core,
            take_over_after=options.take_over_after,
            cwd=options.cwd,
            log=options.log,
            lost=self._alarm.set,
        )
        token = options.token or os.environ.get("GRPC__AUTH_TOKEN")
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        self._channel: aio.Channel | None = None
        self._noticing: asyncio.Task[None] | None = None
        self._callback = ""
        self._registration = pb.RegisterAgentResponse()
        self._watching: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    @property
    def agent_id(self) -> str:
        """The agent's id: a UUID."""
        return self._registration.agent_id

    @property
    def did(self) -> str:
        """The agent's DID."""
        return self._registration.did

    @property
    def agent_url(self) -> str:
        """Where callers reach the agent."""
        return self._registration.agent_url

    @property
    def callback_address(self) -> str:
        """Where this process takes turns: ``host:port``."""
        return self._callback

    @property
    def core_pid(self) -> int | None:
        """The process of the core, if it was started here."""
        return self._core.pid

    async def wait(self) -> None:
        """Returns when the agent has stopped."""
        await self._stopped.wait()

    async def stop(self) -> None:
        """Takes the agent from the core, lets running turns end, and ends the core if it was
        started here. Takes no longer than the grace and what the core needs to end."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def __aenter__(self) -> Agent:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        address, host = self._core.address, self._options.callback_host
        if host is None and not address.is_loopback():
            raise ValueError(f"callback_host must say where the core on {address} reaches us")
        host = host or "127.0.0.1"
        listen = host if Address(host, 0).is_loopback() else "0.0.0.0"
        port = await self._server.listen(str(Address(listen, self._port)))
        self._callback = str(Address(host, port))
        await self._core.ensure()
        await self._register()
        self._options.log(f"{self.agent_url} is live ({self.did})")

    async def _register(self) -> None:
        request = pb.RegisterAgentRequest(
            config_json=self._config_json,
            skills=self._skills,
            grpc_callback_address=self._callback,
        )
        timeout = self._options.register_timeout
        answer = await self._call("RegisterAgent", request, pb.RegisterAgentResponse, timeout)
        if not answer.success:
            raise CoreError(f"Registration failed: {answer.error}")
        self._registration = answer

    async def _watch(self) -> None:
        """Tells the core again and again that we live, and brings back whatever was lost."""
        failed, pause = False, 0.0
        while True:
            if not failed:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._alarm.wait(), self._options.heartbeat_interval)
                failed = self._alarm.is_set()
            # A core that ends is started again at once, one that ends again and again is not.
            if failed:
                await asyncio.sleep(pause)
            pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE) if failed else 0.0
            self._alarm.clear()
            try:
                if not await self._is_registered():
                    await self._register()
                    self._options.log(f"{self.agent_url} is registered again")
                failed = False
            except (CoreError, OSError, aio.AioRpcError) as error:
                failed = True
                said = error.details() if isinstance(error, aio.AioRpcError) else error
                self._options.log(f"{said}; trying again in {pause} s")

    async def _is_registered(self) -> bool:
        try:
            return await self._beat(wait_for_ready=False)
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        await self._core.ensure()
        # A new process, which the old channel would try again only after a pause.
        await self._hang_up()
        return await self._beat(wait_for_ready=True)

    async def _beat(self, *, wait_for_ready: bool) -> bool:
        answer = await self._call(
            "Heartbeat",
            pb.HeartbeatRequest(agent_id=self.agent_id, timestamp=time.time_ns() // 1_000_000),
            pb.HeartbeatResponse,
            _HEARTBEAT_TIMEOUT,
            wait_for_ready=wait_for_ready,
        )
        return bool(answer.acknowledged)

    async def _notice_loss(self, channel: aio.Channel) -> None:
        """Lets the alarm go off when the connection to the core ends."""
        state = channel.get_state()
        while state is not grpc.ChannelConnectivity.SHUTDOWN:
            await channel.wait_for_state_change(state)
            before, state = state, channel.get_state()
            if before is grpc.ChannelConnectivity.READY:
                self._alarm.set()

    async def _call(
        self,
        method: str,
        request: Any,
        answer: Any,
        timeout: float,
        metadata: tuple[tuple[str, str], ...] = (),
        wait_for_ready: bool = True,
    ) -> Any:
        if self._channel is None:
            options: list[tuple[str, int]] = [
                ("grpc.max_receive_message_length", self._options.max_message_bytes),
                ("grpc.max_send_message_length", self._options.max_message_bytes),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1000),
                ("grpc.use_local_subchannel_pool", 1),
            ]
            if self._core.address.is_loopback():
                options.append(("grpc.enable_http_proxy", 0))
            self._channel = aio.insecure_channel(str(self._core.address), options)
            self._noticing = asyncio.create_task(self._notice_loss(self._channel))
        call = self._channel.unary_unary(
            f"/bindu.grpc.BinduService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return await call(
            request,
            timeout=timeout,
            metadata=(*self._metadata, *metadata),
            wait_for_ready=wait_for_ready,
        )

    async def _hang_up(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            if self._noticing is not None:
                # Not waited for: in some versions of grpc it hears of that only from the channel.
                self._noticing.cancel()
            await channel.close()

    async def _stop(self) -> None:
        until = time.monotonic() + self._options.grace
        self._server.ending()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._registration.success:
            # Answered when the core sends nothing any more; turns that run are served until then.
            request = pb.UnregisterAgentRequest(agent_id=self.agent_id)
            try:
                await self._call(
                    "UnregisterAgent",
                    request,
                    pb.UnregisterAgentResponse,
                    self._options.grace + 1.0,
                    (("x-bindu-callback", self._callback),),
                    wait_for_ready=False,
                )
            except aio.AioRpcError as error:
                self._options.log(f"taking the agent from the core: {error.details()}")
        await self._server.close(max(until - time.monotonic(), 0.1))
        await self._hang_up()
        await self._core.stop()
        _forget_signals(self)
        self._stopped.set()


async def bindufy(
    config: AgentConfig | Mapping[str, Any], handler: Handler, options: Options | None = None
) -> Agent:
    """Registers an agent and keeps it registered: a core that ends is started again.

    Returns the agent once callers reach it. Raises :class:`CoreError` if there is no core and
    none can be started, or if it refuses the configuration.

    The agent lives in the event loop of its caller, and so does a handler that is a coroutine.
    """
    options = options or Options()
    agent = Agent(config, handler, options)
    if options.handle_signals:
        _watch_signals(agent)
    start = asyncio.ensure_future(agent._start())
    stopped = asyncio.ensure_future(agent.wait())
    try:
        # A signal may end it before it has begun.
        await asyncio.wait((start, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            raise CoreError("stopped before the registration was done")
        start.result()
    except BaseException as error:
        start.cancel()
        await agent.stop()
        if isinstance(error, aio.AioRpcError):
            said = f"{error.code().name}: {error.details()}"
            raise CoreError(f"Registration failed: {said}") from error
        raise
    finally:
        stopped.cancel()
    agent._watching = asyncio.create_task(agent._watch())
    return agent


def run(
    config: AgentConfig | Mapping[str, Any], handler: Handler, options: Options | None = None
) -> None:
    """Runs an agent until SIGINT or SIGTERM; what a program with nothing else to do ends with."""

    async def forever() -> None:
        await (await bindufy(config, handler, options)).wait()

    asyncio.run(forever())


_running: set[Agent] = set()
_ends: set[asyncio.Task[None]] = set()


def _on_signal() -> None:
    """Stops all agents; a second signal does not wait for them."""
    _reset_signals()
    for agent in list(_running):
        end = asyncio.ensure_future(agent.stop())
        _ends.add(end)
        end.add_done_callback(_ends.discard)


def _watch_signals(agent: Agent) -> None:
    _running.add(agent)
    loop = asyncio.get_running_loop()
    # Not everywhere there are signals, and only the main thread may hear them.
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        for each in _SIGNALS:
            loop.add_signal_handler(each, _on_signal)


def _forget_signals(agent: Agent) -> None:
    if agent in _running:
        _running.discard(agent)
        if not _running:
            _reset_signals()


def _reset_signals() -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
