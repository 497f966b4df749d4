"""A server on FastMCP, the framework of Python, with the tools, resources and prompt that `frameworks.py` uses.

Usage: fastmcp_server.py PORT
"""

import sys

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError

server = FastMCP("fastmcp")


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
def fail() -> str:
    raise ToolError("this tool always fails")


@server.tool
async def progress(steps: int, context: Context) -> str:
    for step in range(1, steps + 1):
        await context.report_progress(step, steps)
    return f"made {steps} steps"


@server.tool
async def ask_name(context: Context) -> str:
    answer = await context.elicit("What is your name?", response_type=str)
    return f"hello {answer.data}" if answer.action == "accept" else f"no name: {answer.action}"


@server.resource("note://today")
def today() -> str:
    return "it rains"


@server.resource("note://{day}")
def note(day: str) -> str:
    return f"no note for {day}"


@server.prompt
def greet(name: str) -> str:
    return f"Say hello to {name}."


if __name__ == "__main__":
    server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="warning")
