//! The part about Google Pub/Sub.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use anyhow::Context as _;
use hyperfleet_broker::pubsub::PubSubOptions;

use super::ensure;
use super::keys::Keys;

const DAY: Duration = Duration::from_hours(24);

/// The least and the most that Pub/Sub keeps events.
const RETENTION: (Duration, Duration) = (Duration::from_mins(10), Duration::from_hours(31 * 24));

/// The longest back-off of Pub/Sub.
const LONGEST_BACKOFF: Duration = Duration::from_mins(10);

pub(super) fn options(keys: &Keys, emulator_host: Option<&str>) -> anyhow::Result<PubSubOptions> {
    let key = |name: &str| format!("broker.googlepubsub.{name}");
    let project = keys
        .text(&key("project_id"))
        .context("googlepubsub.project_id is required")?;
    let mut options = PubSubOptions::new(project);
    options.emulator_host = emulator_host
        .filter(|host| !host.is_empty())
        .map(str::to_owned);
    if let Some(seconds) = keys.whole(&key("ack_deadline_seconds"))? {
        ensure(
            (10..=600).contains(&seconds),
            "googlepubsub.ack_deadline_seconds must be between 10 and 600 seconds",
        )?;
        options.ack_deadline = u64::try_from(seconds).ok().map(Duration::from_secs);
    }
    read_lifetimes(keys, &mut options)?;
    read_retries(keys, &mut options)?;
    let count = |name: &str| -> anyhow::Result<Option<NonZeroUsize>> {
        let number = keys.whole(&key(name))?.unwrap_or_default();
        let text = format!("googlepubsub.{name} must be non-negative");
        ensure(number >= 0, &text)?;
        Ok(usize::try_from(number).ok().and_then(NonZeroUsize::new))
    };
    options.max_outstanding_messages = count("max_outstanding_messages")?;
    options.max_outstanding_bytes = count("max_outstanding_bytes")?;
    count("num_goroutines")?;
    options.create_topic_if_missing = keys.flag(&key("create_topic_if_missing"))?;
    options.create_subscription_if_missing = keys.flag(&key("create_subscription_if_missing"))?;
    Ok(options)
}

fn read_lifetimes(keys: &Keys, options: &mut PubSubOptions) -> anyhow::Result<()> {
    let (least, most) = RETENTION;
    let retention = keys.duration("broker.googlepubsub.message_retention_duration")?;
    ensure(
        retention.is_none_or(|retention| (least..=most).contains(&retention)),
        "googlepubsub.message_retention_duration must be between 10m and 31d",
    )?;
    let expiration = keys.duration("broker.googlepubsub.expiration_ttl")?;
    let is_set = expiration.filter(|ttl| !ttl.is_zero());
    ensure(
        is_set.is_none_or(|ttl| ttl >= DAY),
        "googlepubsub.expiration_ttl must be at least 1d or 0 (never expire)",
    )?;
    ensure(
        is_set.is_none_or(|ttl| retention.is_none_or(|retention| ttl >= retention)),
        "googlepubsub.expiration_ttl must be greater than or equal to message_retention_duration",
    )?;
    let topic = keys.duration("broker.googlepubsub.topic_retention_duration")?;
    ensure(
        topic.is_none_or(|topic| topic.is_zero() || (least..=most).contains(&topic)),
        "googlepubsub.topic_retention_duration must be between 10m and 31d, or 0 (disabled)",
    )?;
    options.message_retention = retention;
    options.expiration_ttl = expiration;
    Ok(())
}

fn read_retries(keys: &Keys, options: &mut PubSubOptions) -> anyhow::Result<()> {
    let backoff = |name: &str| -> anyhow::Result<Option<Duration>> {
        let delay = keys.duration(&format!("broker.googlepubsub.{name}"))?;
        ensure(
            delay.is_none_or(|delay| delay <= LONGEST_BACKOFF),
            &format!("googlepubsub.{name} must be between 0s and 600s"),
        )?;
        Ok(delay)
    };
    let (least, most) = (backoff("retry_min_backoff")?, backoff("retry_max_backoff")?);
    ensure(
        least.zip(most).is_none_or(|(least, most)| least <= most),
        "googlepubsub.retry_min_backoff must be less than or equal to retry_max_backoff",
    )?;
    options.retry_minimum_backoff = least;
    options.retry_maximum_backoff = most;
    if let Some(attempts) = keys.whole("broker.googlepubsub.dead_letter_max_attempts")? {
        ensure(
            (5..=100).contains(&attempts),
            "googlepubsub.dead_letter_max_attempts must be between 5 and 100",
        )?;
        options.dead_letter_max_attempts = u32::try_from(attempts).ok().and_then(NonZeroU32::new);
    }
    Ok(())
}
