//! HTTP/2 by hand, as far as the fault tests need it, because no library misbehaves on request.
//!
//! Frames follow RFC 9113. Request headers are not decoded: a request with a body is a POST, one
//! without is a GET.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::fake::FakeBackend;
use super::reply::{Reply, Step};
use super::tls::{Identity, TlsProxy};
use super::wire::Request;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const PREFACE: usize = 24;

/// A fault in place of the reply to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Fault {
    /// RST_STREAM with REFUSED_STREAM: the call was not processed.
    RefusedStream,
    /// GOAWAY whose last stream id is before the call: it was not processed.
    GoAway,
    /// GOAWAY whose last stream id includes the call: it was processed and is not answered.
    GoAwayAfterTaking,
    /// The server reads and sends nothing more on this connection, pings included.
    Stall,
}

/// An HTTP/2 server over TLS in front of a fake backend.
pub struct Http2Server {
    front: TlsProxy,
    /// Of the next tool calls, unless they are chosen.
    faults: Arc<Mutex<VecDeque<Http2Fault>>>,
}

/// The fault of a tool call, if it has one.
type Choice = Arc<Mutex<dyn FnMut(&Request) -> Option<Http2Fault> + Send>>;

impl Http2Server {
    /// A server in front of this backend, which must have no sessions.
    pub fn before(fake: &Arc<FakeBackend>, identity: &Identity) -> Self {
        let faults = Arc::<Mutex<VecDeque<_>>>::default();
        let next = Arc::clone(&faults);
        let choice = move |_: &Request| next.lock().unwrap().pop_front();
        Self {
            front: Self::front(fake, identity, Arc::new(Mutex::new(choice))),
            faults,
        }
    }

    /// The same, where `choose` is asked for the fault of each tool call.
    pub fn choosing(
        fake: &Arc<FakeBackend>,
        identity: &Identity,
        choose: impl FnMut(&Request) -> Option<Http2Fault> + Send + 'static,
    ) -> Self {
        Self {
            front: Self::front(fake, identity, Arc::new(Mutex::new(choose))),
            faults: Arc::default(),
        }
    }

    fn front(fake: &Arc<FakeBackend>, identity: &Identity, choice: Choice) -> TlsProxy {
        let fake = Arc::clone(fake);
        let acceptor = identity.acceptor(None, Some(b"h2"));
        TlsProxy::handling(acceptor, move |stream| {
            let connection = Connection {
                stream,
                fake: Arc::clone(&fake),
                choice: Arc::clone(&choice),
                requests: Vec::new(),
            };
            async move {
                connection.serve().await;
            }
        })
    }

    pub fn url(&self) -> String {
        self.front.url("127.0.0.1")
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.front.handshakes()
    }

    /// Sets the faults of the next tool calls, in this order.
    pub fn on_call(&self, faults: &[Http2Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// How many of these faults have met no call yet.
    pub fn faults_left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }
}

struct Connection<S> {
    stream: S,
    fake: Arc<FakeBackend>,
    choice: Choice,
    /// Bodies so far, by stream.
    requests: Vec<(u32, Vec<u8>)>,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Serves until the connection ends, then returns `None`.
    async fn serve(mut self) -> Option<()> {
        self.stream.read_exact(&mut [0; PREFACE]).await.ok()?;
        self.send(SETTINGS, 0, 0, &[]).await?;
        loop {
            let frame = self.receive().await?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await?,
                PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload).await?,
                HEADERS => self.requests.push((frame.stream, Vec::new())),
                DATA => {
                    let mut open = self.requests.iter_mut();
                    let open = open.find(|(stream, _)| *stream == frame.stream)?;
                    open.1.extend(&frame.payload);
                }
                GOAWAY => return None,
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                self.request(frame.stream).await?;
            }
        }
    }

    async fn request(&mut self, stream: u32) -> Option<()> {
        let at = self.requests.iter().position(|(open, _)| *open == stream)?;
        let (_, body) = self.requests.remove(at);
        let request = Request {
            http_method: if body.is_empty() { "GET" } else { "POST" }.to_owned(),
            target: "/mcp".to_owned(),
            headers: Vec::new(),
            message: serde_json::from_slice(&body).unwrap_or_default(),
            body,
        };
        let fault = match request.kind() {
            "tools/call" => self.choice.lock().unwrap()(&request),
            _ => None,
        };
        let go_away = |last: u32| [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
        match fault {
            None => {}
            Some(Http2Fault::RefusedStream) => {
                let why = REFUSED_STREAM.to_be_bytes();
                return self.send(RST_STREAM, 0, stream, &why).await;
            }
            Some(Http2Fault::GoAway) => {
                let last = go_away(stream.saturating_sub(2));
                self.send(GOAWAY, 0, 0, &last).await?;
                return None;
            }
            Some(Http2Fault::GoAwayAfterTaking) => {
                self.fake.receive(&request);
                self.send(GOAWAY, 0, 0, &go_away(stream)).await?;
                return None;
            }
            Some(Http2Fault::Stall) => std::future::pending().await,
        }
        let reply = self.fake.receive(&request);
        self.reply(stream, &reply, &request).await
    }

    async fn reply(&mut self, stream: u32, reply: &Reply, request: &Request) -> Option<()> {
        let mut head = literal(":status", &reply.status.to_string());
        for (name, value) in &reply.headers {
            head.extend(literal(name, value));
        }
        self.send(HEADERS, END_HEADERS, stream, &head).await?;
        let mut body = Vec::new();
        for step in &reply.steps {
            match step {
                Step::Text(text) => body.extend(request.fill_in(text)),
                Step::Bytes(bytes) => body.extend(bytes),
                _ => {}
            }
        }
        self.send(DATA, END_STREAM, stream, &body).await
    }

    async fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(id) & 0x7fff_ffff,
            payload,
        })
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await.ok()?;
        self.stream.flush().await.ok()
    }
}

/// A literal header field without indexing and without Huffman coding (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}
