"""The handler of most tests: what it is told says what it does."""

from __future__ import annotations

import asyncio
import json
import os

from bindu_sdk import ChatMessage, HandlerContext, HandlerResponse


async def handler(messages: list[ChatMessage], context: HandlerContext) -> str | HandlerResponse:
    turns = [message for message in messages if message.role != "system"]
    word, _, rest = turns[-1].content.partition(" ")
    if word == "ask":
        prompt = f"Which {rest}?"
        return HandlerResponse(state="input-required", prompt=prompt, metadata={"asked": rest})
    if word == "fail":
        raise ValueError(rest)
    if word == "slow":
        await asyncio.sleep(int(rest) / 1000)
        return f"slept {os.getpid()}"
    if word == "context":
        return json.dumps({"ids": [context.task_id, context.context_id, context.agent_id]})
    return "\n".join(f"{turn.role}: {turn.content}" for turn in turns)
