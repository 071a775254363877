//! The broker through its real socket.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc;

use super::*;
use crate::net::http::Client;
use crate::net::tls::Tls;
use crate::protocol::ably::auth::{AccessToken, ApiKey, TokenDetails, verify_jwt};
use crate::protocol::token::{Audience, Refusal, decode_answer};

const DEVICE: &str = "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11";
const KEY: &str = "app.key:secret";

struct Broker {
    dir: TempDir,
    handle: Handle,
    shutdown: Shutdown,
}

fn broker(source: Source) -> Broker {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = Listener::bind(&dir.path().join("ably-auth.sock")).expect("binds");
    let shutdown = Shutdown::new();
    let config = Config {
        identity: Identity::new(DEVICE.parse().expect("a UUID"), " User-1 ").expect("a user"),
        source,
        reach: Reach::Contract,
    };
    let handle = start(config, listener, &shutdown);
    Broker {
        dir,
        handle,
        shutdown,
    }
}

fn key() -> Source {
    Source::ApiKey(KEY.parse().expect("a key"))
}

impl Broker {
    async fn connect(&self) -> UnixStream {
        let path = self.dir.path().join("ably-auth.sock");
        UnixStream::connect(path).await.expect("connects")
    }

    /// Sends `body`, half-closes, reads to the end.
    async fn ask(&self, body: &[u8]) -> Result<TokenDetails, Refusal> {
        let mut stream = self.connect().await;
        stream.write_all(body).await.expect("writes");
        stream.shutdown().await.expect("half-closes");
        read_answer(stream).await
    }

    async fn ask_for(&self, audience: Audience) -> Result<TokenDetails, Refusal> {
        self.ask(self.request(audience, DEVICE).as_bytes()).await
    }

    fn request(&self, audience: Audience, device: &str) -> String {
        let token = self.handle.broker_tokens.of(audience).reveal();
        format!(r#"{{"broker_token":"{token}","audience":"{audience}","device_id":"{device}"}}"#)
    }
}

async fn read_answer(mut stream: UnixStream) -> Result<TokenDetails, Refusal> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("reads");
    decode_answer(&answer).expect("an answer")
}

#[tokio::test]
async fn the_transport_gets_a_token_for_its_audience_and_user() {
    let broker = broker(key());
    let key: ApiKey = KEY.parse().expect("a key");

    let details = broker
        .ask_for(Audience::DaemonNagato)
        .await
        .expect("a token");

    assert_eq!(details.client_id.as_deref(), Some("user-1"));
    assert_eq!(details.expires - details.issued, 3_600_000);
    let claims = verify_jwt(details.token.reveal(), |_| Some(&key), details.issued);
    let wanted = format!(r#"{{"remote:{DEVICE}:commands":["publish","subscribe"]}}"#);
    assert_eq!(claims.expect("valid").capability, Some(wanted));
}

#[tokio::test]
async fn only_the_audience_s_own_broker_token_and_device_are_served() {
    let broker = broker(key());
    let tokens = &broker.handle.broker_tokens;
    assert!(!tokens.daemon_falco.matches(&tokens.daemon_nagato));

    let crossed = broker
        .request(Audience::DaemonNagato, DEVICE)
        .replace("daemon_nagato", "daemon_falco");
    assert_eq!(
        broker.ask(crossed.as_bytes()).await,
        Err(Refusal::BrokerToken)
    );

    let falco = |device: &str| broker.request(Audience::DaemonFalco, device);
    let other = falco("11111111-2222-4333-8444-555555555555");
    assert_eq!(
        broker.ask(other.as_bytes()).await,
        Err(Refusal::DeviceMismatch)
    );
    let no_uuid = falco("laptop");
    assert_eq!(broker.ask(no_uuid.as_bytes()).await, Err(Refusal::DeviceId));
    let upper = falco(&DEVICE.to_uppercase());
    assert!(broker.ask(upper.as_bytes()).await.is_ok());
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_its_reason() {
    let broker = broker(key());
    assert_eq!(broker.ask(b"").await, Err(Refusal::Empty));
    assert_eq!(
        broker.ask(&vec![b' '; 16 * 1024 + 1]).await,
        Err(Refusal::TooLarge)
    );
    assert_eq!(
        broker.ask(&vec![b'x'; 900_000]).await,
        Err(Refusal::TooLarge)
    );
    assert!(matches!(
        broker.ask(b"{").await,
        Err(Refusal::InvalidJson(_))
    ));
}

#[tokio::test]
async fn without_credentials_the_answer_is_not_authenticated() {
    let broker = broker(Source::None);
    let asked = broker.ask_for(Audience::DaemonFalco).await;
    assert_eq!(asked, Err(Refusal::NotAuthenticated));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_forgets_to_half_close_is_answered_after_its_silence() {
    let broker = broker(key());
    let mut stream = broker.connect().await;
    let request = broker.request(Audience::DaemonFalco, DEVICE);
    stream.write_all(request.as_bytes()).await.expect("writes");
    assert!(read_answer(stream).await.is_ok());
}

#[tokio::test]
async fn a_hanging_client_delays_no_other() {
    let broker = broker(key());
    let _hanging = broker.connect().await;
    assert!(broker.ask_for(Audience::DaemonFalco).await.is_ok());
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_broker() {
    let broker = broker(key());
    let path = broker.dir.path().join("ably-auth.sock");
    let mode = std::fs::metadata(&path)
        .expect("bound")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    broker.shutdown.drain(Duration::from_secs(1)).await;
    assert!(!path.exists());
    // Nobody is left to clear anything: that must not hang.
    broker.handle.clear().await;
}

/// A token endpoint that answers each request with the next of `answers`, and
/// tells what it was asked.
async fn endpoint(answers: Vec<(u16, &'static str)>) -> (Source, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let (asked, requests) = mpsc::channel(8);
    tokio::spawn(async move {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                stream.read_buf(&mut request).await.expect("reads");
            }
            let text = String::from_utf8(request).expect("text");
            asked.send(text).await.expect("the test listens");
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("writes");
            stream.write_all(body.as_bytes()).await.expect("writes");
        }
    });
    let source = TokenEndpoint {
        url: format!("http://127.0.0.1:{port}/tokens")
            .parse()
            .expect("a URL"),
        bearer: Some(AccessToken::new("who-i-am")),
        client: Client::new(Tls::system()),
    };
    (Source::Endpoint(source), requests)
}

#[tokio::test]
async fn an_endpoint_is_told_what_is_wanted_and_asked_once_for_all() {
    let given = r#"{"token_details":{"token":"t1","expires":99999999999999,"issued":1}}"#;
    let (source, mut requests) = endpoint(vec![(200, given)]).await;
    let broker = broker(source);

    let ask = || broker.ask_for(Audience::DaemonFalco);
    let (first, second, third) = tokio::join!(ask(), ask(), ask());

    for answer in [first, second, third, ask().await] {
        assert_eq!(answer.expect("a token").token.reveal(), "t1");
    }
    let request = requests.recv().await.expect("asked");
    assert!(request.starts_with("POST /tokens HTTP/1.1\r\n"));
    assert!(request.contains("authorization: Bearer who-i-am\r\n"));
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["audience"], "daemon_falco");
    assert_eq!(body["device_id"], DEVICE);
    assert_eq!(body["user_id"], "user-1");
    assert!(
        body["capability"]
            .as_str()
            .expect("text")
            .contains("session:*:conversation")
    );
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn clearing_makes_the_broker_ask_again() {
    let first = r#"{"token":"t1","expires":99999999999999}"#;
    let second = r#"{"token":"t2","expires":99999999999999}"#;
    let (source, _requests) = endpoint(vec![(200, first), (200, second)]).await;
    let broker = broker(source);
    for _ in 0..2 {
        let details = broker
            .ask_for(Audience::DaemonFalco)
            .await
            .expect("a token");
        assert_eq!(details.token.reveal(), "t1");
    }
    broker.handle.clear().await;
    let details = broker
        .ask_for(Audience::DaemonFalco)
        .await
        .expect("a token");
    assert_eq!(details.token.reveal(), "t2");
}

#[tokio::test]
async fn an_endpoint_s_refusal_says_whether_to_ask_again() {
    let answers = vec![(401, "who?"), (403, "not you"), (503, "busy"), (200, "{}")];
    let (source, _requests) = endpoint(answers).await;
    let broker = broker(source);
    let mut refusals = Vec::new();
    for _ in 0..4 {
        refusals.push(
            broker
                .ask_for(Audience::DaemonFalco)
                .await
                .expect_err("refused"),
        );
    }
    let expected = [
        Refusal::NotAuthenticated,
        Refusal::Forbidden("the token endpoint answered 403: not you".to_owned()),
        Refusal::Unavailable("the token endpoint answered 503: busy".to_owned()),
        Refusal::Unavailable("the token endpoint's answer is no token: it is empty".to_owned()),
    ];
    assert_eq!(refusals, expected);
}
