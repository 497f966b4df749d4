//! What a gateway sends with a token that the server refuses, for ten minutes on a clock that the test
//! moves.

use std::io::pipe;
use std::sync::{Arc, Mutex};

use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::{Io, Shutdown, run};
use tokio::time::advance;

use super::*;

/// Most requests with the refused token.
const MOST: usize = 3;

/// Runs a gateway of this machine for ten minutes, with a call every minute. Returns how many requests
/// had this token.
fn sent_in_ten_minutes(machine: &Machine, token: &str) -> usize {
    let folder = machine.folder.path();
    let environment = Environment::new(folder).with_state(folder);
    let overrides = Overrides {
        config: Some(folder.join("sentinel.toml")),
        ..Overrides::default()
    };
    let config = load(&overrides, &environment).unwrap();
    let ((reader, mut client), (output, writer)) = (pipe().unwrap(), pipe().unwrap());
    let io = Io {
        reader: Box::new(reader),
        writer: Box::new(writer),
    };
    let mut output = BufReader::new(output);
    let told = Arc::new(Mutex::new(String::new()));
    let telling = Arc::clone(&told);
    let reading = std::thread::spawn(move || {
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            *telling.lock().unwrap() += &std::mem::take(&mut line);
        }
    });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1.0" } });
    let mut send = move |message: Value| writeln!(client, "{message}").unwrap();
    send(json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }));
    send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    let page = machine.server.mcp.url().replace("/mcp", "/nothing");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let before = machine.server.mcp.requests().len();
    let (_shutdown, requests) = Shutdown::manual();
    runtime.block_on(async {
        let answered = Arc::clone(&told);
        let ten_minutes = async move {
            for second in 0..600 {
                let is_call = second % 60 == 0;
                if is_call {
                    let params = json!({ "name": "act", "arguments": {} });
                    send(
                        json!({ "jsonrpc": "2.0", "id": second + 1, "method": "tools/call",
                        "params": params }),
                    );
                }
                // The clock stands still meanwhile, and the gateway's requests are answered.
                let answer = format!("\"id\":{},", second + 1);
                let mut exchanges = 0;
                while exchanges < 3 || is_call && !answered.lock().unwrap().contains(&answer) {
                    let page = page.clone();
                    let exchange = tokio::task::spawn_blocking(move || get(&page));
                    exchange.await.unwrap();
                    exchanges += 1;
                    assert!(exchanges < 100_000, "no answer to the call at {second} s");
                }
                advance(Duration::from_secs(1)).await;
            }
            // The client's end goes with `send`.
        };
        tokio::join!(run(config, io, requests), ten_minutes)
    });
    reading.join().unwrap();
    let told = told.lock().unwrap().clone();
    assert_no_token(&told);
    let refusals = told.matches("\"class\":\"auth_required\"").count();
    assert_eq!(refusals, 10, "{told}");
    let sent = machine.server.mcp.requests().split_off(before);
    let bearer = format!("Bearer {token}");
    let sent = sent
        .iter()
        .filter(|one| one.header("authorization") == Some(&bearer));
    sent.count()
}

#[test]
fn a_token_that_is_refused_is_sent_three_times_at_most_in_ten_minutes() {
    for age in [0, 100] {
        let machine = Machine::new(AuthorizationServer::start());
        machine.sign_in();
        // A first contact, so that its tools are known.
        let mut gateway = machine.gateway();
        gateway.client.wait_for_tool("act");
        finish(gateway);
        machine.age_token(age);
        let token = machine.record()["token"]["access"]
            .as_str()
            .unwrap()
            .to_owned();
        machine.server.end_all();
        let sent = sent_in_ten_minutes(&machine, &token);
        assert!(
            (1..=MOST).contains(&sent),
            "{sent} requests, {age} s after the login"
        );
    }
}
