//! Deciding by `message_decision`, as existing sentinels do.

use std::borrow::Cow;
use std::time::Duration;

use cel::Value as CelValue;
use chrono::{DateTime, Utc};
use hyperfleet_projections::reconcile_queue::Priority;
use serde_json::Value;

use super::config::MessageDecisionConfig;
use super::{Decision, after};
use crate::ConfigError;
use crate::expression::{Expression, Place, rule_context};

#[derive(Debug)]
pub(super) struct MessageDecision {
    params: Vec<(String, Expression)>,
    result: Expression,
    interval: Duration,
}

impl MessageDecision {
    /// Params are compiled in order, so one that uses a later one is refused here.
    pub(super) fn compile(
        config: &MessageDecisionConfig,
        interval: Duration,
    ) -> Result<Self, ConfigError> {
        let mut declared = vec!["resource", "now"];
        let mut params = Vec::with_capacity(config.params.len());
        for (index, param) in config.params.iter().enumerate() {
            let path = format!("message_decision.params[{index}]");
            let name = param.name.as_str();
            if name.is_empty() {
                return Err(ConfigError::invalid(
                    path,
                    "param has empty name",
                    "name it",
                ));
            }
            if declared.contains(&name) {
                let reason = format!("param {name:?} is defined more than once");
                return Err(ConfigError::invalid(path, reason, "choose another name"));
            }
            let expression = Expression::compile(&param.expression, Place::Rule, &declared)
                .map_err(|source| ConfigError::Expression {
                    path: format!("{path}.expr"),
                    source,
                })?;
            params.push((name.to_owned(), expression));
            declared.push(name);
        }
        let result =
            Expression::compile(&config.result, Place::Rule, &declared).map_err(|source| {
                ConfigError::Expression {
                    path: "message_decision.result".to_owned(),
                    source,
                }
            })?;
        Ok(Self {
            params,
            result,
            interval,
        })
    }

    pub(super) fn decide(&self, resource: &Value, now: DateTime<Utc>) -> Decision {
        let (publish, reason, warning) = match self.evaluate(resource, now) {
            Ok(true) => (true, "message decision matched", None),
            Ok(false) => (false, "message decision result is false", None),
            Err(warning) => (false, "message decision failed", Some(warning)),
        };
        Decision {
            publish,
            reason: Cow::Borrowed(reason),
            next_due: after(now, self.interval),
            next_priority: Priority::Retry,
            warning,
        }
    }

    fn evaluate(&self, resource: &Value, now: DateTime<Utc>) -> Result<bool, String> {
        let mut context = rule_context(resource, now);
        for (name, expression) in &self.params {
            let value = expression
                .evaluate(&context)
                .map_err(|error| format!("param {name:?} evaluation failed: {error}"))?;
            context.add_variable_from_value(name.as_str(), value);
        }
        match self.result.evaluate(&context) {
            Ok(CelValue::Bool(result)) => Ok(result),
            Ok(other) => Err(format!(
                "result expression did not return bool, got {}",
                other.type_of()
            )),
            Err(error) => Err(format!("result evaluation failed: {error}")),
        }
    }
}
