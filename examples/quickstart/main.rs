//! From nothing to a working gateway, in one command:
//!
//! ```sh
//! cargo run --locked --example quickstart
//! ```
//!
//! One gateway with two backends: a real SQLite MCP server, which this example starts, and one that is
//! down. A client launches the gateway, lists the tools, creates a table, writes and reads rows, and
//! makes two mistakes on purpose. Every answer is checked. Only loopback is used, and all files are
//! removed.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![expect(clippy::print_stdout, reason = "this example prints a transcript")]

mod client;
mod sqlite_server;

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use client::Client;

/// With this first argument the example is the gateway: it calls the function that `main` of the
/// `sentinel-gateway` binary calls. So the quickstart needs no other binary.
const GATEWAY: &str = "sentinel-gateway";

/// The next steps: the same gateway, launched by a real client.
const NEXT_STEPS: &str = "\
To do the same from your own client:

  cargo install --locked --path .             puts sentinel-gateway into ~/.cargo/bin
  sentinel-gateway init                       asks for your servers, and writes a sentinel.toml
  sentinel-gateway install claude-desktop     shows what it writes into the client's file, and asks

`sentinel-gateway install` alone names the clients that are on this machine. With --import it takes
over the servers that a client has.";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.peek().is_some_and(|first| first == GATEWAY) {
        return sentinel_gateway::cli::run(args);
    }
    match run_in_temporary_folder() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe quickstart failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the quickstart in a temporary folder beside the executable, so under target/. The runtime is
/// dropped before the folder, which closes the database.
fn run_in_temporary_folder() -> Result<(), Box<dyn Error>> {
    let executable = std::env::current_exe()?;
    let folder = tempfile::tempdir_in(executable.parent().ok_or("no folder for the executable")?)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(quickstart(folder.path()))
}

async fn quickstart(folder: &Path) -> Result<(), Box<dyn Error>> {
    let sqlite = sqlite_server::start(&folder.join("quickstart.db")).await?;
    let (_port_holder, reports) = address_that_refuses()?;
    let toml = sentinel_toml(sqlite, reports);
    let config = folder.join("sentinel.toml");
    std::fs::write(&config, &toml)?;

    println!("SENTINEL GATEWAY, QUICKSTART");
    step("sentinel.toml names two backends. One is a real SQLite server, the other is down.");
    print!("{}", indented(&toml));

    let mut client = Client::start(&config)?;
    initialize(&mut client).await?;
    list_tools(&mut client).await?;
    use_a_table(&mut client).await?;
    make_mistakes(&mut client).await?;

    step("The client closes stdin, and the gateway exits.");
    let status = client.close().await?;
    assert!(status.success(), "{status}");
    println!("  {status}");

    println!("\n{NEXT_STEPS}");
    Ok(())
}

async fn initialize(client: &mut Client) -> Result<(), Box<dyn Error>> {
    step("The client launches the gateway and initializes. The answer waits for no backend.");
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "quickstart", "version": "1.0.0"},
    });
    println!("  → initialize");
    let answer = client.request("initialize", params).await?;
    let version = text(&answer["result"]["protocolVersion"]);
    assert_eq!(version, "2025-11-25", "{answer:#}");
    let server = &answer["result"]["serverInfo"];
    let (name, release) = (text(&server["name"]), text(&server["version"]));
    println!("  ← {name} {release}, protocol {version}");
    client.notify("notifications/initialized").await
}

async fn list_tools(client: &mut Client) -> Result<(), Box<dyn Error>> {
    step("It lists the tools. The backend that is down has none, and delays nothing.");
    println!("  → tools/list");
    let answer = client.request("tools/list", json!({})).await?;
    let tools = answer["result"]["tools"].as_array().ok_or("no tools")?;
    let mut names = Vec::new();
    for tool in tools {
        let (name, description) = (text(&tool["name"]), text(&tool["description"]));
        let reads = tool["annotations"]["readOnlyHint"] == true;
        let kind = if reads { "reads" } else { "writes" };
        println!("  ← {name:14}{kind:8}{description}");
        names.push(name);
    }
    names.sort_unstable();
    let expected = ["create_table", "list_tables", "read_query", "write_query"];
    assert_eq!(names, expected, "{answer:#}");
    Ok(())
}

async fn use_a_table(client: &mut Client) -> Result<(), Box<dyn Error>> {
    step("It creates a table, writes rows, and reads them back.");
    let create = "CREATE TABLE planets (name TEXT, moons INTEGER)";
    let created = call(client, "create_table", create).await?;
    assert_eq!(content(&created), "table created", "{created:#}");

    let insert = "INSERT INTO planets VALUES ('Earth', 1), ('Mars', 2), ('Venus', 0)";
    let written = call(client, "write_query", insert).await?;
    let expected = json!({"rows_changed": 3});
    assert_eq!(structured(&written), &expected, "{written:#}");

    let select = "SELECT name, moons FROM planets WHERE moons > 0";
    let read = call(client, "read_query", select).await?;
    let expected = json!({"rows": [{"name": "Earth", "moons": 1}, {"name": "Mars", "moons": 2}]});
    assert_eq!(structured(&read), &expected, "{read:#}");
    Ok(())
}

async fn make_mistakes(client: &mut Client) -> Result<(), Box<dyn Error>> {
    step("A mistake in the SQL is reported by the server; its message passes unchanged.");
    let wrong = call(client, "read_query", "SELECT * FROM comets").await?;
    assert_eq!(wrong["result"]["isError"], true, "{wrong:#}");
    assert!(content(&wrong).contains("no such table"), "{wrong:#}");

    step("An unknown tool is reported by the gateway: one backend is down, and why.");
    let unknown = call(client, "send_report", "SELECT 1").await?;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown:#}");
    assert!(
        text(&unknown["error"]["message"]).contains("reports"),
        "{unknown:#}"
    );

    step("Neither mistake has changed anything.");
    let tables = call(client, "list_tables", "").await?;
    let expected = json!({"rows": [{"name": "planets"}]});
    assert_eq!(structured(&tables), &expected, "{tables:#}");
    Ok(())
}

/// Calls a tool that takes SQL (or nothing), prints the call and its result, and returns the response.
async fn call(client: &mut Client, tool: &str, query: &str) -> Result<Value, Box<dyn Error>> {
    println!("{}", format!("  → {tool:14}{query}").trim_end());
    let arguments = match query {
        "" => json!({}),
        query => json!({"query": query}),
    };
    let params = json!({"name": tool, "arguments": arguments});
    let answer = client.request("tools/call", params).await?;
    let (error, result) = (&answer["error"], &answer["result"]);
    if error.is_object() {
        println!("  ← error {}: {}", error["code"], text(&error["message"]));
    } else if result["isError"] == true {
        println!("  ← the tool failed: {}", content(&answer));
    } else {
        println!("  ← {}", content(&answer));
    }
    Ok(answer)
}

/// The configuration of this quickstart. All other keys have defaults.
fn sentinel_toml(sqlite: SocketAddr, reports: SocketAddr) -> String {
    format!(
        "[[backends]]\n\
         name = \"sqlite\"\n\
         url = \"http://{sqlite}/mcp\"\n\
         \n\
         [[backends]]\n\
         name = \"reports\"\n\
         url = \"http://{reports}/mcp\"\n"
    )
}

/// An address that refuses connections: its port is bound, but not listened on.
fn address_that_refuses() -> Result<(TcpSocket, SocketAddr), Box<dyn Error>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

fn step(what: &str) {
    println!("\n{what}\n");
}

fn structured(answer: &Value) -> &Value {
    &answer["result"]["structuredContent"]
}

fn content(answer: &Value) -> &str {
    text(&answer["result"]["content"][0]["text"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn indented(text: &str) -> String {
    let indent = |line: &str| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    };
    text.lines().map(indent).collect()
}
