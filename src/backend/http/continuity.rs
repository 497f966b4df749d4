//! What a server wants to get back with each request of a session: its session id and its cookies.
//!
//! Owns that the newest counts, and that a cookie goes to the origin and the paths that it was set
//! for. It belongs to one session and never to the HTTP client, which backends share. In memory
//! alone; values are secrets.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use reqwest::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use reqwest::{Response, Url};
use tokio::time::Instant;

use crate::clock;
use crate::config::is_loopback;
use crate::sync::Mutex;

/// The header of a legacy session.
pub(in crate::backend) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Most cookies of one session, and most bytes of one.
const MAX_COOKIES: usize = 50;
const MAX_COOKIE: usize = 4096;

/// The session id and the cookies of one session. Requests go to one origin only.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// Whether there is anything to send, or any session id to follow.
    is_used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A legacy session has begun: a session id in an answer is its own.
    in_session: bool,
    session: Option<HeaderValue>,
    cookies: Vec<Cookie>,
}

#[derive(PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    path: String,
    expires: Option<Instant>,
}

/// Shows no value.
impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cookie({} {})", self.name, self.path)
    }
}

impl Continuity {
    /// A legacy session begins, with this id if the server issued one.
    pub(super) fn begin_session(&self, id: Option<HeaderValue>) {
        let mut state = self.state.lock();
        state.in_session = true;
        state.session = id;
        self.is_used.store(true, Relaxed);
    }

    /// Whether requests carry a session id.
    pub(super) fn has_session_id(&self) -> bool {
        self.is_used.load(Relaxed) && self.state.lock().session.is_some()
    }

    /// Adds the session id and the cookies for this URL. A configured cookie header wins.
    pub(super) fn apply(&self, headers: &mut HeaderMap, url: &Url) {
        if !self.is_used.load(Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        if let Some(id) = &state.session {
            headers.insert(SESSION_ID, id.clone());
        }
        if state.cookies.is_empty() || headers.contains_key(COOKIE) {
            return;
        }
        let now = Instant::now();
        state.cookies.retain(|cookie| !cookie.is_over(now));
        let matching = state.cookies.iter().filter(|cookie| cookie.is_for(url));
        let pairs: Vec<String> = matching
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        if let Ok(mut value) = HeaderValue::from_str(&pairs.join("; "))
            && !pairs.is_empty()
        {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    /// Takes the session id and the cookies of a response from our origin. Returns the values of new
    /// cookies, which are secrets.
    pub(super) fn learn(&self, response: &Response) -> Vec<String> {
        let headers = response.headers();
        let session = headers
            .get(SESSION_ID)
            .filter(|_| response.status().is_success());
        let sets_cookies = headers.contains_key(SET_COOKIE);
        if session.is_none() && !sets_cookies {
            return Vec::new();
        }
        let mut state = self.state.lock();
        if let Some(id) =
            session.filter(|id| state.in_session && state.session.as_ref() != Some(id))
        {
            state.session = Some(id.clone());
        }
        let mut learned = Vec::new();
        for header in headers.get_all(SET_COOKIE) {
            let cookie = header.to_str().ok();
            let cookie = cookie.and_then(|text| Cookie::parse(text, response.url()));
            if let Some(cookie) = cookie
                && state.set(&cookie)
            {
                learned.push(cookie.value);
            }
        }
        if sets_cookies {
            self.is_used.store(true, Relaxed);
        }
        learned
    }
}

impl State {
    /// Replaces the cookie of that name and path; whether its value is new.
    fn set(&mut self, cookie: &Cookie) -> bool {
        let is_same = |other: &Cookie| other.name == cookie.name && other.path == cookie.path;
        let before = self.cookies.iter().position(is_same);
        let before = before.map(|at| self.cookies.remove(at));
        let is_new = before.is_none_or(|before| before.value != cookie.value);
        if cookie.is_over(Instant::now()) || self.cookies.len() >= MAX_COOKIES {
            return false;
        }
        self.cookies.push(Cookie {
            name: cookie.name.clone(),
            value: cookie.value.clone(),
            path: cookie.path.clone(),
            expires: cookie.expires,
        });
        is_new
    }
}

impl Cookie {
    /// Reads `Set-Cookie` (RFC 6265, section 5.2) of a response from this URL. `Domain` is not read: a
    /// cookie goes back to exactly the origin that set it.
    fn parse(text: &str, url: &Url) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > MAX_COOKIE {
            return None;
        }
        let mut cookie = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            path: default_path(url),
            expires: None,
        };
        let mut max_age = None;
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "path" if value.trim().starts_with('/') => {
                    value.trim().clone_into(&mut cookie.path)
                }
                "max-age" => max_age = value.trim().parse::<i64>().ok(),
                "expires" => cookie.expires = at(value.trim()),
                "secure" if url.scheme() != "https" && !is_loopback(url) => return None,
                _ => {}
            }
        }
        if let Some(seconds) = max_age {
            cookie.expires = after(Duration::from_secs(seconds.try_into().unwrap_or(0)));
        }
        Some(cookie)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether its path is that of the URL, or above it.
    fn is_for(&self, url: &Url) -> bool {
        let rest = url.path().strip_prefix(self.path.as_str());
        rest.is_some_and(|rest| {
            rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
        })
    }
}

/// The folder of the URL's path.
fn default_path(url: &Url) -> String {
    match url.path().rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
    }
}

/// A date, as an instant of our clock. One that can't be read is none.
fn at(date: &str) -> Option<Instant> {
    let date = httpdate::parse_http_date(date).ok()?;
    after(date.duration_since(clock::wall()).unwrap_or_default())
}

/// So long from now; `None` is for ever.
fn after(age: Duration) -> Option<Instant> {
    Instant::now().checked_add(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(continuity: &Continuity, url: &str) -> String {
        let mut headers = HeaderMap::new();
        continuity.apply(&mut headers, &url.parse().unwrap());
        let value = headers.get(COOKIE).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    }

    fn with(cookies: &[&str]) -> Continuity {
        let continuity = Continuity::default();
        let url = "https://h/a/mcp".parse().unwrap();
        for text in cookies {
            if let Some(cookie) = Cookie::parse(text, &url) {
                continuity.state.lock().set(&cookie);
            }
        }
        continuity.is_used.store(true, Relaxed);
        continuity
    }

    #[test]
    fn a_cookie_goes_to_its_path_until_it_is_over_or_replaced() {
        for (cookies, expected) in [
            (&["a=1"][..], "a=1"),
            (&["a=1; Path=/; HttpOnly; Secure; SameSite=None"], "a=1"),
            (&["a=1; path=/other"], ""),
            (&["a=1; path=/a/m"], ""),
            (&["a=1; path=/a/mcp"], "a=1"),
            (&["a=1", "a=2"], "a=2"),
            (&["a=1", "b=x=y"], "a=1; b=x=y"),
            (&["a=1", "a=; Max-Age=0"], ""),
            (&["a=1", "a=; Max-Age=-5"], ""),
            (&["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], ""),
            (
                &["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60"],
                "a=1",
            ),
            (&["a=1; Expires=nonsense; Domain=example.org"], "a=1"),
            (&["no pair", "=x", ""], ""),
        ] {
            assert_eq!(
                sent(&with(cookies), "https://h/a/mcp"),
                expected,
                "{cookies:?}"
            );
        }
        let plain: Url = "http://example.org/mcp".parse().unwrap();
        assert!(Cookie::parse("a=1; Secure", &plain).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn cookies_are_bounded_and_run_out() {
        let many: Vec<String> = (0..100).map(|name| format!("{name}=v")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(with(&many).state.lock().cookies.len(), MAX_COOKIES);
        assert_eq!(
            sent(
                &with(&[&format!("a={}", "x".repeat(5000))]),
                "https://h/a/mcp"
            ),
            ""
        );
        let short = with(&["a=1; max-age=10"]);
        assert_eq!(sent(&short, "https://h/a/mcp"), "a=1");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(sent(&short, "https://h/a/mcp"), "");
    }
}
