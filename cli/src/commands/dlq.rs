//! `hyperfleet dlq`: looking after the events that subscriptions gave up.

use std::sync::Arc;

use anyhow::bail;
use hyperfleet_broker::{DeadLetter, DeadLetters};
use serde_json::{Value, json};

use crate::arguments::{
    DeadLettersOf, DlqCommand, ListArguments, PurgeArguments, ReportFormat, RequeueArguments,
    ShowArguments,
};
use crate::confirm::confirmed;
use crate::control_plane::{Broker, BrokerChoice};
use crate::output;

/// Characters of a reason in a table.
const SHORT_REASON: usize = 80;

pub(crate) async fn run(command: &DlqCommand) -> anyhow::Result<()> {
    match command {
        DlqCommand::List(arguments) => list(arguments).await,
        DlqCommand::Show(arguments) => show(arguments).await,
        DlqCommand::Requeue(arguments) => requeue(arguments).await,
        DlqCommand::Purge(arguments) => purge(arguments).await,
    }
}

async fn connect(of: &DeadLettersOf) -> anyhow::Result<Arc<dyn DeadLetters>> {
    let choice = BrokerChoice::required(of.broker.as_deref(), "look at")?;
    if choice.is_memory() {
        bail!(
            "the broker `memory:` lives inside another process, and its dead letters end with it"
        );
    }
    Ok(Broker::open(&choice).await?.dead_letters())
}

/// The oldest dead letters of a subscription whose reason has a text.
async fn letters(
    broker: &dyn DeadLetters,
    of: &DeadLettersOf,
    limit: usize,
    reason: Option<&str>,
) -> anyhow::Result<Vec<DeadLetter>> {
    let mut letters = broker.list(&of.topic, &of.subscription, limit).await?;
    letters.retain(|letter| reason.is_none_or(|text| letter.reason.contains(text)));
    Ok(letters)
}

async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let broker = connect(&arguments.of).await?;
    let (limit, reason) = (usize::from(arguments.limit), arguments.reason.as_deref());
    let letters = letters(broker.as_ref(), &arguments.of, limit, reason).await?;
    if arguments.output == ReportFormat::Json {
        let documents: Vec<Value> = letters.iter().map(document).collect();
        return print_json(&json!({"dead_letters": documents}));
    }
    if letters.is_empty() {
        println!("there are no dead letters");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = letters.iter().map(row).collect();
    let headings = ["ID", "ATTEMPTS", "EVENT", "RESOURCE", "REASON"];
    print!("{}", output::table(&headings, &rows));
    Ok(())
}

async fn show(arguments: &ShowArguments) -> anyhow::Result<()> {
    let of = &arguments.of;
    let broker = connect(of).await?;
    let letter = broker
        .inspect(&of.topic, &of.subscription, &arguments.id)
        .await?;
    if arguments.output == ReportFormat::Json {
        return print_json(&document(&letter));
    }
    println!("Id:            {}", letter.dead_letter_id);
    println!("Topic:         {}", letter.topic);
    println!("Subscription:  {}", letter.subscription_id);
    println!("Attempts:      {}", letter.attempts);
    println!("Reason:        {}", letter.reason);
    match event(&letter) {
        Some(event) => println!("Event:\n{}", serde_json::to_string_pretty(&event)?),
        None => println!(
            "Body, which is no JSON:\n{}",
            String::from_utf8_lossy(&letter.body)
        ),
    }
    Ok(())
}

async fn requeue(arguments: &RequeueArguments) -> anyhow::Result<()> {
    let of = &arguments.of;
    let broker = connect(of).await?;
    let mut ids = arguments.ids.clone();
    if ids.is_empty() {
        let reason = arguments.reason.as_deref();
        let limit = RequeueArguments::LOOKED_AT;
        let chosen = letters(broker.as_ref(), of, limit, reason).await?;
        ids.extend(chosen.into_iter().map(|letter| letter.dead_letter_id));
    }
    if !goes_on(ids.len(), "requeued", arguments.dry_run, arguments.yes)? {
        return Ok(());
    }
    // The newest first: of equal ones, the broker numbers the later by the earlier.
    for (done, id) in ids.iter().rev().enumerate() {
        if let Err(error) = broker.requeue(&of.topic, &of.subscription, id).await {
            return Err(anyhow::Error::new(error).context(format!(
                "{done} of {} were requeued, then {id} was not",
                ids.len()
            )));
        }
    }
    println!("{} requeued", counted(ids.len()));
    Ok(())
}

async fn purge(arguments: &PurgeArguments) -> anyhow::Result<()> {
    let of = &arguments.of;
    let broker = connect(of).await?;
    let limit = RequeueArguments::LOOKED_AT;
    let count = letters(broker.as_ref(), of, limit, None).await?.len();
    if !goes_on(
        count,
        "forgotten for good",
        arguments.dry_run,
        arguments.yes,
    )? {
        return Ok(());
    }
    let purged = broker.purge(&of.topic, &of.subscription).await?;
    println!("{} purged", counted(purged));
    Ok(())
}

/// Says how many it would be, and asks where nobody has said yes.
fn goes_on(count: usize, done: &str, dry_run: bool, yes: bool) -> anyhow::Result<bool> {
    let more = if count == RequeueArguments::LOOKED_AT {
        " or more"
    } else {
        ""
    };
    let what = format!("{}{more} would be {done}", counted(count));
    if dry_run || count == 0 {
        println!("{what}");
        return Ok(false);
    }
    if !yes && !confirmed(&what)? {
        bail!("nothing was {done}");
    }
    Ok(true)
}

fn counted(count: usize) -> String {
    let letters = if count == 1 {
        "dead letter"
    } else {
        "dead letters"
    };
    format!("{count} {letters}")
}

/// The event, where the body is JSON.
fn event(letter: &DeadLetter) -> Option<Value> {
    serde_json::from_slice(&letter.body).ok()
}

fn document(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.dead_letter_id, "topic": letter.topic, "subscription": letter.subscription_id,
        "attempts": letter.attempts, "reason": letter.reason, "event": event(letter),
        "body": event(letter).is_none().then(|| String::from_utf8_lossy(&letter.body)),
    })
}

fn row(letter: &DeadLetter) -> Vec<String> {
    let event = event(letter).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reason = letter.reason.replace('\n', " ");
    vec![
        letter.dead_letter_id.clone(),
        letter.attempts.to_string(),
        text(&event["type"]),
        text(&event["data"]["id"]),
        reason.chars().take(SHORT_REASON).collect(),
    ]
}

fn print_json(document: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(document)?);
    Ok(())
}
