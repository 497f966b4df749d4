//! The machine of a reader, for commands in pages: a home, a config, servers on the ports that the
//! page names, and a terminal.
//!
//! The ports are others really, and the home is a temporary folder: what a page says is translated
//! before it is used, and what the program writes is translated back.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::screen::screen;
use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::process::{self, Process};
use crate::common::pseudo_terminal::{OnTerminal, PseudoTerminal};
use crate::common::reply::Reply;

const HOME: &str = "/home/ada";
const EXECUTABLE: &str = "/home/ada/.cargo/bin/sentinel-gateway";
const CONFIG: &str = ".config/sentinel/sentinel.toml";
/// Two servers of the pages, by the ports that they have there, and a third that is down.
pub(super) const SQLITE: u16 = 3002;
pub(super) const N8N: u16 = 5678;
pub(super) const NOBODY: u16 = 3003;

pub(super) struct World {
    home: TempDir,
    servers: Vec<(u16, FakeBackend)>,
    /// What else is called otherwise: as it is, and as pages call it.
    names: Vec<(String, String)>,
}

/// A server with the tools of the quickstart.
pub(super) fn sqlite() -> FakeBackend {
    let server = FakeBackend::start().without_sessions();
    server.rename("sqlite");
    let query = json!({ "inputSchema": {
        "type": "object", "properties": { "query": { "type": "string" } }, "required": ["query"],
    } });
    let mut server = server;
    for name in [
        "create_table",
        "drop_table",
        "list_tables",
        "read_query",
        "write_query",
    ] {
        server = server.tool_with(name, query.clone());
    }
    server.always_tool("read_query", Reply::text("[{\"two\": 2}]"));
    server
}

/// A server of workflows.
pub(super) fn n8n() -> FakeBackend {
    let server = FakeBackend::start().without_sessions();
    server.rename("n8n");
    let server = server.tool("Calculator").tool("send_invoice");
    server.tool("find_customer")
}

impl World {
    /// With these servers, each by the port that it has in pages, and this config.
    pub(super) fn new(servers: Vec<(u16, FakeBackend)>, toml: &str) -> Self {
        let home = TempDir::new().unwrap();
        let names = vec![
            (
                executable().to_str().unwrap().to_owned(),
                EXECUTABLE.to_owned(),
            ),
            (home.path().to_str().unwrap().to_owned(), HOME.to_owned()),
        ];
        let world = Self {
            home,
            servers,
            names,
        };
        // The name by which a person starts it; its path is the other.
        let bin = world.path(".cargo/bin/sentinel-gateway");
        std::fs::create_dir_all(bin.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(executable(), bin).unwrap();
        world.write(CONFIG, toml);
        world
    }

    /// With both servers and clients, and the config of the README.
    pub(super) fn usual() -> Self {
        let servers = vec![(SQLITE, sqlite()), (N8N, n8n())];
        let world = Self::new(
            servers,
            "[[backends]]\nname = \"n8n\"\nurl = \"http://127.0.0.1:5678/mcp/test\"\n\
             bearer = { env = \"N8N_TOKEN\" }\n\n\
             [[backends]]\nname = \"sqlite\"\nurl = \"http://127.0.0.1:3002/mcp\"\n",
        );
        world.write(
            ".config/Claude/claude_desktop_config.json",
            "{ \"mcpServers\": { \"database\": { \"command\": \"npx\", \
             \"args\": [\"mcp-remote\", \"http://127.0.0.1:3002/mcp?own\"] } } }\n",
        );
        world.write(".cursor/mcp.json", "{}\n");
        world
    }

    /// What is called otherwise in pages: as it is, and as pages call it.
    pub(super) fn also(mut self, real: &str, page: &str) -> Self {
        self.names.push((real.to_owned(), page.to_owned()));
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(super) fn server(&self, port: u16) -> &FakeBackend {
        let server = self.servers.iter().find(|(known, _)| *known == port);
        &server.expect("a server of this port").1
    }

    /// Writes a file of the home, given as a page would show it.
    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, self.really(text)).unwrap();
    }

    /// A text of a page, with the ports and paths that there are.
    fn really(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (port, server) in &self.servers {
            text = text.replace(&format!(":{port}/"), &format!(":{}/", server.port()));
        }
        for (real, page) in &self.names {
            text = text.replace(page, real);
        }
        text
    }

    /// A text of the program, with ports and paths as pages have them.
    pub(super) fn as_in_pages(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (real, page) in &self.names {
            text = text.replace(real, page);
        }
        for (port, server) in &self.servers {
            text = text.replace(&format!(":{}/", server.port()), &format!(":{port}/"));
        }
        text
    }

    fn environment(&self, command: &mut Command) {
        let bin = self.path(".cargo/bin");
        let path = std::env::var("PATH").unwrap();
        command
            .env_clear()
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", self.home.path())
            .env("LANG", "C.UTF-8")
            .env("N8N_TOKEN", "a-token-of-n8n")
            // A browser that shows nothing.
            .env("BROWSER", "true")
            .current_dir(self.home.path());
    }

    /// A command line of a page, as a shell on a terminal of 120 columns runs it.
    pub(super) fn start(&self, line: &str) -> PseudoTerminal {
        self.start_at(120, line)
    }

    pub(super) fn start_at(&self, columns: u16, line: &str) -> PseudoTerminal {
        let mut command = Command::new("sh");
        self.environment(&mut command);
        command.args(["-c", &self.really(line)]);
        PseudoTerminal::start(&mut command, columns, OnTerminal::All)
    }

    /// Its end: the exit status, and what is on the screen then, as pages show it.
    pub(super) fn end(&self, terminal: PseudoTerminal) -> (i32, String) {
        let (code, written) = terminal.end_with_controls();
        (code, self.as_in_pages(&screen(&written)))
    }

    /// What a command writes to a pipe, as pages show it.
    pub(super) fn piped(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(executable());
        self.environment(&mut command);
        let output = command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        self.as_in_pages(&(out + &err))
    }

    /// A gateway as a client starts it, which isn't initialized yet.
    pub(super) fn gateway(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(executable());
        self.environment(&mut command);
        command.args(arguments);
        Process::start(command, TempDir::new().unwrap(), PATIENCE)
    }
}

/// The path by which the program knows itself.
fn executable() -> PathBuf {
    process::executable().canonicalize().unwrap()
}

/// Does the handshake of a client of this name, version and revision of MCP.
pub(super) fn initialize(gateway: &mut Process, name: &str, version: &str, revision: &str) {
    let client = &mut gateway.client;
    client.ask(
        "initialize",
        json!({
            "protocolVersion": revision, "capabilities": {},
            "clientInfo": { "name": name, "version": version },
        }),
    );
    client.notify("notifications/initialized", json!({}));
}

/// A gateway with eleven calls that were answered and one that failed; of the four that are made
/// then, three wait, since `max_in_flight` is 1.
pub(super) struct Busy {
    pub(super) gateway: Process,
    gate: Gate,
    calls: Vec<u64>,
}

impl Busy {
    pub(super) fn start(world: &World) -> Self {
        let mut gateway = world.gateway(&[]);
        initialize(&mut gateway, "claude-code", "2.1.0", "2025-11-25");
        let client = &mut gateway.client;
        client.wait_for_tool("read_query");
        for _ in 0..11 {
            client.call("read_query", json!({ "query": "" })).result();
        }
        let server = world.server(SQLITE);
        server.on_tool("write_query", Reply::status(500).runs(true));
        client.call("write_query", json!({})).error();
        let gate = Gate::new();
        let mut start = || {
            server.on_tool("list_tables", Reply::text("").after(&gate));
            client.start_call("list_tables", json!({}))
        };
        let calls = (0..4).map(|_| start()).collect();
        gate.wait_for(1);
        Self {
            gateway,
            gate,
            calls,
        }
    }

    /// Its calls are answered, and it ends.
    pub(super) fn end(mut self) {
        self.gate.open();
        for call in self.calls {
            self.gateway.client.answer(call).result();
        }
        self.gateway.end();
    }
}
