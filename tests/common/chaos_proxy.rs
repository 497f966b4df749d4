//! A TCP proxy that injects network faults.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::fake::RUNTIME;

/// The fault of every connection, from the moment it is set. Sizes are in bytes, counted since
/// then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// All bytes pass unchanged.
    None,
    /// The connection closes after this much of the response.
    Cut(usize),
    /// The connection is reset after this much of the response.
    Reset(usize),
    /// The response stops after this many bytes, and the connection stays open.
    Stall(usize),
    /// The response is forwarded byte by byte, with this pause between two bytes.
    Throttle(Duration),
    /// Every byte of the response is altered.
    Corrupt,
    /// The connection is reset after this much of the request, and nothing is forwarded.
    ResetUpload(usize),
    /// The request is read and not forwarded.
    DropUpload,
}

/// The proxy. Clones are the same.
#[derive(Clone)]
pub struct ChaosProxy {
    fault: Arc<watch::Sender<NetworkFault>>,
    port: u16,
    /// Stalled connections, which stay open.
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl ChaosProxy {
    /// A proxy in front of this port of 127.0.0.1.
    pub fn before(port: u16) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let chaos = Self {
            fault: Arc::new(watch::Sender::new(NetworkFault::None)),
            port: listener.local_addr().unwrap().port(),
            held: Arc::default(),
        };
        let serving = chaos.clone();
        RUNTIME.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                RUNTIME.spawn(serving.clone().serve(client, port));
            }
        });
        chaos
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the fault of all connections.
    pub fn set(&self, fault: NetworkFault) {
        self.fault.send_replace(fault);
    }

    async fn serve(self, mut client: TcpStream, port: u16) {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
            return;
        };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let end = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            tokio::select! {
                end = self.upload(from_client, to_server) => end,
                end = self.download(from_server, to_client) => end,
            }
        };
        match end {
            End::Close => {}
            End::Reset => client.set_zero_linger().unwrap(),
            End::Hold => self.held.lock().unwrap().push(client),
        }
    }

    async fn upload(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> End {
        let mut buffer = vec![0; 16 * 1024];
        let mut held_back = 0;
        loop {
            let read = from.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return End::Close;
            }
            let fault = *self.fault.borrow();
            match fault {
                NetworkFault::DropUpload => continue,
                NetworkFault::ResetUpload(after) => {
                    held_back += read;
                    if held_back < after {
                        continue;
                    }
                    return End::Reset;
                }
                _ => {}
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return End::Close;
            }
        }
    }

    async fn download(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> End {
        let mut buffer = vec![0; 16 * 1024];
        let mut changes = self.fault.subscribe();
        let mut passed = 0;
        loop {
            let read = from.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return End::Close;
            }
            if changes.has_changed().unwrap_or(false) {
                passed = 0;
            }
            let fault = *changes.borrow_and_update();
            let chunk = &mut buffer[..read];
            let sent = match fault {
                NetworkFault::Cut(after)
                | NetworkFault::Reset(after)
                | NetworkFault::Stall(after) => {
                    let room = after.saturating_sub(passed).min(chunk.len());
                    passed += room;
                    let sent = to.write_all(&chunk[..room]).await;
                    if room < chunk.len() {
                        return End::of(fault);
                    }
                    sent
                }
                NetworkFault::Throttle(pause) => throttle(&mut to, chunk, pause).await,
                NetworkFault::Corrupt => {
                    chunk.iter_mut().for_each(|byte| *byte ^= 0x5a);
                    to.write_all(chunk).await
                }
                _ => to.write_all(chunk).await,
            };
            if sent.is_err() {
                return End::Close;
            }
        }
    }
}

/// How a connection ends for the client.
enum End {
    Close,
    Reset,
    /// It stays open.
    Hold,
}

impl End {
    fn of(fault: NetworkFault) -> Self {
        match fault {
            NetworkFault::Reset(_) => Self::Reset,
            NetworkFault::Stall(_) => Self::Hold,
            _ => Self::Close,
        }
    }
}

async fn throttle(to: &mut WriteHalf<'_>, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in bytes {
        to.write_all(&[*byte]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}
