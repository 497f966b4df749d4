//! The administrator's file under a user's: what it says can't be lifted.

use sentinel_gateway::config::{BackendConfig, Config, Overrides};

use crate::config::machine::*;

const ADMINISTRATORS: &str = "
[[backends]]
name = 'db'
url = 'http://db.example:3000/mcp'
headers.X-Team = 'core'
rate_per_minute = 60
max_in_flight = 4
tools.deny = ['drop_*']
allow_insecure = true

[[backends]]
name = 'gone'
url = 'http://gone.example/mcp'
enabled = false

[[backends]]
name = 'exposed'
url = 'http://exposed.example/mcp'
bearer.env = 'UNSET'
enabled = false
";

fn machine(users: &str) -> Machine {
    Machine::new()
        .write(ADMINISTRATORS_FILE, ADMINISTRATORS)
        .write(USER_FILE, users)
}

fn load(users: &str) -> Config {
    machine(users).load(&Overrides::default()).unwrap()
}

fn find<'a>(config: &'a Config, name: &str) -> &'a BackendConfig {
    let mut backends = config.backends.iter();
    let found = backends.find(|backend| *backend.name == *name);
    found.unwrap_or_else(|| panic!("{name} is not in {:?}", names(config)))
}

/// The administrator's backend is as its file says.
fn assert_held(config: &Config) {
    let db = find(config, "db");
    assert_eq!(
        db.url.as_ref().unwrap().as_str(),
        "http://db.example:3000/mcp"
    );
    assert_eq!(db.headers.len(), 1);
    assert_eq!(value(&db.headers[0].1), "core");
    assert!(db.bearer.is_none());
    assert_eq!(db.rate.unwrap().per_minute.get(), 60);
    assert_eq!(db.max_in_flight, 4);
    assert!(!db.tools.admits("drop_table"));
}

fn warned(config: &Config, parts: &[&str]) -> bool {
    let has = |warning: &&String| parts.iter().all(|part| warning.contains(part));
    config.warnings.iter().any(|warning| has(&warning))
}

#[test]
fn administrator_backends_come_first_and_need_no_file_of_the_user() {
    let config = load(ONE);
    assert_eq!(names(&config), ["db", "one"]);
    assert_held(&config);
    let alone = Machine::new().write(ADMINISTRATORS_FILE, ADMINISTRATORS);
    let config = alone.load(&Overrides::default()).unwrap();
    assert_eq!(names(&config), ["db"]);
    assert_held(&config);
    // A file of the folder that is open is a stranger's.
    let beside = Machine::new()
        .write(ADMINISTRATORS_FILE, ADMINISTRATORS)
        .write(WORKING_FILE, ONE);
    let config = beside.load(&Overrides::default()).unwrap();
    assert_eq!(names(&config), ["db"]);
    assert!(warned(&config, &["sentinel.toml", "--config"]));
    // Without backends in it there has to be another config.
    let empty = Machine::new().write(ADMINISTRATORS_FILE, "[gateway]\nrepeat_limit = 5\n");
    let problems = empty.load(&Overrides::default()).unwrap_err();
    assert!(problems.first().contains("no configuration"), "{problems}");
}

#[test]
fn administrator_backends_cannot_be_changed_by_an_entry_of_their_name() {
    let config = load(
        "[[backends]]
        name = 'db'
        url = 'http://127.0.0.1:1/mcp'
        bearer = { env = 'X' }
        headers.X-Team = 'other'
        rate_per_minute = 1000
        max_in_flight = 500
        tools.deny = ['read_all']
        tools.allow = ['read_*', 'drop_*']
        tools.retry = { '*' = 'always' }
        ",
    );
    assert_eq!(names(&config), ["db"]);
    assert_held(&config);
    // Deny wins, whoever says it, and so does what an allow list leaves out.
    let tools = &find(&config, "db").tools;
    let served = ["read_one", "read_all", "write"].map(|tool| tools.admits(tool));
    assert_eq!(served, [true, false, false]);
    assert!(tools.retry.is_empty());
    let unused = "url, bearer, headers, max_in_flight, rate_per_minute, tools.retry";
    assert!(
        warned(&config, &["sentinel.toml:1: db", unused]),
        "{:?}",
        config.warnings
    );

    let own = "[[backends]]\nname = 'db'\nurl = 'http://db.example:3000/mcp'\n";
    let off = load(&format!("{own}enabled = false\n{ONE}"));
    assert_eq!(names(&off), ["one"], "one may take away");
    assert_eq!(off.warnings, [""; 0]);
}

#[test]
fn administrator_backends_cannot_be_reached_under_another_name() {
    for url in [
        "http://db.example:3000/mcp",
        "http://DB.example.:3000//mcp/?x=1",
        "http://db.example:3000",
        "http://${DB}:3000/mcp",
    ] {
        let entry = format!("[[backends]]\nname = 'mine'\nurl = '{url}'\n{ONE}");
        let machine = machine(&entry).set("DB", "db.example");
        let config = machine.load(&Overrides::default()).unwrap();
        assert_eq!(names(&config), ["db", "one"], "{url}");
        assert!(
            warned(
                &config,
                &["sentinel.toml:1: mine is left out", "same server as db"]
            ),
            "{:?}",
            config.warnings
        );
        let by_flag = with_backends(&[(
            "mine",
            &url.replace("http://${DB}:3000/mcp", "http://db.example:3000"),
        )]);
        assert_eq!(names(&machine.load(&by_flag).unwrap()), ["db", "one"]);
    }
}

#[test]
fn administrator_denial_of_a_backend_holds_by_name_and_by_url() {
    let config = load(
        "[[backends]]\nname = 'gone'\nurl = 'http://127.0.0.1:1/mcp'\nenabled = true
        [[backends]]\nname = 'mine'\nurl = 'https://gone.example/mcp'\n",
    );
    assert_eq!(names(&config), ["db"]);
    assert!(
        warned(
            &config,
            &["mine is left out", "has switched its server off, as gone"]
        ),
        "{:?}",
        config.warnings
    );
    let flags = Overrides {
        backends: vec![("mine".into(), "http://gone.example:80/mcp".into())],
        ..Overrides::default()
    };
    assert_eq!(names(&machine("").load(&flags).unwrap()), ["db"]);
    // Also where the administrator's entry could not be used itself.
    let same = "[[backends]]\nname = 'mine'\nurl = 'http://exposed.example/MCP'\n";
    assert_eq!(names(&load(same)), ["db"]);
    // A gateway that serves it alone takes the denial, too.
    let only = Overrides {
        only: Some(vec!["gone".into()]),
        ..Overrides::default()
    };
    assert!(names(&machine("").load(&only).unwrap()).is_empty());
}

#[test]
fn administrator_backends_are_not_changed_by_flags() {
    let machine = machine(ONE);
    let own = |name: &str| name.to_owned();
    for (flag, overrides) in [
        (
            "--backend",
            with_backends(&[("db", "http://127.0.0.1:1/mcp")]),
        ),
        (
            "--backend",
            with_backends(&[("gone", "http://127.0.0.1:1/mcp")]),
        ),
        (
            "--bearer-env",
            Overrides {
                bearer_env: vec![(own("db"), own("X"))],
                ..Overrides::default()
            },
        ),
        (
            "--header",
            Overrides {
                headers: vec![(own("db"), own("X-Team"), own("other"))],
                ..Overrides::default()
            },
        ),
    ] {
        let problems = machine.load(&overrides).unwrap_err();
        let said = problems.first();
        assert!(
            said.starts_with(&format!("{flag}: ")) && said.contains("administrator's file"),
            "{problems}"
        );
        assert_eq!(problems.iter().count(), 1, "{problems}");
    }
    // A view of less is no change.
    let only = Overrides {
        only: Some(vec![own("one")]),
        ..Overrides::default()
    };
    assert_eq!(names(&machine.load(&only).unwrap()), ["one"]);
    let only = Overrides {
        only: Some(vec![own("db")]),
        ..Overrides::default()
    };
    assert_eq!(names(&machine.load(&only).unwrap()), ["db"]);
}

#[test]
fn administrator_limit_on_repeats_and_switch_of_everything_hold() {
    let held = |administrators: &str, users: &str| {
        let machine = Machine::new()
            .write(ADMINISTRATORS_FILE, administrators)
            .write(USER_FILE, users);
        machine.load(&Overrides::default()).unwrap()
    };
    let limit = "[gateway]\nrepeat_limit = 5\n";
    let users =
        format!("[gateway]\nrepeat_limit = 100\n{ONE}tools.repeat_limit = {{ a = 0, b = 3 }}\n");
    let config = held(limit, &users);
    assert_eq!(config.gateway.repeat_limit, 5);
    let one = find(&config, "one");
    assert_eq!(one.repeat_limit, 5);
    let of_tools: Vec<u32> = one
        .tools
        .repeat_limit
        .iter()
        .map(|(_, most)| *most)
        .collect();
    assert_eq!(of_tools, [5, 3]);
    let stricter = held(limit, &format!("[gateway]\nrepeat_limit = 2\n{ONE}"));
    assert_eq!(find(&stricter, "one").repeat_limit, 2);
    let off = held(
        "[gateway]\nenabled = false\n",
        &format!("[gateway]\nenabled = true\n{ONE}"),
    );
    assert!(!off.gateway.enabled && off.backends.is_empty());
}

#[test]
fn administrator_says_where_records_and_telemetry_go() {
    let machine = Machine::new()
        .write(
            ADMINISTRATORS_FILE,
            "[audit]\nfile = '~/audit.jsonl'\non_failure = 'refuse'\n\
             [telemetry]\notlp_endpoint = 'http://127.0.0.1:4318'\n",
        )
        .write(
            USER_FILE,
            &format!(
                "[audit]\non_failure = 'drop'\n[telemetry]\notlp_endpoint = 'http://127.0.0.1:1'\n\
                 listen = '127.0.0.1:9464'\n{ONE}"
            ),
        );
    let config = machine.load(&Overrides::default()).unwrap();
    let file = config.audit.file.as_ref().unwrap();
    assert_eq!(file.path, machine.path("home/audit.jsonl"));
    let telemetry = config.telemetry.as_ref().unwrap();
    let traces = telemetry.traces.as_ref().unwrap();
    assert_eq!(traces.url.as_str(), "http://127.0.0.1:4318/v1/traces");
    assert!(config.listen.is_some(), "the port is the user's");
    for key in ["audit", "telemetry.otlp_endpoint"] {
        let said = format!("{key} is that of the administrator's file");
        assert!(warned(&config, &[&said]), "{:?}", config.warnings);
    }
}

/// By its own path, by a link of a folder on the way, and as a second name of the file.
#[cfg(unix)]
#[test]
fn administrator_records_and_a_users_log_are_two_files() {
    let machine = Machine::new()
        .write(
            ADMINISTRATORS_FILE,
            "[audit]\nfile = '~/records/audit.jsonl'\n",
        )
        .write("home/records/other", "");
    std::os::unix::fs::symlink("records", machine.path("home/link")).unwrap();
    let with_log = |machine: Machine, log: &str| {
        let users = format!("[log]\nfile = '~/{log}'\n{ONE}");
        let machine = machine.write(USER_FILE, &users);
        let loaded = machine.load(&Overrides::default());
        (machine, loaded)
    };
    let mut machine = machine;
    for same in [
        "records/audit.jsonl",
        "link/audit.jsonl",
        "link/./audit.jsonl",
    ] {
        let (after, loaded) = with_log(machine, same);
        let problems = loaded.unwrap_err();
        assert!(
            problems.first().contains("each needs its own"),
            "{problems}"
        );
        machine = after;
    }
    let (machine, loaded) = with_log(machine, "link/log");
    loaded.unwrap();
    let machine = machine.write("home/records/audit.jsonl", "");
    std::fs::hard_link(
        machine.path("home/records/audit.jsonl"),
        machine.path("home/name"),
    )
    .unwrap();
    let (machine, loaded) = with_log(machine, "name");
    assert!(loaded.is_err());
    let users = format!("[audit]\nfile = '~/records/log'\n[log]\nfile = '~/link/log'\n{ONE}");
    let machine = machine
        .write(ADMINISTRATORS_FILE, "")
        .write(USER_FILE, &users);
    let problems = machine.load(&Overrides::default()).unwrap_err();
    assert!(
        problems.first().contains("log.file: is that of audit.file"),
        "{problems}"
    );
}

/// Where nothing can be kept between runs, a pin that blocks would hold nothing.
#[test]
fn administrator_pins_need_a_place_where_they_are_kept() {
    let pinned = "[[backends]]\nname = 'db'\nurl = 'http://127.0.0.1:3/mcp'\ntools.pin = ";
    let machine = Machine::new().write(ADMINISTRATORS_FILE, &format!("{pinned}'block'\n"));
    let problems = machine.load(&Overrides::default()).unwrap_err();
    let said = problems.first();
    assert!(
        said.starts_with("db: tools.pin") && said.contains("XDG_STATE_HOME"),
        "{said}"
    );
    let machine = machine.write(USER_FILE, "");
    machine.load(&Overrides::default()).unwrap();
    let warns = Machine::new().write(ADMINISTRATORS_FILE, &format!("{pinned}'warn'\n"));
    warns.load(&Overrides::default()).unwrap();
}

#[test]
fn administrator_file_has_its_own_keys_and_a_bad_one_stops_all() {
    let bad = |text: &str| {
        let machine = Machine::new()
            .write(ADMINISTRATORS_FILE, text)
            .write(USER_FILE, ONE);
        let problems = machine.load(&Overrides::default()).unwrap_err().to_string();
        let file = machine.path(ADMINISTRATORS_FILE).display().to_string();
        assert!(problems.contains(&file), "{problems}");
        problems.replace(&file, "FILE")
    };
    for (text, expected) in [
        ("[gateway\n", "FILE:1:"),
        (
            "[[backends]]\nname = 'x'\n",
            "FILE:1: backends.x.url: missing",
        ),
        (
            "\n[gateway]\nname = 'x'\n",
            "FILE:3: gateway.name: is for the files of users",
        ),
        (
            "[profiles.x]\n",
            "profiles: profiles are for the files of users",
        ),
        (
            "[[backends]]\nname = 'X'\nurl = 'http://h'\n",
            "FILE:2: backends",
        ),
    ] {
        let problems = bad(text);
        assert!(problems.contains(expected), "{text}: {problems}");
    }
}

#[test]
fn administrator_backends_stand_beside_what_a_profile_has() {
    let machine = Machine::new()
        .write(ADMINISTRATORS_FILE, ADMINISTRATORS)
        .write(
            USER_FILE,
            &format!("{ONE}[profiles.work]\nbackends = ['db']\nallow = ['*']\n"),
        );
    let profile = Overrides {
        profile: Some("work".into()),
        ..Overrides::default()
    };
    let config = machine.load(&profile).unwrap();
    assert_eq!(names(&config), ["db"]);
    assert_held(&config);
}
