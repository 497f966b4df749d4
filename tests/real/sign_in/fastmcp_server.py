"""FastMCP as MCP server and authorization server at once: an issuer that ends in a slash, opaque tokens, no pages.

Usage: fastmcp_server.py PORT
"""

import sys

from fastmcp import FastMCP
from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider
from fastmcp.server.dependencies import get_access_token
from mcp.server.auth.settings import ClientRegistrationOptions, RevocationOptions

port = int(sys.argv[1])
provider = InMemoryOAuthProvider(
    base_url=f"http://127.0.0.1:{port}",
    client_registration_options=ClientRegistrationOptions(
        enabled=True, valid_scopes=["notes:read"], default_scopes=["notes:read"]
    ),
    revocation_options=RevocationOptions(enabled=True),
    required_scopes=["notes:read"],
)
server = FastMCP("guarded", auth=provider)


@server.tool
def client() -> str:
    """The client of the token."""
    return get_access_token().client_id


server.run(transport="http", host="127.0.0.1", port=port, path="/mcp", show_banner=False)
