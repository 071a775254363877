//! `[emulator]`: where it listens, and its limits.

use std::net::SocketAddr;
use std::time::Duration;

use super::kind::{Count, Loopback, Size, Span};
use super::reader::Section;
use crate::emulator::{HistoryLimits, Limits as EmulatorLimits};

/// The emulator: where it listens, and its limits.
#[derive(Debug, Clone)]
pub(in super::super) struct Emulator {
    /// A fixed address.
    pub(in super::super) listen: Option<SocketAddr>,
    /// What clients may ask and history keeps.
    pub(in super::super) limits: EmulatorLimits,
}

pub(super) fn emulator(top: &mut Section) -> Emulator {
    let mut s = top.section("emulator");
    let usual = EmulatorLimits::default();
    let free = "the port of last time, 8099, or a free one";
    let listen = s.optional("listen", None, &Loopback, free);
    let rate = Count {
        min: 1,
        max: u64::from(u32::MAX),
    };
    let rate = s.setting(
        "max_inbound_rate",
        None,
        &rate,
        u64::from(usual.inbound_rate),
    );
    let size = Size {
        min: 1,
        max: 1 << 30,
    };
    let size = s.setting("max_message_size", None, &size, usual.message_bytes as u64);
    let limits = EmulatorLimits {
        inbound_rate: u32::try_from(rate).unwrap_or(u32::MAX),
        message_bytes: to_usize(size),
        history: history(&mut s, &usual.history),
        ..usual
    };
    s.finish();
    Emulator { listen, limits }
}

fn history(s: &mut Section, usual: &HistoryLimits) -> HistoryLimits {
    let min = HistoryLimits::MIN;
    let count = Count {
        min: min.per_channel as u64,
        max: 1 << 40,
    };
    let size = Size {
        min: min.bytes as u64,
        max: 1 << 40,
    };
    let age = Span {
        min: min.age,
        max: Duration::from_secs(366 * 86_400),
        ..Span::whole_seconds(0)
    };
    let kept = s.setting(
        "history_per_channel",
        None,
        &count,
        usual.per_channel as u64,
    );
    let bytes = s.setting("history_bytes", None, &size, usual.bytes as u64);
    HistoryLimits {
        per_channel: to_usize(kept),
        bytes: to_usize(bytes),
        age: s.setting("history_age", None, &age, usual.age),
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Emulator {
    /// The arguments that tell the emulator, as far as they are not usual.
    pub(in super::super) fn to_args(&self) -> Vec<String> {
        let usual = EmulatorLimits::default();
        let EmulatorLimits {
            inbound_rate,
            message_bytes,
            history,
            ..
        } = &self.limits;
        let seconds = |span: Duration| span.as_secs().to_string();
        let [rate, size] = [inbound_rate.to_string(), message_bytes.to_string()];
        let [kept, bytes] = [history.per_channel.to_string(), history.bytes.to_string()];
        let said = [
            ("--max-inbound-rate", rate, usual.inbound_rate.to_string()),
            ("--max-message-size", size, usual.message_bytes.to_string()),
            (
                "--history-per-channel",
                kept,
                usual.history.per_channel.to_string(),
            ),
            ("--history-bytes", bytes, usual.history.bytes.to_string()),
            (
                "--history-age",
                seconds(history.age),
                seconds(usual.history.age),
            ),
        ];
        let changed = said.into_iter().filter(|(_, now, usual)| now != usual);
        let listen = self
            .listen
            .map(|address| ["--listen".to_owned(), address.to_string()]);
        let changed = changed.map(|(flag, now, _)| [flag.to_owned(), now]);
        listen.into_iter().chain(changed).flatten().collect()
    }
}
