//! Where backends truly differ. `docs/brokers.md` has a row for each, which a test compares.

/// A backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    RabbitMq,
    PubSub,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::RabbitMq, Self::PubSub];
}

/// What a backend does otherwise than the contract has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// A subscription id can be used on one topic only.
    IdsAreGlobal,
    /// Events may come in another order than they were published, though none failed.
    Unordered,
    /// A message without a body is refused instead of becoming a dead letter.
    EmptyMessagesAreRefused,
    /// A handler's own delay does not shorten the policy's.
    OwnDelaysOnlyLengthen,
    /// What a consumer gave back unhandled counts as an attempt.
    GivingBackCounts,
    /// A message in binary mode is kept as a structured event.
    BinaryBecomesStructured,
    /// How many events wait is not told.
    WaitingIsNotTold,
    /// It cannot be away.
    IsAlwaysThere,
}

impl Difference {
    pub(crate) const ALL: [Self; 8] = [
        Self::IdsAreGlobal,
        Self::Unordered,
        Self::EmptyMessagesAreRefused,
        Self::OwnDelaysOnlyLengthen,
        Self::GivingBackCounts,
        Self::BinaryBecomesStructured,
        Self::WaitingIsNotTold,
        Self::IsAlwaysThere,
    ];

    pub(crate) fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::IdsAreGlobal
            | Self::Unordered
            | Self::EmptyMessagesAreRefused
            | Self::OwnDelaysOnlyLengthen
            | Self::WaitingIsNotTold => kind == Kind::PubSub,
            Self::GivingBackCounts => kind != Kind::Memory,
            Self::BinaryBecomesStructured | Self::IsAlwaysThere => kind == Kind::Memory,
        }
    }

    /// The case that shows it, which the documented row names.
    pub(crate) fn case(self) -> &'static str {
        match self {
            Self::IdsAreGlobal => "b009_one_id_on_two_topics_is_two_subscriptions",
            Self::Unordered => "b018_events_that_no_handler_fails_come_in_order",
            Self::EmptyMessagesAreRefused => "b053_a_message_without_a_body",
            Self::OwnDelaysOnlyLengthen => "b078_a_handler_can_shorten_the_delay",
            Self::GivingBackCounts => "b110_what_was_held_and_not_begun_is_given_back",
            Self::BinaryBecomesStructured => "b057_an_event_in_binary_mode_of_an_unknown_version",
            Self::WaitingIsNotTold => "b117_what_waits_and_what_is_dead_is_told",
            Self::IsAlwaysThere => "b105_a_broker_that_is_away_fails_a_publish_in_time",
        }
    }
}
