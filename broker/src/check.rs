//! Whether what a topic and its subscriptions need is there, and may be used. Nothing is changed by looking.

use async_trait::async_trait;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its kind and name, such as `exchange hyperfleet-clusters`.
    pub what: String,
    /// How it is.
    pub finding: Finding,
}

/// How a thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// There, and usable.
    Fine,
    /// There, with something to know.
    Noted(String),
    /// Not there; how it comes to be.
    Missing(String),
    /// There, but this account may not do something with it: the permission, and how to grant it.
    Denied(String),
    /// There, but not as it has to be.
    Wrong(String),
    /// The broker did not answer.
    Unreachable(String),
}

impl Finding {
    /// One word for it, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fine | Self::Noted(_) => "exists",
            Self::Missing(_) => "missing",
            Self::Denied(_) => "denied",
            Self::Wrong(_) => "wrong",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// What there is to say beyond that.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Fine => None,
            Self::Noted(text)
            | Self::Missing(text)
            | Self::Denied(text)
            | Self::Wrong(text)
            | Self::Unreachable(text) => Some(text),
        }
    }

    /// Whether events will not flow before somebody does something about it.
    pub fn is_problem(&self) -> bool {
        !matches!(self, Self::Fine | Self::Noted(_))
    }
}

/// Looks at a broker without changing it.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Looks at what a topic and these subscriptions of it need.
    async fn inspect(&self, topic: &str, subscription_ids: &[String]) -> Vec<Checked>;
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
