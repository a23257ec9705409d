//! What a search asks of a resource, once it is known to make sense.
//!
//! Logic is that of SQL: a comparison with something absent is unknown, the negation of unknown is
//! unknown, and a resource is found only when the whole is true. Labels and conditions never stand
//! under [`Predicate::Not`].

use chrono::{DateTime, Utc};

/// What a search asks of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// Every one holds.
    All(Vec<Predicate>),
    /// At least one holds.
    Any(Vec<Predicate>),
    /// It does not hold.
    Not(Box<Predicate>),
    /// Nothing has it.
    Never,
    /// A text passes a test. Texts compare by their bytes.
    Text(TextField, Test<String>),
    /// A text matches a pattern, in which `%` stands for any text and `_` for any one character.
    Like {
        /// The text.
        field: TextField,
        /// The pattern, with backslash as escape. Never ends within an escape.
        pattern: String,
        /// Whether upper and lower case of the letters A to Z are the same.
        ignore_case: bool,
    },
    /// A value of the spec is a number, or a text that says one, and passes a test.
    SpecNumber(Vec<String>, Test<Number>),
    /// The generation passes a test.
    Generation(Test<i64>),
    /// A time passes a test.
    Time(TimeField, Test<DateTime<Utc>>),
    /// Two fields of the resource compare.
    Fields(Field, Comparison, Field),
    /// There is a condition of that type and status.
    Condition {
        /// Its type.
        r#type: String,
        /// Its status; `Unknown` is that of none.
        status: String,
    },
    /// There is no condition of that type.
    NoCondition {
        /// The type.
        r#type: String,
    },
    /// There is a condition of that type, and a time of it compares.
    ConditionTime {
        /// The type.
        r#type: String,
        /// Which time.
        time: ConditionTime,
        /// How it compares.
        comparison: Comparison,
        /// With what.
        value: DateTime<Utc>,
    },
    /// There is a condition of that type, and its observed generation compares.
    ConditionGeneration {
        /// The type.
        r#type: String,
        /// How it compares.
        comparison: Comparison,
        /// With what.
        value: i32,
    },
}

/// What is asked of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test<T> {
    /// It compares with another.
    Compare(Comparison, T),
    /// It is one of these; never none.
    AnyOf(Vec<T>),
    /// It is within these, both included.
    Between(T, T),
    /// There is none.
    IsNull,
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The left equals the right.
    Equal,
    /// They differ.
    NotEqual,
    /// The left is less.
    Less,
    /// The left is not greater.
    LessOrEqual,
    /// The left is greater.
    Greater,
    /// The left is not less.
    GreaterOrEqual,
}

impl Comparison {
    /// The comparison that says the same with its sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// Where a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextField {
    /// A field of every resource.
    Own(OwnText),
    /// The value of a label.
    Label(String),
    /// The value at a path of the spec, as text; JSON null is absent. A number in the path selects
    /// an element of an array.
    Spec(Vec<String>),
}

/// A field of every resource that is a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnText {
    /// Id.
    Id,
    /// Name.
    Name,
    /// Kind.
    Kind,
    /// Address.
    Href,
    /// Who created it.
    CreatedBy,
    /// Who last changed what is wanted.
    UpdatedBy,
    /// Who requested its deletion; absent while nobody has.
    DeletedBy,
    /// Id of the owner; absent at the top level.
    OwnerId,
    /// Kind of the owner; absent at the top level.
    OwnerKind,
    /// Address of the owner; absent at the top level.
    OwnerHref,
}

impl OwnText {
    pub(super) const ALL: [Self; 10] = [
        Self::Id,
        Self::Name,
        Self::Kind,
        Self::Href,
        Self::CreatedBy,
        Self::UpdatedBy,
        Self::DeletedBy,
        Self::OwnerId,
        Self::OwnerKind,
        Self::OwnerHref,
    ];

    /// The name in searches, which is also that of the column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Kind => "kind",
            Self::Href => "href",
            Self::CreatedBy => "created_by",
            Self::UpdatedBy => "updated_by",
            Self::DeletedBy => "deleted_by",
            Self::OwnerId => "owner_id",
            Self::OwnerKind => "owner_kind",
            Self::OwnerHref => "owner_href",
        }
    }
}

/// A time of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeField {
    /// When it was created.
    Created,
    /// When what is wanted last changed.
    Updated,
    /// When its deletion was requested; absent while nobody has.
    Deleted,
}

impl TimeField {
    pub(super) const ALL: [Self; 3] = [Self::Created, Self::Updated, Self::Deleted];

    /// The name in searches, which is also that of the column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created_time",
            Self::Updated => "updated_time",
            Self::Deleted => "deleted_time",
        }
    }
}

/// Name of the field that counts the changes of what is wanted.
pub(super) const GENERATION: &str = "generation";

/// A field that can be compared with another of the same sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A text.
    Text(OwnText),
    /// A time.
    Time(TimeField),
    /// The generation.
    Generation,
}

impl Field {
    /// The name in searches, which is also that of the column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text(field) => field.name(),
            Self::Time(field) => field.name(),
            Self::Generation => GENERATION,
        }
    }
}

/// A time of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionTime {
    /// Age of the observations behind it.
    LastUpdated,
    /// When its status last changed.
    LastTransition,
}

impl ConditionTime {
    /// The name in searches, which is also that of the column.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastUpdated => "last_updated_time",
            Self::LastTransition => "last_transition_time",
        }
    }
}

/// A number as a decimal text that the database reads exactly, times a factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Sign, digits, fraction and exponent.
    pub decimal: String,
    /// What its suffix stands for; 1 without.
    pub factor: i64,
}
