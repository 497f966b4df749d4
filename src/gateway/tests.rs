//! What the loop guarantees, where no backend can provoke it.

use std::io::{BufRead, BufReader, PipeReader, Read};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::*;
use crate::budget::Budget;
use crate::client::Lifecycle;
use crate::config::{Environment, Overrides, load};
use crate::protocol::{ClientProfile, Id, Outcome, RawJson, Request};
use crate::publish::Publisher;
use crate::snapshot::KeptResults;
use crate::state::StateStore;
use crate::transport::stdio::{Outbox, write_lines};

/// One without backends, and what its client gets to read.
fn gateway(budget: Budget) -> (Gateway, Outbox, PipeReader) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.toml");
    std::fs::write(&file, "").unwrap();
    let overrides = Overrides {
        config: Some(file),
        ..Overrides::default()
    };
    let config = Arc::new(load(&overrides, &Environment::new(folder.path())).unwrap());
    let (reader, writer) = std::io::pipe().unwrap();
    let (outbox, _writer) = write_lines(Box::new(writer), budget.clone());
    let lifecycle = Lifecycle::new(&config.gateway);
    let publisher = Publisher::new(
        config,
        Vec::new(),
        StateStore::none(),
        KeptResults::new(&budget),
    );
    let gateway = Gateway::new(lifecycle, publisher, outbox.clone());
    (gateway, outbox, reader)
}

#[tokio::test]
async fn fault_86_a_panic_costs_the_one_call_it_happens_in() {
    let (mut gateway, outbox, reader) = gateway(Budget::new(usize::MAX));
    let works: [BoxFuture<'static, Outcome>; 2] = [
        async { panic!("a bug of ours") }.boxed(),
        async { Outcome::Result(RawJson::trusted("{}")) }.boxed(),
    ];
    for (id, work) in (1..).zip(works) {
        let request = Request {
            id: Id::number(id),
            method: "tools/call".into(),
            params: None,
        };
        let key = gateway
            .replies
            .begin(&request, Era::Legacy, None, None)
            .unwrap();
        gateway.spawn(key, work);
    }
    for _ in 0..2 {
        let event = gateway.from_tasks.recv().await.unwrap();
        gateway.task(event);
    }
    assert_eq!(gateway.replies.len(), 0);
    outbox.close();
    let mut lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    lines.sort();
    assert!(
        lines[0].starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"#),
        "{lines:?}"
    );
    assert_eq!(lines[1..], [r#"{"jsonrpc":"2.0","id":2,"result":{}}"#]);
}

#[tokio::test]
async fn a_server_request_over_the_budget_is_dropped() {
    let (mut gateway, outbox, mut reader) = gateway(Budget::new(1000));
    let client = Arc::new(ClientProfile::superset());
    let (answer, answered) = oneshot::channel();
    let long = "x".repeat(1000);
    let unsolicited = UnsolicitedRequest {
        backend: "fake".into(),
        request: Request {
            id: Id::number(1),
            method: "elicitation/create".into(),
            params: Some(RawJson::trusted(format!(r#"{{"message":"{long}"}}"#))),
        },
        answer,
    };
    relay(unsolicited, Some(&client), &gateway.tasks);
    let asked = gateway.from_tasks.recv().await.unwrap();
    gateway.task(asked);
    let cancelled = RawJson::trusted(r#"{"action":"cancel"}"#);
    assert!(matches!(answered.await, Ok(Outcome::Result(said)) if said == cancelled));
    outbox.close();
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
