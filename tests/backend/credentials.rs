//! Credentials that change while the gateway runs.

use std::path::Path;

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::reply::Reply;

/// A backend that accepts the bearer token in `accepted`, and the gateway's token file `token`.
struct Rotating {
    folder: tempfile::TempDir,
    fake: FakeBackend,
}

impl Rotating {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let accepted = folder.path().join("accepted");
        std::fs::write(&accepted, "old").unwrap();
        std::fs::write(folder.path().join("token"), "old\n").unwrap();
        let fake = FakeBackend::start()
            .tool("act")
            .respond_with(move |request| {
                let accepted = format!("Bearer {}", std::fs::read_to_string(&accepted).unwrap());
                let sent = request.header("authorization");
                (sent != Some(accepted.as_str()))
                    .then(|| Reply::status(401).header("www-authenticate", "Bearer"))
            });
        Self { folder, fake }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(Path::new(&self.path(name)), text).unwrap();
    }

    /// A gateway with this `bearer` setting that has made one call.
    fn gateway(&self, bearer: &str) -> TestGateway {
        let entry = self.fake.entry("fake", &format!("bearer = {bearer}\n"));
        let mut gateway = TestGateway::with_config(&entry);
        gateway.initialize();
        gateway.wait_for_tool("act");
        assert_eq!(gateway.call("act", json!({})).text(), "act {}");
        gateway
    }

    fn sent(&self) -> usize {
        self.fake.requests_of("tools/call").len()
    }
}

#[test]
fn fault_32_after_a_token_file_changes_the_call_is_resent_once() {
    let rotating = Rotating::new();
    let file = format!("{{ file = '{}' }}", rotating.path("token"));
    let mut gateway = rotating.gateway(&file);
    rotating.write("token", "new\n");
    rotating.write("accepted", "new");
    let before = rotating.sent();
    assert_eq!(gateway.call("act", json!({})).text(), "act {}");
    assert_eq!(rotating.sent(), before + 2, "refused once, sent once more");
    assert_eq!(gateway.call("act", json!({})).text(), "act {}");
    assert_eq!(rotating.sent(), before + 3, "the new token is kept");
    assert_eq!(rotating.fake.runs("act"), 3);
}

#[test]
fn fault_32_an_unchanged_token_is_not_resent() {
    let rotating = Rotating::new();
    let file = format!("{{ file = '{}' }}", rotating.path("token"));
    let mut gateway = rotating.gateway(&file);
    rotating.write("accepted", "new");
    let before = rotating.sent();
    let answer = gateway.call("act", json!({}));
    let error = answer.error();
    assert_eq!(error["data"]["class"], "auth_required");
    assert_eq!(error["data"]["executed"], "no");
    assert_eq!(error["data"]["attempts"], 1);
    assert_eq!(rotating.sent(), before + 1);
}

#[cfg(unix)]
#[test]
fn fault_32_concurrent_calls_run_the_command_once() {
    let rotating = Rotating::new();
    let command = format!(
        "{{ command = ['sh', '-c', 'echo x >> {}; cat {}'] }}",
        rotating.path("runs"),
        rotating.path("token")
    );
    let mut gateway = rotating.gateway(&command);
    let runs = || {
        std::fs::read_to_string(rotating.path("runs"))
            .unwrap()
            .len()
            / 2
    };
    let before = runs();
    rotating.write("token", "new\n");
    rotating.write("accepted", "new");
    let calls: Vec<u64> = (0..20)
        .map(|n| gateway.start_call("act", json!({ "n": n })))
        .collect();
    for (n, id) in calls.into_iter().enumerate() {
        assert_eq!(gateway.answer(id).text(), format!(r#"act {{"n":{n}}}"#));
    }
    assert_eq!(runs(), before + 1, "one run serves all of them");
    rotating.write("accepted", "newer");
    rotating.write("token", "newer\n");
    assert_eq!(
        gateway.call("act", json!({})).error()["data"]["class"],
        "auth_required",
        "at most once in ten seconds"
    );
    assert_eq!(runs(), before + 1);
}
