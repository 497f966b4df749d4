"""The APIs that clients reach their models by: what a request offers and contains, and how an answer looks.

Each API is a class with three functions over the body of a request: `tools` are the names that the model may call,
`results` what earlier calls brought, `answer` the type and text of a response that asks for one more call, or ends the
turn. They must not know what the calls are for.
"""

import json
from typing import NamedTuple

DONE = "All done."
SSE = "text/event-stream"
JSON = "application/json"


class Result(NamedTuple):
    """What the client gave its model as the result of one call."""

    text: str
    is_error: bool | None  # None where the API has no place for it


class Messages:
    """Anthropic's Messages API, streamed."""

    @staticmethod
    def tools(body):
        return [tool["name"] for tool in body.get("tools", []) if "name" in tool]

    @staticmethod
    def results(body):
        blocks = [
            block
            for message in body.get("messages", [])
            if message["role"] == "user" and isinstance(message["content"], list)
            for block in message["content"]
        ]
        return [
            Result(words(block.get("content")), bool(block.get("is_error")))
            for block in blocks
            if block.get("type") == "tool_result"
        ]

    @staticmethod
    def answer(path, body, number, call):
        if call:
            start = {"type": "tool_use", "id": f"toolu_{number}", "name": call.name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
        else:
            start = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": DONE}
        message = {
            "id": f"msg_{number}", "type": "message", "role": "assistant", "model": body.get("model"), "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        end = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": start},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ]
        return SSE, "".join(f"event: {event['type']}\n{data(event)}" for event in events)


class Completions:
    """OpenAI's Chat Completions API, streamed or whole."""

    @staticmethod
    def tools(body):
        return [tool["function"]["name"] for tool in body.get("tools", []) if "function" in tool]

    @staticmethod
    def results(body):
        told = [message for message in body.get("messages", []) if message["role"] == "tool"]
        return [Result(words(message.get("content")), None) for message in told]

    @staticmethod
    def answer(path, body, number, call):
        message = {"role": "assistant", "content": None if call else DONE}
        if call:
            function = {"name": call.name, "arguments": json.dumps(call.arguments)}
            message["tool_calls"] = [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]
        reason = "tool_calls" if call else "stop"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        about = {"id": f"chat_{number}", "created": 1, "model": body.get("model")}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason}
            whole = {**about, "object": "chat.completion", "choices": [choice], "usage": usage}
            return JSON, json.dumps(whole)
        chunk = {**about, "object": "chat.completion.chunk"}
        choices = [
            {"index": 0, "delta": message, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": reason},
        ]
        chunks = [{**chunk, "choices": [choice]} for choice in choices] + [{**chunk, "choices": [], "usage": usage}]
        return SSE, "".join(map(data, chunks)) + "data: [DONE]\n\n"


class Responses:
    """OpenAI's Responses API, streamed. The tools of one server are in a namespace: `NAMESPACE/NAME`."""

    @staticmethod
    def tools(body):
        names = []
        for tool in body.get("tools", []):
            if tool.get("type") == "namespace":
                names += [f"{tool['name']}/{inner['name']}" for inner in tool["tools"]]
            else:
                names.append(tool.get("name") or tool["type"])
        return names

    @staticmethod
    def results(body):
        items = [item for item in body.get("input", []) if isinstance(item, dict)]
        return [Result(words(item["output"]), None) for item in items if item.get("type") == "function_call_output"]

    @staticmethod
    def answer(path, body, number, call):
        if call:
            namespace, _, name = call.name.rpartition("/")
            item = {
                "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": name,
                "arguments": json.dumps(call.arguments), **({"namespace": namespace} if namespace else {}),
            }
        else:
            text = {"type": "output_text", "text": DONE}
            item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": [text]}
        response = {"id": f"resp_{number}"}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        events = [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {**response, "usage": usage}},
        ]
        return SSE, "".join(f"event: {event['type']}\n{data(event)}" for event in events)


class GenerateContent:
    """Google's Gemini API, streamed or whole."""

    @staticmethod
    def tools(body):
        declared = [tool.get("functionDeclarations", []) for tool in body.get("tools", [])]
        return [function["name"] for functions in declared for function in functions]

    @staticmethod
    def results(body):
        parts = [part for content in body.get("contents", []) for part in content.get("parts", [])]
        told = [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]
        return [Result(words(list(response.values())), "error" in response) for response in told]

    @staticmethod
    def answer(path, body, number, call):
        part = {"functionCall": {"name": call.name, "args": call.arguments}} if call else {"text": DONE}
        candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        response = {"candidates": [candidate], "usageMetadata": usage}
        is_streamed = ":streamGenerateContent" in path
        return (SSE, data(response)) if is_streamed else (JSON, json.dumps(response))


def words(content):
    """The text in a result: a string, a list of parts, or something else as JSON."""
    if isinstance(content, list):
        return "\n".join(map(words, content))
    if isinstance(content, dict):
        return words(content["text"]) if "text" in content else json.dumps(content, ensure_ascii=False)
    return content if isinstance(content, str) else json.dumps(content)


def data(event):
    return f"data: {json.dumps(event)}\n\n"
