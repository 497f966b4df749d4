//! Tools that the config denies are not reachable under any name.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;

#[test]
fn a_denied_tool_is_neither_listed_nor_called() {
    let db = FakeBackend::start().tool("read").tool("drop").tool("wipe");
    let rules = "tools.deny = [\"drop\", \"wipe\"]\ntools.rename = { wipe = \"clean\" }\n";
    let mut gateway = TestGateway::with_config(&db.entry("db", rules));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["read"]);
    for name in ["drop", "db__drop", "wipe", "clean", "db__clean"] {
        assert_eq!(gateway.call(name, json!({})).code(), -32602, "{name}");
    }
    assert_eq!(db.requests_of("tools/call").len(), 0);
}
