"""What a user, and the model of their host, would say: arguments for a tool, and replies to what a server asks."""

SAMPLES = {"string": "text", "integer": 2, "number": 3, "boolean": True, "array": [], "object": {}, "null": None}


def arguments_for(tool, tools):
    """Arguments of the types that the tool's schema names.

    A schema asked for is another tool's, as it was listed: whoever asks wants to see what is left of it.
    """
    properties = tool["inputSchema"].get("properties", {})
    given = {name: sample(schema) for name, schema in properties.items()}
    if "schema" in given:
        given["schema"] = next(other["inputSchema"] for other in tools if other is not tool)
    return given


def reply_to(method, params):
    """The result that a request from a server gets."""
    if method == "elicitation/create":
        return {"action": "accept", "content": filled(params.get("requestedSchema", {}))}
    if method == "sampling/createMessage":
        said = {"type": "text", "text": "a sampled answer"}
        return {"role": "assistant", "content": said, "model": "test-model", "stopReason": "endTurn"}
    if method == "roots/list":
        return {"roots": [{"uri": "file:///test/root", "name": "Test Root"}]}
    raise ValueError(f"a server asks for {method}")


def filled(form):
    """The form with its defaults, which a host fills in where the user changes nothing."""
    return {name: schema.get("default", sample(schema)) for name, schema in form.get("properties", {}).items()}


def sample(schema):
    return SAMPLES.get(schema.get("type"), "text")
