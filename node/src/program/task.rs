//! Tasks of the program.

use std::pin::Pin;

use tokio::task::JoinHandle;

/// Starts a task. It is boxed, so that the runtime's code for tasks is compiled once and not for each
/// of ours: 4 kB less each.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
    tokio::spawn(work)
}
