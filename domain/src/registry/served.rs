//! Which kinds a route serves.

/// The kinds that a route serves: the one of its path, or every registered kind on the
/// kind-agnostic routes under `/resources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServedKind {
    /// Only this kind.
    One(String),
    /// Every kind.
    Any,
}

impl ServedKind {
    /// Whether resources of a kind are found on the route.
    pub fn serves(&self, kind: &str) -> bool {
        match self {
            Self::One(one) => one == kind,
            Self::Any => true,
        }
    }

    /// What is missed when the route finds nothing: the kind, or `Resource` (API contract v1).
    pub fn name(&self) -> &str {
        match self {
            Self::One(kind) => kind,
            Self::Any => "Resource",
        }
    }

    /// The kind, when it is only one.
    pub fn one(&self) -> Option<&str> {
        match self {
            Self::One(kind) => Some(kind),
            Self::Any => None,
        }
    }
}
