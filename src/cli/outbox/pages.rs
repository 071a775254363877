//! Lists and changes of more than one request can hold, page by page.

use serde_json::json;

use super::args::Limit;
use super::ask::Oracle;
use super::question::Question;
use super::tell;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::paths::Paths;
use crate::protocol::control::REQUEST_BYTES_MAX;
use crate::protocol::lane::{LaneAnswer, LaneRequest};
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest};

/// How much of a list one answer is.
pub(in crate::cli) struct Listed {
    count: usize,
    /// Whether there are more.
    more: bool,
    /// How many, if that is known.
    left_out: u64,
}

/// A question about many, of whom one request names some.
pub(in crate::cli) trait Paged: Question + Clone {
    /// So many in one request: its answer is one line of bounded length.
    const PAGE: usize;

    /// Who is named.
    fn names(&mut self) -> &mut Vec<String>;

    /// Which of them are to be listed.
    fn window(&mut self, skip: usize, limit: usize);

    /// How much of the list it is.
    fn listed(answer: &Self::Answer) -> Listed;

    /// How many were changed, and who was not and why.
    fn changed(answer: Self::Answer) -> (u64, Vec<String>);
}

impl Paged for OutboxRequest {
    const PAGE: usize = 500;

    fn names(&mut self) -> &mut Vec<String> {
        &mut self.ids
    }

    fn window(&mut self, skip: usize, limit: usize) {
        (self.skip, self.limit) = (skip, limit);
    }

    fn listed(answer: &OutboxAnswer) -> Listed {
        Listed {
            count: answer.records.len(),
            more: answer.more,
            left_out: 0,
        }
    }

    fn changed(answer: OutboxAnswer) -> (u64, Vec<String>) {
        (answer.changed, answer.refused)
    }
}

impl Paged for LaneRequest {
    const PAGE: usize = 100;

    fn names(&mut self) -> &mut Vec<String> {
        &mut self.lanes
    }

    fn window(&mut self, skip: usize, limit: usize) {
        (self.skip, self.limit) = (skip, limit);
    }

    fn listed(answer: &LaneAnswer) -> Listed {
        Listed {
            count: answer.lanes.len() + answer.stuck.len(),
            more: answer.more,
            left_out: answer.left_out,
        }
    }

    fn changed(answer: LaneAnswer) -> (u64, Vec<String>) {
        (answer.changed, answer.refused)
    }
}

/// Asks for a list, and hands over each page of it.
pub(in crate::cli) async fn list<Q: Paged>(
    paths: &Paths,
    mut request: Q,
    limit: Limit,
    print: impl Fn(&Q::Answer) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut oracle = Oracle::to_look(paths);
    let (mut printed, mut left_out) = (0, 0);
    while printed < limit.count {
        request.window(printed, Q::PAGE.min(limit.count - printed));
        let answer = oracle.ask(&request).await?;
        print(&answer)?;
        let listed = Q::listed(&answer);
        printed += listed.count;
        left_out = listed.left_out;
        if !listed.more || listed.count == 0 {
            return Ok(());
        }
    }
    limit.say_more(left_out);
    Ok(())
}

/// What came of a change: of how many, who was refused, and why no more were
/// asked for.
pub(in crate::cli) struct Changed {
    count: u64,
    refused: Vec<String>,
    end: Result<(), Failure>,
}

/// Asks for a change, of so many at a time.
///
/// # Errors
///
/// When nothing was changed, or it is not known of any.
pub(in crate::cli) async fn change<Q: Paged>(
    paths: &Paths,
    mut request: Q,
) -> Result<Changed, Failure> {
    let names = std::mem::take(request.names());
    let len = names.len();
    let pages = cut(names, Q::PAGE, room(&request)?)?;
    let mut oracle = Oracle::to_change(paths);
    let mut all = Changed {
        count: 0,
        refused: Vec::new(),
        end: Ok(()),
    };
    let mut asked = 0;
    for some in pages {
        let before = asked;
        asked += some.len();
        *request.names() = some;
        match oracle.ask(&request).await.map(Q::changed) {
            Ok((count, refused)) => {
                all.count += count;
                all.refused.extend(refused);
            }
            Err(failure) => {
                all.end = Err(cut_short(failure, before, asked, len)?);
                break;
            }
        }
    }
    Ok(all)
}

/// How many bytes of names a request has room for, which is one line of bounded
/// length and has none yet.
fn room(request: &impl Question) -> Result<usize, Failure> {
    let len = json!(request.request()).to_string().len();
    REQUEST_BYTES_MAX.checked_sub(len).ok_or_else(|| {
        let error = format!(
            "what is asked is too long: {len} bytes without the names, where \
             {REQUEST_BYTES_MAX} are the most"
        );
        Failure::new(Exit::Usage, error)
    })
}

/// The names in pages, each of `most` at most, and of as many bytes as there is
/// `room` for. No names are one page: they mean all.
fn cut(names: Vec<String>, most: usize, room: usize) -> Result<Vec<Vec<String>>, Failure> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for name in names {
        let len = json!(name).to_string().len() + 1;
        if room < len {
            let start: String = name.chars().take(40).collect();
            let error = format!(
                "{}… has {len} bytes: too long to be asked for by name",
                output::visible(&start)
            );
            return Err(Failure::new(Exit::Usage, error));
        }
        bytes += len;
        match pages.last_mut() {
            Some(page) if page.len() < most && bytes <= room => page.push(name),
            _ => {
                bytes = len;
                pages.push(vec![name]);
            }
        }
    }
    Ok(pages)
}

impl Changed {
    /// Says it, for people in the words of `told`; whoever was refused is a
    /// failure.
    pub(in crate::cli) fn tell(
        self,
        json: bool,
        told: impl FnOnce(u64) -> String,
        hint: Option<&str>,
    ) -> Result<(), Failure> {
        let Self {
            count,
            refused,
            end,
        } = self;
        if json {
            tell::object(&json!({"changed": count, "refused": refused}))?;
        } else {
            output::line(&told(count))?;
        }
        ended(end, &refused, hint)
    }
}

/// The failure of a page, behind `done` of `len` that were asked for: it must not
/// read as if nothing had been done.
///
/// # Errors
///
/// The failure as it is, if it is the first page's.
fn cut_short(failure: Failure, done: usize, asked: usize, len: usize) -> Result<Failure, Failure> {
    if done == 0 {
        return Err(failure);
    }
    let failure = failure.after(&format!("after the first {done} of {len}"));
    Ok(if asked < len {
        let next = asked - done;
        failure.adding(&format!(
            "what comes behind the next {next} was not asked for"
        ))
    } else {
        failure
    })
}

/// How it ended if some were refused.
pub(super) fn ended(
    end: Result<(), Failure>,
    refused: &[String],
    hint: Option<&str>,
) -> Result<(), Failure> {
    if refused.is_empty() {
        return end;
    }
    let why = refused.join("; ");
    let Err(failure) = end else {
        let failure = Failure::new(Exit::Failed, why);
        return Err(match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        });
    };
    Err(failure.adding(&why))
}
