//! `logout`: a person signs out of backends.
//!
//! Owns what is printed of each: whether its tokens were revoked, or why not.

use serde_json::json;

use super::login::{chosen, print_json};
use crate::auth::login::{Revoked, logout as sign_out};
use crate::cli::args::Logout;
use crate::cli::exit::{FAILED, OK};
use crate::cli::terminal::{one_line, print_message};
use crate::config::Config;

/// Signs out of each, and says what became of its tokens.
pub(in crate::cli::commands) async fn logout(config: Config, args: &Logout) -> u8 {
    let backends = match args.all {
        // Those that nobody can sign in to are left out.
        true => (config.backends.iter())
            .filter(|backend| backend.sign_in.is_some() && backend.url.is_ok())
            .cloned()
            .collect(),
        false => match chosen(&config, &args.backends) {
            Ok(backends) => backends,
            Err(code) => return code,
        },
    };
    let mut code = OK;
    for backend in backends {
        let name = &*backend.name;
        let outcome = sign_out(&backend, args.forget).await;
        if outcome.is_err() {
            code = FAILED;
        }
        if args.json {
            let (revoked, error) = match &outcome {
                Ok(Revoked::Yes) => (true, None),
                Ok(Revoked::Nothing) => (false, None),
                Ok(Revoked::No(why)) | Err(why) => (false, Some(why)),
            };
            let signed_out = outcome.is_ok();
            print_json(&json!({
                "backend": name, "signed_out": signed_out, "revoked": revoked, "error": error,
            }));
            continue;
        }
        let text = match &outcome {
            Ok(Revoked::Yes) => format!("{name}: signed out; its tokens are revoked"),
            Ok(Revoked::Nothing) => format!("{name}: nobody was signed in"),
            Ok(Revoked::No(why)) => format!(
                "{name}: signed out here; its tokens may live on at the server until they end ({why})"
            ),
            Err(why) => format!("{name}: {why}"),
        };
        print_message(&one_line(&text));
    }
    code
}
