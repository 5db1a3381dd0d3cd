"""The gRPC server that takes turns from the core and gives them to the handler."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from grpc import aio

from . import agent_handler_pb2 as pb
from ._types import ChatMessage, Handler, HandlerContext, HandlerResponse, Piece

T = TypeVar("T")

# How much of an exception's text fits into the trailers of a call.
_MAX_DETAILS = 2000

# The aio.ServicerContext of a call, which has no types.
_Call = Any


def _called(handler: Handler) -> Any:
    """The function behind a handler that is an object."""
    return handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)


def is_generator(handler: Handler) -> bool:
    """Whether a function is a generator, so that its answer comes in pieces."""
    return any(
        test(function)
        for function in (handler, _called(handler))
        for test in (inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    )


def _is_async(handler: Handler) -> bool:
    return any(
        test(function)
        for function in (handler, _called(handler))
        for test in (inspect.isasyncgenfunction, inspect.iscoroutinefunction)
    )


def _takes_context(handler: Handler) -> bool:
    parameters = inspect.signature(handler).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 1 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


class HandlerServer:
    """Serves AgentHandler."""

    def __init__(
        self,
        handler: Handler,
        about: pb.GetCapabilitiesResponse,
        *,
        max_message_bytes: int,
        threads: int,
        log: Callable[[str], None],
    ) -> None:
        self._handler = handler
        self._takes_context = _takes_context(handler)
        self._is_async = _is_async(handler)
        self._about = about
        self._log = log
        self._ending = False
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bindu-handler")
        self._server = aio.server(
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # A port that is taken is an error, and not shared.
                ("grpc.so_reuseport", 0),
            ]
        )
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        methods: dict[str, tuple[Any, Any, Any]] = {
            "HandleMessages": (unary, self._handle_messages, pb.HandleRequest),
            "HandleMessagesStream": (stream, self._handle_messages_stream, pb.HandleRequest),
            "GetCapabilities": (unary, self._get_capabilities, pb.GetCapabilitiesRequest),
            "HealthCheck": (unary, self._health_check, pb.HealthCheckRequest),
        }
        handlers = {
            name: kind(method, request.FromString, lambda answer: answer.SerializeToString())
            for name, (kind, method, request) in methods.items()
        }
        service = grpc.method_handlers_generic_handler("bindu.grpc.AgentHandler", handlers)
        self._server.add_generic_rpc_handlers((service,))

    async def listen(self, address: str) -> int:
        """Starts to listen on ``host:port``; returns the port."""
        port: int = self._server.add_insecure_port(address)
        await self._server.start()
        return port

    def ending(self) -> None:
        """From now on the core hears that this process takes no more work."""
        self._ending = True

    async def close(self, grace: float) -> None:
        """Ends when the running turns have, or cuts them off when that takes longer."""
        await self._server.stop(grace)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _handle_messages(self, request: pb.HandleRequest, call: _Call) -> pb.HandleResponse:
        async with self._turn(request, call) as pieces:
            text = ""
            async for piece in pieces:
                if not isinstance(piece, str):
                    return _final(piece, text)
                text += piece
            return _final(HandlerResponse(text))

    async def _handle_messages_stream(self, request: pb.HandleRequest, call: _Call) -> None:
        async with self._turn(request, call) as pieces:
            last = HandlerResponse()
            async for piece in pieces:
                if not isinstance(piece, str):
                    last = piece
                    break
                await call.write(pb.HandleResponse(content=piece))
            await call.write(_final(last))

    async def _get_capabilities(self, _: object, __: object) -> pb.GetCapabilitiesResponse:
        return self._about

    async def _health_check(self, _: object, __: object) -> pb.HealthCheckResponse:
        message = "stopping" if self._ending else "OK"
        return pb.HealthCheckResponse(healthy=not self._ending, message=message)

    @contextlib.asynccontextmanager
    async def _turn(
        self, request: pb.HandleRequest, call: _Call
    ) -> AsyncIterator[AsyncGenerator[Piece, None]]:
        """The pieces of one turn; what goes wrong becomes the status of the call."""
        told = {key: str(value) for key, value in call.invocation_metadata() or ()}
        context = HandlerContext(
            task_id=request.task_id or told.get("x-bindu-task-id", ""),
            context_id=request.context_id or told.get("x-bindu-context-id", ""),
            agent_id=told.get("x-bindu-agent-id", ""),
            traceparent=told.get("traceparent"),
        )
        messages = [ChatMessage(message.role, message.content) for message in request.messages]
        try:
            async with contextlib.aclosing(self._pieces(messages, context)) as pieces:
                yield pieces
        except Exception as error:
            self._log("".join(traceback.format_exception(error)).rstrip())
            details = str(error) or type(error).__name__
            await call.abort(grpc.StatusCode.INTERNAL, details[:_MAX_DETAILS])
        finally:
            context.gone.set()

    async def _pieces(
        self, messages: list[ChatMessage], context: HandlerContext
    ) -> AsyncGenerator[Piece, None]:
        """Calls the handler; whatever it gives becomes a row of pieces."""
        arguments = (messages, context) if self._takes_context else (messages,)
        if self._is_async:
            given: Any = self._handler(*arguments)
        else:
            given = await self._in_thread(lambda: self._handler(*arguments))
        if inspect.isawaitable(given):
            given = await given
        if isinstance(given, (str, HandlerResponse)):
            yield given
        elif isinstance(given, AsyncGenerator):
            async with contextlib.aclosing(given):
                async for piece in given:
                    yield _checked(piece)
        elif isinstance(given, Iterator):
            async with contextlib.aclosing(self._in_steps(given)) as pieces:
                async for piece in pieces:
                    yield _checked(piece)
        else:
            yield _checked(given)

    async def _in_steps(self, given: Iterator[Piece]) -> AsyncGenerator[Piece, None]:
        """Runs a generator in threads, from piece to piece."""
        # A step goes on when its call is cancelled, and a generator is closed only between steps.
        lock = threading.Lock()
        end = object()

        def step() -> Any:
            with lock:
                return next(given, end)

        def close() -> None:
            with lock:
                getattr(given, "close", lambda: None)()

        try:
            while (piece := await self._in_thread(step)) is not end:
                yield piece
        finally:
            with contextlib.suppress(RuntimeError):
                self._threads.submit(close)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._threads, run, function)


def _checked(piece: object) -> Piece:
    if isinstance(piece, (str, HandlerResponse)):
        return piece
    raise TypeError(f"the handler answered with {piece!r:.99}, neither str nor HandlerResponse")


def _final(response: HandlerResponse, before: str = "") -> pb.HandleResponse:
    return pb.HandleResponse(
        content=before + response.content,
        state=response.state or "",
        prompt=response.prompt,
        is_final=True,
        metadata={str(key): str(value) for key, value in response.metadata.items()},
    )
