//! What a failure means, and how the daemon is told.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::pace::Sign;
use crate::counted::counted;
use crate::protocol::id::EffectId;
use crate::protocol::ipc::{CONNECTION_CLOSED, TIMED_OUT};

/// Why an effect failed: the machine-readable word its error text starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// It can never succeed as it is; it was not published.
    Rejected,
    /// It was not published; the same effect may succeed later.
    Throttled,
    /// Nobody can say whether it was published; sending it again is safe
    /// within the window in which Ably drops copies.
    Ambiguous,
    /// Its lane holds as much as it may.
    LaneFull,
    /// An earlier message of its lane failed and has to come again first.
    Gap,
    /// An earlier effect of its lane failed for good, and its lane waits until
    /// somebody decides what becomes of that one.
    Parked,
    /// It is larger than Falco or the transport takes.
    TooLarge,
    /// Falco stops.
    ShuttingDown,
    /// It was to be kept on disk first, and the disk did not take it.
    Unrecorded,
}

impl Class {
    /// All there are.
    pub(crate) const ALL: [Self; 9] = [
        Self::Rejected,
        Self::Throttled,
        Self::Ambiguous,
        Self::LaneFull,
        Self::Gap,
        Self::Parked,
        Self::TooLarge,
        Self::ShuttingDown,
        Self::Unrecorded,
    ];

    /// The word.
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Throttled => "throttled",
            Self::Ambiguous => "ambiguous",
            Self::LaneFull => "lane_full",
            Self::Gap => "gap",
            Self::Parked => "parked",
            Self::TooLarge => "too_large",
            Self::ShuttingDown => "shutting_down",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// Whether the same effect can never succeed.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::TooLarge)
    }

    /// Whether nothing was tried yet: it was turned away at the door.
    pub(crate) const fn is_untried(self) -> bool {
        matches!(
            self,
            Self::LaneFull | Self::Gap | Self::Parked | Self::ShuttingDown
        )
    }
}

/// As much of `text` as fits in so many bytes.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A failure as the daemon is told: `<class>: <text>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What it means.
    pub class: Class,
    /// For people, and for the logs that match it.
    pub text: Arc<str>,
    /// Ably's code, where there is one.
    pub code: Option<u32>,
}

impl Failure {
    pub(crate) fn new(class: Class, text: impl Into<Arc<str>>) -> Self {
        Self {
            class,
            text: text.into(),
            code: None,
        }
    }

    /// Of what waits in a lane that is parked because of `by`.
    pub(crate) fn parked(by: EffectId) -> Self {
        Self::new(Class::Parked, format!("waits for {by}"))
    }

    /// Of what finds so many waiting in its lane that there is no room for it.
    pub(super) fn lane_full(waiting: usize) -> Self {
        let waiting = counted(waiting, "effect");
        let text = format!("its lane has {waiting} waiting already");
        Self::new(Class::LaneFull, text)
    }

    /// Of what finds too much of its connection, or its route, standing still.
    pub(crate) fn still_full() -> Self {
        let text = "too many effects wait in lanes that stand still, or may";
        Self::new(Class::LaneFull, text)
    }

    /// Of what waits behind an effect of its lane that failed.
    pub(super) fn behind() -> Self {
        let text =
            "publish failed after retries: not sent, because an earlier effect of its lane failed";
        Self::new(Class::Throttled, text)
    }

    /// The same, of an effect that an earlier attempt may have published.
    pub(super) fn with_doubt(self) -> Self {
        match self.class {
            Class::Rejected | Class::TooLarge => Self {
                class: Class::Ambiguous,
                text: format!("{}; an earlier attempt may have been published", self.text).into(),
                ..self
            },
            Class::Throttled => Self {
                class: Class::Ambiguous,
                ..self
            },
            _ => self,
        }
    }

    pub(crate) fn with_code(self, code: Option<u32>) -> Self {
        Self { code, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.token(), self.text)
    }
}

/// A transport's answer that is not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Refusal<'a> {
    /// Its text.
    pub error: &'a str,
    /// Ably's code, when the transport says it.
    pub code: Option<u32>,
    /// Whether it may succeed later, when the transport says it.
    pub retryable: Option<bool>,
}

impl Refusal<'_> {
    /// Whether the transport goes before it has tried, or knows how it went.
    pub(crate) fn is_goodbye(&self) -> bool {
        self.code == Some(CONNECTION_CLOSED) && self.retryable == Some(true)
    }

    /// What the refusal means for the effect.
    ///
    /// Our transport says so itself: with a code of the connection's, 80xxx, it
    /// has written nothing. An older one sends only a text, in which a code may
    /// stand; what cannot be told is taken as ambiguous.
    pub(crate) fn class(&self) -> Class {
        let code = self.code();
        match self.retryable {
            Some(false) | None if code == Some(TOO_LARGE) => Class::TooLarge,
            Some(false) => Class::Rejected,
            _ if self.is_limit() => Class::Throttled,
            Some(true) if code.is_some_and(|code| code / 1000 == 80) => Class::Throttled,
            None if code.is_some_and(is_definite) || is_validation(self.error) => Class::Rejected,
            Some(true) | None => Class::Ambiguous,
        }
    }

    /// Ably's code, wherever it stands.
    pub(crate) fn code(&self) -> Option<u32> {
        let code = self.code.filter(|&code| code != 0);
        code.or_else(|| code_in(self.error))
    }

    /// What it says of the transport; `sent` is when the request went out.
    pub(super) fn sign(&self, sent: Option<Instant>) -> Option<Sign> {
        if self.is_goodbye() || self.code() == Some(CHANNEL_LIMIT) {
            return None;
        }
        Some(match (self.class(), sent) {
            (class, _) if class.is_final() => Sign::Life,
            (_, Some(sent)) if self.is_limit() => Sign::TooMuch { sent },
            _ => Sign::Trouble,
        })
    }

    /// Whether Ably itself would not take the effect, for what it is or for its own
    /// troubles.
    ///
    /// Not without a connection; nor by silence, which the transport tells with a
    /// code when it has waited for long enough; nor by a limit, which says how much
    /// there is, and may be one that the transport keeps by itself; nor by a gateway
    /// before it, which says 502, 503 or 504 in HTTP while nobody is behind it.
    pub(crate) fn is_from_ably(&self) -> bool {
        let is_outage = |code| code / 1000 == 80 || matches!(code / 100, 502..=504);
        let is_none = |code| is_outage(code) || code == TIMED_OUT;
        self.code().is_some_and(|code| !is_none(code)) && !self.is_limit()
    }

    /// Whether there was too much at once.
    pub(crate) fn is_limit(&self) -> bool {
        self.code().is_some_and(|code| code / 100 == 429)
    }
}

/// A message over what Ably takes.
const TOO_LARGE: u32 = 40_009;

/// Too much for one channel.
const CHANNEL_LIMIT: u32 = 42_913;

/// Whether Ably means it: 400xx to 404xx, but for quotas, which are filled
/// anew, and the token errors, which a new token heals.
fn is_definite(code: u32) -> bool {
    let heals = matches!(code, 40_111..=40_115 | 40_140..=40_149 | 40_170);
    (40_000..=40_499).contains(&code) && !heals
}

/// The fields an effect's request must have.
const REQUIRED: [&str; 4] = ["request_id", "channel", "event", "key"];

/// Whether the text is one of those a transport writes before it asks Ably.
fn is_validation(error: &str) -> bool {
    let field_of = |rest| error.strip_suffix(rest);
    let missing = field_of(" is required");
    let undecodable = field_of(" must be valid base64");
    missing.is_some_and(|field| REQUIRED.contains(&field))
        || undecodable.is_some_and(|field| matches!(field, "payload_b64" | "value_b64"))
        || error.starts_with("object value must be valid JSON")
}

/// The code in texts such as `[ErrorInfo :… code=40160 …]`.
fn code_in(error: &str) -> Option<u32> {
    let lower = error.to_ascii_lowercase();
    lower.match_indices("code").find_map(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches(['=', ':', ' ', '"']);
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok().filter(|code| *code >= 10_000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(error: &str, code: Option<u32>, retryable: Option<bool>) -> Class {
        Refusal {
            error,
            code,
            retryable,
        }
        .class()
    }

    #[test]
    fn every_class_is_listed_once() {
        for (at, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, at, "{class:?}");
        }
        assert_eq!(Class::ALL.len(), Class::Unrecorded as usize + 1);
    }

    #[test]
    fn a_transport_that_says_whether_to_retry_is_believed() {
        assert_eq!(class("", Some(50_000), Some(false)), Class::Rejected);
        assert_eq!(class("", Some(40_000), Some(true)), Class::Ambiguous);
        assert_eq!(class("", Some(42_911), Some(true)), Class::Throttled);
        assert_eq!(class("", Some(80_003), Some(true)), Class::Throttled);
        assert_eq!(class("", Some(50_003), Some(true)), Class::Ambiguous);
        assert_eq!(class("", None, Some(true)), Class::Ambiguous);
    }

    #[test]
    fn an_older_transport_is_judged_by_its_text() {
        let old = |error| class(error, None, None);
        assert_eq!(
            old("[ErrorInfo :no code=40160 statusCode=401]"),
            Class::Rejected
        );
        assert_eq!(
            old("[ErrorInfo :no code=40142 statusCode=401]"),
            Class::Ambiguous
        );
        assert_eq!(old("quota (Code: 40112)"), Class::Ambiguous);
        assert_eq!(old("rate (Code: 42910)"), Class::Throttled);
        assert_eq!(old("[ErrorInfo :no code=50003]"), Class::Ambiguous);
        assert_eq!(old("[ErrorInfo :no code=80003]"), Class::Ambiguous);
        assert_eq!(old("channel is required"), Class::Rejected);
        assert_eq!(old("a token is required"), Class::Ambiguous);
        assert_eq!(old("payload_b64 must be valid base64"), Class::Rejected);
        assert_eq!(
            old("object value must be valid JSON: unexpected end"),
            Class::Rejected
        );
        assert_eq!(old("context deadline exceeded"), Class::Ambiguous);
        assert_eq!(old("code=5 statusCode=401"), Class::Ambiguous);
        assert_eq!(old(""), Class::Ambiguous);
    }

    #[test]
    fn what_ably_says_is_too_large_is_so() {
        assert_eq!(class("", Some(40_009), Some(false)), Class::TooLarge);
        assert_eq!(class("no (Code: 40009)", None, None), Class::TooLarge);
        assert_eq!(class("", Some(40_009), Some(true)), Class::Ambiguous);
    }

    #[test]
    fn ably_has_refused_what_neither_the_connection_nor_silence_nor_a_limit_kept_back() {
        let refusal = |error, code| Refusal {
            error,
            code,
            retryable: Some(true),
        };
        assert!(refusal("", Some(50_000)).is_from_ably());
        assert!(refusal("broken (Code: 50001)", None).is_from_ably());
        for gateway in [50_200, 50_300, 50_320, 50_400] {
            assert!(!refusal("", Some(gateway)).is_from_ably(), "{gateway}");
        }
        assert!(!refusal("", Some(80_003)).is_from_ably());
        assert!(!refusal("", Some(TIMED_OUT)).is_from_ably());
        assert!(!refusal("[ErrorInfo :late code=50003]", None).is_from_ably());
        assert!(!refusal("", Some(42_911)).is_from_ably());
        assert!(!refusal("context deadline exceeded", None).is_from_ably());
    }

    #[test]
    fn a_refusal_says_whether_the_transport_works_has_too_much_or_is_in_trouble() {
        let now = Instant::now();
        let sign = |code, retryable| {
            let refusal = Refusal {
                error: "",
                code,
                retryable: Some(retryable),
            };
            refusal.sign(Some(now))
        };
        let too_much = Some(Sign::TooMuch { sent: now });
        assert_eq!(sign(Some(42_911), true), too_much);
        assert_eq!(sign(Some(42_913), true), None, "one channel's");
        assert_eq!(sign(Some(40_160), false), Some(Sign::Life));
        assert_eq!(sign(Some(40_009), false), Some(Sign::Life));
        assert_eq!(sign(Some(CONNECTION_CLOSED), true), None);
        assert_eq!(sign(Some(80_003), true), Some(Sign::Trouble));
        assert_eq!(sign(None, true), Some(Sign::Trouble));
    }

    #[test]
    fn a_failure_starts_with_its_class() {
        let failure = Failure::new(Class::LaneFull, "too much");
        assert_eq!(failure.to_string(), "lane_full: too much");
    }
}
