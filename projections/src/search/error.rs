//! Why a search cannot be used. The texts are those of API contract v1, §3, where it states one.

/// Why a search cannot be used. Every variant is the caller's to correct; its text says how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The text has more than [`MAX_LENGTH`](super::MAX_LENGTH) bytes.
    #[error(
        "search query exceeds maximum length of {} characters",
        super::MAX_LENGTH
    )]
    TooLong,
    /// The text is not of the language. The display ends with the text and a line that points.
    #[error(
        "failed to parse search query: {message} at position {position}:\n{text}\n{}^",
        " ".repeat(.position.saturating_sub(1))
    )]
    Syntax {
        /// What is wrong.
        message: String,
        /// Where, in characters from 1.
        position: usize,
        /// The text, on one line.
        text: String,
    },
    /// There is no such field.
    #[error("invalid field in search or order query")]
    UnknownField,
    /// A field's name has characters that none has.
    #[error("{name} is not a valid field name")]
    FieldName {
        /// The name.
        name: String,
    },
    /// A dotted field does not begin with `labels`, `spec` or `status.conditions`.
    #[error("{part} is not a related resource of Resource")]
    NotRelated {
        /// Its first part.
        part: String,
    },
    /// A number field is compared with something else.
    #[error("field '{field}' expects an integer")]
    NotInteger {
        /// The field.
        field: &'static str,
    },
    /// A time field is compared with something else.
    #[error("field '{field}' expects an RFC3339 timestamp (e.g. 2026-01-01T00:00:00Z)")]
    NotTime {
        /// The field.
        field: &'static str,
    },
    /// A text field is compared with something else.
    #[error("field '{field}' expects a text in quotes")]
    NotText {
        /// The field.
        field: String,
    },
    /// A label stands under NOT.
    #[error("NOT operator is not supported with label queries")]
    NotOfLabel,
    /// A key of a spec field has other characters.
    #[error(
        "spec field segment '{segment}' is invalid: must contain only lowercase letters, digits, and underscores"
    )]
    SpecSegment {
        /// The key.
        segment: String,
    },
    /// Numbers and texts are mixed in one list or range.
    #[error("field '{field}' expects either numbers or texts, not both in one list or range")]
    Mixed {
        /// The field.
        field: String,
    },
    /// A number is greater or finer than anything stored.
    #[error("number {number} is out of range")]
    NumberRange {
        /// The number as sent.
        number: String,
    },
    /// The type of a condition is not written as types are.
    #[error("condition type '{name}' is invalid: must be PascalCase (e.g., Reconciled, Available)")]
    ConditionType {
        /// The type.
        name: String,
    },
    /// Too few or too many parts.
    #[error(
        "invalid condition format: expected status.conditions.<Type> or status.conditions.<Type>.<subfield>"
    )]
    ConditionFormat,
    /// A part of conditions that cannot be searched.
    #[error(
        "condition subfield '{name}' is not supported; use last_updated_time, last_transition_time, or observed_generation"
    )]
    ConditionSubfield {
        /// The part.
        name: String,
    },
    /// A condition's status is compared by another operator.
    #[error("only equality operator (=) is supported for condition status queries")]
    ConditionEquality,
    /// A condition's status is compared with something that is none.
    #[error("condition status '{value}' is invalid: must be True, False, or Unknown")]
    ConditionStatus {
        /// The value.
        value: String,
    },
    /// A time of a condition is compared with something else.
    #[error(
        "invalid timestamp for condition subfield: expected RFC3339 format (e.g., 2026-01-01T00:00:00Z)"
    )]
    ConditionTime,
    /// The generation of a condition is compared with something else.
    #[error("expected integer value for condition subfield 'observed_generation', got {value}")]
    ConditionGeneration {
        /// The value.
        value: String,
    },
    /// The generation of a condition is compared with something that none can be.
    #[error(
        "value {value} is out of 32-bit integer range for condition subfield 'observed_generation'"
    )]
    ConditionGenerationRange {
        /// The value.
        value: String,
    },
    /// Conditions cannot be searched by this operator.
    #[error(
        "{operator} is not supported for condition queries; use comparison operators (=, !=, <, <=, >, >=)"
    )]
    ConditionOperator {
        /// The operator.
        operator: &'static str,
    },
    /// A condition stands under NOT.
    #[error("NOT operator is not supported with condition queries")]
    NotOfCondition,
    /// The language has it, searches do not.
    #[error("unsupported comparison operator: {name}")]
    Operator {
        /// The operator.
        name: &'static str,
    },
    /// LIKE and ILIKE need a field that is a text.
    #[error("{operator} needs a text field on its left and a pattern in quotes on its right")]
    LikeOperands {
        /// The operator.
        operator: &'static str,
    },
    /// A pattern ends in the middle of an escape.
    #[error("a LIKE pattern must not end with a single backslash; write two for a backslash")]
    LikePattern,
    /// IN without a list, or with an empty one.
    #[error(
        "IN needs a field on its left and values in brackets on its right, for example ['a', 'b']"
    )]
    InList,
    /// A comparison that is not between a field and a value.
    #[error("a comparison needs a field and a value, for example name = 'a'")]
    Comparison,
    /// Two fields that cannot be compared with each other.
    #[error(
        "fields '{left}' and '{right}' cannot be compared with each other; put a text in quotes"
    )]
    Fields {
        /// One field.
        left: String,
        /// The other field.
        right: String,
    },
    /// `is null` of something that is no field.
    #[error("IS NULL needs a field on its left")]
    NullOperand,
    /// A value or a field where something true or false must be.
    #[error("a search needs a comparison here, for example name = 'a'")]
    NotACondition,
}
