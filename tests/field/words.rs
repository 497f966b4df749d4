//! Section 8: words for people.
//!
//! Most of it is about whole commands, whose tests stand with the commands: a row calls them.

use serde_json::{Value, json};

use super::table::{Row, check, rows};
use crate::common::fake::FakeBackend;
use crate::common::process;
use crate::common::reply::Reply;
use crate::state::{pin_command, version_0_1};
use crate::{cli, commands};

pub(super) const ROWS: &[Row] = rows! {
    "8.01" "a healthy start, as clients start it" => "nothing on stderr; what the user asks for, and problems", quiet_start;
    "8.02" "the end, by EOF or a signal" => "nothing on stderr for what it interrupts", quiet_end;
    "8.03" "a config with several problems" => "ten are told to the client, causes first", config_problems;
    "8.04" "401 and 403 without credentials, whatever is asked for" => "which key or command gives it some", credentials;
    "8.05" "a client that is killed, while a sibling has our stdin" => "the gateway leaves", orphan;
    "8.06" "check of a backend that is silent" => "rows as they come, who is missing, --timeout", check_rows;
    "8.07" "tables at 60 to 200 columns, with wide characters, and in a pipe" => "nothing breaks, nothing is cut in a pipe", tables;
    "8.08" "a rule that matches no tool, of any key" => "said by check, also as JSON, and once in the log", unmatched_rules;
    "8.09" "a tool that has changed since it was accepted" => "the hint names it and the config; no other command accepts it", pin_hints;
    "8.10" "a tool that is listed only for clients with a capability" => "not gone for pin, which accepts it", tools_of_able_clients;
    "8.11" "a typo in a tool's name" => "the one that is meant, in one short line", typos;
    "8.12" "the config, lock and last contact of version 0.1" => "all of it still holds", version_0_1_holds;
    "8.13" "what check says of mends, lists, names, rules and changes" => "the same in --json", check_as_json;
};

#[test]
fn section_8_words() {
    check(ROWS);
}

fn quiet_start() {
    cli::quiet::a_healthy_run_writes_nothing_to_stderr();
    cli::quiet::a_problem_is_still_written();
    cli::quiet::a_level_of_the_user_counts();
}

fn quiet_end() {
    #[cfg(unix)]
    cli::quiet::what_the_end_interrupts_is_not_reported();
    cli::quiet::a_wait_for_backends_that_the_end_cuts_short_is_not_reported();
}

fn config_problems() {
    cli::a_bad_config_is_reported_on_stderr_and_to_a_client_on_a_pipe();
    cli::a_client_is_told_ten_problems_with_causes_first();
}

fn credentials() {
    commands::words::a_401_without_credentials_says_which_key_it_needs();
    commands::words::a_header_of_the_config_counts_as_a_credential();
    commands::words::a_401_to_a_list_or_a_call_says_it_too();
}

fn orphan() {
    #[cfg(unix)]
    cli::orphan::fault_19_a_gateway_leaves_when_its_parent_has_changed_and_nobody_reads();
}

fn check_rows() {
    #[cfg(unix)]
    {
        commands::terminal::progress_names_the_backends_that_are_missing();
        commands::terminal::a_silent_backend_costs_the_timeout_and_says_so();
    }
}

fn tables() {
    #[cfg(unix)]
    {
        commands::terminal::check_fits_the_terminal_and_prints_rows_as_they_come();
        commands::terminal::lists_and_tools_fit_the_terminal();
    }
}

fn unmatched_rules() {
    #[cfg(unix)]
    commands::terminal::rules_without_effect_are_not_told_where_the_tools_are_not_known();
    cli::quiet::a_rule_that_matches_no_tool_is_logged_once();
    // Every key that names tools.
    let fake = FakeBackend::start().tool("echo");
    let keys = [
        ("tools.allow", "tools.allow = [\"echo\", \"ecko\"]"),
        ("tools.deny", "tools.deny = [\"ecko\"]"),
        ("tools.rename", "tools.rename = { ecko = \"x\" }"),
        ("tools.describe", "tools.describe = { ecko = \"x\" }"),
        ("tools.timeout_secs", "tools.timeout_secs = { ecko = 5 }"),
        ("tools.retry", "tools.retry = { ecko = \"never\" }"),
        (
            "tools.rate_per_minute",
            "tools.rate_per_minute = { ecko = 5 }",
        ),
        ("tools.max_in_flight", "tools.max_in_flight = { ecko = 5 }"),
        ("tools.repeat_limit", "tools.repeat_limit = { ecko = 5 }"),
        (
            "tools.max_result_tokens",
            "tools.max_result_tokens = { ecko = 500 }",
        ),
        ("tools.args", "tools.args = { ecko = { a = [1] } }"),
    ];
    let toml = keys.map(|(_, rule)| rule).join("\n");
    let report = json_of(&fake.entry("one", &toml), &["check"]);
    let found = report["backends"][0]["unmatched_rules"].as_array().unwrap();
    for (key, _) in keys {
        let of_key = |rule: &&Value| rule["key"] == key;
        let rule = found
            .iter()
            .find(of_key)
            .unwrap_or_else(|| panic!("{key}: {found:?}"));
        let meant = (&rule["pattern"], &rule["did_you_mean"]);
        assert!(
            rule["pattern"].as_str().unwrap().starts_with("ecko"),
            "{meant:?}"
        );
        assert_eq!(rule["did_you_mean"], "echo", "{key}");
    }
}

/// What a command prints with `--json`.
fn json_of(toml: &str, args: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut command = process::gateway(&folder, toml);
    let output = command.args(args).arg("--json").output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn pin_hints() {
    #[cfg(unix)]
    commands::terminal::check_says_what_matches_nothing_and_what_to_type_next();
    commands::one::call_and_the_like_accept_no_tool();
}

fn tools_of_able_clients() {
    pin_command::a_tool_for_able_clients_is_not_gone_and_can_be_accepted();
}

fn typos() {
    commands::words::a_misspelt_tool_is_answered_with_the_one_that_was_meant();
    commands::words::an_unknown_tool_costs_one_short_line_however_many_backends_are_down();
}

fn version_0_1_holds() {
    version_0_1::its_config_is_read();
    version_0_1::its_lock_accepts_what_it_accepted_under_the_same_names();
    version_0_1::its_lock_blocks_what_has_changed_since();
    version_0_1::its_cached_listings_are_served();
}

/// Whatever `check` notes of a backend is in its JSON too.
fn check_as_json() {
    let other = FakeBackend::start().resource("x://1");
    let fake = FakeBackend::start().tool("t").tool("t").prompt("p");
    let fake = fake.resource("x://1").tool("changed");
    let fake = fake.item("tools", json!({ "name": "mended", "inputSchema": null }));
    fake.always("prompts/list", Reply::error(-32000, "no prompts today"));
    let rules = "retries = 0\nrate_per_minute = 7\ntools.deny = [\"nosuch\"]";
    let toml = other.entry("other", "") + &fake.entry("one", rules);
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = process::gateway(&folder, &toml);
        let output = command.args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["pin"]);
    fake.put_tool("changed", json!({ "description": "another" }));
    let report: Value = serde_json::from_str(&run(&["check", "--json"])).unwrap();
    let row = &report["backends"][1];
    let shown = run(&["check"]);
    for (said, member, value) in [
        ("mended is mended", "mended", "mended"),
        ("nosuch", "unmatched_rules", "nosuch"),
        ("prompts/list failed", "failed_lists", "prompts/list"),
        ("no prompts today", "failed_lists", "no prompts today"),
        ("t is withheld", "withheld", "\"t\""),
        ("7 a minute", "limits", "\"rate_per_minute\":7"),
        ("clients see it as x://one/1", "aliases", "x://one/1"),
        ("its description has changed", "changed", "changed"),
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
        let noted = row[member].to_string();
        assert!(noted.contains(value), "{member}: {row}");
        let words = row["notes"].to_string();
        assert!(
            words.contains(&said.replace('"', "\\\"")),
            "{said}: {words}"
        );
    }
}
