// An MCP server behind the official SDK's bearer check, and oidc-provider as its authorization server: dynamic
// registration, client id metadata documents, clients registered by hand, PKCE, resource indicators, signed access
// tokens, refresh tokens that rotate and end their family when one comes twice, the device grant, client credentials
// and revocation. The tool `write` demands a scope that nothing suggests before.
//
// Usage: oidc.cjs AUTHORIZATION_PORT MCP_PORT

const { errors, Provider } = require("oidc-provider");
const express = require("express");
const jose = require("jose");
const { McpServer } = require("@modelcontextprotocol/sdk/server/mcp.js");
const { StreamableHTTPServerTransport } = require("@modelcontextprotocol/sdk/server/streamableHttp.js");
const { requireBearerAuth } = require("@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js");
const { InvalidTokenError } = require("@modelcontextprotocol/sdk/server/auth/errors.js");

const [authorizationPort, mcpPort] = process.argv.slice(2).map(Number);
const HOST = "127.0.0.1";
const ISSUER = `http://${HOST}:${authorizationPort}`;
const RESOURCE = `http://${HOST}:${mcpPort}/mcp`;
const METADATA = "/.well-known/oauth-protected-resource/mcp";
const DEVICE = "urn:ietf:params:oauth:grant-type:device_code";
const DOCUMENT = "https://client.test/sentinel.json";
const ACCESS_SECONDS = 600;

const person = {
  redirect_uris: ["http://127.0.0.1/callback"],
  response_types: ["code"],
  application_type: "native",
  token_endpoint_auth_method: "none",
};
const CODE_AND_REFRESH = ["authorization_code", "refresh_token"];

// The document of a client, which has no address here that a certificate would hold for.
async function fetchDocument(url, options) {
  if (String(url) !== DOCUMENT) return fetch(url, options);
  const document = { ...person, client_id: DOCUMENT, client_name: "Sentinel Gateway", grant_types: CODE_AND_REFRESH };
  return new Response(JSON.stringify(document), { headers: { "content-type": "application/json" } });
}

const provider = new Provider(ISSUER, {
  clients: [
    { ...person, client_id: "by-hand", grant_types: [...CODE_AND_REFRESH, DEVICE] },
    {
      client_id: "robot",
      client_secret: "the-secret-of-the-robot",
      token_endpoint_auth_method: "client_secret_basic",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  scopes: ["openid", "offline_access", "notes:read", "notes:write"],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: ACCESS_SECONDS, ClientCredentials: ACCESS_SECONDS, RefreshToken: 3600, AuthorizationCode: 60,
    DeviceCode: 300, Grant: 3600, IdToken: 60, Interaction: 600, Session: 3600,
  },
  clientAuthMethods: ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
  fetch: fetchDocument,
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    revocation: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    clientIdMetadataDocument: { enabled: true, ack: "draft-02" },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, resource) => {
        if (resource !== RESOURCE) throw new errors.InvalidTarget();
        return {
          scope: "notes:read notes:write", audience: RESOURCE, accessTokenFormat: "jwt", accessTokenTTL: ACCESS_SECONDS,
          jwt: { sign: { alg: "RS256" } },
        };
      },
    },
  },
});
for (const event of ["server_error", "authorization.error", "grant.error", "registration_create.error"]) {
  provider.on(event, (_context, error) => console.error(event, error?.message, error?.error_description ?? ""));
}
provider.on("grant.success", (context) => console.error("issued by", context.oidc.params.grant_type));

const authorization = express();
authorization.use((request, _response, next) => {
  // The name of RFC 8414 for the same document.
  if (request.url === "/.well-known/oauth-authorization-server") request.url = "/.well-known/openid-configuration";
  next();
});
authorization.use(provider.callback());

const keys = jose.createRemoteJWKSet(new URL(`${ISSUER}/jwks`));
const verifier = {
  async verifyAccessToken(token) {
    try {
      const { payload } = await jose.jwtVerify(token, keys, { issuer: ISSUER, audience: RESOURCE });
      const scopes = (payload.scope ?? "").split(" ");
      return { token, clientId: payload.client_id, scopes, expiresAt: payload.exp };
    } catch (error) {
      throw new InvalidTokenError(error.message);
    }
  },
};
const resource = express();
resource.use(express.json());
resource.get(METADATA, (_request, response) => {
  response.json({ resource: RESOURCE, authorization_servers: [ISSUER], scopes_supported: ["notes:read"] });
});
const demand = (...requiredScopes) =>
  requireBearerAuth({ verifier, requiredScopes, resourceMetadataUrl: `http://${HOST}:${mcpPort}${METADATA}` });
const [toRead, toWrite] = [demand("notes:read"), demand("notes:read", "notes:write")];
const guard = (request, ...rest) => (request.body?.params?.name === "write" ? toWrite : toRead)(request, ...rest);
resource.post("/mcp", guard, async (request, response) => {
  const server = new McpServer({ name: "guarded", version: "1" });
  server.registerTool("client", { description: "The client of the token" }, (extra) => ({
    content: [{ type: "text", text: extra.authInfo.clientId }],
  }));
  server.registerTool("write", { description: "The scopes of the token" }, (extra) => ({
    content: [{ type: "text", text: extra.authInfo.scopes.join(" ") }],
  }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => {
    transport.close();
    server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(request, response, request.body);
});
authorization.listen(authorizationPort, HOST, () => resource.listen(mcpPort, HOST));
