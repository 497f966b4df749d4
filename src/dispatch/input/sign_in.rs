//! A sign-in that a client is offered for a call (`oauth.ask_client`).
//!
//! Owns how a client is shown where to sign in: a legacy client by a request that belongs to the call
//! (MCP 2025-11-25, client/elicitation), a modern one by an `input_required` result (MCP 2026-07-28,
//! basic/patterns/mrtr). Calls that come meanwhile wait for the same sign-in, and nobody is asked twice.
//! It must not know how a person signs in, nor whether the call may go out again.

mod held_calls;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep_until, timeout};

use super::input_requests::{InputRequest, input_required};
use super::request_state::{RequestFingerprint, RequestState};
use crate::auth::login::Stage;
use crate::backend::{Answer, HttpBackend};
use crate::client::capabilities;
use crate::dispatch::exchange::Exchange;
use crate::protocol::era::modern::{self, ResultType};
use crate::protocol::error::URL_ELICITATION_REQUIRED;
use crate::protocol::{ClientProfile, Era, Outcome, RawJson, RpcError, Tally};
use held_calls::{HeldCall, HeldCalls};
use under_way::{LastSignIns, NoSignIn, Start, UnderWay};

const METHOD: &str = "elicitation/create";
/// Its key in `inputRequests`.
const KEY: &str = "sign-in";

/// The sign-ins that clients are offered.
#[derive(Default)]
pub(in crate::dispatch) struct SignIns {
    last: LastSignIns,
    held: HeldCalls,
}

impl SignIns {
    /// Ends all that are under way.
    pub(super) fn close(&self) {
        self.last.close();
    }
}

/// A call that needs a sign-in.
pub(in crate::dispatch) struct Unsigned<'a> {
    pub(in crate::dispatch) backend: &'a Arc<HttpBackend>,
    pub(in crate::dispatch) method: &'a str,
    /// The client's own.
    pub(in crate::dispatch) params: &'a RawJson,
    pub(in crate::dispatch) exchange: &'a Exchange,
    /// What the client gets without a sign-in.
    pub(in crate::dispatch) error: RpcError,
    pub(in crate::dispatch) tally: Tally,
    /// Whether the call may be made again: it has not run, or may run twice.
    pub(in crate::dispatch) may_repeat: bool,
    /// Longest wait for what no person delays, and for a person who has agreed.
    pub(in crate::dispatch) limit: Duration,
}

/// What has become of an offer.
pub(in crate::dispatch) enum Offered {
    /// There is a new sign-in.
    SignedIn,
    /// What the client gets.
    Answer(Box<Result<Answer, RpcError>>),
}

/// A retry after a sign-in.
pub(in crate::dispatch) struct Resumed {
    /// The params, with the answers to earlier rounds.
    pub(in crate::dispatch) params: RawJson,
    /// What was sent before.
    pub(in crate::dispatch) tally: Tally,
}

/// Whether the client of a call can be offered a sign-in to this backend.
pub(in crate::dispatch) fn may_offer(
    backend: &HttpBackend,
    method: &str,
    client: &ClientProfile,
) -> bool {
    let sign_in = backend.config.sign_in.as_ref();
    let knows_urls = client.era == Era::Modern || client.version >= "2025-11-25";
    let url = RawJson::trusted(r#"{"mode":"url"}"#);
    sign_in.is_some_and(|sign_in| sign_in.ask_client)
        && modern::may_require_input(method)
        && knows_urls
        && capabilities::missing(client, METHOD, Some(&url)).is_none()
}

/// Offers a sign-in to the client of this call, and waits for it as far as its era has that.
pub(in crate::dispatch) async fn offer(call: Unsigned<'_>, sign_ins: &SignIns) -> Offered {
    let under_way = match sign_ins.last.begin(call.backend, &call.exchange.events) {
        Start::Unneeded => return Offered::SignedIn,
        Start::Declined => return call.refused(NoSignIn::Declined),
        Start::Failed(why) => return call.refused(NoSignIn::Failed(why)),
        Start::UnderWay(under_way) => under_way,
    };
    let _attended = under_way.attend();
    let is_shown = |stage: &Stage| matches!(stage, Stage::Visit { .. });
    let shown = timeout(call.limit, under_way.offer.until(is_shown)).await;
    let (url, code) = match shown {
        Ok(Stage::Visit { url, code }) => (url, code),
        Ok(Stage::Ended(Ok(()))) => return Offered::SignedIn,
        Ok(Stage::Ended(Err(why))) => return call.refused(under_way.why(why)),
        Ok(Stage::Begun | Stage::Elsewhere) | Err(_) => {
            let why: Arc<str> = match under_way.offer.stage() {
                Stage::Elsewhere => "another program is signing in to it now",
                _ => "the authorization server doesn't answer in time",
            }
            .into();
            under_way.give_up(Arc::clone(&why));
            return call.refused(NoSignIn::Failed(why));
        }
    };
    let message = call.message(url.host_str().unwrap_or_default(), code.as_deref());
    let request = json!({ "mode": "url", "url": url.as_str(), "message": message });
    let outcome = match call.exchange.client.era {
        Era::Legacy => call.ask(&under_way, &request).await,
        Era::Modern => call.wait_or_ask(&under_way).await,
    };
    match outcome {
        Ok(()) => Offered::SignedIn,
        Err(NoSignIn::Pending | NoSignIn::Ask) => match call.exchange.client.era {
            // The error invites to make the call again.
            Era::Legacy if !call.may_repeat => call.refused(NoSignIn::Pending),
            Era::Legacy => call.url_required(&under_way, request),
            Era::Modern => call.hold(&under_way, &request, sign_ins),
        },
        Err(why) => call.refused(why),
    }
}

/// The retry of a call that was answered with a sign-in, once there is one; `None` where it is no such
/// retry.
///
/// # Errors
/// What the client gets, where there is no sign-in.
pub(in crate::dispatch) fn after_sign_in<'a>(
    method: &str,
    params: &'a RawJson,
    client: &ClientProfile,
    sign_ins: &SignIns,
) -> Option<impl Future<Output = Result<Resumed, RpcError>> + Send + use<'a>> {
    let held = &sign_ins.held;
    if client.era == Era::Legacy || held.is_empty() {
        return None;
    }
    let state = RequestState::of(params)?;
    let call = held.take(&state, &RequestFingerprint::of(method, params))?;
    let action = params.at(&["inputResponses", KEY, "action"]);
    let action = action.and_then(|action| action.text());
    Some(async move {
        let under_way = &call.under_way;
        let outcome = match action.as_deref() {
            Some("accept") => {
                under_way.accept();
                under_way.offer.ended().await
            }
            // It is no answer: the call goes out, and asks again if it has to.
            None => Ok(()),
            Some(_) => {
                under_way.decline();
                Err("".into())
            }
        };
        match outcome {
            Ok(()) => Ok(Resumed {
                params: call.resumed(params),
                tally: call.tally,
            }),
            Err(why) => Err(explained(call.error, under_way.why(why))),
        }
    })
}

impl Unsigned<'_> {
    fn message(&self, host: &str, code: Option<&str>) -> String {
        let code = code.map(|code| self.backend.config.scrubber.snippet(code.as_bytes()));
        let code = code.map(|code| format!(" and enter the code {code}"));
        let afterwards = match self.may_repeat {
            true => " The call goes on afterwards.",
            false => "",
        };
        format!(
            "{}: sign in at {host}{}.{afterwards}",
            self.backend.name(),
            code.unwrap_or_default()
        )
    }

    /// Asks a legacy client, unless another call has, and waits.
    async fn ask(&self, under_way: &UnderWay, request: &Value) -> Result<(), NoSignIn> {
        let asking = async {
            // Held while the person decides: others wait for what comes of it.
            let _turn = under_way.asking.lock().await;
            if under_way.is_accepted() {
                return;
            }
            let request = RawJson::of(&with_id(request, under_way));
            under_way.tell_of_end();
            let requester = self.exchange.requester();
            let answer = requester.ask(METHOD.to_owned(), Some(request)).await;
            let action = match &answer {
                Outcome::Result(result) => result.get("action").and_then(|action| action.text()),
                Outcome::Error(_) => None,
            };
            match action.as_deref() {
                Some("accept") => under_way.accept(),
                _ => under_way.decline(),
            }
        };
        tokio::select! {
            biased;
            _ = under_way.offer.ended() => {}
            () = asking => {}
        }
        self.wait(under_way).await
    }

    /// Waits for the sign-in, where another call of a modern client has asked for it; else this one asks.
    async fn wait_or_ask(&self, under_way: &UnderWay) -> Result<(), NoSignIn> {
        while let Some(until) = under_way.turn() {
            tokio::select! {
                biased;
                _ = under_way.offer.ended() => return self.wait(under_way).await,
                () = under_way.accepted() => return self.wait(under_way).await,
                () = sleep_until(until) => {}
            }
        }
        Err(NoSignIn::Ask)
    }

    /// Waits for a person who has agreed.
    async fn wait(&self, under_way: &UnderWay) -> Result<(), NoSignIn> {
        match timeout(self.limit, under_way.offer.ended()).await {
            Ok(ended) => ended.map_err(|why| under_way.why(why)),
            Err(_) => Err(NoSignIn::Pending),
        }
    }

    /// The client may make the call again when the person has signed in.
    fn url_required(self, under_way: &UnderWay, request: Value) -> Offered {
        under_way.tell_of_end();
        let request = with_id(&request, under_way);
        let data = json!({ "elicitations": [request] });
        let error = RpcError::new(URL_ELICITATION_REQUIRED, self.error.message).specified(data);
        self.tally
            .answer(Outcome::Error(RawJson::of(&error)), ResultType::Complete)
    }

    /// The client is to make the call again with the person's answer.
    fn hold(self, under_way: &Arc<UnderWay>, request: &Value, sign_ins: &SignIns) -> Offered {
        let fingerprint = RequestFingerprint::of(self.method, self.params);
        let held = HeldCall {
            params: self.params.clone(),
            error: self.error.clone(),
            tally: self.tally,
            under_way: Arc::clone(under_way),
            _attended: under_way.attend(),
        };
        let Some(state) = sign_ins.held.hold(fingerprint, held) else {
            let why = "too many calls wait for a sign-in";
            return self.refused(NoSignIn::Failed(why.into()));
        };
        let request = InputRequest {
            key: KEY.to_owned(),
            method: METHOD.to_owned(),
            params: Some(RawJson::of(request)),
        };
        let result = input_required([&request], Some(state.as_str()));
        self.tally
            .answer(Outcome::Result(result), ResultType::InputRequired)
    }

    fn refused(self, why: NoSignIn) -> Offered {
        Offered::Answer(Box::new(Err(explained(self.error, why))))
    }
}

impl Tally {
    fn answer(self, outcome: Outcome, result_type: ResultType) -> Offered {
        let era = match result_type {
            ResultType::InputRequired => Era::Modern,
            _ => Era::Legacy,
        };
        Offered::Answer(Box::new(Ok(Answer {
            outcome,
            era,
            result_type,
            tally: self,
            // The gateway asks, not the backend.
            backend: None,
        })))
    }
}

/// With the id that the legacy era requires.
fn with_id(request: &Value, under_way: &UnderWay) -> Value {
    let mut request = request.clone();
    request["elicitationId"] = under_way.offer.id.as_str().into();
    request
}

/// The error of the call, which ends with the command that signs in.
fn explained(error: RpcError, why: NoSignIn) -> RpcError {
    match why {
        NoSignIn::Failed(why) => RpcError {
            message: format!(
                "the sign-in through the client has failed ({why}). {}",
                error.message
            ),
            ..error
        },
        NoSignIn::Declined | NoSignIn::Pending | NoSignIn::Ask => error,
    }
}
