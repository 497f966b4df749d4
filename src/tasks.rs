//! Work beside the task that starts it.
//!
//! Owns the form in which the runtime knows it: the code of a task is compiled once, not once for each
//! kind of work. What every call needs starts its tasks without the allocation that this takes.

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Starts a task.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work.boxed())
}

/// Starts work that may block, on a thread for that. What it returns arrives at the receiver; if that is
/// dropped, the work goes on.
///
/// The receiver fails if the work panics, or if the runtime ends before it begins.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, result) = oneshot::channel();
    let work: Box<dyn FnOnce() + Send> = Box::new(move || drop(done.send(work())));
    drop(tokio::task::spawn_blocking(work));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_result_of_blocking_work_arrives_and_a_panic_is_an_error() {
        assert_eq!(blocking(|| 7).await, Ok(7));
        assert!(
            blocking(|| -> usize { panic!("by the test") })
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_task_runs_to_its_end() {
        let (sender, receiver) = oneshot::channel();
        spawn(async move { sender.send(7).unwrap() }).await.unwrap();
        assert_eq!(receiver.await, Ok(7));
    }
}
