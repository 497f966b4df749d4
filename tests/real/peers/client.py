"""A client on the official Python SDK that uses everything that `server.py` and `server.cjs` offer, and prints the results.

Each step prints one JSON line, `{"step": …, "result": …}` or `{"step": …, "failed": why}`; the
expected results are in `sdk_sessions.py`. The steps are identical to those of `client.cjs`.

Usage: client.py legacy|modern|auto URL
       client.py legacy|modern|auto COMMAND ARGUMENT…
"""

import json
import os
import sys
import warnings

import anyio
import mcp.types as t
from mcp import Client, MCPDeprecationWarning, MCPError, StdioServerParameters

MODES = {"legacy": "legacy", "modern": "2026-07-28", "auto": "auto"}
NOTE = "note://today"
LATE = "late_from_python"
COUNTED = ["add", "progress", "ask_name", "ask_twice", "ask_url", "ask_model", "ask_roots", "wait"]
STEP_SECONDS = 10


class User:
    """Answers server requests, and records them."""

    def __init__(self):
        self.asked = []
        self.logged = []
        self.notified = set()
        self.declines = False
        self.blocks = False
        self.forms = {"name": "Ada", "city": "Lisbon", "street": "Rua Augusta", "audience": "the board"}

    async def fill_in(self, context, params):
        self.asked.append(params.message)
        if self.blocks:
            await anyio.sleep_forever()
        if self.declines:
            return t.ElicitResult(action="decline")
        if params.mode == "url":
            self.asked.append(params.url)
            return t.ElicitResult(action="accept")
        fields = params.requested_schema["properties"]
        return t.ElicitResult(action="accept", content={field: self.forms[field] for field in fields})

    async def sample(self, context, params):
        self.asked.append(params.messages[0].content.text)
        return t.CreateMessageResult(
            role="assistant", content=t.TextContent(type="text", text="forty-two"), model="deep-thought"
        )

    async def roots(self, context):
        self.asked.append("roots")
        return t.ListRootsResult(roots=[t.Root(uri="file:///srv/project", name="project")])

    async def log(self, params):
        self.logged.append([params.level, params.logger, params.data])

    async def record_notification(self, message):
        """Records change notifications of a legacy server."""
        if isinstance(message, t.ToolListChangedNotification):
            self.notified.add("tools")
        if isinstance(message, t.ResourceUpdatedNotification):
            self.notified.add(str(message.params.uri))

    def take_asked(self):
        asked, self.asked = self.asked, []
        return asked


class Steps:
    """The steps of a session, in order. `runs` counts the tool runs of the steps before it."""

    def __init__(self, client, user):
        self.client = client
        self.user = user
        self.modern = client.protocol_version == MODES["modern"]
        self.counted_before = {}

    async def connected(self):
        for tool in COUNTED:
            self.counted_before[tool] = await self._count(tool)
        return {"version": self.client.protocol_version}

    async def tools(self):
        names, cursor = [], None
        while True:
            page = await self.client.list_tools(cursor=cursor, cache_mode="refresh")
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                return names

    async def add(self):
        result = await self.client.call_tool("add", {"a": 2, "b": 3})
        return [text_of(result), result.structured_content]

    async def fail(self):
        result = await self.client.call_tool("fail", {})
        return [result.is_error, text_of(result)]

    async def unknown_tool(self):
        try:
            await self.client.call_tool("no_such_tool", {})
        except MCPError as error:
            return error.code

    async def progress(self):
        reports = []

        async def report(progress, total, message):
            reports.append([progress, total, message])
            if progress == total:
                await self.client.call_tool("go_on", {})

        result = await self.client.call_tool("progress", {"steps": 3}, progress_callback=report)
        return [text_of(result), reports]

    async def log(self):
        if not self.modern:
            await self.client.set_logging_level("info")
        result = await self.client.call_tool("log", {"text": "water is rising"})
        return [text_of(result), self.user.logged]

    async def ask_name(self):
        return await self._call_and_asked("ask_name")

    async def ask_name_declined(self):
        self.user.declines = True
        try:
            return await self._call_and_asked("ask_name")
        finally:
            self.user.declines = False

    async def ask_twice(self):
        return await self._call_and_asked("ask_twice")

    async def ask_url(self):
        return await self._call_and_asked("ask_url")

    async def ask_model(self):
        return await self._call_and_asked("ask_model", question="what is it all about?")

    async def ask_roots(self):
        return await self._call_and_asked("ask_roots")

    async def prompts(self):
        listed = await self.client.list_prompts()
        greeting = await self.client.get_prompt("greet", {"name": "Ada"})
        return [[prompt.name for prompt in listed.prompts], greeting.messages[0].content.text]

    async def ask_in_prompt(self):
        briefing = await self.client.get_prompt("brief")
        return [briefing.messages[0].content.text, self.user.take_asked()]

    async def completion(self):
        prompt = t.PromptReference(type="ref/prompt", name="greet")
        names = await self.client.complete(prompt, {"name": "name", "value": "A"})
        template = t.ResourceTemplateReference(type="ref/resource", uri="note://{day}")
        days = await self.client.complete(template, {"name": "day", "value": "to"})
        return [names.completion.values, days.completion.values]

    async def resources(self):
        listed = await self.client.list_resources()
        templates = await self.client.list_resource_templates()
        read = await self.client.read_resource("note://tomorrow")
        return [
            [str(resource.uri) for resource in listed.resources],
            [template.uri_template for template in templates.resource_templates],
            read.contents[0].text,
        ]

    async def resource_updated(self):
        async def write_and_read(notification):
            await self.client.call_tool("write_note", {"text": "it rains in Lisbon"})
            await notification()
            read = await self.client.read_resource(NOTE, cache_mode="refresh")
            return read.contents[0].text

        if self.modern:
            async with self.client.listen(resource_subscriptions=[NOTE]) as changes:
                return await write_and_read(changes.__anext__)
        await self.client.subscribe_resource(NOTE)
        seen = await write_and_read(lambda: self._wait_for_notification(NOTE))
        await self.client.unsubscribe_resource(NOTE)
        return seen

    async def tools_changed(self):
        async def add_and_drop(notification):
            await self.client.call_tool("add_tool", {"name": LATE})
            await notification()
            is_listed = LATE in await self.tools()
            answer = text_of(await self.client.call_tool(LATE, {}))
            await self.client.call_tool("drop_tool", {"name": LATE})
            await notification()
            return [is_listed, answer.replace(LATE, "it"), LATE in await self.tools()]

        if self.modern:
            async with self.client.listen(tools_list_changed=True) as changes:
                return await add_and_drop(changes.__anext__)
        self.user.notified.discard("tools")
        return await add_and_drop(lambda: self._wait_for_notification("tools"))

    async def cancel(self):
        answered = []

        async def wait_until_cancelled():
            answered.append(text_of(await self.client.call_tool("wait", {})))

        before = await self._count("wait")
        async with anyio.create_task_group() as calls:
            calls.start_soon(wait_until_cancelled)
            await self._until_counted("wait", "started", before["started"] + 1)
            calls.cancel_scope.cancel()
        await self._until_counted("wait", "cancelled", before["cancelled"] + 1)
        return answered

    async def runs(self):
        seen = {}
        for tool in COUNTED:
            before, after = self.counted_before[tool], await self._count(tool)
            seen[tool] = {what: after[what] - before[what] for what in after}
        return seen

    async def cancel_while_asked(self):
        answered = []

        async def ask():
            answered.append(text_of(await self.client.call_tool("ask_name", {})))

        self.user.blocks = True
        async with anyio.create_task_group() as calls:
            calls.start_soon(ask)
            while not self.user.asked:
                await anyio.sleep(0.02)
            calls.cancel_scope.cancel()
        self.user.blocks = False
        return [answered, self.user.take_asked()]

    async def ask_side_by_side(self):
        seen = {}

        async def call(tool, **arguments):
            seen[tool] = text_of(await self.client.call_tool(tool, arguments))

        async with anyio.create_task_group() as calls:
            calls.start_soon(call, "ask_name")
            calls.start_soon(lambda: call("ask_model", question="what now?"))
        return [seen["ask_name"], seen["ask_model"], sorted(self.user.take_asked())]

    async def _call_and_asked(self, tool, **arguments):
        result = await self.client.call_tool(tool, arguments)
        return [text_of(result), self.user.take_asked()]

    async def _count(self, tool):
        return (await self.client.call_tool("count", {"tool": tool})).structured_content

    async def _until_counted(self, tool, what, number):
        while (await self._count(tool))[what] < number:
            await anyio.sleep(0.02)

    async def _wait_for_notification(self, what):
        while what not in self.user.notified:
            await anyio.sleep(0.02)
        self.user.notified.discard(what)


STEPS = [name for name in vars(Steps) if not name.startswith("_")]


def text_of(result):
    return "".join(block.text for block in result.content)


async def run(mode, target):
    user = User()
    if target[0].startswith("http"):
        server = target[0]
    else:
        server = StdioServerParameters(command=target[0], args=target[1:], env=dict(os.environ))
    client = Client(
        server, mode=MODES[mode], log_level="info", client_info=t.Implementation(name="python-client", version="1"),
        elicitation_callback=user.fill_in, sampling_callback=user.sample, list_roots_callback=user.roots,
        logging_callback=user.log, message_handler=user.record_notification,
    )
    async with client:
        steps = Steps(client, user)
        for name in STEPS:
            print_line(await outcome(name, getattr(steps, name)))
    print_line({"step": "closed", "result": True})


async def outcome(name, step):
    try:
        with anyio.fail_after(STEP_SECONDS):
            return {"step": name, "result": await step()}
    except Exception as error:
        return {"step": name, "failed": f"{type(error).__name__}: {error}"}


def print_line(line):
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    anyio.run(run, sys.argv[1], sys.argv[2:])
