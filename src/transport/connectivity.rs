//! Whether the internet is reachable at all (RTN17j): asked before fallback
//! hosts are tried, because without it they cannot help.

use std::time::Duration;

use crate::net::http::{Client, Request, Url};

/// Where Ably's clients ask (REC3a).
pub(crate) const CHECK_URL: &str = "https://internet-up.ably-realtime.com/is-the-internet-up.txt";

/// How long the answer may take (TO3l3).
const DEADLINE: Duration = Duration::from_secs(4);

/// Whether `url` answers "yes".
pub(crate) async fn is_internet_up(client: &Client, url: &Url) -> bool {
    let request = Request::get(url.clone())
        .within(DEADLINE)
        .answer_bytes_max(1024);
    match client.send(&request).await {
        Ok(answer) => answer.status.is_success() && says_yes(&answer.body),
        Err(error) => {
            tracing::debug!(error = %crate::report::Report(&error), "The internet is not reachable.");
            false
        }
    }
}

fn says_yes(body: &[u8]) -> bool {
    body.trim_ascii() == b"yes"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_means_yes() {
        assert!(says_yes(b"yes\n"));
        assert!(!says_yes(b"<html>please log in to this network</html>"));
        assert!(!says_yes(b""));
    }

    #[test]
    fn the_address_is_one_we_can_call() {
        let url: Url = CHECK_URL.parse().expect("a URL");
        assert!(url.origin().secure);
    }
}
