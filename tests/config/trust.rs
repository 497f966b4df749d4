//! Where the configuration is found, and whether it is trusted.

use std::fs;
use std::time::{Duration, Instant};

use sentinel_gateway::config::{Overrides, SecretSource};

use crate::config::machine::*;

#[test]
fn the_first_existing_config_file_is_used() {
    let machine = Machine::new()
        .write("named.toml", "[gateway]\nname = 'named'")
        .write("project/variable.toml", "[gateway]\nname = 'variable'")
        .write(USER_FILE, "[gateway]\nname = 'user'")
        .write(WORKING_FILE, "[gateway]\nname = 'working'")
        .set("SENTINEL_CONFIG", "variable.toml");
    let found = |machine: &Machine, overrides: &Overrides| {
        let config = machine.load(overrides).unwrap();
        assert!(config.source.unwrap().is_absolute());
        config.gateway.name
    };
    assert_eq!(found(&machine, &named("../named.toml")), "named");
    assert_eq!(found(&machine, &Overrides::default()), "variable");
    let machine = machine.without_variables();
    assert_eq!(found(&machine, &Overrides::default()), "user");
    fs::remove_file(machine.path(USER_FILE)).unwrap();
    assert_eq!(found(&machine, &Overrides::default()), "working");
}

#[test]
fn the_working_folders_file_is_ignored_with_a_warning_if_the_user_has_one() {
    let machine = Machine::new()
        .write(USER_FILE, ONE)
        .write(WORKING_FILE, TWO);
    let config = machine.load(&Overrides::default()).unwrap();
    assert_eq!(names(&config), ["one"]);
    let working = machine.path(WORKING_FILE).display().to_string();
    let [warning] = config.warnings.as_slice() else {
        panic!("{:?}", config.warnings)
    };
    assert!(
        warning.starts_with(&format!("{working} is ignored")),
        "{warning}"
    );
}

#[test]
fn without_a_config_the_problem_explains_how_to_write_one() {
    let machine = Machine::new();
    let problems = machine.load(&Overrides::default()).unwrap_err();
    let text = problems.to_string();
    for part in [
        &machine.path(USER_FILE).display().to_string(),
        &machine.path(WORKING_FILE).display().to_string(),
        "[[backends]]",
        "--backend sqlite=http://127.0.0.1:3002/mcp",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(problems.first(), text);
}

#[test]
fn a_named_file_must_exist_even_if_flags_define_backends() {
    let machine = Machine::new().set("SENTINEL_CONFIG", "~/nowhere.toml");
    let problems = machine
        .load(&with_backends(&[("a", "http://127.0.0.1/")]))
        .unwrap_err();
    let path = machine.path("home/nowhere.toml");
    assert_eq!(
        problems.first(),
        format!(
            "{}: there is no such file; --config, or else $SENTINEL_CONFIG, names it",
            path.display()
        )
    );
}

#[test]
fn invalid_utf8_is_refused_with_its_line() {
    let machine = Machine::new();
    let path = machine.path("latin1.toml");
    fs::write(&path, b"[gateway]\nname = \"\xe9\"\n").unwrap();
    let problems = machine.load(&named(&path)).unwrap_err().to_string();
    assert!(problems.contains("latin1.toml:2: not UTF-8"), "{problems}");
}

#[test]
fn byte_order_mark_and_crlf_are_accepted() {
    let text = format!("\u{feff}{ONE}timeout = 1\n").replace('\n', "\r\n");
    let problems = Machine::new().trusted(&text).unwrap_err().to_string();
    assert!(
        problems.contains("sentinel.toml:4: backends.one.timeout: unknown key"),
        "{problems}"
    );
    let text = format!("\u{feff}{ONE}").replace('\n', "\r\n");
    assert_eq!(names(&Machine::new().trusted(&text).unwrap()), ["one"]);
}

#[test]
fn an_untrusted_file_gets_no_secret() {
    let text = r#"
        [[backends]]
        name = "plain"
        url = "http://127.0.0.1:1/mcp"
        headers = { X-Tenant = "acme" }
        [[backends]]
        name = "in-url"
        url = "http://127.0.0.1:1/${TOKEN}"
        [[backends]]
        name = "default"
        url = "http://127.0.0.1:1/${NOT_SET:-x}"
        [[backends]]
        name = "env"
        url = "http://127.0.0.1:1/mcp"
        bearer = { env = "TOKEN" }
        [[backends]]
        name = "file"
        url = "http://127.0.0.1:1/mcp"
        bearer = { file = "~/token" }
        [[backends]]
        name = "command"
        url = "http://127.0.0.1:1/mcp"
        bearer = { command = ["sh", "-c", "evil"] }
        [[backends]]
        name = "header"
        url = "http://127.0.0.1:1/mcp"
        headers = { X-A = "${TOKEN}" }
        [[backends]]
        name = "key"
        url = "https://127.0.0.1:1/mcp"
        client_cert_file = "~/client.pem"
        client_key_file = "~/client.key"
    "#;
    let machine = Machine::new()
        .write(WORKING_FILE, text)
        .set("TOKEN", "canary");
    let config = machine.load(&Overrides::default()).unwrap();
    let hint = format!("--config {}", machine.path(WORKING_FILE).display());
    for backend in &config.backends {
        let secrets = backend
            .bearer
            .iter()
            .chain(backend.headers.iter().map(|(_, v)| v));
        let reasons: Vec<_> = secrets
            .filter(|source| matches!(source, SecretSource::Missing(_)))
            .map(missing)
            .chain(backend.url.as_ref().err().map(String::as_str))
            .collect();
        if &*backend.name == "plain" {
            assert_eq!(reasons, [""; 0]);
            continue;
        }
        assert_eq!(reasons.len(), 1, "{}", backend.name);
        assert!(reasons[0].contains(&hint), "{}", reasons[0]);
    }

    // The same file is trusted if it is named.
    let config = machine.load(&named("sentinel.toml")).unwrap();
    assert!(config.backends.iter().all(|backend| backend.url.is_ok()));
    assert_eq!(value(config.backends[3].bearer.as_ref().unwrap()), "canary");
    assert_eq!(value(&config.backends[6].headers[0].1), "canary");
}

#[test]
fn an_untrusted_file_gets_no_secret_of_a_flag() {
    let machine = Machine::new()
        .write(WORKING_FILE, ONE)
        .set("TOKEN", "canary");
    let pair = ("one".to_owned(), "TOKEN".to_owned());
    let bearer = Overrides {
        bearer_env: vec![pair],
        ..Overrides::default()
    };
    let config = machine.load(&bearer).unwrap();
    assert!(reason(&config.backends[0]).contains("not trusted with secrets"));

    let header = Overrides {
        headers: vec![("one".into(), "X-A".into(), "a".into())],
        ..Overrides::default()
    };
    let config = machine.load(&header).unwrap();
    assert!(reason(&config.backends[0]).contains("not trusted with secrets"));

    // If the flags give the URL too, the user has set both.
    let both = Overrides {
        backends: vec![("one".into(), "http://127.0.0.1:9/".into())],
        ..bearer
    };
    let config = machine.load(&both).unwrap();
    assert!(config.backends[0].url.is_ok());
    assert_eq!(value(config.backends[0].bearer.as_ref().unwrap()), "canary");
}

#[test]
fn a_found_file_is_read_up_to_a_mebibyte() {
    let machine = Machine::new().write(WORKING_FILE, "");
    let path = machine.path(WORKING_FILE);
    let sparse = fs::File::create(&path).unwrap();
    for (bytes, named_too) in [(3 << 30, true), ((1 << 20) + 1, false)] {
        sparse.set_len(bytes).unwrap();
        let problem = machine.load(&Overrides::default()).unwrap_err().first();
        assert!(
            problem.ends_with("sentinel.toml: can't be read: it has more than 1048576 bytes"),
            "{problem}"
        );
        let named = machine.load(&named(path.clone())).unwrap_err().first();
        assert_eq!(
            named.contains("more than 16777216 bytes"),
            named_too,
            "{named}"
        );
    }
}

#[test]
fn a_found_file_is_answered_soon_whatever_it_is_full_of() {
    const BYTES: usize = 1 << 20;
    let entry = "[[backends]]\nname = 'a'\nurl = 'http://127.0.0.1:1/'\n";
    let many = |line: &str| line.repeat(BYTES / line.len());
    let globs: Vec<String> = (0..20_000).map(|at| format!("'{{a,b}}*{at}'")).collect();
    for (text, expected) in [
        (many("x\n"), "problems"),
        (many("a = 1\n"), "problems"),
        (many("[[backends]]\n"), "problems"),
        (many(entry), "are more than 1000"),
        (format!("a = {}", "[".repeat(BYTES - 9)), "not valid TOML"),
        (
            format!("{entry}tools.allow = [{}]", globs.join(",")),
            "20000 globs are more than 1000",
        ),
        (
            format!(
                "{entry}[backends.tools.retry]\n{} = 'safe'\n",
                globs.join(" = 'safe'\n")
            ),
            "20000 globs are more than 1000",
        ),
    ] {
        assert!(text.len() <= BYTES);
        let machine = Machine::new().write(WORKING_FILE, &text);
        let begun = Instant::now();
        let problems = machine.load(&Overrides::default()).unwrap_err().to_string();
        assert!(problems.contains(expected), "{expected} in {problems}");
        assert!(problems.lines().count() <= 101, "{problems}");
        // It took minutes.
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?} for {expected}");
    }
}
