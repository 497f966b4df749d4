//! Metadata of resources and authorization servers: what is taken is ours, and safe to ask.

use reqwest::Url;
use sentinel_gateway::auth::oauth::UrlRules;
use sentinel_gateway::auth::oauth::metadata::{
    ResourceMetadata, ServerMetadata, server_candidates,
};

use super::assert_readable;

const ISSUER: &str = "https://as.example/tenant";

/// The document is read as both.
pub fn check(data: &[u8]) {
    let backend = Url::parse("https://mcp.example/a/mcp").expect("a URL");
    match ResourceMetadata::read(data, &backend) {
        Ok(metadata) => {
            let resource = Url::parse(&metadata.resource).expect("checked");
            assert_eq!(resource.origin(), backend.origin());
            assert!(resource.fragment().is_none());
            for issuer in &metadata.authorization_servers {
                let candidates = Url::parse(issuer).map(|issuer| server_candidates(&issuer));
                assert!(candidates.is_ok_and(|all| all.len() <= 3) || Url::parse(issuer).is_err());
            }
        }
        Err(why) => assert_readable(&why),
    }
    let rules = UrlRules {
        backend_on_loopback: false,
        allow_insecure: false,
    };
    match ServerMetadata::read(data, ISSUER, rules) {
        Ok(metadata) => {
            assert_eq!(metadata.issuer, ISSUER);
            let optional = [
                metadata.authorization_endpoint,
                metadata.registration_endpoint,
                metadata.revocation_endpoint,
                metadata.device_authorization_endpoint,
            ];
            for url in optional
                .into_iter()
                .flatten()
                .chain([metadata.token_endpoint])
            {
                assert_eq!(url.scheme(), "https");
                assert!(url.username().is_empty() && url.password().is_none());
            }
        }
        Err(error) => assert_readable(&error.to_string()),
    }
}
