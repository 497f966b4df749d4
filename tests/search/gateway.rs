//! `search_tools`, `describe_tool` and `call_tool` through the gateway, in both eras.

use serde_json::{Value, json};

use super::everyday;
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{complete, progress, request, text as text_result};
use crate::common::reply::Reply;

pub(super) const SEARCH: &str = "[gateway]\ntool_mode = \"search\"\n";

/// The servers of the set, each with its name.
pub(super) fn servers() -> Vec<(String, FakeBackend)> {
    let mut servers: Vec<(String, FakeBackend)> = Vec::new();
    for tool in everyday().tools {
        if servers.iter().all(|(name, _)| *name != tool.server) {
            servers.push((tool.server.clone(), FakeBackend::start()));
        }
        let mut of_tool = servers.iter().filter(|(name, _)| *name == tool.server);
        let (_, fake) = of_tool.next().unwrap();
        fake.put_tool(&tool.name, tool.definition().read().unwrap());
    }
    servers
}

/// A gateway with these settings in front of all servers of the set.
pub(super) fn everyday_gateway(settings: &str, servers: &[(String, FakeBackend)]) -> TestGateway {
    let entries = servers.iter().map(|(name, fake)| fake.entry(name, ""));
    TestGateway::with_config(&(settings.to_owned() + &entries.collect::<String>()))
}

pub(super) fn search(gateway: &mut TestGateway, arguments: Value) -> String {
    gateway.call("search_tools", arguments).text().to_owned()
}

pub(super) fn call_tool(name: &str, arguments: Value) -> Value {
    json!({ "name": name, "arguments": arguments })
}

/// A tool that moves documents, and one that does not.
fn drive() -> FakeBackend {
    let schema = json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "folder": { "type": "string" } },
        "required": ["id", "folder"],
    });
    let described =
        json!({ "description": "Moves a document. It stays shared.", "inputSchema": schema });
    FakeBackend::start()
        .tool_with("move", described)
        .tool("trash")
}

/// Both eras of clients and of backends.
fn in_all_eras(check: impl Fn(&mut TestGateway, &FakeBackend)) {
    for (modern_client, modern_backend) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let fake = match modern_backend {
            true => drive().modern(),
            false => drive(),
        };
        let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &fake.entry("drive", "")));
        match modern_client {
            true => {
                gateway.modern(json!({ "elicitation": {} }));
            }
            false => {
                gateway.initialize_with("2025-11-25", json!({ "elicitation": {} }));
            }
        }
        check(&mut gateway, &fake);
    }
}

#[test]
fn a_tool_is_found_described_and_called() {
    in_all_eras(|gateway, fake| {
        let names = gateway.tool_names();
        assert_eq!(names, ["search_tools", "describe_tool", "call_tool"]);
        let found = search(gateway, json!({ "query": "put a file elsewhere, move it" }));
        assert!(
            found.starts_with("drive:\n- move(id: string, folder: string) — Moves a document.\n"),
            "{found}"
        );
        let described = gateway.call("describe_tool", json!({ "name": "move" }));
        let described = described.text();
        assert!(
            described.contains("It stays shared.") && described.contains("\"required\""),
            "{described}"
        );

        let arguments = json!({ "id": "1", "folder": "2" });
        let answer = gateway.call("call_tool", call_tool("move", arguments.clone()));
        assert_eq!(answer.text(), r#"move {"folder":"2","id":"1"}"#);
        let sent = fake.requests_of("tools/call");
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].params()["name"], "move");
        assert_eq!(sent[0].params()["arguments"], arguments);
    });
}

#[test]
fn a_found_tool_may_be_called_by_its_own_name_too() {
    in_all_eras(|gateway, _| {
        assert_eq!(gateway.call("trash", json!({})).text(), "trash {}");
    });
}

#[test]
fn arguments_are_taken_as_models_write_them() {
    in_all_eras(|gateway, fake| {
        for written in [
            call_tool("trash", json!({ "id": "1" })),
            call_tool("trash", json!(r#"{"id":"1"}"#)),
            json!({ "name": "trash", "id": "1" }),
        ] {
            let answer = gateway.call("call_tool", written.clone());
            assert_eq!(answer.text(), r#"trash {"id":"1"}"#, "{written}");
        }
        for none in [json!({ "name": "trash" }), call_tool("trash", json!(null))] {
            assert_eq!(gateway.call("call_tool", none).text(), "trash {}");
        }
        assert_eq!(fake.requests_of("tools/call").len(), 5);
        for wrong in [
            json!({}),
            json!({ "name": 1 }),
            call_tool("trash", json!([1])),
        ] {
            let answer = gateway.call("call_tool", wrong.clone());
            assert_eq!(answer.result()["isError"], true, "{wrong}");
            assert!(answer.text().contains("call_tool"), "{}", answer.text());
        }
        assert_eq!(fake.requests_of("tools/call").len(), 5);
    });
}

#[test]
fn call_tool_does_not_reach_the_gateways_own_tools() {
    in_all_eras(|gateway, fake| {
        for own in ["search_tools", "describe_tool", "call_tool"] {
            let answer = gateway.call("call_tool", call_tool(own, json!({ "query": "x" })));
            assert_eq!(answer.result()["isError"], true);
            assert!(
                answer.text().contains(&format!("call {own} itself")),
                "{}",
                answer.text()
            );
        }
        assert!(fake.requests_of("tools/call").is_empty());
    });
}

#[test]
fn an_error_says_what_the_schema_wants() {
    in_all_eras(|gateway, fake| {
        fake.always_tool("move", Reply::error(-32602, "invalid"));
        let answer = gateway.call(
            "call_tool",
            call_tool("move", json!({ "id": "1", "dir": "2" })),
        );
        assert_eq!(answer.code(), -32602);
        let wants = "missing: folder; unknown: dir; it takes move(id: string, folder: string)";
        assert!(answer.message().ends_with(wants), "{}", answer.message());

        let failed = json!({ "content": [{ "type": "text", "text": "no" }], "isError": true });
        fake.reset_script("move");
        fake.always_tool("move", Reply::result(failed));
        let answer = gateway.call("call_tool", call_tool("move", json!({ "id": "1" })));
        assert_eq!(answer.text(), "no");
        let last = &answer.result()["content"][1]["text"];
        assert_eq!(
            last,
            "missing: folder; it takes move(id: string, folder: string)"
        );
        // Arguments that fit have nothing to do with the failure.
        let fitting = json!({ "id": "1", "folder": "2" });
        let answer = gateway.call("call_tool", call_tool("move", fitting));
        assert_eq!(answer.result()["content"].as_array().unwrap().len(), 1);

        let answer = gateway.call("call_tool", call_tool("mvoe", json!({})));
        assert_eq!(answer.code(), -32602);
        assert!(
            answer.message().contains("did you mean \"move\"?")
                && answer.message().contains("search_tools"),
            "{}",
            answer.message()
        );
    });
}

#[test]
fn a_call_that_may_have_run_is_not_sent_again() {
    let unsafe_tool = FakeBackend::start().tool("charge");
    unsafe_tool.on_tool("charge", Reply::hang_up().runs(true));
    let mut gateway =
        TestGateway::with_config(&(SEARCH.to_owned() + &unsafe_tool.entry("pay", "")));
    gateway.initialize();
    let answer = gateway.call("call_tool", call_tool("charge", json!({})));
    assert_eq!(answer.gateway_error(), ("outcome_unknown", "unknown", 1));
    assert_eq!(unsafe_tool.runs("charge"), 1);

    let annotations = json!({ "annotations": { "readOnlyHint": true } });
    let safe = FakeBackend::start().tool_with("balance", annotations);
    safe.on_tool("balance", Reply::hang_up().runs(true));
    let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &safe.entry("pay", "")));
    gateway.initialize();
    let answer = gateway.call("call_tool", call_tool("balance", json!({})));
    assert_eq!(answer.text(), "balance {}");
    assert_eq!(safe.runs("balance"), 2);
}

#[test]
fn progress_of_a_tool_called_by_call_tool_reaches_the_client() {
    let fake = FakeBackend::start().tool("slow");
    let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &fake.entry("one", "")));
    gateway.initialize();
    let done = text_result("done");
    fake.on_tool("slow", Reply::sse().event(progress(1.0)).event(done));
    let id = gateway.request(
        "tools/call",
        json!({
            "name": "call_tool", "arguments": call_tool("slow", json!({})),
            "_meta": { "progressToken": "mine" },
        }),
    );
    let seen = gateway.next_notification("notifications/progress");
    assert_eq!(seen.params()["progressToken"], "mine");
    assert_eq!(gateway.answer(id).text(), "done");
}

#[test]
fn input_that_a_tool_asks_for_is_given_to_call_tool() {
    let form = json!({ "mode": "form", "message": "sure?", "requestedSchema": {} });
    let asks = json!({ "k": { "method": "elicitation/create", "params": form } });
    for is_modern in [false, true] {
        let fake = drive().modern();
        fake.on_tool("trash", Reply::input_required(&asks, Some("state")));
        let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &fake.entry("drive", "")));
        let capabilities = json!({ "elicitation": { "form": {} } });
        let params = json!({ "name": "call_tool", "arguments": call_tool("trash", json!({})) });
        let accepted = json!({ "action": "accept", "content": {} });
        let answer = match is_modern {
            false => {
                gateway.initialize_with("2025-11-25", capabilities);
                let id = gateway.request("tools/call", params);
                let asked = gateway.next_request("elicitation/create");
                gateway.respond(&asked, accepted);
                gateway.answer(id)
            }
            true => {
                gateway.modern(capabilities);
                let needed = gateway.ask("tools/call", params.clone());
                assert!(needed.is_input_required());
                let id = gateway.retry("tools/call", &params, &needed, json!({ "k": accepted }));
                gateway.answer(id)
            }
        };
        assert_eq!(answer.text(), "trash {}");
        let sent = fake.requests_of("tools/call");
        assert_eq!(sent[1].params()["name"], "trash");
        assert_eq!(sent[1].params()["requestState"], "state");
    }
}

/// A legacy server's request during a call waits for a modern client's retry of `call_tool`.
#[test]
fn a_parked_call_tool_is_resumed_by_its_retry() {
    let fake = FakeBackend::start().tool("ask");
    let live = LiveStream::new();
    fake.on_tool("ask", Reply::sse().live(&live));
    let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &fake.entry("one", "")));
    gateway.modern(json!({ "elicitation": { "form": {} } }));
    let params = json!({ "name": "call_tool", "arguments": call_tool("ask", json!({})) });
    let id = gateway.request("tools/call", params.clone());
    let form = json!({ "message": "sure?", "requestedSchema": {} });
    live.event(&request(json!(7), "elicitation/create", form));
    let needed = gateway.answer(id);
    let (key, _) = needed.input_request();
    let answers = json!({ key: { "action": "accept", "content": {} } });
    let id = gateway.retry("tools/call", &params, &needed, answers);
    assert_eq!(
        fake.next_request("response").message["result"]["action"],
        "accept"
    );
    live.event(&text_result("done"));
    assert_eq!(gateway.answer(id).text(), "done");
    assert_eq!(fake.requests_of("tools/call").len(), 1);
}

/// Tasks of 2025-11-25 between legacy sides, and those of the extension between modern ones.
#[test]
fn a_task_asked_of_call_tool_is_one_of_the_tool() {
    let task = json!({ "taskId": "1", "status": "working",
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" });
    let extension = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    for is_modern in [false, true] {
        let mut task = task.clone();
        task[if is_modern { "ttlMs" } else { "ttl" }] = json!(1000);
        let fake = match is_modern {
            true => drive().modern().capabilities(extension.clone()),
            false => drive().capabilities(
                json!({ "tasks": { "cancel": {}, "requests": { "tools": { "call": {} } } } }),
            ),
        };
        let optional = json!({ "execution": { "taskSupport": "optional" } });
        fake.put_tool("slow", optional);
        let mut created = task.clone();
        created["resultType"] = json!("task");
        fake.on_tool(
            "slow",
            match is_modern {
                true => Reply::result(created),
                false => Reply::result(json!({ "task": task })),
            },
        );
        fake.always(
            "tasks/cancel",
            match is_modern {
                true => Reply::json(&complete(json!({}))),
                false => Reply::result(task.clone()),
            },
        );
        let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &fake.entry("drive", "")));
        let mut params =
            json!({ "name": "call_tool", "arguments": call_tool("slow", json!({ "a": 1 })) });
        match is_modern {
            true => {
                gateway.modern(extension.clone());
            }
            false => {
                gateway.initialize();
                params["task"] = json!({ "ttl": 1000 });
            }
        }
        let answer = gateway.ask("tools/call", params.clone());
        let sent = fake.next_request("tools/call");
        assert_eq!(sent.params()["name"], "slow");
        assert_eq!(sent.params()["arguments"], json!({ "a": 1 }));
        assert_eq!(sent.params()["task"], params["task"]);
        let id = match is_modern {
            true => &answer.result()["taskId"],
            false => &answer.result()["task"]["taskId"],
        };
        assert_eq!(*id, fake.task_id("drive", "1"));
        gateway
            .ask("tasks/cancel", json!({ "taskId": id }))
            .result();
        assert_eq!(fake.next_request("tasks/cancel").params()["taskId"], "1");
    }
}

#[test]
fn at_most_three_of_five_results_are_of_one_server_unless_it_is_named() {
    let many = (0..9).fold(FakeBackend::start(), |fake, at| {
        fake.tool(&format!("note_{at}"))
    });
    let few = FakeBackend::start().tool("read_note").tool("write_note");
    let mail = FakeBackend::start().tool("send");
    let config = format!(
        "{SEARCH}{}{}{}",
        many.entry("many", ""),
        few.entry("few", ""),
        mail.entry("mail", "")
    );
    let mut gateway = TestGateway::with_config(&config);
    gateway.initialize();
    let of_many = |found: &str| found.matches("- note_").count();
    let spread = search(&mut gateway, json!({ "query": "note" }));
    assert_eq!(of_many(&spread), 3, "{spread}");
    assert_eq!(spread.matches("\n- ").count(), 5, "{spread}");
    // Another one is named.
    let found = search(&mut gateway, json!({ "query": "note for mail" }));
    assert!(of_many(&found) <= 3, "{found}");
    for named in [
        json!({ "query": "note in many" }),
        json!({ "query": "note", "server": "many" }),
        json!({ "server": "Many" }),
    ] {
        let found = search(&mut gateway, named);
        assert_eq!(of_many(&found), 5, "{found}");
    }
    let found = search(&mut gateway, json!({ "query": "note", "limit": "2" }));
    assert_eq!(found.matches("\n- ").count(), 2, "{found}");
    let answer = gateway.call(
        "search_tools",
        json!({ "query": "note", "server": "nowhere" }),
    );
    assert_eq!(answer.result()["isError"], true);
    assert!(answer.text().contains("many, few"), "{}", answer.text());
}

#[test]
fn a_search_that_finds_nothing_says_what_to_try() {
    let drive = FakeBackend::start().tool("move");
    let config = SEARCH.to_owned()
        + &drive.entry("drive", "")
        + "[[backends]]\nname = \"mail\"\nurl = \"http://127.0.0.1:9/mcp\"\n";
    let mut gateway = TestGateway::with_config(&config);
    gateway.initialize();
    gateway.call("call_tool", call_tool("move", json!({})));
    let found = search(&mut gateway, json!({ "query": "zebra" }));
    assert!(found.contains("mail is down"), "{found}");
    let found = search(&mut gateway, json!({ "query": "move", "server": "mail" }));
    assert!(found.contains("No tool of mail has"), "{found}");
    let found = search(&mut gateway, json!({ "server": "mail" }));
    assert!(
        found.starts_with("mail has no tools; mail is down"),
        "{found}"
    );

    in_all_eras(|gateway, _| {
        let answer = gateway.call("search_tools", json!({ "query": "zebra" }));
        assert!(answer.result().get("isError").is_none());
        assert!(answer.text().contains("Try other words") && answer.text().contains("drive"));
        for empty in [json!({}), json!({ "query": " " })] {
            assert_eq!(
                gateway.call("search_tools", empty).result()["isError"],
                true
            );
        }
        let answer = gateway.call("describe_tool", json!({ "name": "mvoe" }));
        assert_eq!(answer.result()["isError"], true);
        assert!(
            answer.text().contains("did you mean \"move\"?"),
            "{}",
            answer.text()
        );
        assert_eq!(
            gateway.call("describe_tool", json!({})).result()["isError"],
            true
        );
    });
}

#[test]
fn denied_and_blocked_tools_are_neither_found_nor_called() {
    let fake = FakeBackend::start().tool("read_page").tool("drop_page");
    let rules = "tools.deny = [\"drop_*\"]\n";
    let mut gateway = TestGateway::with_config(&(SEARCH.to_owned() + &fake.entry("wiki", rules)));
    gateway.initialize();
    let found = search(&mut gateway, json!({ "query": "drop read page" }));
    assert!(
        found.contains("read_page") && !found.contains("drop_page"),
        "{found}"
    );
    let answer = gateway.call("call_tool", call_tool("drop_page", json!({})));
    assert_eq!(answer.code(), -32602);
    let answer = gateway.call("describe_tool", json!({ "name": "drop_page" }));
    assert_eq!(answer.result()["isError"], true);
    assert!(fake.requests_of("tools/call").is_empty());
}
