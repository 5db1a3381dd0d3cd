"""An agent that asks back, and streams its answer.

    pip install bindu-sdk
    python trip.py

It is live on http://localhost:3773. Send it `plan`: it asks for a city, and the task waits.
"""

from collections.abc import AsyncIterator

from bindu_sdk import ChatMessage, HandlerContext, HandlerResponse, Piece, run


async def plan(messages: list[ChatMessage], context: HandlerContext) -> AsyncIterator[Piece]:
    said = [message.content for message in messages if message.role == "user"]
    if len(said) == 1:
        yield HandlerResponse(state="input-required", prompt="Which city?")
        return
    city = said[-1]
    for day, what in enumerate(["walk", "museum", "river"], start=1):
        yield f"Day {day} in {city}: {what}.\n"


if __name__ == "__main__":
    run(
        {
            "author": "ann@example.com",
            "name": "trip",
            "description": "Plans three days in a city",
            "deployment": {"url": "http://localhost:3773"},
            "skills": [{"name": "trips", "description": "Plans trips", "tags": ["travel"]}],
        },
        plan,
    )
