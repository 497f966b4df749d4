//! Flags, variables, paths and secrets in the configuration.

use sentinel_gateway::config::{Overrides, Secret, SecretSource, ToolMode};

use crate::config::machine::*;

#[test]
fn flags_alone_make_a_configuration() {
    let machine = Machine::new().set("TOKEN", "t").set("KEY", "k");
    let overrides = Overrides {
        bearer_env: vec![("b".into(), "TOKEN".into())],
        headers: vec![("a".into(), "X-Key".into(), "<${KEY}>".into())],
        ..with_backends(&[("b", "http://127.0.0.1:2"), ("a", "http://127.0.0.1:1/")])
    };
    let config = machine.load(&overrides).unwrap();
    assert_eq!(config.source, None);
    assert_eq!(names(&config), ["b", "a"]);
    let [b, a] = [&config.backends[0], &config.backends[1]];
    assert_eq!(b.url.as_ref().unwrap().as_str(), "http://127.0.0.1:2/mcp");
    assert_eq!(value(b.bearer.as_ref().unwrap()), "t");
    assert_eq!(a.url.as_ref().unwrap().as_str(), "http://127.0.0.1:1/");
    assert_eq!(a.headers[0].0, "x-key");
    assert_eq!(value(&a.headers[0].1), "<k>");
}

#[test]
fn flags_override_the_entry_of_the_same_name() {
    let file = "[[backends]]\nname = 'one'\nurl = 'http://127.0.0.1:1/mcp'\nenabled = false\n\
                retries = 7\nbearer = { file = 'x' }\nheaders = { X-A = 'file', X-B = 'file' }\n";
    let overrides = Overrides {
        bearer_env: vec![("one".into(), "TOKEN".into())],
        headers: vec![("one".into(), "x-a".into(), "flag".into())],
        ..with_backends(&[("one", "http://127.0.0.1:9/x")])
    };
    let config = Machine::new()
        .write(USER_FILE, file)
        .set("TOKEN", "t")
        .load(&overrides)
        .unwrap();
    assert_eq!(names(&config), ["one"]);
    let one = &config.backends[0];
    assert_eq!(one.url.as_ref().unwrap().as_str(), "http://127.0.0.1:9/x");
    assert_eq!(one.retries, 7);
    assert_eq!(value(one.bearer.as_ref().unwrap()), "t");
    let headers: Vec<_> = one
        .headers
        .iter()
        .map(|(k, v)| (k.as_str(), value(v)))
        .collect();
    assert_eq!(headers, [("x-b", "file"), ("x-a", "flag")]);
}

#[test]
fn only_selects_backends_in_the_files_order() {
    let machine = Machine::new().write(USER_FILE, &format!("{ONE}{TWO}"));
    let only = |names: &[&str]| Overrides {
        only: Some(names.iter().map(|name| name.to_string()).collect()),
        ..Overrides::default()
    };
    let config = machine.load(&only(&["two"])).unwrap();
    assert_eq!(names(&config), ["two"]);
    // The order is that of the file, not of the flag.
    let config = machine.load(&only(&["two", "one"])).unwrap();
    assert_eq!(names(&config), ["one", "two"]);
    let problems = machine.load(&only(&["twoo"])).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "--only: there is no backend named \"twoo\"; did you mean two?"
    );
    let machine = machine.write(USER_FILE, &format!("{ONE}enabled = false"));
    let problems = machine.load(&only(&["one"])).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "--only: one is disabled: it has enabled = false"
    );
}

fn with_profile(name: &str) -> Overrides {
    Overrides {
        profile: Some(name.to_owned()),
        ..Overrides::default()
    }
}

#[test]
fn a_profile_selects_backends_tools_and_the_mode() {
    const PROFILES: &str = "[profiles.work]\nbackends = ['two']\ntool_mode = 'search'\n\
                            [profiles.rest]\ndeny = ['*']\n";
    let machine = Machine::new().write(USER_FILE, &format!("{ONE}{TWO}{PROFILES}"));
    let config = machine.load(&with_profile("work")).unwrap();
    assert_eq!(names(&config), ["two"]);
    assert_eq!(config.gateway.tool_listing.mode, ToolMode::Search);
    let all = machine.load(&Overrides::default()).unwrap();
    assert_eq!(names(&all), ["one", "two"]);
    assert_eq!(all.gateway.tool_listing.mode, ToolMode::All);
    // Of a profile and `--only`, both hold; what a flag adds is in every profile.
    let overrides = Overrides {
        profile: Some("work".to_owned()),
        ..with_backends(&[("three", "http://127.0.0.1:3/")])
    };
    assert_eq!(names(&machine.load(&overrides).unwrap()), ["two", "three"]);
    let overrides = Overrides {
        only: Some(vec!["one".to_owned()]),
        ..with_profile("work")
    };
    assert_eq!(names(&machine.load(&overrides).unwrap()), [""; 0]);
}

#[test]
fn a_profile_that_is_not_there_is_a_problem_with_the_nearest_name() {
    let machine = Machine::new().write(USER_FILE, &format!("{ONE}[profiles.work]\n"));
    let problem = |name| machine.load(&with_profile(name)).unwrap_err().to_string();
    let file = machine.path(USER_FILE).display().to_string();
    let expected =
        format!("--profile: there is no profile \"wrok\" in {file}; did you mean work (line 4)?");
    assert_eq!(problem("wrok"), expected);
    let expected = format!("--profile: there is no profile \"other\" in {file}; there are: work");
    assert_eq!(problem("other"), expected);
    let flags = Overrides {
        profile: Some("work".to_owned()),
        ..with_backends(&[("a", "http://127.0.0.1:1/")])
    };
    assert_eq!(
        Machine::new().load(&flags).unwrap_err().to_string(),
        "--profile: there is no profile \"work\": profiles are tables of a config file"
    );
}

#[test]
fn problems_of_flags_are_reported_together_with_those_of_the_file() {
    let overrides = Overrides {
        bearer_env: vec![
            ("tow".into(), "TOKEN".into()),
            ("two".into(), "$TOKEN".into()),
        ],
        headers: vec![("two".into(), "Host".into(), "canary".into())],
        ..with_backends(&[("Bad", "ftp://canary/"), ("c", "http://u:canary@h/")])
    };
    let machine = Machine::new().write(USER_FILE, &format!("{TWO}retires = 3"));
    let problems = machine.load(&overrides).unwrap_err();
    let file = machine.path(USER_FILE);
    assert_eq!(
        problems.to_string(),
        format!(
            "--bearer-env: there is no backend named \"tow\"; did you mean two?\n\
             --bearer-env: backends.two.bearer: not the name of an environment variable; `env` takes the name alone, without `$`\n\
             --header: backends.two.headers.Host: the gateway sets this header itself; remove it\n\
             --backend: backends.Bad.name: a backend's name is made of lower-case letters, digits, `_` and `-`, and begins with a letter or digit\n\
             --backend: backends.Bad.url: only http:// and https:// URLs are supported\n\
             --backend: backends.c.url: user and password don't belong in a URL; use bearer, or headers with an Authorization\n\
             {}:4: backends.two.retires: unknown key; did you mean `retries`?",
            file.display()
        )
    );
    assert_eq!(problems.iter().count(), 7);
    assert_eq!(
        Some(problems.first()),
        problems.iter().next().map(|p| p.to_string())
    );
}

#[test]
fn a_missing_variable_takes_down_only_its_backend_and_is_named() {
    let text = r#"
        [[backends]]
        name = "url"
        url = "http://127.0.0.1:${PORT}/mcp"
        [[backends]]
        name = "bearer"
        url = "http://127.0.0.1:1/mcp"
        bearer = { env = "TOKEN" }
        [[backends]]
        name = "header"
        url = "http://127.0.0.1:1/mcp"
        headers = { X-A = "a ${KEY} b" }
        [[backends]]
        name = "literal"
        url = "http://127.0.0.1:1/mcp"
        bearer = { env = "LITERAL" }
        [[backends]]
        name = "well"
        url = "http://127.0.0.1:1/mcp"
        bearer = { env = "WELL" }
    "#;
    let config = Machine::new()
        .set("TOKEN", "")
        .set("LITERAL", "${LITERAL}")
        .set("WELL", "canary\n")
        .trusted(text)
        .unwrap();
    let [url, bearer, header, literal, well] = config.backends.as_slice() else {
        panic!("{:?}", names(&config))
    };
    assert!(
        reason(url).contains("variable PORT is not set"),
        "{}",
        reason(url)
    );
    let bearer = missing(bearer.bearer.as_ref().unwrap());
    assert!(bearer.contains("variable TOKEN is not set"), "{bearer}");
    let header = missing(&header.headers[0].1);
    assert!(header.contains("variable KEY is not set"), "{header}");
    let literal = missing(literal.bearer.as_ref().unwrap());
    assert!(
        literal.contains("LITERAL holds a literal ${…}"),
        "{literal}"
    );
    assert_eq!(value(well.bearer.as_ref().unwrap()), "canary");
}

#[test]
fn a_url_made_invalid_by_variables_takes_down_its_backend_and_is_not_quoted() {
    let text = "[[backends]]\nname = 'a'\nurl = '${URL}'\n";
    for url in [
        "canary",
        "ftp://canary/",
        "http://u:canary@h/",
        "http://canary canary/",
    ] {
        let config = Machine::new().set("URL", url).trusted(text).unwrap();
        let reason = reason(&config.backends[0]);
        assert!(
            reason.starts_with("url, with its variables expanded: "),
            "{reason}"
        );
        assert!(!reason.contains("canary"), "{reason}");
    }
    let config = Machine::new()
        .set("URL", "http://127.0.0.1:5")
        .trusted(text)
        .unwrap();
    let url = config.backends[0].url.as_ref().unwrap();
    assert_eq!(url.as_str(), "http://127.0.0.1:5/mcp");
    assert_eq!(config.backends[0].shown_url, "${URL}");
}

#[test]
fn credentials_over_plain_http_are_refused() {
    let refused = |url: &str, more: &str| {
        let text = format!("[[backends]]\nname = 'a'\nurl = '{url}'\n{more}\n");
        let machine = Machine::new()
            .set("TOKEN", "t")
            .set("HOST", "example.com")
            .set("URL", "http://example.com/t/mcp")
            .set("ORIGIN", "http://example.com:8000");
        machine.trusted(&text).unwrap().backends[0].url.is_err()
    };
    let bearer = "bearer = { env = 'TOKEN' }";
    for (url, more) in [
        ("http://example.com/", bearer),
        ("http://10.0.0.1/", bearer),
        ("http://${HOST}/", "bearer = { file = 'x' }"),
        ("http://example.com/", "headers = { X-A = '${TOKEN}' }"),
        (
            "http://example.com/",
            "headers = { X-A = { env = 'TOKEN' } }",
        ),
        ("http://example.com/", "headers = { X-Api-Key = 'x' }"),
        ("http://example.com/?a=${TOKEN}", ""),
        ("http://example.com/?b=c&api_key=x", ""),
        ("http://example.com/${TOKEN}/mcp", ""),
        ("http://example.com/a${TOKEN}", ""),
        ("http://example.com/?${TOKEN}", ""),
        ("${URL}", ""),
        ("http://example.com/", "headers = { X-Tenant = 'acme' }"),
        (
            "http://example.com/",
            "headers = { Accept-Language = 'en' }",
        ),
    ] {
        assert!(refused(url, more), "{url} {more}");
        assert!(
            !refused(url, &format!("{more}\nallow_insecure = true")),
            "{url} {more}"
        );
        let secure = url.replace("http:", "https:");
        assert!(
            url == "${URL}" || !refused(&secure, more),
            "{secure} {more}"
        );
    }
    for (url, more) in [
        ("http://127.0.0.1/", bearer),
        ("http://localhost/", bearer),
        ("http://[::1]/", bearer),
        ("http://example.com/", ""),
        ("http://${HOST}/?page=1", ""),
        ("http://${HOST}:8000/mcp?a=${UNSET:-b}", ""),
        ("${ORIGIN}", ""),
        ("${ORIGIN}/mcp", ""),
        ("http://example.com/mcp#${TOKEN}", ""),
    ] {
        assert!(!refused(url, more), "{url} {more}");
    }
}

#[test]
fn relative_paths_start_at_the_file_and_a_tilde_at_the_home() {
    let text = r#"
        [[backends]]
        name = "a"
        url = "https://example.com/"
        bearer = { file = "~/token" }
        headers = { X-B = { command = ["./key", "./x"] }, X-A = { command = ["pass", "x"] } }
        ca_file = "sub/ca.pem"
        client_key_file = "../client.key"
    "#;
    let machine = Machine::new();
    let cert = machine.path("absolute/client.pem");
    let text = format!("{text}client_cert_file = '{}'\n", cert.display());
    let machine = machine.write("etc/sentinel.toml", &text);
    let config = machine
        .load(&named(machine.path("etc/sentinel.toml")))
        .unwrap();
    let backend = &config.backends[0];
    let etc = machine.path("etc");
    assert_eq!(
        backend.bearer,
        Some(SecretSource::File(machine.path("home/token")))
    );
    assert_eq!(backend.tls.ca_file, Some(etc.join("sub/ca.pem")));
    assert_eq!(
        backend.tls.client_cert,
        Some((cert, etc.join("../client.key")))
    );
    let program = etc.join("./key").display().to_string();
    let headers: Vec<_> = backend
        .headers
        .iter()
        .map(|(k, v)| (k.as_str(), v.clone()))
        .collect();
    let command = |words: [&str; 2]| SecretSource::Command(words.map(String::from).to_vec());
    assert_eq!(
        headers,
        [
            ("x-b", command([&program, "./x"])),
            ("x-a", command(["pass", "x"]))
        ]
    );
}

#[test]
fn entries_keep_the_order_of_the_file() {
    let text = format!(
        "{ONE}tools.retry = {{ 'z_*' = 'never', '*' = 'always', 'a' = 'safe' }}\n\
         tools.rename = {{ z = 'b', a = 'c' }}\ntools.allow = ['z*']\ntools.deny = ['*_x']\n"
    );
    let config = Machine::new().trusted(&text).unwrap();
    let tools = &config.backends[0].tools;
    let globs: Vec<_> = tools.retry.iter().map(|(glob, _)| glob.written()).collect();
    assert_eq!(globs, ["z_*", "*", "a"]);
    let rename: Vec<_> = tools.rename.iter().map(|(own, _)| own.as_str()).collect();
    assert_eq!(rename, ["z", "a"]);
    assert!(
        tools.admits("za") && tools.admits("z/a") && !tools.admits("a") && !tools.admits("z_x")
    );
}

#[test]
fn a_config_without_backends_gives_a_warning() {
    let config = Machine::new().trusted("").unwrap();
    assert_eq!(
        config.warnings,
        ["no backend is enabled: there is nothing to serve"]
    );
}

#[test]
fn secrets_do_not_appear_in_debug_output() {
    let text = r#"
        [[backends]]
        name = "a"
        url = "https://example.com/canary-free?canary=canary#canary"
        bearer = { env = "TOKEN" }
        headers = { Authorisation = "canary", X-B = "${TOKEN}", X-C = { env = "TOKEN" } }
        [[backends]]
        name = "b"
        url = "https://${TOKEN}.example.com/${TOKEN}/?key=${TOKEN}"
    "#;
    let config = Machine::new().set("TOKEN", "canary").trusted(text).unwrap();
    let url = config.backends[1].url.as_ref().unwrap();
    assert_eq!(
        url.as_str(),
        "https://canary.example.com/canary/?key=canary"
    );
    for shown in [format!("{config:?}"), format!("{config:#?}")] {
        let shown = shown.replace("canary-free", "");
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert_eq!(
        config.backends[0].shown_url,
        "https://example.com/canary-free"
    );
    assert_eq!(format!("{:?}", Secret::new("canary")), "***");
    let sources = format!(
        "{:?}{:?}",
        config.backends[0].bearer, config.backends[0].headers
    );
    assert!(!sources.contains("canary"), "{sources}");
}

/// Every value of the file is a secret in a wrong place.
#[test]
fn secrets_do_not_appear_in_problems() {
    let text = "[[backends]]\nname = 'canary canary'\nurl = 'canary'\nbearer = 'canary'\n\
                protocol = 'canary'\nheaders = ['canary']\ntools.retry = { a = 'canary' }\n";
    let problems = Machine::new().trusted(text).unwrap_err();
    let [shown, debug] = [problems.to_string(), format!("{problems:?}")];
    assert!(
        !shown.contains("canary") && !debug.contains("canary"),
        "{shown}"
    );

    let problems = Machine::new()
        .trusted("bearer = canary\n'canary")
        .unwrap_err();
    assert!(
        !format!("{problems}{problems:?}").contains("canary"),
        "{problems}"
    );
}
