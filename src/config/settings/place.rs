//! Where a server is, whichever way its URL is written.
//!
//! Owns when two URLs mean the same server: by host, port and path in one form. Neither the scheme, the query nor
//! the case of letters makes another server.

use std::net::IpAddr;

use reqwest::Url;

/// Host, port and path of a URL, in one form where several mean the same to some server. Neither the scheme,
/// the query nor the case of letters makes another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    host: String,
    port: Option<u16>,
    steps: Vec<String>,
}

impl Place {
    pub(crate) fn of(url: &Url) -> Self {
        let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy();
        let mut steps = Vec::new();
        for step in path.split(['/', '\\']) {
            match step {
                "" | "." => {}
                ".." => drop(steps.pop()),
                step => steps.push(step.to_lowercase()),
            }
        }
        Self {
            host: host_of(url),
            port: url.port().filter(|port| ![80, 443].contains(port)),
            steps,
        }
    }

    /// Whether both are of one host and port.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

/// The host, `localhost` for every address that leads to this machine.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address
        .parse()
        .map(|address: IpAddr| address.to_canonical());
    let is_here = match address {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    match address {
        _ if is_here => "localhost".to_owned(),
        Ok(address) => address.to_string(),
        Err(_) => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_way_to_write_a_url_is_no_other_server() {
        let place = |url: &str| Place::of(&Url::parse(url).unwrap());
        let own = place("https://mcp.example.com/mcp");
        for same in [
            "https://MCP.Example.com/mcp",
            "https://mcp.example.com./mcp",
            "https://mcp.example.com:443/mcp/",
            "http://mcp.example.com/mcp",
            "http://mcp.example.com:443/mcp",
            "https://mcp.example.com//mcp?a=b#c",
            "https://mcp.example.com/x/../%6dcp",
            "https://mcp.example.com/MCP",
            "https://mcp.example.com/x/..%2fmcp",
            "https://mcp.example.com/.%5cmcp",
        ] {
            assert_eq!(place(same), own, "{same}");
        }
        for other in [
            "https://mcp.example.org/mcp",
            "https://mcp.example.com:8443/mcp",
            "https://mcp.example.com/mcp/v2",
            "https://mcp.example.com/%2e%2e%2f..",
        ] {
            assert_ne!(place(other), own, "{other}");
        }
        let local = place("http://localhost:3000/mcp");
        for same in [
            "http://127.0.0.1:3000/mcp",
            "http://[::1]:3000/mcp",
            "http://0x7f.1:3000/mcp",
            "http://0:3000/mcp",
            "http://[::]:3000/mcp",
            "http://[::ffff:127.0.0.1]:3000/mcp",
            "http://a.localhost.:3000/mcp",
        ] {
            assert_eq!(place(same), local, "{same}");
        }
        let address = place("http://10.0.0.5:3000/mcp");
        assert_eq!(place("http://[::ffff:10.0.0.5]:3000/mcp"), address);
        assert!(local.is_beside(&place("http://127.0.0.1:3000/other")));
        assert!(!local.is_beside(&own) && !local.is_beside(&place("http://localhost/mcp")));
    }
}
