"""Sessions of the official SDKs' clients with the official SDKs' servers, with the gateway between them.

Each client goes through the same steps with each server (`peers/`), in each era that it speaks; whatever lies
between, it must see the same, but for the version. `run_direct` takes the gateway away, which shows that a step
that fails is the gateway's fault.
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


def run(report, bench, installed, peers):
    for client in clients(installed):
        for peer in peers:
            for era in ERAS:
                through_gateway(report, bench, client, era, VERSIONS[era], peer)
        through_gateway(report, bench, client, "auto", VERSIONS["modern"], peers[0])


def run_direct(report, bench, installed, peers):
    for client in clients(installed):
        for peer in peers:
            name = f"{client.name} client, {peer.name} server"
            expected = expectation(VERSIONS[peer.era], peer)
            check_session(report, bench.logs, name, client, peer.era, [peer.url], expected)


def through_gateway(report, bench, client, era, version, peer):
    name = f"{client.name}-{era} client, gateway, {peer.name} server"
    config = bench.config(f"{client.name}-{era}-{peer.name}", peer)
    gateway = [bench.binary, "--config", config, "--log-format", "json"]
    check_session(report, bench.logs, name, client, era, gateway, expectation(version, peer))


def expectation(version, peer):
    expected = {"connected": {"version": version}, **EXPECTED}
    if peer.asks_apart and version == VERSIONS["modern"]:
        # Its requests name no call. With two calls in flight, the gateway refuses rather than guesses whose they are.
        del expected["ask_side_by_side"]
    return expected


def check_session(report, logs, name, client, era, target, expected):
    with report.check(name):
        log = logs / f"session-{name.replace(', ', '-').replace(' ', '-')}.log"
        seen, ended = go_through(client, era, target, log)
        wrong = differences(expected, seen)
        if not ended:
            wrong.append(f"the client was ended after {SESSION_SECONDS} s")
        require(not wrong, "".join(f"\n  {line}" for line in [*wrong, f"log: {log}"]))


def go_through(client, era, target, log):
    """Runs a client to its end; what it saw at each step, and whether it came to its end by itself."""
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


def differences(expected, seen):
    """What is wrong, a line for each reason with all the steps that it hit."""
    steps_by_reason = {}
    for step, due in expected.items():
        reason = difference(step, due, seen.get(step))
        if reason:
            steps_by_reason.setdefault(reason, []).append(step)
    return [f"{', '.join(steps)}: {reason}" for reason, steps in steps_by_reason.items()]


def difference(step, due, line):
    if line is None:
        return "never reached"
    if "failed" in line:
        return " ".join(line["failed"].split())[:300]
    found = without_late_tools(step, line["saw"])
    if found == due:
        return None
    if isinstance(due, dict) and isinstance(found, dict):
        unlike = [name for name in due if found.get(name) != due[name]]
        due, found = ({name: each.get(name) for name in unlike} for each in (due, found))
    return f"expected {due!r}, found {found!r}"


def without_late_tools(step, saw):
    """What a session that broke off has left behind at its server is no matter of the next."""
    return [name for name in saw if not name.startswith("late_")] if step == "tools" else saw
