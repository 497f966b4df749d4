//! An HTTP load balancer in front of replicas of one server.
//!
//! Owns which replica a request goes to: the next one or, with cookies, the one of the cookie. One that
//! can't be connected to is passed over; a connection that breaks before the response is a 502, as with nginx.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::fake::RUNTIME;

const COOKIE: &str = "replica=";
const BAD_GATEWAY: &[u8] =
    b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A running balancer.
pub struct Balancer {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    replicas: Vec<u16>,
    is_sticky: bool,
    next: AtomicUsize,
}

impl Balancer {
    /// One that gives each request to the next replica, by its port of 127.0.0.1.
    pub fn round_robin(replicas: &[u16]) -> Self {
        Self::start(replicas, false)
    }

    /// One that gives a client a cookie with its first response, and its later requests to the same replica while that
    /// can be connected to.
    pub fn sticky(replicas: &[u16]) -> Self {
        Self::start(replicas, true)
    }

    fn start(replicas: &[u16], is_sticky: bool) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            replicas: replicas.to_vec(),
            is_sticky,
            next: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        RUNTIME.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                RUNTIME.spawn(async move {
                    // The client may go at any time.
                    let _ = serving.serve(client).await;
                });
            }
        });
        Self { port, shared }
    }

    /// The URL of the endpoint, with the path `/mcp`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    /// How many requests it has given to replicas.
    pub fn requests(&self) -> usize {
        self.shared.next.load(Relaxed)
    }
}

impl Shared {
    /// One request, after which the connection is closed, so that each request is balanced for itself.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let Some((head, rest)) = read_head(&mut client).await? else {
            return Ok(());
        };
        let cookie = head.to_lowercase().split(COOKIE).nth(1).and_then(|after| {
            after
                .split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        });
        let Some((mut server, replica)) = self.connect(cookie.filter(|_| self.is_sticky)).await
        else {
            return client.write_all(BAD_GATEWAY).await;
        };
        server
            .write_all(with_header(&head, "connection: close").as_bytes())
            .await?;
        server.write_all(&rest).await?;
        // The rest of the request's body, while there is no response.
        let mut body = vec![0; 64 << 10];
        let (mut from_server, mut to_server) = server.split();
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            tokio::select! {
                read = from_server.read_buf(&mut bytes) => {
                    if read.unwrap_or(0) == 0 {
                        return client.write_all(BAD_GATEWAY).await;
                    }
                }
                read = client.read(&mut body) => match read? {
                    0 => return Ok(()),
                    read => to_server.write_all(&body[..read]).await?,
                },
            }
        }
        let end = 4 + bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut head = with_header(&head, "connection: close");
        if self.is_sticky && cookie != Some(replica) {
            head = with_header(&head, &format!("set-cookie: {COOKIE}{replica}; Path=/"));
        }
        client.write_all(head.as_bytes()).await?;
        client.write_all(&bytes[end..]).await?;
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }

    /// A connection to the replica of the cookie or, where there is none or it is gone, to the next one that there is.
    async fn connect(&self, cookie: Option<usize>) -> Option<(TcpStream, usize)> {
        let count = self.replicas.len();
        let next = self.next.fetch_add(1, Relaxed);
        let first = cookie.unwrap_or(next) % count;
        for at in first..first + count {
            let replica = at % count;
            if let Ok(server) = TcpStream::connect(("127.0.0.1", self.replicas[replica])).await {
                return Some((server, replica));
            }
        }
        None
    }
}

/// The head of a message, with what has come after it; `None` if there is none.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// The head with one more header.
fn with_header(head: &str, header: &str) -> String {
    let (first, rest) = head.split_once("\r\n").unwrap();
    format!("{first}\r\n{header}\r\n{rest}")
}
