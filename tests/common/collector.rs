//! A collector of OpenTelemetry: takes OTLP over HTTP as protobuf, and answers as the test says.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::{PATIENCE, canary};

/// A running collector.
pub struct Collector {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    exports: Mutex<Vec<Export>>,
    one_more: Condvar,
    answers: Mutex<VecDeque<Answer>>,
}

/// One request to it.
#[derive(Clone)]
pub struct Export {
    pub path: String,
    /// Their names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What it does with a request.
#[derive(Clone)]
pub enum Answer {
    /// Answers with this head, status line and headers without the blank line, and body.
    With(&'static str, Vec<u8>),
    /// Never answers.
    Hang,
}

impl Collector {
    /// One that takes everything, but answers the first requests so.
    pub fn start(first: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            answers: Mutex::new(first.into_iter().collect()),
            ..Shared::default()
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(&stream.unwrap()));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until there are requests that this finds something in.
    pub fn wait_for<T>(&self, find: impl Fn(&[Export]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut exports = self.shared.exports.lock().unwrap();
        loop {
            if let Some(found) = find(&exports) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let waiting = self.shared.one_more.wait_timeout(exports, left);
            let (now, waited) = waiting.unwrap();
            exports = now;
            assert!(
                !waited.timed_out(),
                "nothing such in {} exports",
                exports.len()
            );
        }
    }

    /// All requests so far.
    pub fn exports(&self) -> Vec<Export> {
        self.shared.exports.lock().unwrap().clone()
    }
}

impl Shared {
    /// Serves one connection. One that breaks off is over.
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(export) = read(&mut reader) {
            canary::scan("a body for the collector", &export.body);
            let answer = self.answers.lock().unwrap().pop_front();
            self.exports.lock().unwrap().push(export);
            self.one_more.notify_all();
            let (head, body) = match answer {
                None => ("HTTP/1.1 200 OK", Vec::new()),
                Some(Answer::With(head, body)) => (head, body),
                Some(Answer::Hang) => loop {
                    thread::park();
                },
            };
            let mut writer = stream;
            let head = format!("{head}\r\ncontent-length: {}\r\n\r\n", body.len());
            if writer
                .write_all(&[head.as_bytes(), &body].concat())
                .is_err()
            {
                return;
            }
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Export> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = (lines[1..].iter())
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length?.1.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Export {
        path,
        headers,
        body,
    })
}

/// All spans in these requests.
pub fn spans(exports: &[Export]) -> Vec<Span> {
    let traces = exports.iter().filter(|export| export.path == "/v1/traces");
    let requests = traces.map(|export| ExportTraceServiceRequest::decode(&*export.body).unwrap());
    let resources = requests.flat_map(|request| request.resource_spans);
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// The attributes of each point of a histogram in these requests, and how many values it has.
pub fn histogram(exports: &[Export], name: &str) -> Vec<(Vec<KeyValue>, u64)> {
    let points = metrics(exports, name)
        .into_iter()
        .flat_map(|data| match data {
            Data::Histogram(histogram) => histogram.data_points,
            other => panic!("{name} is {other:?}"),
        });
    points
        .map(|point| (point.attributes, point.count))
        .collect()
}

/// The same of a counter or a gauge of whole numbers, and its values.
pub fn numbers(exports: &[Export], name: &str) -> Vec<(Vec<KeyValue>, i64)> {
    let points = metrics(exports, name)
        .into_iter()
        .flat_map(|data| match data {
            Data::Sum(sum) => sum.data_points,
            Data::Gauge(gauge) => gauge.data_points,
            other => panic!("{name} is {other:?}"),
        });
    let number = |value| match value {
        Some(number_data_point::Value::AsInt(number)) => number,
        other => panic!("{name} is {other:?}"),
    };
    points
        .map(|point| (point.attributes, number(point.value)))
        .collect()
}

fn metrics(exports: &[Export], name: &str) -> Vec<Data> {
    let metrics = exports.iter().filter(|export| export.path == "/v1/metrics");
    let requests =
        metrics.map(|export| ExportMetricsServiceRequest::decode(&*export.body).unwrap());
    let resources = requests.flat_map(|request| request.resource_metrics);
    let scopes = resources.flat_map(|resource| resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| scope.metrics);
    let named = metrics.filter(|metric| metric.name == name);
    named.filter_map(|metric| metric.data).collect()
}

/// An attribute's value as text; empty where there is none.
pub fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone());
    match value.and_then(|AnyValue { value }| value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(other) => panic!("{key} is {other:?}"),
        None => String::new(),
    }
}
