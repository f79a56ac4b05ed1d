//! Work that goes on if the sender for whom it is done hangs up.
//!
//! A task of its own for each delivery would do the same, and then each request would wake two tasks: the one that
//! delivers and the one that waits for it. So the connection's task does the work, and another task takes it over only
//! if the connection's is dropped before its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Work that goes on to its end, also if this is dropped before. The result is `None` after a panic.
pub(crate) struct ToTheEnd<'t, F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// `None` once it is done.
    work: Option<Pin<Box<F>>>,
    tracker: &'t TaskTracker,
}

impl<'t, F> ToTheEnd<'t, F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// `tracker` counts the work that has no sender any more.
    pub(crate) fn new(work: F, tracker: &'t TaskTracker) -> Self {
        Self { work: Some(Box::pin(work)), tracker }
    }
}

impl<F> Future for ToTheEnd<'_, F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else { return Poll::Ready(None) };
        // A panic costs this request and not the other ones of its connection.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Some(result),
            Err(_) => None,
        };
        self.work = None;
        Poll::Ready(result)
    }
}

impl<F> Drop for ToTheEnd<'_, F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            self.tracker.spawn_on(work, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_whose_sender_hangs_up_is_done_to_its_end() {
        let tracker = TaskTracker::new();
        let (go, wait) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = async move {
            let _ = wait.await;
            let _ = tell.send("done");
        };
        let began = tokio::time::timeout(Duration::ZERO, ToTheEnd::new(work, &tracker)).await;
        assert!(began.is_err());
        // A server that ends waits for it.
        assert_eq!(tracker.len(), 1);
        go.send(()).unwrap();
        assert_eq!(told.await, Ok("done"));
        tracker.close();
        tracker.wait().await;
    }

    #[tokio::test]
    async fn what_is_done_starts_no_task() {
        let tracker = TaskTracker::new();
        assert_eq!(ToTheEnd::new(async { 7 }, &tracker).await, Some(7));
        assert_eq!(tracker.len(), 0);
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_its_connection() {
        let tracker = TaskTracker::new();
        let work = async { assert!(std::hint::black_box(false), "a mistake") };
        assert_eq!(ToTheEnd::new(work, &tracker).await, None);
        assert_eq!(tracker.len(), 0);
    }
}
