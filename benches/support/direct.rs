//! The lower limit: the same calls straight over HTTP, from within the driver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, LocalSet};

use super::Result;
use super::call::{self, Tool};
use super::drive::{Drive, Expected, Flood};
use super::http::Endpoint;
use super::usage::Usage;

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
            endpoint.post(call::initialize(), |_| Ok(())).await?;
            endpoint.post(call::INITIALIZED, |_| Ok(())).await
        })?;
        Ok(Self { runtime, endpoint })
    }
}

impl Drive for Direct {
    fn one_by_one(&mut self, tool: Tool, count: usize) -> Result<Vec<Duration>> {
        self.runtime.block_on(async {
            let mut expected = Expected::new(tool, call::FIRST_CALL, count);
            let mut times = Vec::with_capacity(count);
            for id in (call::FIRST_CALL..).take(count) {
                let mut request = Vec::new();
                tool.write_call(id, &mut request)?;
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

    fn side_by_side(&mut self, tool: Tool, width: usize, count: usize) -> Result<Flood> {
        let expected = Rc::new(RefCell::new(Expected::new(tool, call::FIRST_CALL, count)));
        let next = Rc::new(Cell::new(call::FIRST_CALL));
        let end = call::FIRST_CALL + count as u64;
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
                        tool.write_call(id, &mut request)?;
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
        Ok(Flood {
            wall: started.elapsed(),
            progress: std::mem::take(&mut expected.borrow_mut().progress),
        })
    }

    /// The driver's own cost is not the baseline's.
    fn usage(&self) -> Option<Usage> {
        None
    }
}
