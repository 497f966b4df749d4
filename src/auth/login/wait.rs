//! Waits for a person: for the answer of a browser, or for a code that is entered elsewhere.
//!
//! Owns when such a wait ends, which what is no answer to this request never does, and the pause between
//! two requests of the device grant, which grows as the server asks, and up to 60 seconds after failures.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::listener::{Listener, Page};
use super::step::Step;
use crate::auth::exchange::ExchangeError;
use crate::auth::oauth::authorization::{AnswerError, Expected, read_answer};
use crate::auth::oauth::token::TokenAnswer;
use crate::config::Secret;

/// Why no code came.
pub(super) struct NoCode {
    pub(super) why: String,
    /// Whether a registration that was made earlier may be what is wrong.
    pub(super) blames_client: bool,
}

/// Refusals of what the client is, or may ask for (RFC 6749, section 4.1.2.1).
const OF_CLIENT: [&str; 2] = ["invalid_scope", "unauthorized_client"];

/// The code of the answer, which a browser brings or a person types. What is no answer to this
/// request is refused, and the wait goes on.
///
/// # Errors
/// The server's refusal, another server's answer, or that the time is over.
pub(super) async fn for_code(
    listener: &Listener,
    expected: &Expected,
    lines: &mut mpsc::UnboundedReceiver<String>,
    limit: Duration,
    step: &mut (dyn FnMut(Step<'_>) + Send + Sync),
) -> Result<Secret, NoCode> {
    let (visits, mut visited) = mpsc::channel(1);
    let ended = |error: AnswerError| NoCode {
        blames_client: match &error {
            AnswerError::Refused(said) => OF_CLIENT.iter().any(|code| said.starts_with(code)),
            _ => false,
        },
        why: error.to_string(),
    };
    let mut is_typing = true;
    let waiting = async {
        loop {
            tokio::select! {
                Some(visit) = visited.recv() => match read_answer(&visit.query, expected) {
                    Ok(code) => {
                        visit.answer(Page::Received).await;
                        return Ok(code);
                    }
                    Err(AnswerError::OtherState) => visit.answer(Page::Unknown).await,
                    Err(error) => {
                        visit.answer(Page::Failed).await;
                        return Err(ended(error));
                    }
                },
                line = lines.recv(), if is_typing => match line {
                    None => is_typing = false,
                    Some(line) if line.trim().is_empty() => {}
                    Some(line) => match read_answer(query_of(&line), expected) {
                        Ok(code) => return Ok(code),
                        Err(error @ AnswerError::OtherState) => {
                            step(Step::NotAnAnswer(error.to_string()));
                        }
                        Err(error) => return Err(ended(error)),
                    },
                },
                () = listener.run(visits.clone()) => {}
            }
        }
    };
    let answered = timeout_at(Instant::now() + limit, waiting).await;
    answered.unwrap_or_else(|_| {
        Err(NoCode {
            why: format!(
                "nobody has signed in within {} s; start again",
                limit.as_secs()
            ),
            blames_client: true,
        })
    })
}

/// The query of an address that a person has copied.
fn query_of(line: &str) -> &str {
    let line = line.trim();
    let query = line.split_once('?').map_or(line, |(_, query)| query);
    query.split_once('#').map_or(query, |(query, _)| query)
}

/// The wait for a code that is entered at another device (RFC 8628, section 3.5).
pub(super) struct Device {
    pub(super) interval: Duration,
    pub(super) limit: Duration,
}

impl Device {
    /// Asks in intervals until there is a token.
    ///
    /// # Errors
    /// The server's refusal; `None` where the time is over.
    pub(super) async fn run<F>(
        mut self,
        mut ask: impl FnMut() -> F,
    ) -> Result<(TokenAnswer, u64), Option<ExchangeError>>
    where
        F: Future<Output = (Result<TokenAnswer, ExchangeError>, u64)>,
    {
        let until = Instant::now() + self.limit;
        while Instant::now() + self.interval < until {
            sleep(self.interval).await;
            match ask().await {
                (Ok(answer), asked_at) => return Ok((answer, asked_at)),
                (Err(error), _) => match error.code() {
                    Some("authorization_pending") => {}
                    Some("slow_down") => self.interval += Duration::from_secs(5),
                    Some(_) => return Err(Some(error)),
                    // The connection timed out or broke: less often (RFC 8628, section 3.5).
                    None => self.interval = (self.interval * 2).min(Duration::from_secs(60)),
                },
            }
        }
        Err(None)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::auth::oauth::token::{TokenError, read_token};

    fn answer(status: u16, body: &str) -> Result<TokenAnswer, ExchangeError> {
        read_token(status, body.as_bytes()).map_err(|error| match error {
            TokenError::Refused(refusal) => ExchangeError::Refused(refusal),
            TokenError::Unusable(why) => ExchangeError::Failed(why),
        })
    }

    async fn ask(answers: &[(u16, &str)], limit: u64) -> (Result<(), Option<String>>, Vec<u64>) {
        let (begun, asked) = (Instant::now(), RefCell::new(Vec::new()));
        let device = Device {
            interval: Duration::from_secs(5),
            limit: Duration::from_secs(limit),
        };
        let result = device.run(|| async {
            let mut asked = asked.borrow_mut();
            let (status, body) = answers[asked.len().min(answers.len() - 1)];
            asked.push(begun.elapsed().as_secs());
            (answer(status, body), 0)
        });
        let result = result.await.map(|_| ());
        let result = result.map_err(|error| error.map(|error| error.to_string()));
        (result, asked.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_asked_as_often_as_it_says() {
        let pending = (400, r#"{"error":"authorization_pending"}"#);
        let slow = (400, r#"{"error":"slow_down"}"#);
        let token = (200, r#"{"access_token":"t"}"#);
        let (result, asked) = ask(&[pending, slow, pending, (503, ""), token], 300).await;
        assert_eq!((result, asked), (Ok(()), vec![5, 10, 20, 30, 50]));
        let denied = (400, r#"{"error":"access_denied"}"#);
        let (result, asked) = ask(&[pending, denied], 300).await;
        let why = Some("HTTP 400 access_denied".to_owned());
        assert_eq!((result, asked), (Err(why), vec![5, 10]));
        let (result, asked) = ask(&[pending], 20).await;
        assert_eq!((result, asked), (Err(None), vec![5, 10, 15]));
    }

    #[test]
    fn a_copied_address_is_read_whole_or_as_its_query() {
        for line in [
            "http://127.0.0.1:1/callback?code=c&state=s\n",
            "  code=c&state=s#_=_",
        ] {
            assert_eq!(query_of(line), "code=c&state=s");
        }
    }
}
