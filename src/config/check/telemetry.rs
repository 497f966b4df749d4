//! Checks `[telemetry]`, and reads the variables `OTEL_*` where the config says so.
//!
//! Owns which of the variables of the OpenTelemetry specification ("Environment variables", "OTLP
//! exporter") count. What is wrong with a variable is a warning: nothing is sent then.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use crate::config::check::Checker;
use crate::config::check::url::is_loopback;
use crate::config::environment::Environment;
use crate::config::read::file::Located;
use crate::config::read::outputs::Telemetry;
use crate::config::{Destination, Secret, SecretSource, TelemetryConfig};

/// Time limit of a batch (OTLP exporter, "Timeout").
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where a collector on this machine listens (OTLP/HTTP, "Default port").
const LOCAL: &str = "http://localhost:4318";
/// The value of `otlp_endpoint` with which variables decide.
const BY_ENVIRONMENT: &str = "env";

const ENDPOINT: &str = "telemetry.otlp_endpoint";

impl Checker<'_> {
    /// Where traces and metrics are sent, and where metrics are served; `None` where they aren't.
    pub(in crate::config) fn telemetry(
        &mut self,
        written: &Telemetry,
    ) -> (Option<TelemetryConfig>, Option<SocketAddr>) {
        (self.sent(written), self.listen(written))
    }

    fn sent(&mut self, written: &Telemetry) -> Option<TelemetryConfig> {
        let endpoint = written.otlp_endpoint.as_ref()?;
        if self.distrusts(&endpoint.location) {
            let why = format!("nothing is sent to otlp_endpoint: {}", self.distrusted());
            self.report.warnings.push(why);
            return None;
        }
        if endpoint.value == BY_ENVIRONMENT {
            return match by_environment(self.env) {
                Ok(config) => config,
                Err(why) => {
                    let why = format!("no traces and metrics are sent: {why}");
                    self.report.warnings.push(why);
                    None
                }
            };
        }
        let base = self.collector(endpoint)?;
        let headers = self.headers(&written.headers, false, "telemetry.headers");
        if !headers.is_empty() && is_exposed(&base) {
            let what = "headers would travel unencrypted to another machine; use https, or a collector on this machine that passes on what it gets";
            self.report.add(&endpoint.location, ENDPOINT, what);
            return None;
        }
        let to = |path| {
            Some(Destination {
                url: under(&base, path),
                headers: headers.clone(),
                timeout: TIMEOUT,
            })
        };
        Some(TelemetryConfig {
            traces: to("v1/traces"),
            metrics: to("v1/metrics"),
            sample_per_million: written.sample_percent * 10_000,
            follows_parent: true,
            service_name: written.service_name.clone(),
            attributes: Vec::new(),
            interval: Duration::from_secs(written.interval_secs),
        })
    }

    fn listen(&mut self, written: &Telemetry) -> Option<SocketAddr> {
        let listen = written.listen.as_ref()?;
        if self.distrusts(&listen.location) {
            let why = format!("no metrics are served: {}", self.distrusted());
            self.report.warnings.push(why);
            return None;
        }
        let address = listen.value.parse().ok();
        if address.is_none() {
            let what = "not an address and a port, such as 127.0.0.1:9464";
            self.report.add(&listen.location, "telemetry.listen", what);
        }
        address
    }

    fn collector(&mut self, endpoint: &Located<String>) -> Option<Url> {
        match url(&endpoint.value) {
            Ok(url) => Some(url),
            Err(what) => {
                self.report.add(&endpoint.location, ENDPOINT, what);
                None
            }
        }
    }
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or("not the URL of a collector; it looks like http://127.0.0.1:4318")?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    match is_plain && url.query().is_none() && url.fragment().is_none() {
        true => Ok(url),
        false => Err("user, password and query don't belong in this URL; use headers".to_owned()),
    }
}

fn is_exposed(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

/// The address of a kind of data below that of the collector.
fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and a million"
)]
fn per_million(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1e6).round() as u32
}

/// What the variables say; `Ok(None)` if they switch everything off.
fn by_environment(env: &Environment) -> Result<Option<TelemetryConfig>, String> {
    let set = |name: &str| env.variable(name).filter(|value| !value.trim().is_empty());
    if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let traces = destination(&set, "TRACES", "v1/traces")?;
    let metrics = destination(&set, "METRICS", "v1/metrics")?;
    if traces.is_none() && metrics.is_none() {
        return Ok(None);
    }
    let sampler = set("OTEL_TRACES_SAMPLER").unwrap_or_else(|| "parentbased_always_on".to_owned());
    let (share, follows_parent) = share(&sampler, set("OTEL_TRACES_SAMPLER_ARG"))?;
    let attributes = match set("OTEL_RESOURCE_ATTRIBUTES") {
        Some(list) => pairs(&list, "OTEL_RESOURCE_ATTRIBUTES")?,
        None => Vec::new(),
    };
    let named = attributes.iter().find(|(name, _)| name == "service.name");
    let named = named.map(|(_, name)| name.clone());
    let name = set("OTEL_SERVICE_NAME").or(named);
    Ok(Some(TelemetryConfig {
        traces,
        metrics,
        sample_per_million: per_million(share),
        follows_parent,
        service_name: name.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned()),
        attributes,
        interval: millis(
            set("OTEL_METRIC_EXPORT_INTERVAL"),
            "OTEL_METRIC_EXPORT_INTERVAL",
        )?
        .unwrap_or(Duration::from_secs(60)),
    }))
}

/// Where one kind of data goes, and how; `None` if it isn't sent. What a variable of this kind says takes the place
/// of what that of all kinds says, whole ("OTLP exporter": each option is overridable by a signal-specific one).
fn destination(
    set: &dyn Fn(&str) -> Option<String>,
    kind: &str,
    path: &str,
) -> Result<Option<Destination>, String> {
    let Some(url) = endpoint(set, kind, path)? else {
        return Ok(None);
    };
    // The value, and the name of the variable that has it.
    let option = |of: &str| {
        let names = [
            format!("OTEL_EXPORTER_OTLP_{kind}_{of}"),
            format!("OTEL_EXPORTER_OTLP_{of}"),
        ];
        names.into_iter().find_map(|name| Some((set(&name)?, name)))
    };
    let headers = match option("HEADERS") {
        Some((list, name)) if is_exposed(&url) => {
            headers(&list, &name)?;
            return Err(format!(
                "the headers of {name} would travel unencrypted to another machine; use https"
            ));
        }
        Some((list, name)) => headers(&list, &name)?,
        None => Vec::new(),
    };
    let timeout = match option("TIMEOUT") {
        Some((text, name)) => millis(Some(text), &name)?,
        None => None,
    };
    Ok(Some(Destination {
        url,
        headers,
        timeout: timeout.unwrap_or(TIMEOUT),
    }))
}

/// The address for one kind of data; `None` if it isn't sent.
fn endpoint(
    set: &dyn Fn(&str) -> Option<String>,
    kind: &str,
    path: &str,
) -> Result<Option<Url>, String> {
    let exporter = format!("OTEL_{kind}_EXPORTER");
    match set(&exporter).as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => return Err(format!("{exporter}={other}: only otlp and none are known")),
    }
    let own = format!("OTEL_EXPORTER_OTLP_{kind}_PROTOCOL");
    for name in [own.as_str(), "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        match set(name).as_deref() {
            Some("http/protobuf") => break,
            None => {}
            Some(other) => {
                return Err(format!(
                    "{name}={other}: the gateway speaks http/protobuf alone, which collectors take on port 4318"
                ));
            }
        }
    }
    let own = format!("OTEL_EXPORTER_OTLP_{kind}_ENDPOINT");
    if let Some(text) = set(&own) {
        return url(&text).map(Some).map_err(|why| format!("{own}: {why}"));
    }
    let base = set("OTEL_EXPORTER_OTLP_ENDPOINT");
    let base = url(base.as_deref().unwrap_or(LOCAL))
        .map_err(|why| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {why}"))?;
    Ok(Some(under(&base, path)))
}

/// The share of traces that is sent, and whether a client's decision counts.
fn share(sampler: &str, argument: Option<String>) -> Result<(f64, bool), String> {
    let (follows_parent, kind) = match sampler.strip_prefix("parentbased_") {
        Some(kind) => (true, kind),
        None => (false, sampler),
    };
    let share = match kind {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            let argument = argument.unwrap_or_else(|| "1".to_owned());
            let share = argument.trim().parse().ok();
            let share = share.filter(|share| (0.0..=1.0).contains(share));
            share.ok_or_else(|| {
                format!("OTEL_TRACES_SAMPLER_ARG={argument}: it must be a number from 0 to 1")
            })?
        }
        _ => {
            return Err(format!(
                "OTEL_TRACES_SAMPLER={sampler}: known are always_on, always_off and traceidratio, each with or without parentbased_ before it"
            ));
        }
    };
    Ok((share, follows_parent))
}

/// A time that a variable of this name says.
fn millis(text: Option<String>, name: &str) -> Result<Option<Duration>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    let wrong = || format!("{name}={text}: it must be a number of milliseconds");
    number
        .map(|number| Some(Duration::from_millis(number)))
        .ok_or_else(wrong)
}

fn headers(list: &str, name: &str) -> Result<Vec<(HeaderName, SecretSource)>, String> {
    let header = |(key, value): (String, String)| {
        let key = HeaderName::from_bytes(key.as_bytes()).ok()?;
        HeaderValue::from_str(&value).ok()?;
        Some((key, SecretSource::Value(Secret::new(value))))
    };
    let pairs = pairs(list, name)?;
    pairs
        .into_iter()
        .map(|pair| header(pair).ok_or_else(|| no_pairs(name)))
        .collect()
}

/// `name=value,name=value`, each percent-encoded (W3C Baggage).
fn pairs(list: &str, name: &str) -> Result<Vec<(String, String)>, String> {
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text.trim()).decode_utf8();
        text.ok().map(std::borrow::Cow::into_owned)
    };
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        Some((decoded(key)?, decoded(value)?)).filter(|(key, _)| !key.is_empty())
    };
    let parts = list.split(',').filter(|part| !part.trim().is_empty());
    parts
        .map(|part| pair(part).ok_or_else(|| no_pairs(name)))
        .collect()
}

/// A value may be a secret: it isn't shown.
fn no_pairs(name: &str) -> String {
    format!("{name}: it must look like name=value,name=value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Option<TelemetryConfig>, String> {
        let variables: Vec<(String, String)> = (variables.iter())
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let lookup = move |name: &str| {
            let found = variables.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        by_environment(&Environment::new(".").with_variables(lookup))
    }

    #[test]
    fn variables_say_where_and_how_much() {
        let config = environment(&[]).unwrap().unwrap();
        let traces = config.traces.unwrap();
        assert_eq!(traces.url.as_str(), "http://localhost:4318/v1/traces");
        assert_eq!((traces.headers, traces.timeout), (Vec::new(), TIMEOUT));
        assert_eq!(
            (config.sample_per_million, config.follows_parent),
            (1_000_000, true)
        );
        let config = environment(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c.example/base/"),
            (
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                "http://127.0.0.1:1/m",
            ),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_SERVICE_NAME", "mine"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b, service.name=other"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ]);
        let config = config.unwrap().unwrap();
        let (traces, metrics) = (config.traces.unwrap(), config.metrics.unwrap());
        assert_eq!(traces.url.as_str(), "https://c.example/base/v1/traces");
        assert_eq!(metrics.url.as_str(), "http://127.0.0.1:1/m");
        assert_eq!(
            (config.sample_per_million, config.follows_parent),
            (250_000, false)
        );
        assert_eq!(config.service_name, "mine");
        assert_eq!(config.attributes[0], ("team".into(), "a b".into()));
        assert_eq!(traces.timeout, Duration::from_millis(1500));
        assert_eq!(environment(&[("OTEL_SDK_DISABLED", "TRUE")]).unwrap(), None);
        let off = [
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ];
        assert_eq!(environment(&off).unwrap(), None);
    }

    #[test]
    fn variables_of_one_kind_take_the_place_of_those_of_all() {
        let config = environment(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=all,team=a"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=of%20traces"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", " "),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "20"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t.example"),
        ]);
        let config = config.unwrap().unwrap();
        let (traces, metrics) = (config.traces.unwrap(), config.metrics.unwrap());
        let shown = |of: &Destination| {
            let value = |source: &SecretSource| match source {
                SecretSource::Value(secret) => secret.reveal().to_owned(),
                other => panic!("{other:?}"),
            };
            let headers = of.headers.iter();
            headers
                .map(|(name, source)| format!("{name}: {}", value(source)))
                .collect::<Vec<_>>()
        };
        // The whole address, without a path below it.
        assert_eq!(traces.url.as_str(), "https://t.example/");
        assert_eq!(shown(&traces), ["api-key: of traces"]);
        assert_eq!(traces.timeout, Duration::from_millis(1500));
        assert_eq!(metrics.url.as_str(), "http://localhost:4318/v1/metrics");
        assert_eq!(
            shown(&metrics),
            ["api-key: all", "team: a"],
            "an empty one is not set"
        );
        assert_eq!(metrics.timeout, Duration::from_millis(20));

        // What is sent of one kind counts for that kind alone.
        let own = ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "api-key=hunter2");
        let away = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t.example/");
        assert!(environment(&[own, away]).unwrap().is_some());
        for (name, value, expected) in [
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "hunter2", "name=value"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                "api-key=hunter2",
                "https",
            ),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0", "milliseconds"),
        ] {
            let error = environment(&[(name, value), away]).unwrap_err();
            assert!(error.contains(name) && error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_variable_is_said_without_a_secret() {
        for (name, value, expected) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                "http/json",
                "http/protobuf",
            ),
            ("OTEL_TRACES_SAMPLER", "xray", "traceidratio"),
            ("OTEL_METRICS_EXPORTER", "prometheus", "otlp"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317", "URL"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "name=value"),
        ] {
            let error = environment(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let exposed = environment(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c.example"),
        ]);
        let error = exposed.unwrap_err();
        assert!(
            error.contains("https") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
