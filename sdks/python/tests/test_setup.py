"""What is wrong before an agent is there is said, and leaves nothing behind."""

import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from support import at_a_place, is_free

from bindu_sdk import CoreError, agent_handler_pb2
from bindu_sdk._core import Address, find_binary

PACKAGE = Path(__file__).parent.parent


def answer(messages):
    return "x"


@at_a_place
async def test_a_configuration_that_the_core_refuses_is_an_error_with_its_reason(here):
    with pytest.raises(CoreError, match="Registration failed: .*author"):
        await here.agent(answer, author="")
    assert is_free(here.grpc), "the core that was started for it is gone"


def test_a_core_that_does_not_start_is_an_error_with_what_it_said(tmp_path, monkeypatch):
    broken = tmp_path / "bindu"
    broken.write_text("#!/bin/sh\necho no luck >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("BINDU_BIN", str(broken))

    @at_a_place
    async def start(here):
        with pytest.raises(CoreError, match=r"bindu has ended: no luck \| exit 3"):
            await here.agent(answer)

    start()


@at_a_place
async def test_a_skill_that_is_not_there_is_named(here):
    with pytest.raises(FileNotFoundError, match="the skill no/such is not there"):
        await here.agent(answer, skills=["no/such"])


@at_a_place
async def test_a_callback_port_in_use_is_an_error(here):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=str(port)):
            await here.agent(answer, callback_port=port)


@at_a_place
async def test_a_core_that_may_not_be_started_is_missed(here):
    with pytest.raises(ValueError, match="callback_host must say"):
        await here.agent(answer, core_address="192.0.2.1:3774")
    with pytest.raises(CoreError, match="no core listens"):
        await here.agent(answer, {"start_core": False})


def test_the_command_is_bindu_bin_else_on_the_path_else_it_is_said_how_to_get_it(tmp_path):
    file = tmp_path / "bindu"
    with pytest.raises(CoreError, match="cargo install bindu-cli"):
        find_binary({"PATH": str(tmp_path)})
    file.touch(0o755)
    assert find_binary({"PATH": f"/nowhere:{tmp_path}"}) == str(file)
    assert find_binary({"PATH": "", "BINDU_BIN": str(file)}) == str(file)
    with pytest.raises(CoreError, match="not a program"):
        find_binary({"PATH": str(tmp_path), "BINDU_BIN": str(tmp_path)})


def test_addresses_are_a_host_and_a_port():
    assert Address.parse("localhost:3774") == Address("localhost", 3774)
    assert str(Address.parse("[::1]:1")) == "[::1]:1"
    for bad in ["", "localhost", "a:0", "a:65536", "::1:5", "http://a:1", "a b:1"]:
        with pytest.raises(ValueError, match="must be host:port"):
            Address.parse(bad)


def test_the_generated_code_is_of_the_contract():
    ours = descriptor_pb2.FileDescriptorProto.FromString(agent_handler_pb2.DESCRIPTOR.serialized_pb)
    described = PACKAGE.parents[1] / "crates/bindu-grpc/src/proto/descriptor.bin"
    (theirs,) = descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes()).file
    # It says the same as the name, and not every compiler writes it down.
    for message in [*ours.message_type, *theirs.message_type]:
        for nested in [message, *message.nested_type]:
            for field in nested.field:
                field.ClearField("json_name")
    assert ours == theirs


def test_the_package_holds_what_it_needs_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    # Built elsewhere: what a build leaves behind does not belong beside the sources.
    for name in ["pyproject.toml", "README.md"]:
        (source / name).write_bytes((PACKAGE / name).read_bytes())
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE / "src", source / "src", ignore=caches)
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("bindu_sdk-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for file in ["__init__.py", "py.typed", "agent_handler_pb2.pyi", "proto/agent_handler.proto"]:
        assert f"bindu_sdk/{file}" in names
    assert not [name for name in names if not name.startswith(("bindu_sdk/", "bindu_sdk-"))]
