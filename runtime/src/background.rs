//! Threads for work that has time.

use std::io;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// By how much the threads yield to others, as `nice` counts.
const NICE: i32 = 10;

/// Does work on threads of its own, which get what others leave of the processors: so that it does not slow
/// down the requests that the same machine serves. Where the system does not allow that, they are threads like
/// others.
///
/// # Errors
/// When threads cannot be started, or the work panicked.
pub async fn run<Work, Working, Done>(work: Work) -> io::Result<Done>
where
    Work: FnOnce() -> Working + Send + 'static,
    Working: Future<Output = Done>,
    Done: Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name("background".to_owned())
        .spawn(move || {
            yield_to_others();
            let runtime = Builder::new_multi_thread()
                .thread_name("background")
                .enable_all()
                .on_thread_start(yield_to_others)
                .build();
            // Whoever stopped waiting needs no answer.
            let _ = answer.send(runtime.map(|runtime| runtime.block_on(work())));
        })?;
    answered
        .await
        .map_err(|_| io::Error::other("the work in the background panicked"))?
}

fn yield_to_others() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(error = %error, "background threads do not yield to others");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_elsewhere_and_its_panic_is_an_error() {
        let here = std::thread::current().id();
        let (there, nice) = run(|| async {
            let nice = rustix::process::nice(0);
            (std::thread::current().id(), nice)
        })
        .await
        .unwrap();
        assert_ne!(here, there);
        assert!(nice.unwrap() >= rustix::process::nice(0).unwrap());
        let failed = run(|| async { panic!("on purpose") }).await;
        assert!(failed.is_err());
    }
}
