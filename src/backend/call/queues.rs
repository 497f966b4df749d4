//! Where calls wait until fewer are in flight.
//!
//! Owns `max_in_flight` of a backend and of its tools: first come, first served. Calls in flight stay
//! counted when the numbers change. It must not know how long a call may wait.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::config::BackendConfig;
use crate::text::Glob;

/// The queues of one backend.
#[derive(Debug)]
pub(in crate::backend) struct Queues {
    all: Arc<Semaphore>,
    tools: Vec<ToolQueue>,
}

/// The queue of the tools of a glob.
#[derive(Debug)]
struct ToolQueue {
    glob: Glob,
    max_in_flight: usize,
    places: Arc<Semaphore>,
}

/// A call's places, freed when this is dropped.
pub(super) struct Places<'a> {
    _of_tool: Option<SemaphorePermit<'a>>,
    _of_backend: SemaphorePermit<'a>,
}

impl Queues {
    /// Empty queues.
    pub(in crate::backend) fn new(config: &BackendConfig) -> Self {
        let tools = config.tools.max_in_flight.iter();
        let tools = tools.map(|(glob, max)| ToolQueue {
            glob: glob.clone(),
            max_in_flight: *max,
            places: Arc::new(Semaphore::new(*max)),
        });
        Self {
            all: Arc::new(Semaphore::new(config.max_in_flight)),
            tools: tools.collect(),
        }
    }

    /// These queues under another config; `before` is the one that they have. Where there are fewer
    /// places now, they are taken away as calls end, at the latest when the backend is `unused`.
    pub(in crate::backend) fn resized(
        &self,
        before: &BackendConfig,
        now: &BackendConfig,
        unused: &CancellationToken,
    ) -> Self {
        resize(&self.all, before.max_in_flight, now.max_in_flight, unused);
        let tools = now.tools.max_in_flight.iter().map(|(glob, max)| {
            let pattern = glob.written();
            let mut known = self.tools.iter();
            let known = known.find(|queue| queue.glob.written() == pattern);
            let places = match known {
                Some(queue) => {
                    resize(&queue.places, queue.max_in_flight, *max, unused);
                    Arc::clone(&queue.places)
                }
                None => Arc::new(Semaphore::new(*max)),
            };
            ToolQueue {
                glob: glob.clone(),
                max_in_flight: *max,
                places,
            }
        });
        Self {
            tools: tools.collect(),
            all: Arc::clone(&self.all),
        }
    }

    /// Waits until a call may be sent, of this tool if it runs one. A call that waits for its tool takes
    /// no place from others. `None` never happens: no queue is closed.
    pub(super) async fn enter(&self, tool: Option<&str>) -> Option<Places<'_>> {
        let of_tool = match tool.and_then(|tool| self.of_tool(tool)) {
            Some(queue) => Some(queue.places.acquire().await.ok()?),
            None => None,
        };
        Some(Places {
            _of_tool: of_tool,
            _of_backend: self.all.acquire().await.ok()?,
        })
    }

    fn of_tool(&self, tool: &str) -> Option<&ToolQueue> {
        self.tools.iter().find(|queue| queue.glob.is_match(tool))
    }
}

fn resize(places: &Arc<Semaphore>, before: usize, now: usize, unused: &CancellationToken) {
    places.add_permits(now.saturating_sub(before));
    let fewer = u32::try_from(before.saturating_sub(now)).unwrap_or(u32::MAX);
    if fewer > 0 {
        // They are taken away as calls end, before calls that wait.
        let taking = Arc::clone(places).acquire_many_owned(fewer);
        let unused = unused.clone();
        tokio::spawn(unused.run_until_cancelled_owned(async {
            if let Ok(taken) = taking.await {
                taken.forget();
            }
        }));
    }
}
