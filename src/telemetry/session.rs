//! How long sessions lasted: that with the client, and those with backends.
//!
//! Owns both metrics, in seconds, with their attributes.

use std::time::Duration;

use opentelemetry::KeyValue;
use reqwest::Url;

use super::{Telemetry, names};

impl Telemetry {
    /// The session with the client has ended: with this version of MCP, for this reason if it is a failure.
    pub(crate) fn session_with_client(
        &self,
        version: Option<&'static str>,
        lasted: Duration,
        failure: Option<&'static str>,
    ) {
        let mut attributes = vec![KeyValue::new(names::TRANSPORT, "pipe")];
        attributes.extend(version.map(|version| KeyValue::new(names::PROTOCOL_VERSION, version)));
        attributes.extend(failure.map(|failure| KeyValue::new(names::ERROR_TYPE, failure)));
        let instruments = &self.0.instruments;
        instruments
            .server_session
            .record(lasted.as_secs_f64(), &attributes);
    }

    /// A session with the backend at this address has ended, though nobody wanted it to if it `is_lost`.
    pub(crate) fn session_with_backend(
        &self,
        url: Option<&Url>,
        version: &'static str,
        lasted: Duration,
        is_lost: bool,
    ) {
        let mut attributes = vec![
            KeyValue::new(names::TRANSPORT, "tcp"),
            KeyValue::new(names::NETWORK_PROTOCOL, "http"),
            KeyValue::new(names::PROTOCOL_VERSION, version),
        ];
        attributes.extend(url.into_iter().flat_map(address));
        if is_lost {
            attributes.push(KeyValue::new(names::ERROR_TYPE, names::LOST));
        }
        let instruments = &self.0.instruments;
        instruments
            .client_session
            .record(lasted.as_secs_f64(), &attributes);
    }
}

/// Host and port of a backend.
pub(super) fn address(url: &Url) -> impl Iterator<Item = KeyValue> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().map(i64::from);
    let port = port.map(|port| KeyValue::new(names::SERVER_PORT, port));
    std::iter::once(KeyValue::new(names::SERVER_ADDRESS, host)).chain(port)
}
