//! Addresses that take no connection and refuse none.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Takes connections until its queue is full, and leaves all after them without an answer.
pub struct Blackhole {
    _runtime: Runtime,
    _held: Vec<TcpStream>,
}

impl Blackhole {
    /// At an address where nothing listens.
    ///
    /// # Errors
    /// If there is no such address on this machine.
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
            // Nobody accepts; the task owns it for as long as the runtime lives.
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
