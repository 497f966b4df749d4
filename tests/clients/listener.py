"""An HTTP server on a free port of the loopback, in threads of this process."""

import http.server
import sys


class Listener(http.server.ThreadingHTTPServer):
    """Serves with this class of handlers, which find `owner` at `self.server.owner`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, handlers, owner):
        super().__init__(("127.0.0.1", 0), handlers)
        self.owner = owner

    def handle_error(self, request, client_address):
        """A client may leave before it has its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
