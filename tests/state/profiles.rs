//! `--profile`: a part of the backends and tools, under the names that they have in all.

use serde_json::json;
use tempfile::TempDir;

use crate::common::fake::FakeBackend;
use crate::common::gateway::{TestGateway, save};

const PROFILES: &str = r#"
[profiles.work]
deny = ["first/search", "drop_*"]

[profiles.second]
backends = ["second"]
allow = ["search", "first/*"]

[profiles.found]
backends = ["first"]
tool_mode = "search"
"#;

struct Fixture {
    folder: TempDir,
    fakes: [FakeBackend; 2],
}

impl Fixture {
    fn new() -> Self {
        let fakes = [(); 2].map(|()| FakeBackend::start());
        for fake in &fakes {
            fake.set_tools(&["search", "drop_all"]);
        }
        let folder = tempfile::tempdir().unwrap();
        Self { folder, fakes }
    }

    fn toml(&self) -> String {
        let [first, second] = &self.fakes;
        format!(
            "{}{}{PROFILES}",
            first.entry("first", ""),
            second.entry("second", "")
        )
    }

    fn gateway(&self, profile: Option<&str>) -> TestGateway {
        let mut gateway = TestGateway::with_profile(self.folder.path(), &self.toml(), profile);
        gateway.initialize();
        gateway
    }

    fn names(&self, profile: Option<&str>) -> Vec<String> {
        self.gateway(profile).tool_names()
    }

    fn lock(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("sentinel.lock")).unwrap()
    }
}

#[test]
fn a_tool_has_the_same_name_in_every_profile() {
    let fixture = Fixture::new();
    let all = ["search", "drop_all", "second__search", "second__drop_all"];
    assert_eq!(fixture.names(None), all);
    let lock = fixture.lock();
    assert_eq!(fixture.names(Some("work")), ["second__search"]);
    assert_eq!(fixture.names(Some("second")), ["second__search"]);
    assert_eq!(fixture.names(None), all);
    assert_eq!(fixture.lock(), lock);
}

/// What a profile has not keeps its name, though no run without the profile was before.
#[test]
fn the_first_run_may_be_one_with_a_profile() {
    let fixture = Fixture::new();
    assert_eq!(fixture.names(Some("work")), ["second__search"]);
    let all = ["search", "drop_all", "second__search", "second__drop_all"];
    assert_eq!(fixture.names(None), all);
}

#[test]
fn a_tool_that_the_profile_has_not_is_not_called_and_the_error_names_the_profile() {
    let fixture = Fixture::new();
    let mut gateway = fixture.gateway(Some("work"));
    assert_eq!(gateway.tool_names(), ["second__search"]);
    let answer = gateway.call("second__search", json!({}));
    assert_eq!(answer.text(), "search {}");
    let answer = gateway.call("search", json!({}));
    assert_eq!(answer.gateway_error(), ("refused", "no", 0));
    assert!(
        answer
            .message()
            .contains("the profile work has no tool search"),
        "{}",
        answer.message()
    );
    assert_eq!(fixture.fakes[0].runs("search"), 0);
}

#[test]
fn a_profile_decides_how_many_tools_a_client_sees() {
    let fixture = Fixture::new();
    let mut gateway = fixture.gateway(Some("found"));
    assert_eq!(
        gateway.tool_names(),
        ["search_tools", "describe_tool", "call_tool"]
    );
    let found = gateway.call("search_tools", json!({ "query": "search drop" }));
    assert!(
        found.text().starts_with("first:\n") && !found.text().contains("second"),
        "{}",
        found.text()
    );
    // What it has not is not found either.
    let mut gateway = fixture.gateway(Some("work"));
    assert_eq!(gateway.tool_names(), ["second__search"]);
}

#[test]
fn a_profile_holds_for_what_is_saved_while_the_gateway_runs() {
    const LIST_CHANGED: &str = "notifications/tools/list_changed";
    let fixture = Fixture::new();
    let mut gateway = fixture.gateway(Some("work"));
    assert_eq!(gateway.tool_names(), ["second__search"]);
    let toml = fixture.toml();
    save(
        fixture.folder.path(),
        &toml.replace("\"first/search\", ", ""),
    );
    gateway.next_notification(LIST_CHANGED);
    assert_eq!(gateway.tool_names(), ["search", "second__search"]);
    save(
        fixture.folder.path(),
        &toml.replace("\"drop_*\"", "\"second/*\""),
    );
    gateway.next_notification(LIST_CHANGED);
    assert_eq!(gateway.tool_names(), ["drop_all"]);
}
