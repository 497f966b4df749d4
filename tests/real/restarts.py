"""Checks of servers that restart while a client has a subscription, in each pair of eras.

The server loses its state: the session, the subscriptions and the stream. The client must notice only a pause.
"""

from driver import require_equal, text_of
from processes import wait_until

NOTE = "note://today"
UPDATED = "notifications/resources/updated"
LIST_CHANGED = "notifications/tools/list_changed"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


def run(report, gateways, peers):
    for peer in peers:
        with gateways.legacy(f"restart-legacy-{peer.name}", peer) as gateway:
            with report.check(f"{peer.name} restarts: a legacy client's calls and subscriptions continue"):
                gateway.initialize()
                gateway.tools()
                gateway.ask("resources/subscribe", {"uri": NOTE})
                restart(gateway, peer, "late_for_legacy")
                gateway.close()

        with gateways.modern(f"restart-modern-{peer.name}", peer) as gateway:
            with report.check(f"{peer.name} restarts: a modern client's calls and its listen stream continue"):
                gateway.tools()
                wanted = {"resourceSubscriptions": [NOTE], "toolsListChanged": True}
                listen = gateway.send("subscriptions/listen", {"notifications": wanted})
                wait_until(ACKNOWLEDGED, lambda: gateway.notifications(ACKNOWLEDGED), 10)
                restart(gateway, peer, "late_for_modern")
                for method in (UPDATED, LIST_CHANGED):
                    ids = {subscription_of(message) for message in gateway.notifications(method)}
                    require_equal(f"subscription ids of {method}", {listen}, ids)
                gateway.cancel(listen)
                gateway.close()


def restart(gateway, peer, late_tool):
    require_equal("the sum before", "5", gateway.call_text("add", {"a": 2, "b": 3}))
    peer.server.kill()
    peer.server.start()
    peer.server.wait_until_ready()
    require_equal("the sum after", "5", gateway.call_text("add", {"a": 2, "b": 3}))
    until_notified(gateway, UPDATED, "write_note", {"text": "back again"})
    until_notified(gateway, LIST_CHANGED, "add_tool", {"name": late_tool})
    wait_until("the late tool in the list", lambda: late_tool in gateway.tool_names(), 10)


def until_notified(gateway, method, tool, arguments):
    """Repeats the change until its notification arrives: the gateway chooses when to reopen the stream."""
    before = len(gateway.notifications(method))

    def notified():
        text_of(gateway.call(tool, arguments))
        return gateway.notifications(method)[before:]

    wait_until(method, notified, 30)


def subscription_of(message):
    return message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
