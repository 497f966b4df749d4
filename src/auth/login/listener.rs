//! The loopback listener that a browser returns to (RFC 8252, section 7.3).
//!
//! Owns one port of this machine while a person signs in. It reads nothing but the target of
//! requests, and tells a page nothing that a request said.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

use crate::config::CallbackHost;

/// Most bytes of a request's head.
const MAX_HEAD: usize = 8 << 10;
/// Time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once. Browsers open some that they don't use.
const MAX_CONNECTIONS: usize = 32;

const PATH: &str = "/callback";

/// A port that waits.
#[derive(Debug)]
pub(super) struct Listener {
    v4: TcpListener,
    /// Listens on the same port of IPv6, where a name can mean both.
    v6: Option<TcpListener>,
    port: u16,
    /// The path of the redirect URI.
    path: String,
}

/// What a browser is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Page {
    /// The answer has been received.
    Received,
    /// The server said no, or the answer is of no use.
    Failed,
    /// It is the answer to another request.
    Unknown,
}

/// A browser that has come back.
#[derive(Debug)]
pub(super) struct Visit {
    /// The query of the address.
    pub(super) query: String,
    stream: TcpStream,
}

impl Listener {
    /// Binds a port; 0 is any.
    ///
    /// # Errors
    /// If it is taken.
    pub(super) async fn bind(port: u16) -> io::Result<Self> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = v4.local_addr()?.port();
        Ok(Self {
            v4,
            v6: None,
            port,
            path: PATH.to_owned(),
        })
    }

    /// Binds the port of this redirect URI.
    ///
    /// # Errors
    /// If it is taken, or the URI is none of this machine.
    pub(super) async fn at(redirect_uri: &str) -> io::Result<Self> {
        let not_here = || io::Error::new(io::ErrorKind::InvalidInput, "it is not of this machine");
        let url = Url::parse(redirect_uri).map_err(|_| not_here())?;
        let port = url.port().ok_or_else(not_here)?;
        let mut listener = Self::bind(port).await?;
        url.path().clone_into(&mut listener.path);
        match url.host_str() {
            Some("127.0.0.1") => {}
            Some("localhost") => listener.bind_ipv6().await?,
            _ => return Err(not_here()),
        }
        Ok(listener)
    }

    /// Binds the same port of IPv6, where this machine has IPv6.
    ///
    /// # Errors
    /// If it is taken: the program that has it would get the answer.
    pub(super) async fn bind_ipv6(&mut self) -> io::Result<()> {
        if self.v6.is_none() {
            self.v6 = match TcpListener::bind((Ipv6Addr::LOCALHOST, self.port)).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                bound => bound.ok(),
            };
        }
        Ok(())
    }

    /// Where the browser is to return, by this name of the machine.
    pub(super) fn redirect_uri(&self, host: CallbackHost) -> String {
        format!("http://{}:{}{}", host.name(), self.port, self.path)
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let accepted = match &self.v6 {
            Some(v6) => tokio::select! {
                accepted = self.v4.accept() => accepted,
                accepted = v6.accept() => accepted,
            },
            None => self.v4.accept().await,
        };
        accepted.map(|(stream, _)| stream)
    }

    /// Passes on each browser that comes back, for ever.
    pub(super) async fn run(&self, visits: mpsc::Sender<Visit>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.accept() => {
                    let Ok(stream) = accepted else {
                        // Out of descriptors, most likely.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    if connections.len() < MAX_CONNECTIONS {
                        let visits = visits.clone();
                        let reading = read(stream, self.path.clone(), visits);
                        let reading = tokio::time::timeout(REQUEST_TIMEOUT, reading);
                        connections.spawn(reading);
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

impl Visit {
    /// Answers the browser.
    pub(super) async fn answer(mut self, page: Page) {
        let (status, text) = match page {
            Page::Received => ("200 OK", "Signed in. You can close this window."),
            Page::Failed => (
                "400 Bad Request",
                "The sign-in has failed. The program that asked for it says why.",
            ),
            Page::Unknown => (
                "400 Bad Request",
                "This is not an answer to the sign-in that is under way.",
            ),
        };
        respond(&mut self.stream, status, text).await;
    }
}

async fn read(mut stream: TcpStream, own_path: String, visits: mpsc::Sender<Visit>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(read) if read > 0 && head.len() <= MAX_HEAD => {}
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if method != Some("GET") || path != own_path {
        return respond(&mut stream, "404 Not Found", "There is nothing here.").await;
    }
    let query = query.to_owned();
    let _ = visits.send(Visit { query, stream }).await;
}

async fn respond(stream: &mut TcpStream, status: &str, text: &str) {
    let body = format!(
        "<!doctype html><meta charset=utf-8><title>Sentinel Gateway</title><p>{text}</p>\n"
    );
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let sending = async {
        let _ = stream.write_all(response.as_bytes()).await;
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(REQUEST_TIMEOUT, sending).await;
}
