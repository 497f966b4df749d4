//! The backend: MCP servers over Streamable HTTP, on one thread, with responses built beforehand, so that they take as little time as possible.
//!
//! Prints the URL of each server, and ends when its stdin is closed. For each line on stdin it prints the number of requests so far.

mod authorization;
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

use crate::support::Result;
use texts::Texts;

/// Servers of a fleet.
pub(crate) const FLEET: usize = 50;
/// Tools of each server of a fleet.
pub(crate) const FLEET_TOOLS: usize = 200;
/// How long the last server of a fleet, the slowest, takes to list its tools.
const FLEET_SLOWEST: Duration = Duration::from_millis(200);

/// Resources of each of the first two servers of [`Servers::Files`].
pub(crate) const FILES: usize = 5_000;

/// The servers of a mock process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    /// One server with a handshake.
    Legacy,
    /// One stateless server.
    Modern,
    /// One legacy server that takes only clients who have signed in, with its authorization server.
    Signed,
    /// [`FLEET`] legacy servers with [`FLEET_TOOLS`] tools each.
    Fleet,
    /// Two legacy servers with the same [`FILES`] URIs each, and three with a few: two with the same ones, of which the second has the
    /// tools, too, and one with others. Results of the tools link to a resource.
    Files,
}

impl Servers {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Legacy | Self::Modern | Self::Signed => 1,
            Self::Fleet => FLEET,
            Self::Files => 5,
        }
    }

    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
            Self::Signed => "signed",
            Self::Fleet => "fleet",
            Self::Files => "files",
        }
    }
}

impl FromStr for Servers {
    type Err = String;

    fn from_str(role: &str) -> std::result::Result<Self, String> {
        let all = [
            Self::Legacy,
            Self::Modern,
            Self::Signed,
            Self::Fleet,
            Self::Files,
        ];
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
        let base = format!("http://{}", listener.local_addr()?);
        print_line(&format!("{base}/mcp"))?;
        let server = Arc::new(Server {
            modern: servers == Servers::Modern,
            texts: match servers {
                Servers::Fleet => Texts::of_fleet(number),
                Servers::Files => Texts::of_files(number),
                Servers::Legacy | Servers::Modern | Servers::Signed => Texts::default(),
            },
            list_delay: (number + 1 == FLEET).then_some(FLEET_SLOWEST),
            is_signed: servers == Servers::Signed,
        });
        let app = Router::new()
            .route("/mcp", post(answer).delete(async || StatusCode::NO_CONTENT))
            // As a collector.
            .route("/v1/{data}", post(async || StatusCode::OK))
            .merge(authorization::routes(&base))
            .layer(DefaultBodyLimit::disable())
            .with_state(server);
        let listener = listener.tap_io(|connection| {
            // Without it a connection works, only slower.
            let _ = connection.set_nodelay(true);
        });
        serving.spawn(async move { axum::serve(listener, app).await });
    }
    thread::spawn(print_request_counts);
    while let Some(ended) = serving.join_next().await {
        ended??;
    }
    Ok(())
}

/// Prints the number of requests so far for each line of input. Ends the process when its stdin is closed.
fn print_request_counts() {
    for line in std::io::stdin().lock().lines() {
        let printed = print_line(&REQUESTS.load(Ordering::Relaxed).to_string());
        if line.is_err() || printed.is_err() {
            break;
        }
    }
    process::exit(0);
}

fn print_line(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// One server of the process.
struct Server {
    modern: bool,
    texts: Texts,
    list_delay: Option<Duration>,
    is_signed: bool,
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
    if server.is_signed && !authorization::is_signed_in(&headers) {
        return authorization::challenge();
    }
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
