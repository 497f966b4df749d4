//! A bare relay, the least cost of a stdio process in front of an HTTP server: one POST for each line, without any policy.
//!
//! Built like the gateway: one thread reads, one writes all that is ready together, and calls run concurrently on a current-thread runtime.
//! Each message of an event stream is written as soon as it is complete; the stream is then read to its end, so that its connection is reused.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::rc::Rc;
use std::sync::mpsc as std_mpsc;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use crate::support::Result;
use crate::support::client::http::Endpoint;

pub(crate) fn run(url: &str) -> Result<()> {
    let (line_in, mut lines) = mpsc::unbounded_channel();
    let (out, messages) = std_mpsc::channel();
    thread::spawn(move || read(&line_in));
    let writer = thread::spawn(move || write(&messages));
    let endpoint = Rc::new(Endpoint::new(url)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                line = lines.recv() => {
                    let Some(line) = line else { break };
                    let (endpoint, out) = (endpoint.clone(), out.clone());
                    calls.spawn_local(async move {
                        endpoint.post(line, |message| Ok(out.send(message)?)).await
                    });
                }
                Some(done) = calls.join_next() => done??,
            }
        }
        while let Some(done) = calls.join_next().await {
            done??;
        }
        Result::Ok(())
    })?;
    drop(out);
    writer.join().map_err(|_| "the writer panicked")??;
    Ok(())
}

fn read(lines: &mpsc::UnboundedSender<Vec<u8>>) -> Result<()> {
    let mut input = BufReader::with_capacity(64 << 10, std::io::stdin().lock());
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        lines.send(line)?;
    }
}

fn write(messages: &std_mpsc::Receiver<Bytes>) -> Result<()> {
    // Stdout is line-buffered: the buffer in front of it joins lines that are written together.
    let mut output = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    while let Ok(message) = messages.recv() {
        for message in std::iter::once(message).chain(messages.try_iter()) {
            output.write_all(&message)?;
            output.write_all(b"\n")?;
        }
        output.flush()?;
    }
    Ok(())
}
