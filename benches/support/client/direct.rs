//! The lower bound: the same calls over HTTP, made by the driver itself.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, LocalSet};

use crate::support::Result;
use crate::support::call::{Call, Era, FIRST_CALL};
use crate::support::client::driver::{CallDriver, ConcurrentRun, Expected};
use crate::support::client::http::Endpoint;
use crate::support::process::usage::Usage;

pub(crate) struct Direct {
    runtime: Runtime,
    endpoint: Rc<Endpoint>,
}

impl Direct {
    /// Opens a session with the backend.
    pub(crate) fn open(url: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let endpoint = Rc::new(Endpoint::new(url)?);
        runtime.block_on(async {
            endpoint
                .post(Era::Legacy.first_request()?, |_| Ok(()))
                .await?;
            match Era::Legacy.after_first_request() {
                Some(message) => endpoint.post(message, |_| Ok(())).await,
                None => Ok(()),
            }
        })?;
        Ok(Self { runtime, endpoint })
    }

    /// Lists the tools; returns the number of bytes received.
    pub(crate) fn list_tools(&mut self) -> Result<usize> {
        let mut bytes = 0;
        let count = |message: bytes::Bytes| {
            bytes += message.len();
            Ok(())
        };
        let request = Era::Legacy.request(2, "tools/list")?;
        self.runtime.block_on(self.endpoint.post(request, count))?;
        Ok(bytes)
    }
}

impl CallDriver for Direct {
    fn sequential(&mut self, call: Call, count: usize) -> Result<Vec<Duration>> {
        self.runtime.block_on(async {
            let mut expected = Expected::new(call, FIRST_CALL, count);
            let mut times = Vec::with_capacity(count);
            for id in (FIRST_CALL..).take(count) {
                let mut request = Vec::new();
                call.write(id, &mut request)?;
                let mut messages = Vec::new();
                let sent = Instant::now();
                let keep = |message| {
                    messages.push(message);
                    Ok(())
                };
                self.endpoint.post(request, keep).await?;
                times.push(sent.elapsed());
                for message in messages {
                    expected.take(&message)?;
                }
            }
            Ok(times)
        })
    }

    fn concurrent(&mut self, call: Call, width: usize, count: usize) -> Result<ConcurrentRun> {
        let expected = Rc::new(RefCell::new(Expected::new(call, FIRST_CALL, count)));
        let next = Rc::new(Cell::new(FIRST_CALL));
        let end = FIRST_CALL + count as u64;
        let started = Instant::now();
        LocalSet::new().block_on(&self.runtime, async {
            let mut callers = JoinSet::new();
            for _ in 0..width {
                let (endpoint, expected, next) =
                    (self.endpoint.clone(), expected.clone(), next.clone());
                callers.spawn_local(async move {
                    while next.get() < end {
                        let id = next.replace(next.get() + 1);
                        let mut request = Vec::new();
                        call.write(id, &mut request)?;
                        let check =
                            |message: bytes::Bytes| expected.borrow_mut().take(&message).map(drop);
                        endpoint.post(request, check).await?;
                    }
                    Result::Ok(())
                });
            }
            while let Some(done) = callers.join_next().await {
                done??;
            }
            Result::Ok(())
        })?;
        Ok(ConcurrentRun {
            wall: started.elapsed(),
            progress: std::mem::take(&mut expected.borrow_mut().progress),
        })
    }

    /// Unknown: the driver's process does more than the calls.
    fn usage(&self) -> Option<Usage> {
        None
    }
}
