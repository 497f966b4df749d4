"""A small MCP server on the official Python SDK, on 127.0.0.1, with each kind of request, notification and feature.

Its tools, prompts and resources are identical to those of `server.cjs`, so that a check works with either. It speaks both
eras. `Call.ask` hides the difference: a legacy client gets a server request, a modern one gets `input_required` and
retries. It must not know the gateway.

Usage: server.py PORT
"""

import json
import sys
from collections import Counter

import anyio
import mcp.types as t
import uvicorn
from mcp import MCPError
from mcp.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ToolsListChanged
from mcp.shared.message import ServerMessageMetadata
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

NOTE = "note://today"
NAMES = ["Ada", "Alan", "Grace"]
DAYS = ["today", "tomorrow", "yesterday"]
ANSWERS = {
    "elicitation/create": t.ElicitResult,
    "sampling/createMessage": t.CreateMessageResult,
    "roots/list": t.ListRootsResult,
}


class InputRequired(Exception):
    """Ends a modern call until the client has answered."""

    def __init__(self, key, request, answered):
        self.result = t.InputRequiredResult(input_requests={key: request}, request_state=json.dumps(answered))


class Call:
    """One request for a tool or a prompt, and the answers of its client so far."""

    def __init__(self, ctx, params):
        self.ctx = ctx
        self.arguments = params.arguments or {}
        self.modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        self.is_first_round = params.request_state is None
        self._answered = json.loads(params.request_state or "{}")
        for key, answer in (params.input_responses or {}).items():
            self._answered[key] = answer.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def ask(self, key, request):
        answer = ANSWERS[request.method]
        if not self.modern:
            return await self._send(request, answer)
        if key not in self._answered:
            raise InputRequired(key, request, self._answered)
        return answer.model_validate(self._answered[key])

    async def _send(self, request, answer):
        # Like the SDK's `list_roots`, on the session's GET stream, not on that of the call.
        own = None if request.method == "roots/list" else ServerMessageMetadata(related_request_id=self.ctx.request_id)
        return await self.ctx.session.send_request(request, answer, metadata=own)


class State:
    """The state shared by all requests."""

    def __init__(self):
        self.started = Counter()
        self.finished = Counter()
        self.cancelled = Counter()
        self.late_tools = set()
        self.note = "nothing yet"
        self.subscribed = set()
        self.bus = InMemorySubscriptionBus()
        self.go_on = anyio.Event()


state = State()


async def add(call):
    total = call.arguments["a"] + call.arguments["b"]
    return t.CallToolResult(content=text(str(total)), structured_content={"sum": total})


async def fail(call):
    return t.CallToolResult(content=text("this tool always fails"), is_error=True)


async def progress(call):
    """Ends when `go_on` is called: the TypeScript SDK's client drops progress that it reads with the answer."""
    state.go_on = anyio.Event()
    steps = call.arguments["steps"]
    for step in range(1, steps + 1):
        await call.ctx.session.report_progress(step, steps, f"step {step}")
    await state.go_on.wait()
    return f"made {steps} steps"


async def go_on(call):
    state.go_on.set()
    return "going on"


async def log(call):
    await call.ctx.session.send_log_message(
        "warning", call.arguments["text"], logger="peer", related_request_id=call.ctx.request_id
    )
    return "logged"


async def ask_name(call):
    answer = await call.ask("name", form("What is your name?", "name"))
    return f"hello {answer.content['name']}" if answer.action == "accept" else f"no name: {answer.action}"


async def ask_twice(call):
    city = await call.ask("city", form("Which city?", "city"))
    street = await call.ask("street", form(f"Which street in {city.content['city']}?", "street"))
    return f"{street.content['street']}, {city.content['city']}"


async def ask_url(call):
    params = t.ElicitRequestURLParams(message="Sign in", url="https://example.com/sign-in", elicitation_id="sign-in-1")
    answer = await call.ask("sign-in", t.ElicitRequest(params=params))
    return f"sign-in: {answer.action}"


async def ask_model(call):
    question = t.SamplingMessage(role="user", content=text(call.arguments["question"])[0])
    request = t.CreateMessageRequest(params=t.CreateMessageRequestParams(messages=[question], max_tokens=50))
    answer = await call.ask("model", request)
    return f"{answer.model} said: {answer.content.text}"


async def ask_roots(call):
    answer = await call.ask("roots", t.ListRootsRequest())
    return ", ".join(str(root.uri) for root in answer.roots)


async def wait(call):
    try:
        await anyio.sleep(120)
    except anyio.get_cancelled_exc_class():
        state.cancelled["wait"] += 1
        raise
    return "waited to the end"


async def count(call):
    """How often a tool was started, finished and cancelled. A retry with input responses is not a start."""
    tool = call.arguments["tool"]
    counted = {"started": state.started[tool], "finished": state.finished[tool], "cancelled": state.cancelled[tool]}
    return t.CallToolResult(content=text(json.dumps(counted)), structured_content=counted)


async def add_tool(call):
    state.late_tools.add(call.arguments["name"])
    await tools_changed(call.ctx)
    return "added"


async def drop_tool(call):
    state.late_tools.discard(call.arguments["name"])
    await tools_changed(call.ctx)
    return "dropped"


async def write_note(call):
    state.note = call.arguments["text"]
    await state.bus.publish(ResourceUpdated(uri=NOTE))
    if NOTE in state.subscribed:
        await call.ctx.session.send_resource_updated(NOTE)
    return "written"


def form(message, field):
    schema = {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}
    return t.ElicitRequest(params=t.ElicitRequestFormParams(message=message, requested_schema=schema))


async def tools_changed(ctx):
    """Each era has its own notification, and the SDK sends it only to clients of that era."""
    await state.bus.publish(ToolsListChanged())
    await ctx.session.send_tool_list_changed()


def text(words):
    return [t.TextContent(type="text", text=words)]


def tool(run, description, read_only=False, structured=None, **arguments):
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in arguments.items()},
        "required": list(arguments),
    }
    output = {"output_schema": structured} if structured else {}
    listed = t.Tool(
        name=run.__name__, description=description, input_schema=schema,
        annotations=t.ToolAnnotations(read_only_hint=read_only), **output,
    )
    return listed, run


SUM = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
TOOLS = {
    listed.name: (listed, run)
    for listed, run in (
        tool(add, "Adds two numbers.", read_only=True, structured=SUM, a="integer", b="integer"),
        tool(fail, "Always fails."),
        tool(progress, "Reports progress, step by step, then waits for go_on.", steps="integer"),
        tool(go_on, "Lets the progress tool end."),
        tool(log, "Sends a log message.", text="string"),
        tool(ask_name, "Asks the user for a name."),
        tool(ask_twice, "Asks the user twice, the second time with the first answer."),
        tool(ask_url, "Sends the user to a page."),
        tool(ask_model, "Asks the client's model.", question="string"),
        tool(ask_roots, "Asks for the client's roots."),
        tool(wait, "Waits until it is cancelled."),
        tool(count, "Counts the runs of a tool.", read_only=True, tool="string"),
        tool(add_tool, "Adds a tool of the given name.", name="string"),
        tool(drop_tool, "Removes an added tool.", name="string"),
        tool(write_note, "Writes today's note.", text="string"),
    )
}


async def list_tools(ctx, params):
    late = [t.Tool(name=name, description="Added later.", input_schema={"type": "object"}) for name in state.late_tools]
    return t.ListToolsResult(tools=[listed for listed, _ in TOOLS.values()] + late)


async def call_tool(ctx, params):
    call = Call(ctx, params)
    if params.name in state.late_tools:
        return t.CallToolResult(content=text(f"{params.name} at your service"))
    if params.name not in TOOLS:
        raise MCPError(t.INVALID_PARAMS, f"no tool {params.name}")
    if call.is_first_round:
        state.started[params.name] += 1
    try:
        result = await TOOLS[params.name][1](call)
    except InputRequired as asked:
        return asked.result
    state.finished[params.name] += 1
    return t.CallToolResult(content=text(result)) if isinstance(result, str) else result


async def list_prompts(ctx, params):
    argument = t.PromptArgument(name="name", description="Whom to greet", required=True)
    return t.ListPromptsResult(
        prompts=[
            t.Prompt(name="greet", description="Greets somebody.", arguments=[argument]),
            t.Prompt(name="brief", description="Asks whom the briefing is for."),
        ]
    )


async def get_prompt(ctx, params):
    call = Call(ctx, params)
    if params.name == "greet":
        return prompt_of(f"Say hello to {call.arguments['name']}.")
    try:
        answer = await call.ask("audience", form("Who is it for?", "audience"))
    except InputRequired as asked:
        return asked.result
    return prompt_of(f"Write a briefing for {answer.content['audience']}.")


def prompt_of(words):
    return t.GetPromptResult(messages=[t.PromptMessage(role="user", content=text(words)[0])])


async def list_resources(ctx, params):
    return t.ListResourcesResult(resources=[t.Resource(uri=NOTE, name="today", mime_type="text/plain")])


async def list_templates(ctx, params):
    template = t.ResourceTemplate(uri_template="note://{day}", name="note", mime_type="text/plain")
    return t.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx, params):
    words = state.note if params.uri == NOTE else f"no note for {params.uri.removeprefix('note://')}"
    return t.ReadResourceResult(contents=[t.TextResourceContents(uri=params.uri, mime_type="text/plain", text=words)])


async def complete(ctx, params):
    known = NAMES if params.ref.type == "ref/prompt" else DAYS
    fitting = [word for word in known if word.startswith(params.argument.value)]
    return t.CompleteResult(completion=t.Completion(values=fitting, total=len(fitting), has_more=False))


async def subscribe(ctx, params):
    state.subscribed.add(params.uri)
    return t.EmptyResult()


async def unsubscribe(ctx, params):
    state.subscribed.discard(params.uri)
    return t.EmptyResult()


async def set_level(ctx, params):
    return t.EmptyResult()


def main():
    server = Server(
        "python-peer", version="1",
        on_list_tools=list_tools, on_call_tool=call_tool, on_list_prompts=list_prompts, on_get_prompt=get_prompt,
        on_list_resources=list_resources, on_list_resource_templates=list_templates, on_read_resource=read_resource,
        on_subscribe_resource=subscribe, on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=ListenHandler(state.bus), on_completion=complete, on_set_logging_level=set_level,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="python-peer"))
    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="info")


if __name__ == "__main__":
    main()
