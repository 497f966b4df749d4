"""What is checked with each client, group by group: its list of servers, and conversations with a stand-in model.

They must not know how a client is told of its model, nor the API between the two.
"""

from contextlib import ExitStack

from backends import MENDED, archive, ledger, refusing, silent, workshop
from driver import require, require_equal
from model import Call, Model

BOOK = {"account": "rent", "amount": "12"}
BOOKED = "booked 12 on rent"
LEDGER = ["book_amount", "close_year", "print_page", "send_report"]


class Broken(Exception):
    """A conversation failed, and the report has it: what was to be checked of it can't be."""


class Stage:
    """Gives a group of checks its client, which has a home of its own, and conversations with it."""

    def __init__(self, group, client):
        self.group = group.replace("_", " ")
        self.client = client

    def configure(self, settings, **urls):
        """Writes the gateway's config, with a backend for each URL."""
        entries = [f'[[backends]]\nname = "{name}"\nurl = "{url}"\n' for name, url in urls.items()]
        self.client.config.write_text("\n".join([f"[gateway]\n{settings}\n", *entries]))

    def converse(self, report, *calls):
        """Installs the gateway and has the model ask for these calls: name, arguments, and what to do before.

        Returns what the model has been sent.
        """
        script = [Call(self.client.tool(name), *rest) for name, *rest in calls]
        has_ended = False
        with report.check(f"{self.group}: its conversation ends"), Model(self.client.api, script) as model:
            self.client.set_up_model(model.url)
            self.client.gateway("install", self.client.name, "--yes")
            self.client.converse(model)
            require(model.offered, "the client has asked its model for nothing")
            require_equal("number of results", len(script), len(model.results))
            has_ended = True
        if not has_ended:
            raise Broken
        return model

    def offered(self, model, request=0):
        """The gateway's tools in a request to the model, by the names that the gateway gave them."""
        prefix = self.client.tool("")
        names = model.offered[request]
        return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def listing(report, stage):
    """The client's own command knows the entry of `install`, and that `uninstall` has taken it out."""
    client = stage.client
    with ledger() as server:
        stage.configure("", ledger=server.url)
        with report.check("its own command lists us after the installation, and no longer after its end"):
            require(not client.lists_us(), "it lists us before `install`")
            client.gateway("install", client.name, "--yes")
            require(client.lists_us(), f"it does not list us:\n{client.listed}")
            client.gateway("uninstall", client.name, "--yes")
            require(not client.lists_us(), "it lists us after `uninstall`")


def one_server(report, stage):
    """One server that is well, and the three ways in which a call fails."""
    with ledger() as server:
        stage.configure("", ledger=server.url)
        model = stage.converse(
            report,
            ("book_amount", BOOK),
            ("close_year", {"year": "1999"}),
            ("print_page", {"page": "3"}),
            ("send_report", {"auditor": "Ada"}),
        )
        with report.check("offers its model the tools from the first request on"):
            require_equal("tools", LEDGER, stage.offered(model))
        with report.check("calls a tool, and its model sees the result"):
            require_equal("first call", ("book_amount", BOOK), server.called[0])
            require_words(model.results[0], BOOKED)
            require(not model.results[0].is_error, "it is marked as an error")
        with report.check("its model sees the words of a tool's own error"):
            require_error(model.results[1], "the year 1999 has open entries")
        with report.check("its model sees the words of a server's error"):
            require_error(model.results[2], "no paper in the printer")
        with report.check("its model is told that a call whose connection broke may have run, and it ran once"):
            require_error(model.results[3], "ledger: connection lost", "the tool MAY HAVE RUN")
            require_equal("calls", 1, [name for name, _ in server.called].count("send_report"))
        if stage.client.written:
            with report.check("its own files are as before when the entry is taken out"):
                stage.client.gateway("uninstall", stage.client.name, "--yes")
                for path, text in stage.client.written.items():
                    require_equal(str(path), text, path.read_text())


def bad_neighbours(report, stage):
    """Healthy servers beside one with malformed tools, and one that refuses connections."""
    with ExitStack() as running:
        start = running.enter_context
        healthy, leaving, malformed = start(ledger()), start(archive()), start(workshop())
        urls = {"workshop": malformed.url, "down": start(refusing()), "ledger": healthy.url, "archive": leaving.url}
        stage.configure("", **urls)
        letter = {"subject": "the roof"}
        model = stage.converse(
            report,
            ("book_amount", BOOK),
            ("grind_lens", {"width": "5 mm"}),
            *((name, {}) for name in MENDED),
            ("find_letter", letter),
            ("find_letter", letter, leaving.stop),
            ("book_amount", BOOK),
        )
        with report.check("offers healthy tools beside malformed ones and servers that are down"):
            expected = sorted([*LEDGER, "find_letter", "grind_lens", *MENDED])
            require_equal("tools", expected, stage.offered(model))
        with report.check("calls healthy tools beside them, and the mended ones"):
            require_words(model.results[0], BOOKED)
            require_words(model.results[1], "a lens of 5 mm")
            for result, name in zip(model.results[2:], MENDED):
                require_words(result, f"{name} was run")
        with report.check("its model is told of a server that goes down, and calls those of others"):
            require_words(model.results[-3], "the letter on the roof")
            require_error(model.results[-2], "archive: ")
            require_words(model.results[-1], BOOKED)


def silent_neighbour(report, stage):
    """A healthy server beside one that takes connections and never answers."""
    with ledger() as healthy, silent() as never:
        stage.configure("", silent=never, ledger=healthy.url)
        model = stage.converse(report, ("book_amount", BOOK))
        with report.check("offers and calls healthy tools beside a server that never answers"):
            require_equal("tools", LEDGER, stage.offered(model))
            require_words(model.results[0], BOOKED)


def nothing_up(report, stage):
    """No server is up."""
    with refusing() as down, silent() as never:
        stage.configure("", down=down, silent=never)
        model = stage.converse(report)
        with report.check("goes on without our tools where no server is up"):
            require_equal("tools", [], stage.offered(model))


def searching(report, stage):
    """`tool_mode = "search"`: three tools find, describe and call all others."""
    with ledger() as server, archive() as other, workshop() as malformed:
        settings = 'tool_mode = "search"'
        stage.configure(settings, ledger=server.url, archive=other.url, workshop=malformed.url)
        model = stage.converse(
            report,
            ("search_tools", {"query": "put money on an account"}),
            ("describe_tool", {"name": "book_amount"}),
            ("call_tool", {"name": "book_amount", "arguments": BOOK}),
            ("call_tool", {"name": "close_year", "arguments": {"year": "1999"}}),
            ("call_tool", {"name": "book_amount", "arguments": {"account": "rent"}}),
        )
        with report.check("search: offers its model the three tools, from first to last"):
            for request in range(len(model.offered)):
                require_equal("tools", ["call_tool", "describe_tool", "search_tools"], stage.offered(model, request))
        found, described, called, failed, incomplete = model.results
        with report.check("search: finds, describes and calls a tool"):
            require_words(found, "book_amount(account: string, amount: string)")
            require_words(described, "Books an amount of money", '"required"')
            require_words(called, BOOKED)
            require_equal("first call", ("book_amount", BOOK), server.called[0])
        with report.check("search: its model sees the words of an error"):
            require_error(failed, "the year 1999 has open entries")
        with report.check("search: its model is told which arguments a tool wants"):
            require_error(incomplete, "no amount is given", "amount: string")


def activating(report, stage):
    """`search_exposes = "activate"`: a tool that was found is listed under its own name, where a list may change."""
    with ledger() as server, archive() as other:
        stage.configure('tool_mode = "search"\nsearch_exposes = "activate"', ledger=server.url, archive=other.url)
        search = ("search_tools", {"query": "put money on an account", "limit": 1})
        why = stage.client.list_is_fixed
        if why:
            report.not_tried("activate: a tool that was found is called by its own name", why)
            model = stage.converse(report, search, ("call_tool", {"name": "book_amount", "arguments": BOOK}))
            with report.check("activate: a client whose list stays as it is has call_tool"):
                require_equal("tools", ["call_tool", "describe_tool", "search_tools"], stage.offered(model, -1))
                require_words(model.results[1], BOOKED)
        else:
            model = stage.converse(report, search, ("book_amount", BOOK))
            with report.check("activate: a tool that was found is offered in the next request, and called by its own name"):
                require_equal("tools before", ["describe_tool", "search_tools"], stage.offered(model))
                require_equal("tools after", ["book_amount", "describe_tool", "search_tools"], stage.offered(model, 1))
                require_words(model.results[1], BOOKED)


GROUPS = [listing, one_server, bad_neighbours, silent_neighbour, nothing_up, searching, activating]


def require_words(result, *expected):
    for words in expected:
        require(words in result.text, f"{words!r} is not in {result.text!r}")


def require_error(result, *expected):
    """That the words arrived, and the mark of an error where the API has one."""
    require_words(result, *expected)
    require(result.is_error is not False, "it is not marked as an error")
