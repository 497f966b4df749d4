//! Addresses that neither accept nor refuse connections.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// A listener whose queue is full, so that further connections get no answer.
pub struct Blackhole {
    _runtime: Runtime,
    _held: Vec<TcpStream>,
}

impl Blackhole {
    /// Listens at this address, which must be free.
    ///
    /// # Errors
    /// If this machine doesn't have the address.
    pub fn at(address: SocketAddr) -> std::io::Result<Self> {
        let runtime = Runtime::new()?;
        let held = runtime.block_on(async {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(1)?;
            // The task owns the listener, without accepting, until the runtime ends.
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
