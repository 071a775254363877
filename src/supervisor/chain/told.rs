//! What the chain asks of its driver, and what it tells.

use std::time::Duration;

use super::{Ending, PartId};

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start this incarnation.
    Start(PartId, u32),
    /// Ask it whether it is alive.
    Ask(PartId, u32),
    /// Ask it to end.
    Terminate(PartId, u32),
    /// End it.
    Kill(PartId, u32),
}

/// What changed, for logs and for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A part answers, so long after its start.
    Ready {
        /// Which.
        part: PartId,
        /// From start to ready.
        after: Duration,
    },
    /// A part cannot be asked for now; nothing is held against it.
    Unasked {
        /// Which.
        part: PartId,
        /// What we lack.
        why: String,
    },
    /// A part ended though nobody asked it to.
    Ended {
        /// Which.
        part: PartId,
        /// How.
        ending: Ending,
        /// When it is started again; `None` is never.
        retry_in: Option<Duration>,
    },
    /// A part ended as it was meant to.
    Finished {
        /// Which.
        part: PartId,
    },
    /// A part is gone as asked, so long after it was asked.
    Stopped {
        /// Which.
        part: PartId,
        /// From request to gone.
        after: Duration,
        /// Whether it had to be killed.
        killed: bool,
    },
    /// A part outlived SIGKILL and was written off.
    Stuck {
        /// Which.
        part: PartId,
    },
    /// A part is no part any more; always the last that is heard of it.
    Removed {
        /// Which.
        part: PartId,
    },
    /// Every part is ready.
    ChainReady,
    /// The first start is over, without some parts that are not required.
    Settled,
    /// The first start failed because of this part.
    StartFailed {
        /// Which.
        part: PartId,
    },
}
