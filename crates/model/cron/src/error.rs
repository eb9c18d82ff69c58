//! What can be wrong with a schedule, in the parser's words.

/// Why a line is no schedule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// More or fewer than five.
    #[error("expected exactly 5 fields, found {}: [{}]", .0.len(), .0.join(" "))]
    Fields(Vec<String>),
    /// A word after `@` that means nothing.
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    /// What follows `@every`.
    #[error("failed to parse duration {0}: time: invalid duration {1:?}")]
    Duration(String, String),
    /// Neither a number nor a name of the field.
    #[error("failed to parse int from {0}: strconv.Atoi: parsing {0:?}: invalid syntax")]
    Number(String),
    /// `1/2/3`
    #[error("too many slashes: {0}")]
    Slashes(String),
    /// `1-2-3`
    #[error("too many hyphens: {0}")]
    Hyphens(String),
    /// Too small for the field.
    #[error("beginning of range ({0}) below minimum ({1}): {2}")]
    Below(u32, u32, String),
    /// Too large for the field.
    #[error("end of range ({0}) above maximum ({1}): {2}")]
    Above(u32, u32, String),
    /// `5-1`
    #[error("beginning of range ({0}) beyond end of range ({1}): {2}")]
    Backwards(u32, u32, String),
    /// `*/0`
    #[error("step of range should be a positive number: {0}")]
    Step(String),
}
