"""Starting, staying and ending: of the agent, of its core, and of others beside it."""

import asyncio
import os
import signal

from behaviour import handler
from grpc import aio
from support import (
    answers,
    at_a_place,
    free_port,
    get,
    is_alive,
    is_free,
    is_settled,
    result,
    send,
    state,
    submit,
    until,
)

from bindu_sdk import agent_handler_pb2 as pb


@at_a_place
async def test_a_core_that_runs_is_used_and_none_is_started(here):
    core = await here.core()
    agent = await here.agent(handler)
    assert agent.core_pid is None
    assert state(await send(here.url, "hello")) == "completed"
    await agent.stop()
    assert core.poll() is None, "a core of somebody else is left alone"
    await until("the port of the agent is free", lambda: is_free(here.http))


@at_a_place
async def test_a_core_that_is_killed_comes_back_with_the_agent(here):
    agent = await here.agent(handler)
    before, did = agent.core_pid, agent.did
    os.kill(before, signal.SIGKILL)
    await until("another core runs", lambda: agent.core_pid not in (None, before))
    await until("the agent answers", lambda: answers(here.url))
    assert agent.did == did
    assert any(line.endswith("is registered again") for line in here.said)


@at_a_place
async def test_an_agent_returns_to_a_core_that_somebody_else_starts_again(here):
    core = await here.core()
    agent = await here.agent(handler)
    core.kill()
    core.wait()
    await until("the loss is noticed", lambda: any("is gone" in line for line in here.said))
    await here.core()
    await until("the agent answers", lambda: answers(here.url))
    assert agent.core_pid is None


@at_a_place
async def test_an_agent_that_the_core_has_forgotten_is_registered_again(here):
    await here.core()
    agent = await here.agent(handler, {"heartbeat_interval": 0.1})
    did = agent.did
    async with aio.insecure_channel(f"127.0.0.1:{here.grpc}") as channel:
        unregister = channel.unary_unary(
            "/bindu.grpc.BinduService/UnregisterAgent",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.UnregisterAgentResponse.FromString,
        )
        assert (await unregister(pb.UnregisterAgentRequest(agent_id=agent.agent_id))).success
    await until("the agent answers", lambda: answers(here.url))
    assert agent.did == did


@at_a_place
async def test_a_core_that_nobody_starts_again_is_replaced(here):
    core = await here.core()
    agent = await here.agent(handler, {"take_over_after": 0.3})
    core.kill()
    core.wait()
    await until("the agent answers", lambda: answers(here.url))
    assert agent.core_pid is not None


@at_a_place
async def test_two_processes_share_the_work_and_one_that_stops_takes_nothing_with_it(here):
    await here.core()
    first, _ = await here.program()
    second, _ = await here.program()

    async def share(n: int) -> set[str]:
        tasks = await asyncio.gather(*[send(here.url, "slow 150") for _ in range(n)])
        assert {state(task) for task in tasks} == {"completed"}, tasks
        return {result(task) for task in tasks}

    both = [f"slept {child.pid}" for child in (first, second)]
    assert await share(8) == set(both)

    running = asyncio.create_task(share(8))
    await asyncio.sleep(0.05)
    first.terminate()
    assert await first.wait() == 0
    await running
    assert await share(4) == {both[1]}


@at_a_place
async def test_an_agent_killed_under_load_is_replaced_and_each_task_ends_once(here):
    await here.core()
    port = free_port()
    tasks = []
    # First on the port of the one before, then on another.
    for callback_port in [port, port, free_port()]:
        child, _ = await here.program(callback_port=callback_port)
        assert state(await send(here.url, "hello")) == "completed"
        sent = [submit(here.url, f"slow {n * 20}") for n in range(20)]
        tasks += await asyncio.gather(*sent)
        await asyncio.sleep(0.2)
        child.kill()
        await child.wait()
    await here.program()

    async def end(task):
        async def settled():
            now = await get(here.url, task["id"])
            return now if is_settled(now) else None

        return await until("a task ends", settled)

    ends = await asyncio.gather(*[end(task) for task in tasks])
    states = {state(task) for task in ends}
    assert states <= {"completed", "failed"}
    assert "completed" in states, "some had ended"
    for task in ends:
        assert (await get(here.url, task["id"]))["status"] == task["status"]
    assert state(await send(here.url, "hello")) == "completed"


@at_a_place
async def test_running_turns_end_before_the_agent_does_and_the_core_after_it(here):
    running = []

    async def working(messages):
        running.append(True)
        await asyncio.sleep(0.4)
        return "done"

    agent = await here.agent(working)
    core = agent.core_pid
    sent = asyncio.gather(*[send(here.url, "work") for _ in range(10)])
    await until("all turns run", lambda: len(running) == 10)
    await agent.stop()
    assert {state(task) for task in await sent} == {"completed"}
    await until("the core is gone", lambda: not is_alive(core))
    await until("its ports are free", lambda: is_free(here.grpc) and is_free(here.http))


@at_a_place
async def test_a_turn_that_does_not_end_is_cut_off(here):
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(messages):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    agent = await here.agent(endless, {"grace": 0.1})
    await submit(here.url, "work")
    await until("the turn runs", began.is_set)
    await agent.stop()
    await until("the turn is cut off", cancelled.is_set)


@at_a_place
async def test_sigterm_ends_the_agent_and_the_core_it_started(here):
    child, core = await here.program()
    child.terminate()
    assert await child.wait() == 0
    await until("the core is gone", lambda: not is_alive(core))
    assert any(line.startswith("[bindu-core] ") for line in here.said)
