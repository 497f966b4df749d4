//! Forward proxies that record what they are asked for: an HTTP proxy, and one for SOCKS 5
//! (RFC 1928).

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::fake::RUNTIME;

/// A proxy that connects every request to one server, whatever its host.
pub struct Proxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// An HTTP proxy to this port of 127.0.0.1.
    pub fn to(port: u16) -> Self {
        Self::with(move |client, heads| relay(client, port, heads))
    }

    /// A SOCKS proxy to this port of 127.0.0.1. Its heads are the hosts and ports asked for.
    pub fn socks_to(port: u16) -> Self {
        Self::with(move |client, heads| async move {
            let _ = relay_socks(client, port, heads).await;
        })
    }

    fn with<F: Future<Output = ()> + Send + 'static>(
        relay: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + 'static,
    ) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let own = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&heads);
        RUNTIME.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                RUNTIME.spawn(relay(client, Arc::clone(&seen)));
            }
        });
        Self { port: own, heads }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same for a SOCKS proxy that resolves names itself.
    pub fn socks_url(&self) -> String {
        self.url_with("socks5h")
    }

    /// Its URL with this scheme.
    pub fn url_with(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The head of the first request of each connection.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn relay(mut client: TcpStream, port: u16, heads: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        if client.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let tunnel = head.starts_with("CONNECT ");
    heads.lock().unwrap().push(head);
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let begun = if tunnel {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await
    } else {
        server.write_all(&bytes).await
    };
    if begun.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// One connection through a SOCKS proxy without authentication.
async fn relay_socks(
    mut client: TcpStream,
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let _version = client.read_u8().await?;
    let mut methods = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut methods).await?;
    client.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    assert_eq!(request[..3], [5, 1, 0], "CONNECT");
    let host = match request[3] {
        1 => {
            let mut address = [0; 4];
            client.read_exact(&mut address).await?;
            Ipv4Addr::from(address).to_string()
        }
        kind => {
            assert_eq!(kind, 3, "a name");
            let mut name = vec![0; client.read_u8().await?.into()];
            client.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
    };
    let asked = client.read_u16().await?;
    heads.lock().unwrap().push(format!("{host}:{asked}"));
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
