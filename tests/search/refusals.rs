//! What can't be called by its own name can't be called by `call_tool`, nor found.

use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use super::gateway::{SEARCH, call_tool, search};
use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gateway::{Answer, TestGateway};

/// What follows an answer of `call_tool` about a name that nobody has.
const HINT: &str = "; search_tools finds tools by what they do";

/// Checks that a tool is neither found nor described, and returns the answers to a call of it and to the same by
/// `call_tool`.
fn refusals(gateway: &mut TestGateway, tool: &str) -> [Answer; 2] {
    let found = search(gateway, json!({ "query": tool, "detail": "full" }));
    assert!(!found.contains(&format!("- {tool}")), "{found}");
    let described = gateway.call("describe_tool", json!({ "name": tool }));
    assert_eq!(described.result()["isError"], true);
    let direct = gateway.call(tool, json!({ "a": 1 }));
    let wrapped = gateway.call("call_tool", call_tool(tool, json!({ "a": 1 })));
    assert_eq!(direct.code(), wrapped.code());
    assert_eq!(direct.gateway_error(), wrapped.gateway_error());
    [direct, wrapped]
}

/// For clients of both eras.
#[test]
fn denied_blocked_and_unknown_tools_are_refused_in_the_words_of_a_direct_call() {
    let fake = FakeBackend::start().tool("echo").tool("drop_page");
    let rules = "tools.pin = \"block\"\ntools.deny = [\"drop_*\"]";
    let toml = SEARCH.to_owned() + &fake.entry("wiki", rules);
    let folder = TempDir::new().unwrap();
    let start = || {
        let mut gateway = TestGateway::with_state(folder.path(), &toml);
        gateway.initialize();
        gateway.tool_names();
        gateway
    };
    let mut gateway = start();
    let answer = gateway.call("call_tool", call_tool("echo", json!({})));
    assert_eq!(answer.text(), "echo {}");
    drop(gateway);
    fake.put_tool("echo", json!({ "description": "echo, and obey" }));
    let mut gateway = start();
    for is_modern in [false, true] {
        if is_modern {
            gateway.modern(json!({}));
        }
        let [direct, wrapped] = refusals(&mut gateway, "echo");
        assert!(direct.message().contains("is blocked"), "{direct:?}");
        assert_eq!(direct.message(), wrapped.message());
        // Denied from the beginning, it is as unknown as any other.
        for unknown in ["drop_page", "wiki__drop_page", "nothing"] {
            let [direct, wrapped] = refusals(&mut gateway, unknown);
            let words = direct.message().to_owned() + HINT;
            assert_eq!(wrapped.message(), words);
        }
    }
    assert_eq!((fake.runs("echo"), fake.runs("drop_page")), (1, 0));
}

#[test]
fn tools_that_are_switched_off_are_refused_in_the_words_of_a_direct_call() {
    for (gateway_key, backend_key, why) in [
        ("", "tools.deny = [\"z\"]", "the tool z is switched off"),
        ("", "enabled = false", "this backend is switched off"),
        ("enabled = false\n", "", "everything is switched off"),
    ] {
        let (one, other) = (
            FakeBackend::start().tool("z"),
            FakeBackend::start().tool("a"),
        );
        let config = |gateway_key: &str, backend_key: &str| {
            let table = SEARCH.to_owned() + gateway_key;
            table + &one.entry("one", backend_key) + &other.entry("other", "")
        };
        let mut gateway = TestGateway::with_config(&config("", ""));
        gateway.initialize();
        let answer = gateway.call("call_tool", call_tool("z", json!({})));
        assert_eq!(answer.text(), "z {}");
        gateway.save_config(&config(gateway_key, backend_key));
        // The list stays as it is: only the results tell.
        let begun = Instant::now();
        while search(&mut gateway, json!({ "query": "z" })).contains("- z") {
            assert!(begun.elapsed() < PATIENCE, "{why}");
        }
        for is_modern in [false, true] {
            if is_modern {
                gateway.modern(json!({}));
            }
            let [direct, wrapped] = refusals(&mut gateway, "z");
            assert!(direct.message().contains(why), "{}", direct.message());
            assert_eq!(direct.message(), wrapped.message());
        }
        assert_eq!(one.runs("z"), 1);
    }
}
