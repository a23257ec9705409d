//! `hyperfleet broker check`: whether events will flow.

use anyhow::{Context as _, bail};
use hyperfleet_broker::{Checked, Finding};
use serde_json::{Value, json};

use crate::arguments::{BrokerCheckArguments, BrokerCommand, ReportFormat};
use crate::control_plane::{Broker, BrokerChoice};
use crate::output;

pub(crate) async fn run(command: &BrokerCommand) -> anyhow::Result<()> {
    let BrokerCommand::Check(arguments) = command;
    let choice = choice(arguments)?;
    let broker = Broker::open(&choice).await?;
    let inspect = broker.inspect().context(
        "the broker `memory:` lives inside another process, and needs nothing to be set up",
    )?;
    let found = inspect.inspect(&arguments.topic, &arguments.subscription);
    let found = found.await;
    print(&choice.described(), &found, arguments.output)?;
    let problems = found.iter().filter(|one| one.finding.is_problem()).count();
    if problems > 0 {
        bail!("{problems} of {} are not in order", found.len());
    }
    Ok(())
}

fn choice(arguments: &BrokerCheckArguments) -> anyhow::Result<BrokerChoice> {
    match &arguments.broker_file {
        Some(file) => BrokerChoice::of_file(file),
        None => BrokerChoice::required(arguments.broker.as_deref(), "look at"),
    }
}

fn print(broker: &str, found: &[Checked], format: ReportFormat) -> anyhow::Result<()> {
    if format == ReportFormat::Json {
        let checks: Vec<Value> = found.iter().map(document).collect();
        let in_order = !found.iter().any(|one| one.finding.is_problem());
        let document = json!({"broker": broker, "in_order": in_order, "checks": checks});
        println!("{}", serde_json::to_string_pretty(&document)?);
        return Ok(());
    }
    println!("broker {broker}");
    let row = |one: &Checked| {
        vec![
            one.finding.name().to_owned(),
            one.what.clone(),
            one.finding.detail().unwrap_or_default().to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    print!("{}", output::table(&["STATE", "WHAT", "DETAIL"], &rows));
    Ok(())
}

fn document(one: &Checked) -> Value {
    let Checked { what, finding } = one;
    json!({
        "what": what, "state": finding.name(), "detail": Finding::detail(finding),
        "problem": finding.is_problem(),
    })
}
