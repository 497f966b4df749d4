//! `WWW-Authenticate` as the sign-in reads it.

use sentinel_gateway::auth::oauth::challenge::BearerChallenge;

/// Lines are header values. What is found does not depend on the case of names, a value after the
/// first `Bearer` changes nothing, and another scheme before it neither.
pub fn check(data: &[u8]) {
    let values: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let found = BearerChallenge::first(values.iter().copied());
    let again = values.iter().copied().chain([&b"Bearer scope=later"[..]]);
    match &found {
        None => {
            let later = BearerChallenge::first(again).expect("the added one is found");
            assert_eq!(later.scope.as_deref(), Some(&["later".to_owned()][..]));
        }
        Some(_) => assert_eq!(BearerChallenge::first(again), found),
    }
    let Some(found) = found else {
        return;
    };
    let before = [&b"Basic realm=\"x, Bearer scope=y\""[..]];
    let after_basic = before.into_iter().chain(values.iter().copied());
    assert_eq!(BearerChallenge::first(after_basic).as_ref(), Some(&found));
    for scope in found.scope.iter().flatten() {
        assert!(!scope.is_empty() && !scope.contains(' '), "{scope:?}");
    }
    let length = data.len() * 3;
    for text in [&found.resource_metadata, &found.error]
        .into_iter()
        .flatten()
    {
        assert!(text.len() <= length, "longer than the header: {text:?}");
    }
}
