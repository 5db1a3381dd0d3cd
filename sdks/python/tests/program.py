"""An agent as its users write it, in a process of its own."""

import asyncio
import json
import sys

from behaviour import handler

from bindu_sdk import bindufy


async def main() -> None:
    agent = await bindufy(json.loads(sys.argv[1]), handler)
    print("READY", json.dumps(agent.core_pid), flush=True)
    await agent.wait()


asyncio.run(main())
