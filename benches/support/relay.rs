//! The bare relay: what any stdio process in front of an HTTP server must cost. A line in, one POST, the answer out; no policy at all.
//!
//! Shaped as a gateway would be: one thread reads, one writes what is ready in one go, calls run side by side on a current-thread runtime.
//! Each message of an event stream goes out as soon as it is whole; the stream is then read to its end, so that its connection serves again.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::rc::Rc;
use std::sync::mpsc as std_mpsc;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use super::Result;
use super::http::Endpoint;

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
    // Stdout alone writes once a line; the lines of one go are gathered before it.
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
