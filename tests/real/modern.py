"""A client of the gateway in the modern era, 2026-07-28: no handshake, and metadata in every request.

Adds the rules of this era for results to the checks of `driver.py`.
"""

from driver import Gateway, result_of

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
CACHEABLE = (
    "server/discover", "tools/list", "resources/list", "resources/templates/list", "prompts/list", "resources/read",
)


class ModernGateway(Gateway):
    """One running gateway over stdio, used in the modern era."""

    def __init__(self, binary, config, log):
        super().__init__(binary, config, log)
        self.capabilities = {}

    def discover(self):
        return result_of(self.ask("server/discover"))

    def send(self, method, params=None, id=None):
        return super().send(method, {**(params or {}), "_meta": self._meta(params)}, id)

    def call_with(self, tool, arguments, **more):
        """A call with further params, like the retry after `input_required`."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments, **more})

    def violation_of(self, method, result):
        if "resultType" not in result:
            return "a modern result without resultType"
        if method in CACHEABLE and result["resultType"] == "complete":
            if not isinstance(result.get("ttlMs"), int) or result["ttlMs"] < 0:
                return "a cacheable result without a valid ttlMs"
            if result.get("cacheScope") not in ("public", "private"):
                return "a cacheable result without cacheScope"
        return None

    def _meta(self, params):
        return {
            f"{META}protocolVersion": VERSION,
            f"{META}clientInfo": {"name": "real-test", "version": "1"},
            f"{META}clientCapabilities": self.capabilities,
            **(params or {}).get("_meta", {}),
        }
