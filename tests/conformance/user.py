"""The answers of a user and a model: arguments for a tool, and replies to server requests."""

SAMPLES = {"string": "text", "integer": 2, "number": 3, "boolean": True, "array": [], "object": {}, "null": None}


def arguments_for(tool, tools):
    """Arguments of the types that the tool's schema names.

    An argument named `schema` is the listed schema of another tool: such a tool checks that it was preserved.
    """
    properties = tool["inputSchema"].get("properties", {})
    given = {name: sample(schema) for name, schema in properties.items()}
    if "schema" in given:
        given["schema"] = next(other["inputSchema"] for other in tools if other is not tool)
    return given


def reply_to(method, params):
    """The result for a server request."""
    if method == "elicitation/create":
        return {"action": "accept", "content": filled(params.get("requestedSchema", {}))}
    if method == "sampling/createMessage":
        text = {"type": "text", "text": "a sampled answer"}
        return {"role": "assistant", "content": text, "model": "test-model", "stopReason": "endTurn"}
    if method == "roots/list":
        return {"roots": [{"uri": "file:///test/root", "name": "Test Root"}]}
    raise ValueError(f"unexpected server request: {method}")


def filled(form):
    """The form with its defaults, as a host fills it in if the user changes nothing."""
    return {name: schema.get("default", sample(schema)) for name, schema in form.get("properties", {}).items()}


def sample(schema):
    return SAMPLES.get(schema.get("type"), "text")
