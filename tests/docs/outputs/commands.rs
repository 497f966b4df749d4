//! The blocks of commands with their output.

use serde_json::json;

use super::Case;
use crate::common::authorization_server::AuthorizationServer;
use crate::docs::markdown::Block;
use crate::docs::rules::is_whole;
use crate::docs::world::{Busy, N8N, NOBODY, SQLITE, World, n8n, sqlite};
use crate::sign_in::{mcp_remote, visit};

pub(super) const CASES: &[Case] = &[
    ("docs/commands.md", "$ sentinel-gateway check", |block| {
        let world = World::new(
            vec![(SQLITE, sqlite()), (N8N, n8n())],
            &entries("tools.deny = [\"drop_tabel\"]"),
        );
        world.server(N8N).go_down();
        run(block, &world, 1)
    }),
    ("docs/commands.md", "$ sentinel-gateway call", |block| {
        run(block, &World::usual(), 0)
    }),
    ("docs/sign-in.md", "$ sentinel-gateway login notes\n", login),
    (
        "docs/sign-in.md",
        "$ sentinel-gateway login notes --take-tokens",
        |block| {
            let (world, server) = with_sign_in("");
            mcp_remote::sign_in(&world.path(""), &server);
            run(block, &world, 0)
        },
    ),
    ("docs/operating.md", "$ sentinel-gateway status", status),
];

/// `n8n` and `sqlite`, the second with further keys.
pub(super) fn entries(more: &str) -> String {
    format!(
        "[[backends]]\nname = \"n8n\"\nurl = \"http://127.0.0.1:5678/mcp\"\n\n\
         [[backends]]\nname = \"sqlite\"\nurl = \"http://127.0.0.1:3002/mcp\"\n{more}\n"
    )
}

/// Its commands, each with the output that the block shows.
fn shown(block: &Block) -> Vec<(&str, String)> {
    let mut shown: Vec<(&str, String)> = Vec::new();
    for line in block.text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => shown.push((command, String::new())),
            None => {
                let (_, output) = shown.last_mut().expect("a command comes first");
                *output += line;
                output.push('\n');
            }
        }
    }
    shown
}

fn differs(output: &str, real: &str) -> Result<(), String> {
    match is_whole(output, real) {
        true => Ok(()),
        false => Err(format!("the page shows\n{output}\nbut it is\n{real}")),
    }
}

/// Runs the block's commands, each of which must end with this status.
fn run(block: &Block, world: &World, status: i32) -> Result<(), String> {
    for (command, output) in shown(block) {
        let (code, real) = world.end(world.start(command));
        differs(&output, &real)?;
        assert_eq!(code, status, "{command}\n{real}");
    }
    Ok(())
}

/// A world with a server that wants a sign-in, which has twelve tools.
pub(super) fn with_sign_in(toml: &str) -> (World, AuthorizationServer) {
    let server = AuthorizationServer::start();
    for number in 3..=12 {
        server.mcp.put_tool(&format!("tool_{number}"), json!({}));
    }
    let origin = server.mcp.url().replace("/mcp", "");
    let world = World::new(vec![(SQLITE, sqlite()), (NOBODY, n8n())], "")
        .also(&origin, "https://auth.example.com")
        .also("at 127.0.0.1:", "at auth.example.com:");
    world.server(NOBODY).go_down();
    world.write(
        ".config/sentinel/sentinel.toml",
        &format!("[[backends]]\nname = \"notes\"\nurl = \"https://auth.example.com/mcp\"\n{toml}"),
    );
    (world, server)
}

fn login(block: &Block) -> Result<(), String> {
    let (world, _server) = with_sign_in("");
    let [(command, output)] = &shown(block)[..] else {
        panic!("{} has one command", block.place);
    };
    let mut terminal = world.start(command);
    terminal.wait_for("paste the address");
    let url = terminal
        .seen()
        .split_whitespace()
        .find(|word| word.contains("/authorize?"));
    visit(url.expect("the address is printed"));
    let (code, real) = world.end(terminal);
    differs(output, &real)?;
    assert_eq!(code, 0, "{real}");
    Ok(())
}

/// A gateway with a server that is down, one that wants a sign-in, and one with a queue.
fn status(block: &Block) -> Result<(), String> {
    let (world, _server) = with_sign_in(
        "\n[[backends]]\nname = \"sqlite\"\nurl = \"http://127.0.0.1:3002/mcp\"\n\
         max_in_flight = 1\nretries = 0\n\n\
         [[backends]]\nname = \"n8n\"\nurl = \"http://127.0.0.1:3003/mcp\"\n",
    );
    let busy = Busy::start(&world);
    let pid = format!("gateway {}:", busy.gateway.pid());
    let world = world.also(&pid, "gateway 4711:");
    let outcome = run(block, &world, 1);
    busy.end();
    outcome
}
