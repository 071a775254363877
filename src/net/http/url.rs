//! The URLs we call: `https`, or `http` to this machine.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

use super::super::dial::Origin;

/// Where a request goes, checked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(super) origin: Origin,
    pub(super) target: String,
}

/// Why a text is no URL we call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    /// Not a URL with a host.
    #[error("`{0}` is no URL of the form https://host/path")]
    Malformed(String),
    /// A name or password in it, which logs would show.
    #[error("a URL must not hold a name or password")]
    UserInfo,
    /// Neither https nor http.
    #[error("the scheme `{0}` is neither https nor http")]
    Scheme(String),
    /// Plain http to another machine.
    #[error("`{0}` is not this machine: use https")]
    PlainRemote(String),
}

impl Url {
    /// `target` (a path, perhaps with a query) at `origin`.
    pub(crate) fn at(origin: &Origin, target: impl Into<String>) -> Self {
        Self {
            origin: origin.clone(),
            target: target.into(),
        }
    }

    /// The server.
    #[cfg(test)]
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let malformed = || UrlError::Malformed(text.to_owned());
        if text.contains('@') && text.split('/').nth(2).is_some_and(|a| a.contains('@')) {
            return Err(UrlError::UserInfo);
        }
        let uri: Uri = text.trim().parse().map_err(|_| malformed())?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(malformed)?.to_ascii_lowercase();
        let secure = match uri.scheme_str().ok_or_else(malformed)? {
            "https" => true,
            "http" if is_loopback(&host) => false,
            "http" => return Err(UrlError::PlainRemote(host)),
            other => return Err(UrlError::Scheme(other.to_owned())),
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self {
            origin: Origin {
                secure,
                host,
                port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            },
            target: target.to_owned(),
        })
    }
}

/// Whether `host` names this machine; what a name resolves to is checked once
/// more before anything is sent.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<Url, UrlError> {
        text.parse()
    }

    #[test]
    fn a_url_splits_into_where_and_what() {
        let parsed = url("https://Api.Example.com:8443/a/b?c=d").expect("a URL");
        assert_eq!(parsed.origin.authority(), "api.example.com:8443");
        assert_eq!(parsed.target, "/a/b?c=d");
        let parsed = url("https://example.com").expect("a URL");
        assert_eq!(parsed.origin.authority(), "example.com");
        assert_eq!(parsed.target, "/");
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        assert!(url("http://127.0.0.1:8099/time").is_ok());
        assert!(url("http://[::1]:8099/time").is_ok());
        assert!(url("http://localhost/").is_ok());
        let refused = UrlError::PlainRemote("example.com".to_owned());
        assert_eq!(url("http://example.com/"), Err(refused));
    }

    #[test]
    fn what_we_cannot_call_is_refused_with_its_reason() {
        assert!(matches!(url("ftp://h/"), Err(UrlError::Scheme(_))));
        assert!(matches!(url("/path"), Err(UrlError::Malformed(_))));
        assert!(matches!(url("https:///x"), Err(UrlError::Malformed(_))));
        let error = url("https://me:s3cret@example.com/").expect_err("refused");
        assert_eq!(error, UrlError::UserInfo);
        assert!(url("https://example.com/@me").is_ok());
    }
}
