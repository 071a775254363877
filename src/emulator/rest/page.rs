//! Pages of the past, and the links between them.
//!
//! A page ends at an item, not at a count: what is published meanwhile moves
//! nothing from one page to another.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::emulator::log::{Entry, Kind};
use crate::emulator::serial::{Position, Series};
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::ProtocolMessage;

use super::Call;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// The parameter that names the last item of the page before.
const AFTER: &str = "after";

/// Which items are asked for.
#[derive(Debug)]
pub(super) struct PageQuery {
    start_ms: i64,
    end_ms: i64,
    pub(super) limit: usize,
    is_forwards: bool,
    /// Nothing after this position.
    until: Option<Position>,
    /// The last item of the page before.
    after: Option<(Position, usize)>,
}

/// Some items, and where the next page begins.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Serial of the last item, when there are more.
    pub(super) next: Option<String>,
}

impl PageQuery {
    pub(super) fn read(call: &Call, series: &Series) -> Result<Self, ErrorInfo> {
        let text = |name: &str| call.query.get(name).filter(|text| !text.is_empty());
        let number = |name: &str, default: i64| match text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| wrong(name)),
        };
        let is_forwards = match text("direction").map(String::as_str) {
            None | Some("backwards") => false,
            Some("forwards") => true,
            Some(_) => return Err(wrong("direction")),
        };
        let (start_ms, end_ms) = (number("start", i64::MIN)?, number("end", i64::MAX)?);
        if end_ms < start_ms {
            return Err(wrong("end"));
        }
        let position = |text: &String, name| series.parse(text).ok_or_else(|| wrong(name));
        let until = text("fromSerial").or_else(|| text("from_serial"));
        let after = text(AFTER).map(|text| {
            let index = text
                .rsplit(':')
                .next()
                .and_then(|digits| digits.parse().ok());
            Ok::<_, ErrorInfo>((position(text, AFTER)?, index.ok_or_else(|| wrong(AFTER))?))
        });
        Ok(Self {
            start_ms,
            end_ms,
            limit: limit(call)?,
            is_forwards,
            until: until.map(|text| position(text, "fromSerial")).transpose()?,
            after: after.transpose()?,
        })
    }

    /// The page of items that `list` finds in the entries of `kind`.
    pub(super) fn collect<'a, T>(
        &self,
        entries: impl DoubleEndedIterator<Item = &'a Entry>,
        kind: Kind,
        series: &Series,
        list: impl Fn(ProtocolMessage) -> Vec<T>,
    ) -> Page<T> {
        let wanted = entries.filter(|entry| entry.kind == kind && self.wants(entry));
        let ordered: Box<dyn Iterator<Item = &Entry>> = if self.is_forwards {
            Box::new(wanted)
        } else {
            Box::new(wanted.rev())
        };
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        let mut last = String::new();
        for entry in ordered {
            let mut message = entry.decode();
            message.name_messages();
            let mut items: Vec<_> = list(message).into_iter().enumerate().collect();
            if !self.is_forwards {
                items.reverse();
            }
            for (index, item) in items {
                if self.is_before(entry.position, index) {
                    continue;
                }
                if page.items.len() == self.limit {
                    page.next = Some(last);
                    return page;
                }
                last = series.message_serial(entry.position, index);
                page.items.push(item);
            }
        }
        page
    }

    fn wants(&self, entry: &Entry) -> bool {
        let is_in_time = (self.start_ms..=self.end_ms).contains(&entry.timestamp);
        is_in_time
            && self.until.is_none_or(|until| entry.position <= until)
            && self.after.is_none_or(|(after, _)| {
                // Earlier pages are not decoded again; this one may begin
                // inside an entry.
                if self.is_forwards {
                    after <= entry.position
                } else {
                    entry.position <= after
                }
            })
    }

    /// Whether the item was on the page before, or earlier.
    fn is_before(&self, position: Position, index: usize) -> bool {
        self.after.is_some_and(|after| {
            if self.is_forwards {
                (position, index) <= after
            } else {
                after <= (position, index)
            }
        })
    }
}

/// How many items a page has at most.
pub(super) fn limit(call: &Call) -> Result<usize, ErrorInfo> {
    match call.query.get("limit") {
        None => Ok(LIMIT_DEFAULT),
        Some(text) => match text.parse() {
            Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
            _ => Err(wrong("limit")),
        },
    }
}

/// The links from one page: one header per relation, relative to its own path.
pub(super) fn links(call: &Call, next: Option<&str>) -> Vec<String> {
    let resource = call.path.last().map_or("", String::as_str);
    let link = |after: Option<&str>, relation: &str| {
        let mut url = format!("./{resource}?");
        let own = call.query.iter().filter(|(name, _)| !is_private(name));
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(after.map(|after| (AFTER, after))) {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            _ = write!(
                url,
                "{}={value}&",
                utf8_percent_encode(name, NON_ALPHANUMERIC)
            );
        }
        format!("<{}>; rel=\"{relation}\"", url.trim_end_matches('&'))
    };
    let current = call.query.get(AFTER).map(String::as_str);
    let mut links = vec![link(None, "first"), link(current, "current")];
    links.extend(next.map(|after| link(Some(after), "next")));
    links
}

/// Parameters that links do not repeat: the place, and credentials.
fn is_private(name: &str) -> bool {
    matches!(name, AFTER | "key" | "accessToken" | "access_token")
}

fn wrong(name: &str) -> ErrorInfo {
    ErrorInfo::new(40003, format!("the parameter `{name}` has no valid value"))
}
