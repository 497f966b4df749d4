//! The backend: correct MCP servers over Streamable HTTP, on one thread, with answers built beforehand, so that they cost as little as they can.
//!
//! Prints the URL of each, serves, and ends with its stdin. A line on stdin asks how many requests have come so far.

mod legacy;
mod modern;
mod reply;
mod texts;

use std::borrow::Cow;
use std::io::{BufRead, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{process, thread};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Result;
use texts::Texts;

/// Servers of a fleet.
pub(crate) const FLEET: usize = 50;
/// Tools of each.
pub(crate) const FLEET_TOOLS: usize = 200;
/// How long the last of them takes to list its tools; it is the slowest.
const FLEET_SLOWEST: Duration = Duration::from_millis(200);

/// What a mock process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    /// One server that begins with a handshake.
    Legacy,
    /// One server of the stateless era, which has no handshake.
    Modern,
    /// [`FLEET`] legacy servers with [`FLEET_TOOLS`] tools each.
    Fleet,
}

impl Servers {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Legacy | Self::Modern => 1,
            Self::Fleet => FLEET,
        }
    }

    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
            Self::Fleet => "fleet",
        }
    }
}

impl FromStr for Servers {
    type Err = String;

    fn from_str(role: &str) -> std::result::Result<Self, String> {
        let all = [Self::Legacy, Self::Modern, Self::Fleet];
        let known = all.into_iter().find(|servers| servers.role() == role);
        known.ok_or_else(|| format!("no servers of the mock: {role}"))
    }
}

/// Requests and notifications since the start.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn run(servers: Servers) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(servers))
}

async fn serve(servers: Servers) -> Result<()> {
    let mut serving = tokio::task::JoinSet::new();
    for number in 0..servers.count() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        tell(&format!("http://{}/mcp", listener.local_addr()?))?;
        let server = Arc::new(Server {
            modern: servers == Servers::Modern,
            texts: match servers {
                Servers::Fleet => Texts::of_fleet(number),
                Servers::Legacy | Servers::Modern => Texts::default(),
            },
            list_delay: (number + 1 == FLEET).then_some(FLEET_SLOWEST),
        });
        let app = Router::new()
            .route("/mcp", post(answer).delete(async || StatusCode::NO_CONTENT))
            .layer(DefaultBodyLimit::disable())
            .with_state(server);
        let listener = listener.tap_io(|connection| {
            // A connection that can't have it is as good as the others, only slower.
            let _ = connection.set_nodelay(true);
        });
        serving.spawn(async move { axum::serve(listener, app).await });
    }
    thread::spawn(tell_requests);
    while let Some(ended) = serving.join_next().await {
        ended??;
    }
    Ok(())
}

/// Answers each line with the number of requests so far, and ends the process when its parent goes away or closes its stdin.
fn tell_requests() {
    for line in std::io::stdin().lock().lines() {
        let told = tell(&REQUESTS.load(Ordering::Relaxed).to_string());
        if line.is_err() || told.is_err() {
            break;
        }
    }
    process::exit(0);
}

fn tell(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// One server of the process.
struct Server {
    modern: bool,
    texts: Texts,
    list_delay: Option<Duration>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
}

impl Message<'_> {
    fn name(&self) -> Option<&str> {
        self.params.as_ref()?.name.as_deref()
    }

    fn meta(&self) -> Option<&Meta<'_>> {
        self.params.as_ref()?.meta.as_ref()
    }
}

async fn answer(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    let Ok(message) = serde_json::from_slice::<Message<'_>>(&body) else {
        return reply::plain(StatusCode::BAD_REQUEST, "not a JSON-RPC message");
    };
    if let Some(delay) = server.list_delay
        && message.method.as_deref() == Some("tools/list")
    {
        tokio::time::sleep(delay).await;
    }
    if server.modern {
        modern::answer(&server, &headers, &message)
    } else {
        legacy::answer(&server, &headers, &message)
    }
}
