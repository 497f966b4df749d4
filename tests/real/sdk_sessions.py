"""Sessions of the official SDKs' clients with the official SDKs' servers, through the gateway.

Each client runs the same steps with each server (`peers/`), in each era, and must get the same results, except for
the version. `run_direct` runs the sessions without the gateway, to tell its failures from those of the SDKs.
"""

import json
import subprocess

from driver import require
from peers import clients
from processes import Process

VERSIONS = {"legacy": "2025-11-25", "modern": "2026-07-28"}
ERAS = tuple(VERSIONS)
SESSION_SECONDS = 150
ONCE = {"started": 1, "finished": 1, "cancelled": 0}
TOOLS = [
    "add", "fail", "progress", "go_on", "log", "ask_name", "ask_twice", "ask_url", "ask_model", "ask_roots", "wait",
    "count", "add_tool", "drop_tool", "write_note",
]
# The questions to the user, and their words.
QUESTIONS = ["What is your name?", "Which city?", "Which street in Lisbon?", "Sign in", "Who is it for?"]
EXPECTED = {
    "tools": TOOLS,
    "add": ["5", {"sum": 5}],
    "fail": [True, "this tool always fails"],
    "unknown_tool": -32602,
    "progress": ["made 3 steps", [[1, 3, "step 1"], [2, 3, "step 2"], [3, 3, "step 3"]]],
    "log": ["logged", [["warning", "peer", "water is rising"]]],
    "ask_name": ["hello Ada", ["What is your name?"]],
    "ask_name_declined": ["no name: decline", ["What is your name?"]],
    "ask_twice": ["Rua Augusta, Lisbon", ["Which city?", "Which street in Lisbon?"]],
    "ask_url": ["sign-in: accept", ["Sign in", "https://example.com/sign-in"]],
    "ask_model": ["deep-thought said: forty-two", ["what is it all about?"]],
    "ask_roots": ["file:///srv/project", ["roots"]],
    "prompts": [["greet", "brief"], "Say hello to Ada."],
    "ask_in_prompt": ["Write a briefing for the board.", ["Who is it for?"]],
    "completion": [["Ada", "Alan"], ["today", "tomorrow"]],
    "resources": [["note://today"], ["note://{day}"], "no note for tomorrow"],
    "resource_updated": "it rains in Lisbon",
    "tools_changed": [True, "it at your service", False],
    "cancel": [],
    "runs": {
        "add": ONCE,
        "progress": ONCE,
        "ask_name": {"started": 2, "finished": 2, "cancelled": 0},
        "ask_twice": ONCE,
        "ask_url": ONCE,
        "ask_model": ONCE,
        "ask_roots": ONCE,
        "wait": {"started": 1, "finished": 0, "cancelled": 1},
    },
    "cancel_while_asked": [[], ["What is your name?"]],
    "ask_side_by_side": ["hello Ada", "deep-thought said: forty-two", ["What is your name?", "what now?"]],
    "closed": True,
}


def run(report, gateways, installed, peers):
    for client in clients(installed):
        for peer in peers:
            for era in ERAS:
                through_gateway(report, gateways, client, era, VERSIONS[era], peer)
        through_gateway(report, gateways, client, "auto", VERSIONS["modern"], peers[0])


def run_direct(report, gateways, installed, peers):
    for client in clients(installed):
        for peer in peers:
            name = f"{client.name} client, {peer.name} server"
            expected = expectation(VERSIONS[peer.era], peer)
            check_session(report, gateways.logs, name, client, peer.era, [peer.url], expected)


def through_gateway(report, gateways, client, era, version, peer):
    name = f"{client.name}-{era} client, gateway, {peer.name} server"
    config = gateways.config(f"{client.name}-{era}-{peer.name}", peer)
    gateway = [gateways.binary, "--config", config, "--log-format", "json"]
    check_session(report, gateways.logs, name, client, era, gateway, asked_by(peer.name, expectation(version, peer)))


def expectation(version, peer):
    expected = {"connected": {"version": version}, **EXPECTED}
    if peer.uses_get_stream and version == VERSIONS["modern"]:
        # Its server requests name no call. With two calls in flight, the gateway refuses them instead of guessing.
        del expected["ask_side_by_side"]
    return expected


def asked_by(name, expected):
    """The expected results with the server's name before each question, as the gateway shows them."""
    if isinstance(expected, dict):
        return {step: asked_by(name, result) for step, result in expected.items()}
    if isinstance(expected, list):
        return [asked_by(name, result) for result in expected]
    return f'The server "{name}" asks: {expected}' if expected in QUESTIONS else expected


def check_session(report, logs, name, client, era, target, expected):
    with report.check(name):
        log = logs / f"session-{name.replace(', ', '-').replace(' ', '-')}.log"
        results, ended = run_client(client, era, target, log)
        wrong = differences(expected, results)
        if not ended:
            wrong.append(f"the client was killed after {SESSION_SECONDS} s")
        require(not wrong, "".join(f"\n  {line}" for line in [*wrong, f"log: {log}"]))


def run_client(client, era, target, log):
    """Runs a client; returns the result of each step, and whether the client ended in time."""
    command = [*client.command, era, *target]
    with Process(client.name, command, log, env=client.env, stdout=subprocess.PIPE) as process:
        try:
            output, _ = process.popen.communicate(timeout=SESSION_SECONDS)
            ended = True
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.popen.communicate()
            ended = False
    lines = [json.loads(line) for line in output.decode().splitlines()]
    return {line["step"]: line for line in lines}, ended


def differences(expected, results):
    """The differences, one line for each reason with all its steps."""
    steps_by_reason = {}
    for step, wanted in expected.items():
        reason = difference(step, wanted, results.get(step))
        if reason:
            steps_by_reason.setdefault(reason, []).append(step)
    return [f"{', '.join(steps)}: {reason}" for reason, steps in steps_by_reason.items()]


def difference(step, wanted, line):
    if line is None:
        return "not reached"
    if "failed" in line:
        return " ".join(line["failed"].split())[:300]
    found = without_late_tools(step, line["result"])
    if found == wanted:
        return None
    if isinstance(wanted, dict) and isinstance(found, dict):
        different = [name for name in wanted if found.get(name) != wanted[name]]
        wanted, found = ({name: each.get(name) for name in different} for each in (wanted, found))
    return f"expected {wanted!r}, found {found!r}"


def without_late_tools(step, result):
    """Removes tools that an aborted earlier session has left on the server."""
    return [name for name in result if not name.startswith("late_")] if step == "tools" else result
