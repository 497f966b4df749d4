//! Addresses that neither accept nor refuse connections.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};

/// How long to retry while the address is in use, for example by a connection of another test.
const BIND_TIMEOUT: Duration = Duration::from_secs(5);

/// A listener whose queue is full, so that further connections get no answer.
pub struct Blackhole {
    _runtime: Runtime,
    _held: Vec<TcpStream>,
}

impl Blackhole {
    /// Listens at this address, which must be free.
    ///
    /// # Errors
    /// If this machine has no such address, or it stays in use.
    pub fn at(address: SocketAddr) -> std::io::Result<Self> {
        let runtime = Runtime::new()?;
        let held = runtime.block_on(async {
            let listener = listen_when_free(address).await?;
            // The task keeps the listener open, without accepting, as long as the runtime lives.
            tokio::spawn(async move {
                let _listener = listener;
                std::future::pending::<()>().await;
            });
            let mut held = Vec::new();
            let brief = Duration::from_millis(200);
            while let Ok(connected) = timeout(brief, TcpStream::connect(address)).await {
                held.push(connected?);
            }
            std::io::Result::Ok(held)
        })?;
        Ok(Self {
            _runtime: runtime,
            _held: held,
        })
    }
}

/// Listens as soon as the address is no longer in use.
async fn listen_when_free(address: SocketAddr) -> std::io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        match listen(address) {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && begun.elapsed() < BIND_TIMEOUT =>
            {
                sleep(Duration::from_millis(10)).await;
            }
            listening => return listening,
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1)
}
