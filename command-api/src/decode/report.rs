//! Reading the body of a status report.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike as _, Utc};
use hyperfleet_api_types::AdapterStatusMetadata;
use hyperfleet_api_types::problem::Fault;
use serde_json::{Map, Value};

use super::member::Members;
use super::{object, unreadable};

/// Body of a status report. An absent or null member is empty.
#[derive(Debug, Default, PartialEq)]
pub struct ReportBody {
    /// Who reports.
    pub adapter: String,
    /// Generation that it saw.
    pub observed_generation: i32,
    /// When it looked.
    pub observed_time: Option<DateTime<Utc>>,
    /// What it found.
    pub conditions: Vec<ReportedCondition>,
    /// What else it tells, in a form of its own.
    pub data: Map<String, Value>,
    /// About the run that looked.
    pub metadata: Option<AdapterStatusMetadata>,
}

/// One condition as the adapter writes it, not yet checked.
#[derive(Debug, PartialEq)]
pub struct ReportedCondition {
    /// Its type.
    pub condition_type: String,
    /// `True`, `False`, `Unknown`, or what the adapter wrote instead.
    pub status: String,
    /// Why, for programs.
    pub reason: Option<String>,
    /// Why, for humans.
    pub message: Option<String>,
}

/// Reads the body of a status report.
///
/// # Errors
/// The fault of the body.
pub fn report(bytes: &[u8]) -> Result<ReportBody, Fault> {
    let document = object(bytes, false)?;
    let members = Members::of(&document);
    let conditions = members.objects("conditions")?.unwrap_or_default();
    Ok(ReportBody {
        adapter: members.text("adapter")?.unwrap_or_default(),
        observed_generation: members.integer("observed_generation")?.unwrap_or_default(),
        observed_time: time(&members, "observed_time")?,
        conditions: conditions.iter().map(condition).collect::<Result<_, _>>()?,
        data: members.object("data")?.cloned().unwrap_or_default(),
        metadata: metadata(&members)?,
    })
}

fn condition(members: &Members<'_>) -> Result<ReportedCondition, Fault> {
    Ok(ReportedCondition {
        condition_type: members.text("type")?.unwrap_or_default(),
        status: members.text("status")?.unwrap_or_default(),
        reason: members.text("reason")?,
        message: members.text("message")?,
    })
}

fn metadata(members: &Members<'_>) -> Result<Option<AdapterStatusMetadata>, Fault> {
    let Some(metadata) = members.object("metadata")? else {
        return Ok(None);
    };
    let metadata = members.inside("metadata", metadata);
    Ok(Some(AdapterStatusMetadata {
        job_name: metadata.text("job_name")?,
        job_namespace: metadata.text("job_namespace")?,
        attempt: metadata.integer("attempt")?,
        started_time: time(&metadata, "started_time")?,
        completed_time: time(&metadata, "completed_time")?,
        duration: metadata.text("duration")?,
    }))
}

/// An RFC 3339 time in UTC; `None` when absent, null or the zero time of the year 1.
fn time(members: &Members<'_>, name: &str) -> Result<Option<DateTime<Utc>>, Fault> {
    let Some(text) = members.text(name)? else {
        return Ok(None);
    };
    let time = DateTime::parse_from_rfc3339(&text)
        .map_err(|error| {
            unreadable(&format!(
                "'{text}' in '{name}' is no RFC 3339 time: {error}"
            ))
        })?
        .to_utc();
    if !YEARS.contains(&time.year()) {
        return Err(unreadable(&format!(
            "'{text}' in '{name}' is in UTC before the year 0 or after 9999, which RFC 3339 cannot say"
        )));
    }
    let is_zero = time.timestamp() == ZERO_TIME_SECONDS;
    Ok((!is_zero).then_some(time))
}

/// 0001-01-01T00:00:00Z, which some clients send for "no time".
const ZERO_TIME_SECONDS: i64 = -62_135_596_800;

/// Years that RFC 3339 can say.
const YEARS: RangeInclusive<i32> = 0..=9999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_report_is_read() {
        let body = report(
            br#"{"adapter":"dns","observed_generation":2,"observed_time":"2026-01-02T03:04:05Z",
                "conditions":[{"type":"Available","status":"True","reason":"R","last_transition_time":"x"}],
                "data":{"a":1},"metadata":{"job_name":"j","attempt":3,"other":1}}"#,
        )
        .expect("read");
        assert_eq!(body.adapter, "dns");
        assert_eq!(body.observed_generation, 2);
        assert_eq!(body.conditions[0].reason.as_deref(), Some("R"));
        assert_eq!(body.metadata.and_then(|metadata| metadata.attempt), Some(3));
    }

    #[test]
    fn faults_are_named() {
        for (body, code, text) in [
            (
                "",
                "HYPERFLEET-VAL-006",
                "Request body is required but was empty",
            ),
            (
                r#"{"observed_time":"yesterday"}"#,
                "HYPERFLEET-VAL-006",
                "Invalid request format: ",
            ),
            (
                r#"{"observed_generation":1.5}"#,
                "HYPERFLEET-VAL-000",
                "field 'observed_generation' must be a number",
            ),
            (
                r#"{"observed_generation":4294967296}"#,
                "HYPERFLEET-VAL-000",
                "field 'observed_generation' must be a number",
            ),
            (
                r#"{"conditions":{}}"#,
                "HYPERFLEET-VAL-000",
                "field 'conditions' must be an array",
            ),
            (
                r#"{"conditions":[{"type":"A"},{"type":1}]}"#,
                "HYPERFLEET-VAL-000",
                "field 'conditions[1].type' must be a string",
            ),
            (
                r#"{"data":[]}"#,
                "HYPERFLEET-VAL-000",
                "field 'data' must be an object",
            ),
            (
                r#"{"metadata":{"attempt":"x"}}"#,
                "HYPERFLEET-VAL-000",
                "field 'metadata.attempt' must be a number",
            ),
        ] {
            let fault = report(body.as_bytes()).expect_err(body);
            assert_eq!(fault.code.code, code, "{body}");
            assert!(fault.detail.starts_with(text), "{body}: {}", fault.detail);
        }
    }

    #[test]
    fn the_zero_time_is_no_time() {
        let body = report(br#"{"observed_time":"0001-01-01T00:00:00Z"}"#).expect("read");
        assert_eq!(body.observed_time, None);
    }
    #[test]
    fn a_time_that_cannot_be_said_in_utc_is_refused() {
        for time in ["9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"] {
            let body = format!(r#"{{"metadata":{{"started_time":"{time}"}}}}"#);
            let fault = report(body.as_bytes()).expect_err(time);
            assert_eq!(fault.code.code, "HYPERFLEET-VAL-006", "{time}");
            assert!(fault.detail.contains(time), "{}", fault.detail);
        }
        assert!(report(br#"{"observed_time":"9999-12-31T23:59:59Z"}"#).is_ok());
    }
}
