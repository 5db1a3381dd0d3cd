"""What the tests share: a directory and ports of their own, and an A2A client of a few lines."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bindu_sdk import Options, bindufy

# Set before a core is started: it inherits them.
os.environ["GRPC__HEALTH_CHECK_INTERVAL"] = "1"
os.environ["BINDU_HOST"] = "127.0.0.1"

_callers = ThreadPoolExecutor(64)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(what: str, condition, limit: float = 30.0):
    """Waits for a condition; the limit is for a machine that is busy with other things."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"waited in vain: {what}"
        await asyncio.sleep(0.02)


class Place:
    """A place for one test: what it starts is ended with it, in reverse order."""

    def __init__(self, directory: str, ends: contextlib.AsyncExitStack) -> None:
        self.directory = directory
        self.grpc, self.http = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"
        self.said: list[str] = []
        self._ends = ends

    def config(self, **extra):
        return {
            "author": "ann@example.com",
            "name": "tested",
            "deployment": {"url": self.url},
            "core_address": f"127.0.0.1:{self.grpc}",
            **extra,
        }

    async def agent(self, handler, options=None, **extra):
        """Starts an agent in this process."""
        given = {"cwd": self.directory, "handle_signals": False, "log": self.said.append}
        options = Options(**{**given, **(options or {})})
        agent = await bindufy(self.config(**extra), handler, options)
        self._ends.push_async_callback(agent.stop)
        return agent

    async def program(self, **extra) -> tuple[asyncio.subprocess.Process, int | None]:
        """Starts an agent in a process of its own."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).parent / "program.py"),
            json.dumps(self.config(**extra)),
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent / "src")},
            stdout=asyncio.subprocess.PIPE,
        )
        self._ends.push_async_callback(_kill, child)
        while line := (await child.stdout.readline()).decode().strip():
            self.said.append(line)
            if line.startswith("READY "):
                reading = asyncio.create_task(self._read(child.stdout))
                self._ends.callback(reading.cancel)
                return child, json.loads(line[6:])
        raise AssertionError("\n".join(["the program ended", *self.said]))

    async def _read(self, output) -> None:
        while line := await output.readline():
            self.said.append(line.decode().strip())

    async def core(self) -> subprocess.Popen:
        """Starts a core that belongs to none of the agents."""
        core = subprocess.Popen(
            [os.environ["BINDU_BIN"], "serve", "--grpc", "--grpc-port", str(self.grpc)],
            cwd=self.directory,
            env={**os.environ, "GRPC__HOST": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._ends.callback(lambda: (core.kill(), core.wait()))

        def listens() -> bool:
            assert core.poll() is None, f"the core ended with {core.returncode}"
            return not is_free(self.grpc)

        await until("the core listens", listens)
        return core


async def _kill(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()


def at_a_place(test):
    """Runs a coroutine as a test, with a place of its own."""

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="bindu-sdk-") as directory:
            async with contextlib.AsyncExitStack() as ends:
                await test(Place(directory, ends))

    def synchronous() -> None:
        asyncio.run(run())

    synchronous.__name__ = test.__name__
    return synchronous


def _post(url: str, method: str, params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    return urllib.request.urlopen(request, timeout=60)


def _call(url: str, method: str, params):
    with _post(url, method, params) as answer:
        given = json.load(answer)
    assert "error" not in given, f"{method}: {given}"
    return given["result"]


async def in_thread(function, *arguments):
    run = functools.partial(function, *arguments)
    return await asyncio.get_running_loop().run_in_executor(_callers, run)


async def call(url: str, method: str, params):
    return await in_thread(_call, url, method, params)


def _message(text: str, **to):
    parts = [{"kind": "text", "text": text}]
    return {"role": "user", "messageId": str(uuid.uuid4()), "parts": parts, **to}


async def send(url: str, text: str, **to):
    """Sends a text; the task as it is when it is done or waits."""
    return await call(url, "message/send", {"message": _message(text, **to)})


async def submit(url: str, text: str):
    """Sends a text; the task as it was accepted."""
    params = {"message": _message(text), "configuration": {"blocking": False}}
    return await call(url, "message/send", params)


async def answers(url: str) -> bool:
    """Whether an agent completes a task."""
    try:
        return (await send(url, "hello"))["status"]["state"] == "completed"
    except (OSError, urllib.error.URLError, AssertionError):
        return False


async def get(url: str, task: str):
    return await call(url, "tasks/get", {"id": task})


async def fetch(url: str) -> str:
    def read() -> str:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read().decode()

    return await in_thread(read)


async def stream(url: str, text: str):
    """Sends a text; the events of the stream, each when it comes."""
    answer = await in_thread(_post, url, "message/stream", {"message": _message(text)})
    with answer:
        while line := await in_thread(answer.readline):
            if line.startswith(b"data:"):
                yield json.loads(line[5:])["result"]


def state(task) -> str:
    return task["status"]["state"]


def is_settled(task) -> bool:
    """Whether a task has come to an end, or waits for its caller."""
    return state(task) not in ("submitted", "working")


def text_of(parts) -> str:
    return "".join(part["text"] for part in parts)


def result(task) -> str:
    """The text of a task's result."""
    return text_of(task["artifacts"][0]["parts"])


def said(task) -> str:
    """The last thing that the agent said."""
    return text_of((task["status"].get("message") or task["history"][-1])["parts"])


