use super::*;
use crate::config::{Environment, Overrides, load};

/// The config of a backend with these further keys.
pub(in crate::governance) fn config(name: &str, more: &str) -> Arc<BackendConfig> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.toml");
    let url = "http://127.0.0.1:9/";
    let text = format!("[[backends]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n");
    std::fs::write(&file, text).unwrap();
    let overrides = Overrides {
        config: Some(file),
        ..Overrides::default()
    };
    let config = load(&overrides, &Environment::new(folder.path())).unwrap();
    Arc::clone(&config.backends[0])
}

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned().into()).unwrap()
}

/// How many of these calls are admitted.
fn admitted(limits: &Limits, tool: Option<&str>, calls: usize) -> usize {
    let params = raw("{}");
    let call = ClientCall {
        tool,
        params: &params,
    };
    (0..calls).filter(|_| limits.admit(call).is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn the_first_glob_that_matches_and_the_backend_both_count() {
    let keys = "rate_per_minute = 60\nburst = 5\n\
                tools.rate_per_minute = { \"send_*\" = 30, \"*\" = 600 }\ntools.burst = { \"send_*\" = 2 }";
    let limits = LimitBook::default().of(&config("a", keys)).unwrap();
    assert_eq!(admitted(&limits, Some("send_mail"), 1), 1);
    assert_eq!(admitted(&limits, Some("send_file"), 9), 1, "together");
    // Those that were refused took nothing from the backend's.
    assert_eq!(admitted(&limits, Some("read"), 9), 3);
    assert_eq!(admitted(&limits, None, 1), 0);
    tokio::time::advance(Duration::from_secs(2)).await;
    // The backend has two, `send_*` one.
    assert_eq!(admitted(&limits, None, 9), 2);
    let params = raw("{}");
    let call = ClientCall {
        tool: Some("send_mail"),
        params: &params,
    };
    let refusal = limits.admit(call).unwrap_err();
    assert_eq!(refusal.wait, Duration::from_secs(1));
    assert!(refusal.to_string().ends_with(
        "its limit for calls is reached: 60 a minute, 5 at once (rate_per_minute); try again in 1 s"
    ));
    // What the backend refused took nothing from the tool's.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(admitted(&limits, Some("send_mail"), 1), 1);
    let refusal = limits.admit(call).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("calls of tools \"send_*\" is reached: 30 a minute, 2 at once"),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_counted_survives_other_configs() {
    let mut book = LimitBook::default();
    let both = "rate_per_minute = 4\ntools.rate_per_minute = { x = 2 }\n";
    let mut limits = book.of(&config("a", both)).unwrap();
    assert_eq!(admitted(&limits, Some("x"), 9), 2);
    // Another rule, none at all, and others of the same name.
    assert!(book.of(&config("a", "")).is_none());
    limits = book.of(&config("b", both)).unwrap();
    assert_eq!(admitted(&limits, Some("x"), 9), 2, "of another backend");
    limits = book
        .of(&config("a", &format!("{both}retries = 1")))
        .unwrap();
    assert_eq!(admitted(&limits, Some("x"), 9), 0);
    assert_eq!(admitted(&limits, Some("y"), 9), 2);
    // Other numbers are another limit.
    let other = "rate_per_minute = 5\ntools.rate_per_minute = { x = 2 }\n";
    limits = book.of(&config("a", other)).unwrap();
    assert_eq!(admitted(&limits, Some("x"), 9), 0);
    assert_eq!(admitted(&limits, Some("y"), 9), 5);
    drop(limits);
    assert_eq!(book.rates.len(), 4);
    tokio::time::advance(Duration::from_secs(60)).await;
    drop(book.of(&config("c", "rate_per_minute = 5")));
    assert_eq!(book.rates.len(), 1, "what is full again is forgotten");
}

#[tokio::test(start_paused = true)]
async fn the_same_call_is_refused_and_another_is_not() {
    let mut book = LimitBook::default();
    let repeat = "tools.repeat_limit = { \"poll_*\" = 0, \"*\" = 2 }";
    let limits = book.of(&config("a", repeat)).unwrap();
    let admit = |limits: &Limits, tool: &str, params: &str| {
        let (tool, params) = (Some(tool), &raw(params));
        limits.admit(ClientCall { tool, params })
    };
    let same = [
        r#"{"arguments":{"a":1,"b":"c"}}"#,
        r#"{"_meta":{"progressToken":7},"arguments":{"b":"c", "a":1.0}}"#,
    ];
    for params in same {
        admit(&limits, "t", params).unwrap();
    }
    let limits = book
        .of(&config("a", &format!("{repeat}\nretries = 1")))
        .unwrap();
    let refusal = admit(&limits, "t", same[0]).unwrap_err();
    assert_eq!(refusal.wait, Duration::from_secs(60));
    assert!(
        refusal
            .to_string()
            .contains("exactly these arguments 2 times")
    );
    admit(&limits, "t", r#"{"arguments":{"a":2,"b":"c"}}"#).unwrap();
    admit(&limits, "u", same[0]).unwrap();
    admit(&limits, "t", "{}").unwrap();
    for _ in 0..9 {
        admit(&limits, "poll_state", same[0]).unwrap();
    }
    let other = book.of(&config("b", repeat)).unwrap();
    admit(&other, "t", same[0]).unwrap();
    tokio::time::advance(Duration::from_secs(61)).await;
    admit(&limits, "t", same[0]).unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_without_arguments_are_the_same_however_that_is_written() {
    let limits = LimitBook::default().of(&config("a", "tools.repeat_limit = { \"*\" = 3 }"));
    let limits = limits.unwrap();
    let admit = |params: &str| {
        let params = &raw(params);
        let tool = Some("t");
        limits.admit(ClientCall { tool, params })
    };
    for params in ["{}", r#"{"arguments":null}"#, r#"{"arguments":{ }}"#] {
        admit(params).unwrap();
    }
    for params in ["{}", r#"{"arguments": {}}"#, r#"{"arguments": null }"#] {
        admit(params).unwrap_err();
    }
    admit(r#"{"arguments":{"a":null}}"#).unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_as_many_rounds_as_were_asked_for_are_not_counted() {
    let limits = LimitBook::default().of(&config("a", "rate_per_minute = 1"));
    let limits = limits.unwrap();
    let round = raw(r#"{"inputResponses":{}}"#);
    let admit = |params: &RawJson| {
        limits.admit(ClientCall {
            tool: Some("t"),
            params,
        })
    };
    admit(&raw("{}")).unwrap();
    assert!(admit(&round).is_err(), "nobody has asked");
    limits.expect_round();
    assert!(admit(&raw("{}")).is_err());
    admit(&round).unwrap();
    assert!(admit(&round).is_err());
    limits.expect_round();
    admit(&raw(r#"{"requestState":"s"}"#)).unwrap();
}
