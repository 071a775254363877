//! The websocket's path and query (RTN2).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::event::OpenRequest;
use crate::protocol::ably::codec::Format;

/// The protocol we speak (CSV2).
const VERSION: &str = "6";

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The path and query to open; it contains the token.
pub(crate) fn path_and_query(
    request: &OpenRequest,
    format: Format,
    echo: bool,
    agent: &str,
) -> String {
    let mut query = format!(
        "/?v={VERSION}&format={}&echo={echo}&heartbeats=true",
        format.name()
    );
    let mut add = |name: &str, value: &str| {
        query.push('&');
        query.push_str(name);
        query.push('=');
        query.extend(utf8_percent_encode(value, RESERVED));
    };
    add("agent", agent);
    if let Some(key) = &request.resume {
        add("resume", key);
    }
    add("accessToken", request.token.secret.reveal());
    query
}

#[cfg(test)]
mod tests {
    use super::super::event::{Generation, Token};
    use super::super::hosts::Hosts;
    use super::*;
    use crate::protocol::ably::auth::AccessToken;

    #[test]
    fn the_url_carries_what_rtn2_asks_for_and_nothing_unescaped() {
        let request = OpenRequest {
            generation: Generation::default(),
            host: Hosts::parse("main").expect("parses").primary().clone(),
            token: Token {
                secret: AccessToken::new("a.b+c/d=&"),
                valid_for: None,
            },
            resume: Some("key!1".to_owned()),
        };
        assert_eq!(
            path_and_query(&request, Format::Json, false, "falco/0.1.0 rust/1.89"),
            "/?v=6&format=json&echo=false&heartbeats=true&agent=falco%2F0.1.0%20rust%2F1.89\
             &resume=key%211&accessToken=a.b%2Bc%2Fd%3D%26"
        );
    }
}
