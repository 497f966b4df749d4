//! What a changed config changes while the gateway runs.
//!
//! Owns the comparison of two configs, and which keys need a restart. What is the same stays the
//! same value, so that nothing else is touched. Pure; it must not know how a change is carried out.

use std::collections::HashMap;
use std::sync::Arc;

use super::{BackendConfig, Config, GatewayConfig, TelemetryConfig, ToolListing, ToolRules};
use crate::text::Glob;

/// A new config compared to the one that runs.
#[derive(Debug)]
pub struct Changes {
    /// What runs from now on: the new config, but the old values of the keys in
    /// [`needs_restart`](Self::needs_restart), and the old entries of unchanged backends.
    pub config: Config,
    /// One for each backend of it, in its order.
    pub backends: Vec<Change>,
    /// The names of the backends that are gone.
    pub removed: Vec<Arc<str>>,
    /// The keys of `[gateway]` that have changed.
    pub gateway: Vec<&'static str>,
    /// Which of the tables `audit` and `log`, and of the key `telemetry.listen`, have changed.
    pub outputs: Vec<&'static str>,
    /// The keys that have changed and count only from the next start on.
    pub needs_restart: Vec<&'static str>,
    /// The backends stand in another order, or others are configured but not used.
    pub order: bool,
    /// The lock has changed.
    pub lock: bool,
    /// Other parts of the files and flags are not used.
    pub unused: bool,
}

/// What has changed of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// How it is called and what of it is shown; its connection stays.
    Rules,
    /// How it is connected: calls in flight end on the connection they have.
    Connection {
        /// It has the URL that it had, so what it listed still holds.
        same_url: bool,
    },
    /// It is new.
    Added,
}

impl Changes {
    /// Whether nothing has changed that counts while the gateway runs.
    pub fn is_empty(&self) -> bool {
        self.is_same_use() && !self.lock && !self.unused
    }

    /// Whether what the files say is used as before.
    pub(crate) fn is_same_use(&self) -> bool {
        let same = |change: &Change| *change == Change::None;
        let backends = self.removed.is_empty() && self.backends.iter().all(same);
        let gateway = self.gateway.is_empty() && self.outputs.is_empty();
        backends && gateway && !self.order
    }

    /// The names of the backends with such a change.
    pub fn named(&self, wanted: impl Fn(Change) -> bool) -> Vec<&str> {
        let backends = self.config.backends.iter().zip(&self.backends);
        let wanted = backends.filter(|(_, change)| wanted(**change));
        wanted.map(|(backend, _)| &*backend.name).collect()
    }
}

/// Compares the config that runs with a new one.
pub fn diff(old: &Config, mut new: Config) -> Changes {
    let before: HashMap<&str, &Arc<BackendConfig>> = (old.backends.iter())
        .map(|backend| (&*backend.name, backend))
        .collect();
    let mut changes = Vec::new();
    for backend in &mut new.backends {
        let change = match before.get(&*backend.name) {
            None => Change::Added,
            Some(old) => compare(old, backend),
        };
        match (change, before.get(&*backend.name)) {
            (Change::None, Some(old)) => *backend = Arc::clone(old),
            (Change::Rules, Some(old)) => {
                let new = Arc::make_mut(backend);
                // It knows the secrets that were read since.
                new.scrubber = old.scrubber.clone();
                new.closed = new.closed.for_connections_of(&old.closed);
            }
            _ => {}
        }
        changes.push(change);
    }
    let is_there = |name: &str| new.backends.iter().any(|backend| *backend.name == *name);
    let removed = old.backends.iter().map(|backend| &backend.name);
    let removed = removed.filter(|name| !is_there(name)).cloned().collect();
    let (gateway, mut needs_restart) = compare_gateway(&old.gateway, &mut new.gateway);
    new.state_folder.clone_from(&old.state_folder);
    let outputs = [
        ("audit", old.audit != new.audit),
        ("log", old.log != new.log),
        ("telemetry.listen", old.listen != new.listen),
    ];
    needs_restart.extend(changed_telemetry(&old.telemetry, &new.telemetry));
    new.telemetry.clone_from(&old.telemetry);
    let outputs = outputs.into_iter().filter(|(_, changed)| *changed);
    Changes {
        removed,
        gateway,
        outputs: outputs.map(|(table, _)| table).collect(),
        needs_restart,
        order: old.configured != new.configured || old.administered != new.administered,
        lock: old.lock.lock != new.lock.lock,
        unused: old.unused != new.unused,
        backends: changes,
        config: new,
    }
}

fn compare(old: &BackendConfig, new: &BackendConfig) -> Change {
    if !is_connected_alike(old, new) {
        let same_url = old.url == new.url;
        return Change::Connection { same_url };
    }
    match is_used_alike(old, new) {
        true => Change::None,
        false => Change::Rules,
    }
}

/// Whether connections and sessions of one serve the other.
fn is_connected_alike(old: &BackendConfig, new: &BackendConfig) -> bool {
    let place = old.url == new.url && old.shown_url == new.shown_url && old.tls == new.tls;
    let credentials = old.bearer == new.bearer
        && old.headers == new.headers
        && old.has_credentials == new.has_credentials
        && old.allow_insecure == new.allow_insecure
        && old.sign_in == new.sign_in
        && new.closed.fits_connections_of(&old.closed);
    let protocol = old.protocol == new.protocol
        && old.server_stream == new.server_stream
        && old.experimental == new.experimental;
    place && credentials && protocol && old.connect_timeout == new.connect_timeout
}

fn is_used_alike(old: &BackendConfig, new: &BackendConfig) -> bool {
    let times = old.timeout == new.timeout && old.idle_timeout == new.idle_timeout;
    let retries = old.retries == new.retries && old.retry_tools == new.retry_tools;
    let limits = old.max_in_flight == new.max_in_flight
        && old.rate == new.rate
        && old.repeat_limit == new.repeat_limit;
    let place = old.schemas == new.schemas
        && old.of_administrator == new.of_administrator
        && old.closed.is_same(&new.closed);
    times && retries && limits && place && are_rules_alike(old, new)
}

fn are_rules_alike(old: &BackendConfig, new: &BackendConfig) -> bool {
    let (old, new) = (&old.tools, &new.tools);
    // Compiled globs can't be compared; all of them are in here.
    let written = |rules: &ToolRules| -> Vec<(&'static str, String)> {
        let written = rules.written.iter();
        written
            .map(|rule| (rule.key, rule.pattern.clone()))
            .collect()
    };
    let view = |rules: &ToolRules| {
        let view = rules.view.as_ref();
        view.map(|view| (Arc::clone(&view.profile), view.written.clone()))
    };
    old.allow.is_some() == new.allow.is_some()
        && old.narrowed.is_some() == new.narrowed.is_some()
        && view(old) == view(new)
        && written(old) == written(new)
        && old.rename == new.rename
        && old.describe == new.describe
        && old.timeout == new.timeout
        && values(&old.retry) == values(&new.retry)
        && values(&old.rate) == values(&new.rate)
        && values(&old.max_in_flight) == values(&new.max_in_flight)
        && values(&old.repeat_limit) == values(&new.repeat_limit)
        && values(&old.max_result_tokens) == values(&new.max_result_tokens)
        && values(&old.args) == values(&new.args)
        && old.pin == new.pin
}

fn values<T>(rules: &[(Glob, T)]) -> Vec<&T> {
    rules.iter().map(|(_, value)| value).collect()
}

/// The keys that have changed, and those of them that can't while the gateway runs: these get their
/// old values.
fn compare_gateway(
    old: &GatewayConfig,
    new: &mut GatewayConfig,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut needs_restart = Vec::new();
    macro_rules! fixed {
        ($($key:ident: $written:literal),*) => {$(
            if old.$key != new.$key {
                needs_restart.push($written);
                new.$key = old.$key;
            }
        )*};
    }
    fixed!(
        startup_wait: "startup_wait_ms",
        max_message_bytes: "max_message_bytes",
        max_buffered_bytes: "max_buffered_bytes",
        catalog_cache: "catalog_cache"
    );
    // What a client has been given to see stays, so that it can keep it in its prompts.
    needs_restart.extend(old.tool_listing.changed_keys(&new.tool_listing));
    new.tool_listing = ToolListing {
        reads_more: new.tool_listing.reads_more,
        tells_status: new.tool_listing.tells_status,
        ..old.tool_listing.clone()
    };
    let mut changed = Vec::new();
    if old.tool_listing.tells_status != new.tool_listing.tells_status {
        changed.push("gateway_status");
    }
    macro_rules! live {
        ($($key:ident: $written:literal),*) => {$(
            if old.$key != new.$key {
                changed.push($written);
            }
        )*};
    }
    live!(
        enabled: "enabled",
        name: "name",
        instructions: "instructions",
        backend_instructions: "backend_instructions",
        max_in_flight: "max_in_flight",
        drain: "drain_ms",
        tool_names: "tool_names",
        tool_name_chars: "tool_name_chars",
        tool_name_max: "tool_name_max",
        schemas: "schemas",
        tool_errors: "tool_errors",
        repeat_limit: "repeat_limit",
        auth_sealed_by: "auth_store",
        status: "status"
    );
    (changed, needs_restart)
}

/// The keys of `[telemetry]` that have changed: what is sent is set up once.
fn changed_telemetry(
    old: &Option<TelemetryConfig>,
    new: &Option<TelemetryConfig>,
) -> Vec<&'static str> {
    const ENDPOINT: &str = "telemetry.otlp_endpoint";
    let (Some(old), Some(new)) = (old, new) else {
        return Vec::from_iter((old != new).then_some(ENDPOINT));
    };
    let destinations = |of: &TelemetryConfig| [of.traces.clone(), of.metrics.clone()];
    let headers = |of| destinations(of).map(|destination| destination.map(|to| to.headers));
    let urls = |of| destinations(of).map(|destination| destination.map(|to| to.url));
    let changed = [
        (ENDPOINT, urls(old) != urls(new)),
        ("telemetry.headers", headers(old) != headers(new)),
        (
            "telemetry.sample_percent",
            old.sample_per_million != new.sample_per_million,
        ),
        (
            "telemetry.service_name",
            old.service_name != new.service_name,
        ),
        ("telemetry.interval_secs", old.interval != new.interval),
    ];
    let changed = changed.into_iter().filter(|(_, changed)| *changed);
    let changed: Vec<&str> = changed.map(|(key, _)| key).collect();
    match changed.is_empty() && old != new {
        true => vec![ENDPOINT],
        false => changed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::super::{Environment, Overrides, load};
    use super::*;
    use crate::sync::Mutex;

    /// Of all configs here, one at a time: messages have its path.
    static FOLDER: LazyLock<Mutex<tempfile::TempDir>> =
        LazyLock::new(|| Mutex::new(tempfile::tempdir().unwrap()));

    fn config(text: &str) -> Config {
        let folder = FOLDER.lock();
        let file = folder.path().join("sentinel.toml");
        std::fs::write(&file, text).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        let environment = Environment::new(folder.path()).with_state(folder.path());
        load(&overrides, &environment).unwrap()
    }

    fn backend(name: &str, more: &str) -> String {
        format!("[[backends]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:9/{name}\"\n{more}\n")
    }

    /// What a change of this entry is.
    fn change(before: &str, after: &str) -> Change {
        let old = config(&backend("a", before));
        let changes = diff(&old, config(&backend("a", after)));
        assert_eq!(changes.is_empty(), changes.backends == [Change::None]);
        changes.backends[0]
    }

    #[test]
    fn which_tools_clients_see_needs_a_restart() {
        let old = config("[gateway]\ntool_mode = \"search\"\n");
        let keys = "tool_mode = \"auto\"\nalways_listed = [\"a\"]\nauto_over_tokens = 1\nsearch_exposes = \"activate\"\n";
        let changes = diff(&old, config(&format!("[gateway]\n{keys}")));
        assert_eq!(
            changes.needs_restart,
            [
                "tool_mode",
                "search_exposes",
                "always_listed",
                "auto_over_tokens"
            ]
        );
        assert!(changes.gateway.is_empty());
        assert_eq!(
            changes.config.gateway.tool_listing,
            old.gateway.tool_listing
        );
    }

    #[test]
    fn keys_of_telemetry_but_for_its_port_need_a_restart() {
        let telemetry = |more: &str| {
            config(&format!(
                "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4318\"\n{more}"
            ))
        };
        let old = telemetry("");
        for (key, value) in [
            ("headers", "{ A = \"b\" }"),
            ("sample_percent", "7"),
            ("service_name", "\"mine\""),
            ("interval_secs", "7"),
        ] {
            let changes = diff(&old, telemetry(&format!("{key} = {value}")));
            assert_eq!(changes.needs_restart, [format!("telemetry.{key}")]);
            assert_eq!(changes.config.telemetry, old.telemetry);
            assert!(changes.is_empty(), "{key}");
        }
        let elsewhere = "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4319\"\n";
        for new in ["", elsewhere] {
            let changes = diff(&old, config(new));
            assert_eq!(changes.needs_restart, ["telemetry.otlp_endpoint"]);
        }
        let changes = diff(&old, telemetry("listen = \"127.0.0.1:9464\""));
        assert!(changes.needs_restart.is_empty());
        assert_eq!(changes.outputs, ["telemetry.listen"]);
    }

    #[test]
    fn what_is_the_same_is_the_same_value() {
        let text = backend("a", "tools.deny = [\"x*\"]") + &backend("b", "");
        let old = config(&text);
        let changes = diff(&old, config(&("# a comment\n".to_owned() + &text)));
        assert!(changes.is_empty() && changes.needs_restart.is_empty());
        for (old, new) in old.backends.iter().zip(&changes.config.backends) {
            assert!(Arc::ptr_eq(old, new));
        }
    }

    #[test]
    fn each_key_of_a_backend_changes_its_rules_or_its_connection() {
        let rules = [
            "timeout_secs = 7",
            "idle_timeout_secs = 7",
            "retries = 7",
            "retry_tools = \"never\"",
            "max_in_flight = 7",
            "rate_per_minute = 7",
            "tools.allow = []",
            "tools.allow = [\"a\"]",
            "tools.deny = [\"a\"]",
            "tools.rename = { a = \"b\" }",
            "tools.describe = { a = \"b\" }",
            "tools.timeout_secs = { a = 7 }",
            "tools.retry = { a = \"never\" }",
            "tools.rate_per_minute = { a = 7 }",
            "tools.max_in_flight = { a = 7 }",
            "tools.args = { a = { x = [1] } }",
            "tools.repeat_limit = { a = 7 }",
            "tools.max_result_tokens = { a = 700 }",
            "tools.pin = \"off\"",
        ];
        for key in rules {
            assert_eq!(change("", key), Change::Rules, "{key}");
            assert_eq!(change(key, ""), Change::Rules, "{key}");
        }
        let connection = [
            "protocol = \"legacy\"",
            "server_stream = \"never\"",
            "experimental = true",
            "connect_timeout_secs = 7",
            "bearer = { file = \"/t\" }",
            "headers = { A = \"b\" }",
            "oauth = false",
            "ca_file = \"/c\"",
            "allow_insecure = true",
        ];
        for key in connection {
            let expected = Change::Connection { same_url: true };
            assert_eq!(change("", key), expected, "{key}");
            assert_eq!(change(key, key), Change::None, "{key}");
        }
        let rate = "rate_per_minute = 7\ntools.rate_per_minute = { a = 7 }\n";
        for burst in ["burst = 2", "tools.burst = { a = 2 }"] {
            assert_eq!(
                change(rate, &format!("{rate}{burst}")),
                Change::Rules,
                "{burst}"
            );
        }
        let args = |values: &str| format!("tools.args = {{ a = {{ x = {values} }} }}");
        assert_eq!(change(&args("[1]"), &args("[2]")), Change::Rules);
        assert_eq!(change(&args("[1]"), &args("[1.0]")), Change::Rules);
        for key in ["rate_per_minute", "max_in_flight", "repeat_limit"] {
            let one = |n: u32| format!("tools.{key} = {{ a = {n} }}");
            assert_eq!(change(&one(1), &one(2)), Change::Rules, "{key}");
        }
        let [deny, retry] = ["tools.deny = [\"a\"]", "tools.retry = { a = \"always\" }"];
        assert_eq!(change(deny, "tools.deny = [\"b\"]"), Change::Rules);
        assert_eq!(change(deny, "tools.allow = [\"a\"]"), Change::Rules);
        let [limit, other] =
            [700, 800].map(|tokens| format!("tools.max_result_tokens = {{ a = {tokens} }}"));
        assert_eq!(change(&limit, &other), Change::Rules);
        assert_eq!(
            change(retry, "tools.retry = { a = \"never\" }"),
            Change::Rules
        );
    }

    #[test]
    fn backends_come_go_and_change_place() {
        let old = config(&(backend("a", "") + &backend("b", "") + &backend("c", "")));
        let moved = backend("b", "").replace("/b", "/elsewhere");
        let new = config(&(backend("c", "") + &backend("d", "") + &moved));
        let changes = diff(&old, new);
        let elsewhere = Change::Connection { same_url: false };
        assert_eq!(changes.backends, [Change::None, Change::Added, elsewhere]);
        assert_eq!(changes.removed, ["a".into()]);
        assert_eq!(changes.named(|change| change == Change::Added), ["d"]);
        let turned = config(&(backend("b", "") + &backend("a", "") + &backend("c", "")));
        let changes = diff(&old, turned);
        assert!(changes.order && !changes.is_empty());
        let disabled =
            config(&(backend("a", "enabled = false") + &backend("b", "") + &backend("c", "")));
        assert_eq!(diff(&old, disabled).removed, ["a".into()]);
    }

    #[test]
    fn what_a_running_gateway_can_not_change_keeps_its_value_and_is_named() {
        let old = config("");
        let new = "[gateway]\nmax_buffered_bytes = 100000000\nmax_message_bytes = 2000\nstartup_wait_ms = 1\n\
                   catalog_cache = false\nname = \"other\"\nmax_in_flight = 5\n";
        let changes = diff(&old, config(new));
        let fixed = [
            "startup_wait_ms",
            "max_message_bytes",
            "max_buffered_bytes",
            "catalog_cache",
        ];
        assert_eq!(changes.needs_restart, fixed);
        assert_eq!(changes.gateway, ["name", "max_in_flight"]);
        let now = &changes.config.gateway;
        assert_eq!(now.max_buffered_bytes, old.gateway.max_buffered_bytes);
        assert_eq!((now.max_in_flight, &*now.name), (5, "other"));
    }
}
