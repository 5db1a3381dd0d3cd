"""The ``bindu`` process: finding it, starting it, ending it."""

from __future__ import annotations

import asyncio
import atexit
import collections
import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# How long a core may take from its start until it takes registrations, and to end, in seconds.
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0

# How long the last lines of one that has ended are waited for.
_LAST_LINES = 0.5


class CoreError(RuntimeError):
    """There is no core, or it refuses."""


@dataclass(frozen=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads ``host:port``; IPv6 addresses are in brackets."""
        found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]/\s]+)):(\d{1,5})", text)
        if found is None or not 1 <= int(found[3]) <= 65535:
            raise ValueError(f"core_address must be host:port, not {text!r}")
        return cls(found[1] or found[2], int(found[3]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def is_loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    async def is_open(self) -> bool:
        """Whether somebody accepts connections there."""
        try:
            connecting = asyncio.open_connection(self.host, self.port)
            _, writer = await asyncio.wait_for(connecting, 1.0)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True


def find_binary(env: Mapping[str, str] | None = None) -> str:
    """The path of the ``bindu`` command: the variable BINDU_BIN, else the PATH."""
    env = os.environ if env is None else env
    if given := env.get("BINDU_BIN"):
        if os.path.isfile(given) and os.access(given, os.X_OK):
            return given
        raise CoreError(f"BINDU_BIN is {given}, which is not a program")
    if found := shutil.which("bindu", path=env.get("PATH", "")):
        return found
    raise CoreError(
        "the bindu command is not installed: get it with `cargo install bindu-cli`, "
        "put it on the PATH, or name it in the variable BINDU_BIN"
    )


class Core:
    """The core at an address, whoever started it."""

    def __init__(
        self,
        address: Address,
        *,
        start: bool,
        take_over_after: float,
        cwd: str | None,
        log: Callable[[str], None],
        lost: Callable[[], None],
    ) -> None:
        self.address = address
        self._may_start = start
        self._take_over_after = take_over_after
        self._cwd = cwd
        self._log = log
        self._lost = lost
        self._process: asyncio.subprocess.Process | None = None
        self._last: collections.deque[str] = collections.deque(maxlen=4)
        self._watching: asyncio.Task[None] | None = None
        # Whether the core that was seen last is one of ours.
        self._ours = False
        # Since when there is none. Before the first, for ever.
        self._gone_since: float | None = float("-inf")

    @property
    def pid(self) -> int | None:
        """The process started here, if it runs."""
        return self._process.pid if self._process else None

    async def ensure(self) -> None:
        """Returns once a core accepts connections; starts one if none does."""
        if await self.address.is_open():
            self._ours = self._process is not None
            self._gone_since = None
            return
        if self._gone_since is None:
            self._gone_since = time.monotonic()
        if not self._may_start or not self.address.is_loopback():
            raise CoreError(f"no core listens on {self.address}")
        # Whoever runs it may just be starting it again.
        if not self._ours and time.monotonic() - self._gone_since < self._take_over_after:
            raise CoreError(f"the core on {self.address} is gone; waiting for it to come back")
        if self._process is None:
            await self._start()
        until = time.monotonic() + _START_TIMEOUT
        while True:
            ended = self._process is None
            # It may be one that was faster; then ours ends, since the port is taken.
            if await self.address.is_open():
                break
            if ended:
                raise CoreError(f"bindu has ended: {' | '.join(self._last)}")
            if time.monotonic() > until:
                raise CoreError(f"bindu does not listen on {self.address}")
            await asyncio.sleep(0.05)
        self._ours = self._process is not None
        self._gone_since = None

    async def _start(self) -> None:
        self._last.clear()
        process = await asyncio.create_subprocess_exec(
            find_binary(),
            *("serve", "--grpc", "--grpc-port", str(self.address.port)),
            cwd=self._cwd,
            # It serves us; nobody else on the network has to reach it, unless it is said.
            env={"GRPC__HOST": "127.0.0.1", **os.environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A group of its own, so that Ctrl-C reaches us alone and running turns can end.
            start_new_session=True,
        )
        self._process = process
        self._watching = asyncio.create_task(self._watch(process))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Forwards what a core says until it has ended."""

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)

        atexit.register(kill)
        outputs = [
            asyncio.create_task(self._forward(output))
            for output in (process.stdout, process.stderr)
            if output
        ]
        try:
            await process.wait()
            atexit.unregister(kill)
            # The last lines; a child of its own may keep the pipes open for longer.
            await asyncio.wait(outputs, timeout=_LAST_LINES)
        finally:
            for output in outputs:
                output.cancel()
        self._last.append(f"exit {process.returncode}")
        if self._process is process:
            self._process = None
            self._lost()

    async def _forward(self, output: asyncio.StreamReader) -> None:
        # Not by readline, which fails at lines that are longer than its buffer.
        rest = b""
        while piece := await output.read(65536):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._say(line)
        if rest:
            self._say(rest)

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._last.append(text)
        self._log(f"[bindu-core] {text}")

    async def stop(self) -> None:
        """Ends a core that was started here, if it still runs."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_TIMEOUT)
            except asyncio.TimeoutError:
                process.kill()
        if self._watching is not None:
            await self._watching
