//! `-w`: what is recorded from now on, line by line.

use hyperfleet_api_types::HistoryItem;
use hyperfleet_api_types::client::{HistoryWatch, HistoryWatchEvent};

use super::table;
use crate::arguments::{HistoryFormat, OutputFormat};
use crate::output;

/// The event after which a resource has no others.
const REMOVED: &str = "removed";

/// Prints items as they come.
pub(crate) struct Follow {
    format: HistoryFormat,
    is_headed: bool,
}

impl Follow {
    pub(crate) fn new(format: HistoryFormat) -> Self {
        Self {
            format,
            is_headed: false,
        }
    }

    /// Prints until the one resource that is asked about is removed, or for ever.
    pub(crate) async fn run(
        &mut self,
        mut watch: HistoryWatch,
        one: Option<&str>,
    ) -> anyhow::Result<()> {
        loop {
            match watch.next().await? {
                HistoryWatchEvent::Recorded(entry) => {
                    let is_last = one.is_some() && entry.event_type.ends_with(REMOVED);
                    self.print(&[HistoryItem::Accepted(entry)])?;
                    if is_last {
                        return Ok(());
                    }
                }
                HistoryWatchEvent::Bookmark { .. } => {}
                HistoryWatchEvent::Restarted => {
                    eprintln!("the server could not go on from there; some events may be missing");
                }
            }
        }
    }

    /// Prints some items, under the headings when they are the first.
    pub(crate) fn print(&mut self, items: &[HistoryItem]) -> anyhow::Result<()> {
        match self.format {
            HistoryFormat::Ndjson => {
                for item in items {
                    println!("{}", serde_json::to_string(item)?);
                }
            }
            HistoryFormat::Json => {
                for item in items {
                    println!("{}", serde_json::to_string_pretty(item)?);
                }
            }
            HistoryFormat::Yaml => {
                for item in items {
                    let document = serde_json::to_value(item)?;
                    print!(
                        "---\n{}",
                        output::structured(&document, OutputFormat::Yaml)?
                    );
                }
            }
            HistoryFormat::Table | HistoryFormat::Wide => {
                let printed = table::items(items, self.format == HistoryFormat::Wide);
                let rows = printed.split_once('\n').map_or("", |(_, rows)| rows);
                let is_headed = std::mem::replace(&mut self.is_headed, true);
                print!("{}", if is_headed { rows } else { &printed });
            }
        }
        Ok(())
    }
}
