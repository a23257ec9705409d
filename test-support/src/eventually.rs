//! Waiting for a condition with a deadline, in place of sleeping.

use std::time::{Duration, Instant};

/// How long to wait between two looks: short against any deadline, long against a query.
const PAUSE: Duration = Duration::from_millis(10);

/// What one look at a condition gives: the awaited value, or why it is not there yet.
pub trait Look {
    /// What the wait is for.
    type Found;

    /// The awaited value.
    ///
    /// # Errors
    /// Why it is not there yet.
    fn found(self) -> Result<Self::Found, String>;
}

impl Look for bool {
    type Found = ();

    fn found(self) -> Result<(), String> {
        if self {
            Ok(())
        } else {
            Err("false".to_owned())
        }
    }
}

impl<T> Look for Option<T> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: std::fmt::Debug> Look for Result<T, E> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Looks again and again until the condition holds, and returns what it found.
///
/// `look` answers with a `bool`, an `Option` or a `Result`.
///
/// # Panics
/// When the condition does not hold by `deadline`; the message names `what` and the last look.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub async fn eventually<L: Look>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> L,
) -> L::Found {
    let start = Instant::now();
    loop {
        match look().await.found() {
            Ok(found) => return found,
            Err(last) if start.elapsed() >= deadline => {
                panic!("{what}: not so after {deadline:?}; last look: {last}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_found_value_is_returned() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(5), "third look", async || {
            looks += 1;
            (looks == 3).then_some(looks)
        })
        .await;
        assert_eq!(found, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "the moon is cheese: not so after 20ms; last look: false")]
    async fn the_deadline_ends_the_wait_and_names_it() {
        eventually(
            Duration::from_millis(20),
            "the moon is cheese",
            async || false,
        )
        .await;
    }
}
