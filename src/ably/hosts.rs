//! Which servers a connection may use (REC1, REC2, RTN17).
//!
//! ```text
//! main, eu-west …     a routing policy    <id>.realtime.ably.net, five fallbacks
//! nonprod:x           the same, elsewhere x.realtime.ably-nonprod.net, five fallbacks
//! host.example        a host name         itself, no fallbacks
//! http://127.0.0.1:N  a local server      itself, no TLS, no fallbacks
//! ```

use std::fmt;

use super::chance::Chance;

/// How many fallback hosts one attempt tries after the primary (TO3l5).
const FALLBACKS_PER_ATTEMPT: usize = 3;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its name or address.
    pub(crate) name: String,
    /// Its port.
    pub(crate) port: u16,
    /// Whether to speak TLS; only a loopback server goes without.
    pub(crate) tls: bool,
}

impl Host {
    fn tls(name: String) -> Self {
        Self {
            name,
            port: 443,
            tls: true,
        }
    }

    /// Whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.name)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// A primary host and those to fall back on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts {
    primary: Host,
    fallbacks: Vec<Host>,
}

/// Why a text names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// A URL we cannot take apart.
    #[error("{endpoint:?} is not http(s)://host[:port]")]
    Url {
        /// The text.
        endpoint: String,
    },
    /// Tokens would cross a network in the clear.
    #[error("{endpoint:?} has no TLS and is not this machine; use https:// or a loopback address")]
    NotLoopback {
        /// The text.
        endpoint: String,
    },
    /// Neither a routing policy nor a host name.
    #[error("{endpoint:?} is neither a routing policy, a host name nor a URL")]
    Name {
        /// The text.
        endpoint: String,
    },
}

impl Hosts {
    /// The hosts behind `endpoint`, see the table of this module.
    ///
    /// # Errors
    ///
    /// When it names none, or one that tokens must not be sent to in the clear.
    pub(crate) fn parse(endpoint: &str) -> Result<Self, EndpointError> {
        if let Some(rest) = endpoint.strip_prefix("http://") {
            return single(endpoint, rest, false);
        }
        if let Some(rest) = endpoint.strip_prefix("https://") {
            return single(endpoint, rest, true);
        }
        let is_host_name =
            endpoint.contains('.') || endpoint.contains("::") || endpoint == "localhost";
        if is_host_name && is_name(endpoint) {
            return Ok(Self {
                primary: Host::tls(endpoint.to_owned()),
                fallbacks: Vec::new(),
            });
        }
        match endpoint.strip_prefix("nonprod:") {
            Some(policy) if is_name(policy) => Ok(with_fallbacks(
                format!("{policy}.realtime.ably-nonprod.net"),
                policy,
                "ably-realtime-nonprod.com",
            )),
            None if is_name(endpoint) && !endpoint.contains(':') => Ok(with_fallbacks(
                format!("{endpoint}.realtime.ably.net"),
                endpoint,
                "ably-realtime.com",
            )),
            _ => Err(EndpointError::Name {
                endpoint: endpoint.to_owned(),
            }),
        }
    }

    /// The host every attempt tries first (RTN17i).
    pub(crate) fn primary(&self) -> &Host {
        &self.primary
    }

    /// Whether there is anything to fall back on.
    pub(crate) fn has_fallbacks(&self) -> bool {
        !self.fallbacks.is_empty()
    }

    /// The fallbacks one attempt goes through, in random order (RTN17j).
    pub(super) fn shuffled_fallbacks(&self, chance: &mut Chance) -> Vec<Host> {
        let mut left = self.fallbacks.clone();
        let mut picked = Vec::new();
        while !left.is_empty() && picked.len() < FALLBACKS_PER_ATTEMPT {
            picked.push(left.swap_remove(chance.below(left.len())));
        }
        picked
    }
}

fn with_fallbacks(primary: String, policy: &str, domain: &str) -> Hosts {
    let fallback = |letter| Host::tls(format!("{policy}.{letter}.fallback.{domain}"));
    Hosts {
        primary: Host::tls(primary),
        fallbacks: ['a', 'b', 'c', 'd', 'e'].map(fallback).into(),
    }
}

fn single(endpoint: &str, rest: &str, tls: bool) -> Result<Hosts, EndpointError> {
    let malformed = || EndpointError::Url {
        endpoint: endpoint.to_owned(),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (name, port) = split_port(authority).ok_or_else(malformed)?;
    let port = match port {
        Some(port) => port.parse().map_err(|_| malformed())?,
        None if tls => 443,
        None => 80,
    };
    if !is_name(name) {
        return Err(malformed());
    }
    if !tls && !is_loopback(name) {
        return Err(EndpointError::NotLoopback {
            endpoint: endpoint.to_owned(),
        });
    }
    let name = name.to_owned();
    Ok(Hosts {
        primary: Host { name, port, tls },
        fallbacks: Vec::new(),
    })
}

/// Takes `host`, `host:port` or `[v6]:port` apart.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (name, after) = rest.split_once(']')?;
        return match after {
            "" => Some((name, None)),
            _ => Some((name, Some(after.strip_prefix(':')?))),
        };
    }
    match authority.split_once(':') {
        Some((name, port)) => Some((name, Some(port))),
        None => Some((authority, None)),
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    !text.is_empty() && text.bytes().all(is_part)
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name
            .parse::<core::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
