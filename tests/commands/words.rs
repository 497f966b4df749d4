//! What messages say, and what to type next.

use super::*;

/// Runs a command over these backends without a config file, and without planted credentials.
fn bare(fakes: &[(&str, &FakeBackend)], args: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut command = process::bare_gateway(&folder);
    for (name, fake) in fakes {
        command.args(["--backend", &format!("{name}={}", fake.url())]);
    }
    Ended::of(command.args(args).output().unwrap())
}

#[test]
pub(crate) fn a_401_without_credentials_says_which_key_it_needs() {
    let fake = FakeBackend::start();
    for (status, anonymous, with_token) in [
        (
            401,
            "the server wants a sign-in or a token (HTTP 401): give this backend a token: bearer = { env = ",
            "the server refuses our credentials (HTTP 401): check bearer or headers",
        ),
        (
            403,
            "the server refuses access (HTTP 403): give this backend a token: bearer = { env = ",
            "the server refuses our credentials (HTTP 403): these credentials are not enough",
        ),
    ] {
        for method in ["server/discover", "initialize"] {
            fake.always(method, Reply::status(status));
        }
        let ended = bare(&[("one", &fake)], &["check"]);
        assert_eq!(ended.code, 1);
        assert!(ended.out.contains(anonymous), "{}", ended.out);
        // A test's config has planted credentials.
        let ended = Shell::over(&[("one", &fake)]).run(&["check"]);
        assert!(ended.out.contains(with_token), "{}", ended.out);
    }
}

#[test]
pub(crate) fn a_header_of_the_config_counts_as_a_credential() {
    for (status, header) in [
        (401, "X-Api-Key=abc"),
        (403, "X-Api-Key=abc"),
        (401, "Authorization=Basic YTpi"),
        (401, "Cookie=session=abc"),
    ] {
        let fake = FakeBackend::start();
        fake.always("server/discover", Reply::status(status));
        fake.always("initialize", Reply::status(status));
        let header = format!("one:{header}");
        let out = bare(&[("one", &fake)], &["check", "--header", &header]).out;
        assert!(out.contains("refuses our credentials"), "{header}: {out}");
    }
}

/// Some servers list for everybody, and ask for credentials later.
#[test]
pub(crate) fn a_401_to_a_list_or_a_call_says_it_too() {
    for (status, words) in [
        (401, "the server wants a sign-in or a token (HTTP 401)"),
        (403, "the server refuses access (HTTP 403)"),
    ] {
        for (kind, args) in [
            ("tools/call", &["call", "t"][..]),
            ("tools/list", &["check"]),
        ] {
            let fake = FakeBackend::start().tool("t");
            fake.always(kind, Reply::status(status));
            let ended = bare(&[("one", &fake)], args);
            let said = ended.out + &ended.err;
            let key = "give this backend a token: bearer = { env = ";
            assert!(said.contains(words) && said.contains(key), "{kind}: {said}");
        }
    }
}

#[test]
pub(crate) fn a_misspelt_tool_is_answered_with_the_one_that_was_meant() {
    let fake = FakeBackend::start().tool("read_query").tool("write_query");
    let shell = Shell::over(&[("one", &fake)]);
    let meant = |name: &str| shell.run(&["call", name]).err;
    assert_eq!(
        meant("read_qurey"),
        "unknown tool \"read_qurey\"; did you mean \"read_query\"?\n"
    );
    assert_eq!(
        meant("one__write_query"),
        "unknown tool \"one__write_query\"; did you mean \"write_query\"?\n"
    );
    assert_eq!(meant("other"), "unknown tool \"other\"\n");
    // The name of a prompt, and of a tool that is to be shown.
    let fake = FakeBackend::start().prompt("review").tool("read_query");
    let shell = Shell::over(&[("one", &fake)]);
    for (args, words) in [
        (
            ["prompt", "reviw"],
            "unknown prompt \"reviw\"; did you mean \"review\"?\n",
        ),
        (
            ["tools", "read_qurey"],
            "there is no tool \"read_qurey\"; did you mean \"read_query\"?\n",
        ),
    ] {
        assert_eq!(shell.run(&args).err, words);
    }
}

#[test]
pub(crate) fn an_unknown_tool_costs_one_short_line_however_many_backends_are_down() {
    let up = FakeBackend::start().tool("echo");
    let down: Vec<(String, FakeBackend)> = (0..8)
        .map(|at| (format!("down{at}"), FakeBackend::down()))
        .collect();
    let mut all: Vec<(&str, &FakeBackend)> = vec![("up", &up)];
    all.extend(down.iter().map(|(name, fake)| (name.as_str(), fake)));
    let ended = Shell::over(&all).run(&["call", "ecco"]);
    assert_eq!(
        ended.err,
        "unknown tool \"ecco\"; did you mean \"echo\"?; 8 backends are down: \
         down0 (connection refused), down1 (connection refused), down2 (connection refused) and 5 more\n"
    );
}
