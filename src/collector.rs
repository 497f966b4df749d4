//! Connects telemetry to the collector that the config names.
//!
//! Owns how its headers are read, which are secrets, and which HTTP client is used. It must not know what
//! is sent.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};

use crate::auth::secrets::reveal;
use crate::config::{TelemetryConfig, is_loopback};
use crate::telemetry::{Connect, Connection, Telemetry};
use crate::text::{Reach, Scrubber, keep_from_output};
use crate::transport::http::{ClientKey, Pool};

/// Time for connecting, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends traces and metrics, if the config says where.
pub(crate) fn telemetry(config: Option<&TelemetryConfig>) -> Option<Telemetry> {
    let telemetry = config?;
    let (pool, secrets) = (Pool::default(), Scrubber::default());
    keep_from_output([&secrets].into_iter());
    let connect: Connect = Arc::new(move |to| {
        let (url, headers) = (to.url.clone(), to.headers.clone());
        let (pool, secrets) = (pool.clone(), secrets.clone());
        Box::pin(async move {
            let mut revealed = HeaderMap::new();
            for (name, source) in headers {
                let secret = reveal(&source).await?;
                secrets.learn_header(secret.reveal(), Reach::Everywhere);
                let value = HeaderValue::from_str(secret.reveal());
                let value = value.map_err(|_| format!("{name}: no header can hold this value"))?;
                revealed.insert(name, value);
            }
            let key = ClientKey {
                connect_timeout: CONNECT_TIMEOUT,
                loopback: is_loopback(&url),
                https: url.scheme() == "https",
                ca_file: None,
                client_cert: None,
                public_host: None,
            };
            Ok(Connection {
                client: pool.clients(key).await?.kept,
                headers: revealed,
            })
        })
    });
    Some(Telemetry::start(telemetry, &connect))
}
