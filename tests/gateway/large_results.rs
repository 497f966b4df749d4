//! Results of tools within `tools.max_result_tokens`, and the rest of them by `read_more`.

use sentinel_gateway::catalog::search::estimate_tokens;
use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::complete;
use crate::common::reply::Reply;

const LIMIT: &str = "tools.max_result_tokens = { \"*\" = 300 }\n";
const LIST_CHANGED: &str = "notifications/tools/list_changed";
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A backend with the tool `t`.
struct Server {
    fake: FakeBackend,
    is_modern: bool,
}

impl Server {
    /// Has the tool answer with this result.
    fn answer_with(&self, result: &Value) {
        self.fake.reset_script("t");
        let result = result.clone();
        self.fake.always_tool(
            "t",
            match self.is_modern {
                true => Reply::json(&complete(result)),
                false => Reply::result(result),
            },
        );
    }
}

/// A gateway in front of a backend, for every pair of eras.
fn in_all_eras(settings: &str, check: impl Fn(&mut TestGateway, &Server)) {
    for (modern_client, modern_backend) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let fake = FakeBackend::start().tool("t");
        let fake = match modern_backend {
            true => fake.modern(),
            false => fake,
        };
        let config = settings.to_owned() + &fake.entry("one", LIMIT);
        let mut gateway = TestGateway::with_config(&config);
        match modern_client {
            true => {
                gateway.modern(json!({}));
            }
            false => {
                gateway.initialize();
            }
        }
        check(
            &mut gateway,
            &Server {
                fake,
                is_modern: modern_backend,
            },
        );
    }
}

fn block(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn lines(count: usize) -> String {
    (0..count)
        .map(|at| format!("line number {at}, äöü\n"))
        .collect()
}

/// The texts of an answer.
fn texts(answer: &Answer) -> Vec<String> {
    let content = answer.result()["content"].as_array().unwrap();
    let texts = content.iter().filter_map(|block| block["text"].as_str());
    texts.map(str::to_owned).collect()
}

/// The text without the words that say how to go on, and the arguments of `read_more` that they give.
fn split(text: &str) -> (&str, Option<Value>) {
    let Some((shown, notice)) = text
        .rsplit_once('[')
        .filter(|(_, end)| end.contains("read_more"))
    else {
        return (text, None);
    };
    let handle = notice.split('"').nth(1).unwrap();
    let offset = notice.split("offset ").nth(1).unwrap();
    let offset: usize = offset.split(' ').next().unwrap().parse().unwrap();
    (shown, Some(json!({ "handle": handle, "offset": offset })))
}

/// Reads on from this answer to the end. Returns the texts of each page, without the notices.
fn read_all(gateway: &mut TestGateway, first: &Answer) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut page = texts(first);
    loop {
        let tokens: usize = page.iter().map(|text| estimate_tokens(text)).sum();
        assert!(tokens <= 300, "{tokens}: {page:?}");
        let last = page.pop().unwrap();
        let (shown, more) = split(&last);
        let shown = match more.is_some() {
            true => shown.strip_suffix('\n').unwrap_or(shown),
            false => shown,
        };
        page.push(shown.to_owned());
        pages.push(page);
        let Some(more) = more else {
            return pages;
        };
        let answer = gateway.call("read_more", more);
        assert!(answer.result().get("isError").is_none(), "{answer:?}");
        page = texts(&answer);
    }
}

#[test]
fn a_large_text_is_cut_at_a_line_and_read_on_to_its_end() {
    in_all_eras("", |gateway, server| {
        let text = lines(200);
        server.answer_with(&json!({ "content": [block(&text)] }));
        let first = gateway.call("t", json!({}));
        let (_, more) = split(first.text());
        assert!(more.is_some(), "{}", first.text());
        let pages = read_all(gateway, &first);
        assert!(pages.len() > 5);
        let all: Vec<&str> = pages
            .iter()
            .flatten()
            .flat_map(|page| page.lines())
            .collect();
        assert_eq!(all, text.lines().collect::<Vec<_>>());
        assert_eq!(server.fake.requests_of("tools/call").len(), 1);
    });
}

#[test]
fn a_json_array_is_paged_by_element() {
    in_all_eras("", |gateway, server| {
        let items: Vec<Value> = (0..200)
            .map(|at| json!({ "id": at, "name": "an item" }))
            .collect();
        for (text, at) in [
            (json!(items), ""),
            (
                json!({ "total": 200, "data": { "items": items } }),
                "/data/items",
            ),
        ] {
            server.answer_with(&json!({ "content": [block(&text.to_string())] }));
            let first = gateway.call("t", json!({}));
            let mut found = Vec::new();
            for page in read_all(gateway, &first) {
                let part: Value = serde_json::from_str(&page[0]).unwrap();
                found.extend_from_slice(part.pointer(at).unwrap().as_array().unwrap());
            }
            assert_eq!(found, items);
            let notice = texts(&first).pop().unwrap();
            assert!(
                notice.starts_with("[Elements 1 to ") && notice.contains(" of 200."),
                "{notice}"
            );
        }
    });
}

#[test]
fn only_text_is_cut() {
    in_all_eras("", |gateway, server| {
        let image = json!({ "type": "image", "data": "A".repeat(4_000), "mimeType": "image/png" });
        let resource = json!({ "type": "resource",
            "resource": { "uri": "file:///a", "text": lines(100) } });
        let data = json!({ "rows": lines(100) });
        let mut noted = block(&lines(100));
        noted["annotations"] = json!({ "priority": 1.0 });
        server.answer_with(&json!({
            "content": [block("short"), image, noted, resource, block("left out")],
            "structuredContent": data, "isError": true,
        }));
        let answer = gateway.call("t", json!({}));
        let result = answer.result();
        assert_eq!(result["structuredContent"], data);
        assert_eq!(result["isError"], true);
        let content = result["content"].as_array().unwrap();
        assert_eq!(content.len(), 4);
        assert_eq!(content[0], block("short"));
        assert_eq!(content[1], image);
        assert_eq!(content[2]["annotations"], noted["annotations"]);
        assert!(split(content[2]["text"].as_str().unwrap()).1.is_some());
        assert_eq!(content[3]["resource"]["text"], resource["resource"]["text"]);
        let pages = read_all(gateway, &answer);
        assert_eq!(pages.last().unwrap().last().unwrap(), "left out");
    });
}

#[test]
fn a_result_within_the_limit_passes_byte_for_byte() {
    let fake = FakeBackend::start().tool("t").tool("read_more");
    let mut gateway = TestGateway::with_config(&fake.entry("one", LIMIT));
    gateway.initialize();
    let raw = r#"{ "content": [ {"type":"text","text":"1.10 \u00e4 \/"} ],"z":1.10,"a":1,"a":2}"#;
    let body = format!(r#"{{"jsonrpc":"2.0","id":"$id","result":{raw}}}"#);
    fake.always_tool(
        "t",
        Reply::status(200)
            .header("content-type", "application/json")
            .body(body),
    );
    gateway.call("t", json!({}));
    assert!(
        gateway.transcript().contains(raw),
        "{}",
        gateway.transcript()
    );
}

/// Half of a surrogate pair is valid JSON, and no character.
#[test]
fn a_result_of_more_blocks_than_a_list_may_have_is_cut_too() {
    in_all_eras("", |gateway, server| {
        let image = json!({ "type": "image", "data": "aGk=", "mimeType": "image/png" });
        let mut blocks: Vec<Value> = (0..10_500)
            .map(|at| block(&format!("block {at}")))
            .collect();
        blocks.push(image.clone());
        server.answer_with(&json!({ "content": blocks }));
        let first = gateway.call("t", json!({}));
        let content = first.result()["content"].as_array().unwrap();
        assert!(content.len() < 200, "{}", content.len());
        assert_eq!(content.last(), Some(&image));
        let shown = texts(&first);
        assert_eq!(shown[0], "block 0");
        let (_, more) = split(shown.last().unwrap());
        let next = gateway.call("read_more", more.unwrap());
        assert_eq!(texts(&next)[0], format!("block {}", shown.len() - 1));
    });
}

#[test]
fn a_text_that_is_no_unicode_is_cut_too() {
    let fake = FakeBackend::start().tool("t");
    let mut gateway = TestGateway::with_config(&fake.entry("one", LIMIT));
    gateway.initialize();
    let text = format!("\\ud800{}", "line\\n".repeat(400));
    let result = format!(r#"{{"content":[{{"type":"text","text":"{text}"}}]}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":"$id","result":{result}}}"#);
    let reply = Reply::status(200).header("content-type", "application/json");
    fake.always_tool("t", reply.body(body));
    let answer = gateway.call("t", json!({}));
    let all = read_all(&mut gateway, &answer).concat().concat();
    assert!(all.starts_with('\u{fffd}'), "{all}");
    assert_eq!(all.lines().count(), 400);
}

#[test]
fn read_more_is_listed_only_where_results_are_limited_and_its_name_is_reserved() {
    let fake = FakeBackend::start().tool("t").tool("read_more");
    let (without, with) = (fake.entry("one", ""), fake.entry("one", LIMIT));
    let mut gateway = TestGateway::with_config(&without);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t", "read_more"]);
    assert_eq!(gateway.call("read_more", json!({})).text(), "read_more {}");
    fake.always_tool("t", Reply::text(&lines(200)));
    assert_eq!(gateway.call("t", json!({})).text(), lines(200));
    gateway.save_config(&with);
    gateway.next_notification(LIST_CHANGED);
    assert_eq!(gateway.tool_names(), ["t", "one__read_more", "read_more"]);
    assert!(split(gateway.call("t", json!({})).text()).1.is_some());
    assert_eq!(
        gateway.call("one__read_more", json!({})).text(),
        "read_more {}"
    );
    gateway.save_config(&without);
    gateway.next_notification(LIST_CHANGED);
    assert!(!gateway.tool_names().contains(&"read_more".to_owned()));
    assert_eq!(gateway.call("t", json!({})).text(), lines(200));

    let nothing = FakeBackend::start();
    let mut gateway = TestGateway::with_config(&nothing.entry("none", LIMIT));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["read_more"]);
}

/// Nothing newer would take its place, so it would be kept for ever.
#[test]
fn a_reload_that_removes_every_limit_frees_what_is_kept_and_handles_say_so() {
    let fake = FakeBackend::start().tool("t");
    let (without, with) = (fake.entry("one", ""), fake.entry("one", LIMIT));
    let mut gateway = TestGateway::with_config(&with);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t", "read_more"]);
    fake.on_tool("t", Reply::text(&lines(200)));
    let more = split(gateway.call("t", json!({})).text()).1.unwrap();
    gateway.call("read_more", more.clone()).result();
    let assert_gone = |gateway: &mut TestGateway| {
        let answer = gateway.call("read_more", more.clone());
        assert_eq!(answer.result()["isError"], true);
        let text = answer.text();
        assert!(text.contains("Call the tool again"), "{text}");
    };
    // What comes after the change is whole: nobody could read on.
    let gate = Gate::new();
    fake.on_tool("t", Reply::text(&lines(200)).after(&gate));
    let late = gateway.start_call("t", json!({}));
    gate.wait_for(1);
    gateway.save_config(&without);
    gateway.next_notification(LIST_CHANGED);
    gate.open();
    assert_eq!(gateway.answer(late).text(), lines(200));
    assert_eq!(gateway.tool_names(), ["t"]);
    assert_gone(&mut gateway);
    gateway.save_config(&with);
    gateway.next_notification(LIST_CHANGED);
    assert_gone(&mut gateway);
    fake.on_tool("t", Reply::text(&lines(200)));
    let more = split(gateway.call("t", json!({})).text()).1.unwrap();
    let next = gateway.call("read_more", more);
    assert!(next.text().contains("line number"), "{}", next.text());
}

/// Without a limit the name is nobody's, so a server may have it.
#[test]
fn a_handle_that_is_gone_does_not_take_the_name_from_a_servers_tool() {
    let (one, two) = (
        FakeBackend::start().tool("t"),
        FakeBackend::start().tool("read_more"),
    );
    let mut gateway = TestGateway::with_config(&one.entry("one", LIMIT));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["t", "read_more"]);
    gateway.save_config(&(one.entry("one", "") + &two.entry("two", "")));
    while gateway.tool_names() != ["t", "read_more"] || two.requests_of("tools/list").is_empty() {
        gateway.next_notification(LIST_CHANGED);
    }
    assert_eq!(gateway.call("read_more", json!({})).text(), "read_more {}");
}

#[test]
fn limits_are_by_glob_and_the_first_match_counts() {
    let fake = FakeBackend::start().tool("raw_t").tool("t").tool("other");
    for tool in ["raw_t", "t", "other"] {
        fake.always_tool(tool, Reply::text(&lines(200)));
    }
    let rules = "tools.max_result_tokens = { \"raw_*\" = 0, \"*t\" = 600 }\n";
    let mut gateway = TestGateway::with_config(&fake.entry("one", rules));
    gateway.initialize();
    for whole in ["raw_t", "other"] {
        assert_eq!(gateway.call(whole, json!({})).text(), lines(200));
    }
    let answer = gateway.call("t", json!({}));
    let tokens = estimate_tokens(answer.text());
    assert!((500..=600).contains(&tokens), "{tokens}");
}

#[test]
fn a_handle_that_is_not_known_says_to_call_the_tool_again() {
    in_all_eras("", |gateway, server| {
        server.answer_with(&json!({ "content": [block(&lines(200))] }));
        let more = split(gateway.call("t", json!({})).text()).1.unwrap();
        for (arguments, words) in [
            (
                json!({ "handle": "12345678", "offset": 0 }),
                "Call the tool again",
            ),
            (
                json!({ "handle": more["handle"], "offset": 1_000_000 }),
                "nothing follows",
            ),
            (json!({ "offset": 1 }), "needs \"handle\""),
            (
                json!({ "handle": more["handle"], "offset": [] }),
                "\"offset\", a number",
            ),
        ] {
            let answer = gateway.call("read_more", arguments);
            assert_eq!(answer.result()["isError"], true);
            assert!(answer.text().contains(words), "{}", answer.text());
        }
        // Models write numbers as texts.
        let offset = more["offset"].to_string();
        let arguments = json!({ "handle": more["handle"], "offset": offset });
        assert!(
            gateway
                .call("read_more", arguments)
                .result()
                .get("isError")
                .is_none()
        );
    });
}

#[test]
fn results_of_call_tool_are_limited_alike() {
    in_all_eras("[gateway]\ntool_mode = \"search\"\n", |gateway, server| {
        let own = ["search_tools", "describe_tool", "call_tool", "read_more"];
        assert_eq!(gateway.tool_names(), own);
        server.answer_with(&json!({ "content": [block(&lines(200))], "isError": true }));
        let answer = gateway.call("call_tool", json!({ "name": "t", "arguments": { "a": 1 } }));
        assert_eq!(answer.result()["isError"], true);
        let all: String = read_all(gateway, &answer).concat().concat();
        assert_eq!(all.lines().count(), 200);
        let answer = gateway.call("call_tool", json!({ "name": "read_more", "arguments": {} }));
        assert!(
            answer.text().contains("call read_more itself"),
            "{}",
            answer.text()
        );
    });
}

/// It is cut on another thread.
#[test]
fn a_text_of_a_megabyte_is_kept_whole() {
    in_all_eras("", |gateway, server| {
        let text = lines(50_000);
        server.answer_with(&json!({ "content": [block(&text)] }));
        let mut more = split(gateway.call("t", json!({})).text()).1.unwrap();
        more["offset"] = json!(text.len() - 10);
        let answer = gateway.call("read_more", more);
        assert!(text.ends_with(answer.text()), "{}", answer.text());
    });
}

#[test]
fn what_can_not_be_kept_is_cut_and_says_so() {
    let fake = FakeBackend::start().tool("t");
    let gateway = "[gateway]\nmax_message_bytes = 100000\nmax_buffered_bytes = 100000\n";
    let mut gateway = TestGateway::with_config(&(gateway.to_owned() + &fake.entry("one", LIMIT)));
    gateway.initialize();
    fake.always_tool("t", Reply::text(&lines(1_500)));
    let answer = gateway.call("t", json!({}));
    assert!(
        answer
            .text()
            .contains("The rest does not fit into the budget"),
        "{}",
        answer.text()
    );
    assert!(estimate_tokens(answer.text()) <= 300);
}

/// Tasks of 2025-11-25; the task is asked for by `call_tool`.
#[test]
fn the_result_of_a_task_has_the_limit_of_its_tool() {
    let task = json!({ "taskId": "1", "status": "completed", "ttl": 1000,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" });
    let can = json!({ "tasks": { "requests": { "tools": { "call": {} } } } });
    let fake = FakeBackend::start().capabilities(can);
    let optional = json!({ "execution": { "taskSupport": "optional" } });
    let fake = fake
        .tool_with("t", optional.clone())
        .tool_with("raw", optional);
    for tool in ["t", "raw"] {
        fake.always_tool(tool, Reply::result(json!({ "task": task })));
    }
    fake.always("tasks/result", Reply::text(&lines(200)));
    let limits = "tools.max_result_tokens = { \"raw\" = 0, \"*\" = 300 }\n";
    let search = "[gateway]\ntool_mode = \"search\"\n".to_owned();
    let mut gateway = TestGateway::with_config(&(search + &fake.entry("one", limits)));
    gateway.initialize();
    for (tool, is_cut) in [("t", true), ("raw", false)] {
        let params = json!({ "name": "call_tool", "task": { "ttl": 1000 },
            "arguments": { "name": tool, "arguments": { "a": 1 } } });
        let answer = gateway.ask("tools/call", params);
        let sent = fake.next_request("tools/call");
        assert_eq!(sent.params()["name"], tool);
        assert_eq!(sent.params()["task"]["ttl"], 1000);
        let id = answer.result()["task"]["taskId"].clone();
        assert_eq!(id, "one:1");
        let answer = gateway.ask("tasks/result", json!({ "taskId": id }));
        match is_cut {
            true => assert_eq!(
                read_all(&mut gateway, &answer)
                    .concat()
                    .concat()
                    .lines()
                    .count(),
                200
            ),
            false => assert_eq!(answer.text(), lines(200)),
        }
    }
    // One that this gateway has not seen begin.
    let answer = gateway.ask("tasks/result", json!({ "taskId": "one:2" }));
    assert!(split(answer.text()).1.is_some());
}

/// Tasks of the extension of 2026-07-28.
#[test]
fn the_result_of_a_task_is_limited_where_it_is_told_with_its_state() {
    let extension = json!({ "extensions": { TASKS: {} } });
    let fake = FakeBackend::start()
        .modern()
        .tool("t")
        .capabilities(extension.clone());
    let task = json!({ "taskId": "1", "status": "working", "ttlMs": 1000, "resultType": "task",
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" });
    fake.always_tool("t", Reply::result(task.clone()));
    let mut done = task;
    done["status"] = json!("completed");
    done["result"] = json!({ "content": [block(&lines(200))] });
    done.as_object_mut().unwrap().remove("resultType");
    fake.always("tasks/get", Reply::json(&complete(done)));
    let mut gateway = TestGateway::with_config(&fake.entry("one", LIMIT));
    gateway.modern(extension);
    let id = gateway.call("t", json!({})).result()["taskId"].clone();
    let answer = gateway.ask("tasks/get", json!({ "taskId": id }));
    assert_eq!(answer.result()["status"], "completed");
    let text = answer.result()["result"]["content"][0]["text"]
        .as_str()
        .unwrap();
    let more = split(text).1.unwrap();
    assert!(
        gateway
            .call("read_more", more)
            .text()
            .contains("line number")
    );
}
