//! An MCP server with a thread for each connection, which costs the machine as little as can be: it
//! doesn't parse more than it must, and its floods are prepared bytes.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::Answer;

pub(super) struct Server {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
}

impl Server {
    /// A legacy server without sessions. It has the one tool that its entry names.
    pub(super) fn start(answer: Arc<Answer>, floods_gateway: Arc<AtomicBool>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let (answer, floods) = (Arc::clone(&answer), Arc::clone(&floods_gateway));
                thread::spawn(move || serve(&stream, &*answer, &floods));
            }
        });
        Self { address, ends }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its `[[backends]]` entry. The path tells it its tool.
    pub(super) fn entry(&self, name: &str, tool: &str) -> String {
        let port = self.address.port();
        format!("[[backends]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}/{tool}\"\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // So that it accepts once more, and sees that.
        let _ = TcpStream::connect(self.address);
    }
}

/// A request, and the connection on which it is answered.
pub struct Exchange<'a> {
    /// The message; null for GET and DELETE.
    pub message: Value,
    path: String,
    stream: &'a TcpStream,
    floods_gateway: &'a AtomicBool,
}

impl Exchange<'_> {
    /// The JSON-RPC method, or an empty text.
    pub fn method(&self) -> &str {
        self.message["method"].as_str().unwrap_or_default()
    }

    /// The id as JSON text.
    pub fn id(&self) -> String {
        self.message["id"].to_string()
    }

    /// The progress token as JSON text.
    pub fn token(&self) -> String {
        self.message["params"]["_meta"]["progressToken"].to_string()
    }

    /// Whether it may be flooded now: it is the sink, or the gateway while that is being flooded.
    pub fn goes_on(&self) -> bool {
        self.path == "/sink" || self.floods_gateway.load(Ordering::Relaxed)
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&mut &*self.stream).write_all(bytes)
    }

    /// The head of an answer of this type, whose body ends with the connection; `headers` are further
    /// lines, each with its end.
    pub fn head(&mut self, media: &str, headers: &str) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\n{headers}connection: close\r\n\r\n"
        );
        self.write(head.as_bytes())
    }

    /// Repeats these bytes for as long as it goes on. The connection must be closed then.
    pub fn repeat(&mut self, bytes: &[u8]) -> io::Result<bool> {
        while self.goes_on() {
            self.write(bytes)?;
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// A whole answer, after which the connection can be used again.
    pub fn answer(&mut self, status: &str, media: &str, body: &str) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.write(format!("{head}{body}").as_bytes())
    }

    /// The answer of a good server.
    fn usual(&mut self) -> io::Result<()> {
        let tool = self.path.trim_start_matches('/');
        let result = match self.method() {
            "initialize" => json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": { "listChanged": true } },
                "serverInfo": { "name": tool, "version": "1" },
            }),
            "tools/list" => json!({
                "tools": [{ "name": tool, "inputSchema": { "type": "object" } }]
            }),
            "tools/call" => json!({ "content": [{ "type": "text", "text": "done" }] }),
            "" => return self.answer("405 Method Not Allowed", "text/plain", ""),
            method if method.starts_with("notifications/") => {
                return self.answer("202 Accepted", "text/plain", "");
            }
            "server/discover" => {
                let error = json!({ "code": -32601, "message": "unknown" });
                let error = json!({ "jsonrpc": "2.0", "id": self.message["id"], "error": error });
                return self.answer("400 Bad Request", "application/json", &error.to_string());
            }
            _ => json!({}),
        };
        let response = json!({ "jsonrpc": "2.0", "id": self.message["id"], "result": result });
        self.answer("200 OK", "application/json", &response.to_string())
    }
}

fn serve(stream: &TcpStream, answer: &Answer, floods_gateway: &AtomicBool) {
    stream.set_nodelay(true).unwrap();
    let mut requests = BufReader::new(stream);
    while let Some((path, message)) = read_request(&mut requests) {
        let mut exchange = Exchange {
            message,
            path,
            stream,
            floods_gateway,
        };
        let answered = match answer(&mut exchange) {
            Ok(true) => Ok(()),
            Ok(false) => exchange.usual(),
            Err(ended) => Err(ended),
        };
        if answered.is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// The path and the message of the next request; `None` at the end of the connection.
fn read_request(requests: &mut impl BufRead) -> Option<(String, Value)> {
    let mut line = String::new();
    let (mut path, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if requests.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if path.is_empty() {
            let target = line.split(' ').nth(1)?;
            path = target.split('?').next()?.to_owned();
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).unwrap_or_default()))
}
