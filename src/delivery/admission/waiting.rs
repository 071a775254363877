//! What waits for what failed: the gap gate and the fence, side by side.
//!
//! An effect passes where both let it. What fails for now, or is refused, stands in
//! both, whichever of them refused it: what comes behind it may be held up by one
//! of them alone.
//!
//! | failed before | waits, if it has the flag | waits, if it has not |
//! |---|---|---|
//! | with the flag | in the fence | at the gate, if both have a number |
//! | without | at the gate, if both have a number | at the gate, if both have a number |
//!
//! So where both would tell which of two goes first, only the fence does, else each
//! of the two could wait for the other. Three still could, whose numbers run against
//! their order: the first of the fence at the gate, for a lower number without the
//! flag; that one for a lower one that stands in the fence; and that one there for the
//! first. Then of the first two the one that came first passes.
//!
//! An effect has over each connection the place at which it came there first, and what
//! asks for order keeps that for as long as it has to come again, wherever its lane puts
//! it. Its place over another connection counts for nothing: what came before it there
//! may have lost its own, if nothing was tried of it.
//!
//! Neither stands for longer because something is refused than what that waits for
//! does: a daemon that never sends that again is held up for as long as if it had sent
//! nothing else.

use super::Admission;
use crate::clock::BootTime;
use crate::delivery::failure::{Class, Failure};
use crate::delivery::gaps::{Failed, Gaps, Stream};
use crate::protocol::envelope::SideEffect;

/// What an effect finds that arrives.
pub(super) struct Met {
    /// The place it has from before, if it has one: none, if something it waited for
    /// went out behind that.
    pub at: Option<u64>,
    /// Where it stood over this connection, if it did; if it asked for order, also if it
    /// would leave its lane too early from there.
    pub stood_at: Option<u64>,
    /// Why it is refused, if it is, and until when at most it would be.
    pub refusal: Option<(Failure, BootTime)>,
}

impl<T> Admission<T> {
    /// An effect arrives that may have `failed_at` a place before, over this connection.
    pub(super) fn meet(
        &mut self,
        stream: &Stream<'_>,
        effect: &SideEffect,
        failed_at: Option<u64>,
        now: BootTime,
    ) -> Met {
        let gap = |text| Failure::new(Class::Gap, text);
        let (expected, stood_at) = self.gaps.arrive(stream, effect, now);
        let asks = effect.is_ordered || expected.is_some();
        let head = asks.then(|| self.fences.head(stream)).flatten();
        let unties = |gaps: &mut Gaps, head| gaps.unties(stream, effect, head, now);
        let expected = expected.filter(|_| head.is_none_or(|head| !unties(&mut self.gaps, head)));
        let expected = expected.map(|wait| {
            let text = format!("expected {}", wait.first);
            (gap(text), wait.until)
        });
        let floor = self.gaps.floor(stream, &effect.operation, now);
        if !effect.is_ordered {
            let at = failed_at.or(stood_at).filter(|at| floor <= *at);
            return Met {
                at,
                stood_at: at,
                refusal: expected,
            };
        }
        let floor = floor.max(self.fences.floor(stream));
        let is_head = head.filter(|head| head.id == effect.id);
        let fenced_at = is_head.map(|head| head.place);
        let before = self.fences.arrive(stream, effect.id, now).map(|wait| {
            let text = format!("resend {}", wait.first);
            (gap(text), wait.until)
        });
        let stood_at = failed_at.or(fenced_at).or(stood_at);
        Met {
            at: stood_at.filter(|at| floor <= *at),
            stood_at,
            refusal: expected.or(before),
        }
    }

    /// An effect comes that nothing holds up, and goes out `at` that place.
    pub(super) fn let_pass(
        &mut self,
        stream: &Stream<'_>,
        effect: &SideEffect,
        at: u64,
        now: BootTime,
    ) {
        self.gaps.pass(stream, &effect.operation, Some(at), now);
        if effect.is_ordered {
            self.fences.pass(stream, effect.id, Some(at));
        }
    }

    /// One does not, and may come again: until then at most, what comes behind it
    /// waits for it.
    pub(super) fn hold_up(
        &mut self,
        stream: &Stream<'_>,
        failed: &Failed<'_>,
        until: BootTime,
        now: BootTime,
    ) {
        let Failed { id, arrival, .. } = *failed;
        let is_fenced = failed.is_ordered && self.fences.fail(stream, id, arrival, until, now);
        self.gaps.fail(stream, failed, is_fenced, until, now);
    }
}
