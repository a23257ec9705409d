//! The keys of a program, as data.

use std::time::Duration;

/// What every variable of a setting begins with.
pub(super) const PREFIX: &str = "HYPERFLEET_";

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds, both included.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A duration such as `5s`, `10m` or `168h`, within bounds, both included.
    Duration {
        /// Least value.
        min: Duration,
        /// Greatest value.
        max: Duration,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Words; in flags and variables separated by commas.
    List,
    /// Whatever the file says there; flags and variables cannot set it.
    Structured,
}

/// Whether a setting does anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Full,
    /// It is accepted and checked, so that existing files work, and has no effect; the text says why.
    None(&'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Where it stands in the file, sections separated by dots.
    pub path: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Its value when no source says otherwise, written as in a variable; empty for an absent one.
    pub default: &'static str,
    /// Flags that set it, without dashes: its own name first, then others that mean the same.
    pub flags: &'static [&'static str],
    /// Short flag.
    pub short: Option<char>,
    /// Variables that set it beside the one that follows from its path.
    pub variables: &'static [&'static str],
    /// Whether its value must never be shown.
    pub secret: bool,
    /// Whether it does anything.
    pub effect: Effect,
    /// What it is for, in one sentence.
    pub help: &'static str,
}

impl Key {
    /// A text without a default.
    pub const fn text(path: &'static str, help: &'static str) -> Self {
        Self {
            path,
            kind: Kind::Text,
            default: "",
            flags: &[],
            short: None,
            variables: &[],
            secret: false,
            effect: Effect::Full,
            help,
        }
    }

    /// The same key with another kind of value.
    #[must_use]
    pub const fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The same key with a default.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// The same key, set by these flags too.
    #[must_use]
    pub const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    /// The same key, set by a short flag too.
    #[must_use]
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// The same key, set by these variables too.
    #[must_use]
    pub const fn variables(mut self, variables: &'static [&'static str]) -> Self {
        self.variables = variables;
        self
    }

    /// The same key, never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The same key, without effect for that reason.
    #[must_use]
    pub const fn without_effect(mut self, reason: &'static str) -> Self {
        self.effect = Effect::None(reason);
        self
    }
}

/// The variable that sets the key at a path.
pub fn environment_name(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_uppercase())
}
