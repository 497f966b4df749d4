//! The status over HTTP, for Prometheus and for probes: `/metrics`, `/health`, `/ready`.
//!
//! Owns when there is a listener: while `[telemetry] listen` names an address that is free. Each window of
//! a client starts a gateway of its own with the same config, so an address that is taken is no failure:
//! the first gateway has it, and another one takes it over when that ends.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::gather::Facts;
use super::metrics;
use crate::tasks;
use crate::text::for_output;

/// Time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for one connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Most connections that are served at once; further ones wait.
const MAX_CONNECTIONS: usize = 8;
/// An address that is taken is tried again after this time.
const TAKEN_PAUSE: Duration = Duration::from_secs(10);
/// The pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The task that listens, until this is dropped.
#[derive(Debug)]
pub(crate) struct HttpServer(JoinHandle<()>);

impl HttpServer {
    /// Listens where the config says so, also after it has changed.
    pub(crate) fn start(facts: Facts) -> Self {
        Self(tasks::spawn(run(facts)))
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(facts: Facts) {
    let mut config = facts.clone();
    loop {
        let address = config.listen_address();
        let changed = config.listens_elsewhere(address);
        let goes_on = match address {
            None => changed.await,
            Some(address) => tokio::select! {
                goes_on = changed => goes_on,
                () = serve(address, &facts) => true,
            },
        };
        if !goes_on {
            return;
        }
    }
}

/// Serves this address. Never returns.
async fn serve(address: SocketAddr, facts: &Facts) {
    let mut is_first = true;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if is_first => tracing::warn!(
                %address,
                %error,
                "there are no metrics of this gateway: [telemetry] listen can't be used, as when another gateway has it; it is tried again"
            ),
            Err(_) => {}
        }
        is_first = false;
        sleep(TAKEN_PAUSE).await;
    };
    tracing::info!(%address, "metrics are at /metrics");
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // They end with the listener: who may read a new address may not have been meant by the old one.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let facts = facts.clone();
                connections.spawn(async move {
                    let _permit = permit;
                    let _ = timeout(CONNECTION_TIMEOUT, connection(stream, address, facts)).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a reader of the metrics can't be served");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, address: SocketAddr, facts: Facts) {
    let service = service_fn(|request| {
        let facts = facts.clone();
        async move { Ok::<_, Infallible>(answer(&request, address.ip(), &facts).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    // A connection that breaks off is over.
    let _ = serving.await;
}

async fn answer(request: &Request<Incoming>, ip: IpAddr, facts: &Facts) -> Response<Full<Bytes>> {
    let plain = "text/plain; charset=utf-8";
    let say = |status, text: &'static str| response(status, plain, text.into());
    if ip.to_canonical().is_loopback() && !is_of_this_machine(request) {
        // A page in a browser can have a name that leads here.
        return say(
            StatusCode::FORBIDDEN,
            "ask for 127.0.0.1, [::1] or localhost\n",
        );
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return say(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/metrics" => {
            let text = metrics::text(facts.numbers().await);
            let text = for_output(&text).into_owned();
            response(StatusCode::OK, metrics::CONTENT_TYPE, text)
        }
        "/health" => say(StatusCode::OK, "ok\n"),
        "/ready" if facts.are_lists_settled() => say(StatusCode::OK, "ready\n"),
        "/ready" => say(
            StatusCode::SERVICE_UNAVAILABLE,
            "not every backend has listed its tools or failed yet\n",
        ),
        _ => say(
            StatusCode::NOT_FOUND,
            "there are /metrics, /health and /ready\n",
        ),
    }
}

fn is_of_this_machine(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| {
        host.to_str()
            .ok()?
            .parse::<hyper::http::uri::Authority>()
            .ok()
    });
    let Some(host) = host else {
        return false;
    };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
