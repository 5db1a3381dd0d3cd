"""One turn of a conversation, from an A2A caller to the handler and back."""

import asyncio
import functools
import json
import threading
from pathlib import Path

from behaviour import handler
from support import (
    at_a_place,
    call,
    fetch,
    get,
    in_thread,
    result,
    said,
    send,
    state,
    stream,
    submit,
    text_of,
    until,
)

from bindu_sdk import HandlerResponse
from bindu_sdk._handler import is_generator


@at_a_place
async def test_an_answer_comes_back_and_the_handler_knows_what_it_answers(here):
    agent = await here.agent(handler)
    assert agent.did.startswith("did:bindu:")
    assert agent.agent_url == here.url

    task = await send(agent.agent_url, "hello")
    assert state(task) == "completed"
    assert result(task) == "user: hello"

    context = await send(agent.agent_url, "context")
    ids = [context["id"], context["contextId"], agent.agent_id]
    assert json.loads(result(context))["ids"] == ids


@at_a_place
async def test_a_question_keeps_the_task_open_and_its_answer_goes_on_with_it(here):
    await here.agent(handler)
    asked = await send(here.url, "ask city")
    assert state(asked) == "input-required"
    assert said(asked) == "Which city?"

    told = await send(here.url, "Berlin", taskId=asked["id"], contextId=asked["contextId"])
    assert state(told) == "completed"
    assert result(told) == "user: ask city\nassistant: Which city?\nuser: Berlin"


@at_a_place
async def test_what_a_handler_raises_fails_the_task_and_is_said(here):
    await here.agent(handler)
    task = await send(here.url, "fail the töwer is closed")
    assert state(task) == "failed"
    assert "INTERNAL: the töwer is closed" in said(task)
    assert "artifacts" not in task
    assert any("ValueError: the töwer is closed" in line for line in here.said)


@at_a_place
async def test_a_function_runs_in_a_thread_and_many_at_once(here):
    together = threading.Barrier(8, timeout=30)

    def blocking(messages):
        together.wait()
        return None if messages[-1].content == "nothing" else threading.current_thread().name

    await here.agent(blocking)
    sent = [send(here.url, text) for text in ["nothing", *["work"] * 7]]
    nothing, *tasks = await asyncio.gather(*sent)
    assert {state(task) for task in tasks} == {"completed"}
    assert all(result(task).startswith("bindu-handler") for task in tasks)
    assert state(nothing) == "failed"
    assert "answered with None" in said(nothing)


async def pieces_of(here) -> None:
    """Checks that `one ` arrives, then lets the handler go on."""
    heard = here.heard

    async def streams() -> bool:
        events = [event async for event in stream(here.url, "try")]
        return sum(len(event.get("artifact", {}).get("parts", ())) for event in events) > 1

    # What an agent can do is asked after its registration.
    await until("the core knows that the agent streams", streams)
    text, last = "", None
    async for event in stream(here.url, "count"):
        if event["kind"] == "artifact-update":
            text += text_of(event["artifact"]["parts"])
        if text == "one ":
            heard.set()
        if event["kind"] == "status-update" and event["final"]:
            last = state(event)
    assert (text, last) == ("one two", "completed")


@at_a_place
async def test_the_pieces_of_a_generator_reach_a_caller_one_by_one(here):
    here.heard = asyncio.Event()

    async def counting(messages, context):
        yield "one "
        # Goes on only when the caller has seen the first.
        if messages[-1].content == "count":
            await here.heard.wait()
        yield "two"

    await here.agent(counting)
    await pieces_of(here)


@at_a_place
async def test_so_do_those_of_a_generator_in_a_thread(here):
    here.heard = threading.Event()

    def counting(messages):
        yield "one "
        if messages[-1].content == "count":
            assert here.heard.wait(30)
        yield "two"

    await here.agent(counting)
    await pieces_of(here)


@at_a_place
async def test_a_generator_may_end_with_a_state_or_fail(here):
    closed = []

    async def doubtful(messages):
        if messages[-1].content == "stop":
            raise ValueError("stopped")
        try:
            yield "let me see. "
            yield HandlerResponse(state="input-required", prompt="Which one?")
            raise AssertionError("nobody asks for more")
        finally:
            closed.append(True)

    await here.agent(doubtful)
    asked = await send(here.url, "choose")
    assert state(asked) == "input-required"
    assert "Which one?" in said(asked)
    await until("the generator is closed", lambda: closed)

    failed = await send(here.url, "stop")
    assert state(failed) == "failed"
    assert "INTERNAL: stopped" in said(failed)


@at_a_place
async def test_a_task_that_is_canceled_cancels_its_handler(here):
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def waiting(messages):
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    await here.agent(waiting)
    task = (await submit(here.url, "wait"))["id"]
    await until("the handler runs", began.is_set)
    assert state(await call(here.url, "tasks/cancel", {"id": task})) == "canceled"
    await until("the handler is cancelled", cancelled.is_set)
    assert state(await get(here.url, task)) == "canceled"


@at_a_place
async def test_a_handler_in_a_thread_is_told_that_its_task_is_canceled(here):
    began, told = threading.Event(), threading.Event()

    def waiting(messages, context):
        began.set()
        if context.gone.wait(30):
            told.set()
        return "too late"

    await here.agent(waiting)
    task = (await submit(here.url, "wait"))["id"]
    await until("the handler runs", began.is_set)
    await call(here.url, "tasks/cancel", {"id": task})
    assert await in_thread(told.wait, 30)
    assert state(await get(here.url, task)) == "canceled"


@at_a_place
async def test_skills_are_read_from_their_files_by_the_core_and_served_as_they_are(here):
    path = Path(__file__).parent / "skills" / "adding"
    inline = {"name": "waving", "description": "Waves", "tags": ["hands"]}
    await here.agent(handler, skills=[str(path), inline])

    adding = json.loads(await fetch(f"{here.url}/agent/skills/adding"))
    file = (path / "skill.yaml").read_text()
    assert (adding["description"], adding["tags"]) == ("Adds what it is told", ["numbers"])
    assert file in await fetch(f"{here.url}/agent/skills/adding/documentation")

    waving = json.loads(await fetch(f"{here.url}/agent/skills/waving"))
    assert waving["tags"] == ["hands"]


def test_generators_are_told_from_what_is_none():
    def generator(messages):
        yield ""

    async def asynchronous(messages):
        yield ""

    class Called:
        async def __call__(self, messages):
            yield ""

    async def coroutine(messages):
        return ""

    for streams in [generator, asynchronous, Called(), functools.partial(generator, [])]:
        assert is_generator(streams)
    for plain in [coroutine, lambda messages: "", len]:
        assert not is_generator(plain)


