//! The HTTP+SSE transport (MCP 2024-11-05, basic/transports): GET opens a stream, and responses
//! come on it.

use std::collections::HashMap;

use super::live_stream::LiveStream;
use super::reply::{Reply, Step};
use super::server::Server;
use super::wire::Request;

/// The clients' streams, by the target that they post to.
#[derive(Default)]
pub(super) struct HttpSse {
    clients: HashMap<String, LiveStream>,
    /// The answer to a POST elsewhere; `None`: 405.
    pub refusal: Option<Reply>,
}

impl HttpSse {
    /// Handles a request if the server uses this transport. The JSON-RPC response goes out on the
    /// client's stream.
    pub fn intercept(server: &mut Server, request: &Request) -> Option<Reply> {
        let transport = server.http_sse.as_mut()?;
        if request.http_method == "GET" {
            return Some(transport.open());
        }
        let Some(live) = transport.clients.get(&request.target).cloned() else {
            let plain = || Reply::status(405).body("Method Not Allowed");
            return Some(transport.refusal.clone().unwrap_or_else(plain));
        };
        let reply = server.reply(request);
        // A refusal, or no response to the POST at all.
        if reply.status >= 300 || reply.is_raw() {
            return Some(reply);
        }
        tokio::spawn(relay(reply, request.clone(), live));
        Some(Reply::status(202).body("Accepted"))
    }

    fn open(&mut self) -> Reply {
        let target = format!("/messages?client={}", self.clients.len() + 1);
        let live = LiveStream::new();
        let endpoint = format!("event: endpoint\ndata: {target}\n\n");
        self.clients.insert(target, live.clone());
        Reply::sse().body(endpoint).live(&live)
    }
}

async fn relay(reply: Reply, request: Request, live: LiveStream) {
    let is_stream = reply.is_stream();
    for step in reply.steps {
        match step {
            Step::Text(text) => {
                let text = String::from_utf8(request.fill_in(&text)).unwrap();
                if is_stream {
                    live.text(&text);
                } else {
                    live.text(&format!("event: message\ndata: {text}\n\n"));
                }
            }
            Step::Hold(gate) => gate.pass().await,
            Step::Pause(pause) | Step::Delay(pause) => tokio::time::sleep(pause).await,
            _ => return,
        }
    }
}
