//! The loop's own promises, where no backend can provoke them.

use std::io::{BufRead, BufReader};

use super::*;
use crate::budget::Budget;
use crate::config::{Environment, Overrides, load};
use crate::protocol::RawJson;
use crate::state::Memory;
use crate::transport::stdio::write_lines;

#[tokio::test]
async fn fault_86_a_panic_costs_the_one_call_it_happens_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.toml");
    std::fs::write(&file, "").unwrap();
    let overrides = Overrides {
        config: Some(file),
        ..Overrides::default()
    };
    let config = Arc::new(load(&overrides, &Environment::new(folder.path())).unwrap());
    let (reader, writer) = std::io::pipe().unwrap();
    let (outbox, _writer) = write_lines(Box::new(writer), Budget::new(usize::MAX));
    let lifecycle = Lifecycle::new(&config.gateway);
    let mut gateway = Gateway::new(
        lifecycle,
        Refresh::new(config, Vec::new(), Memory::none()),
        outbox.clone(),
    );

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
        let ticket = gateway.replies.begin(&request, Era::Legacy, None).unwrap();
        gateway.spawn(ticket, work);
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
