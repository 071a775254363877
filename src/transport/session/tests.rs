//! A session alone: Ably cannot be reached, and that is no reason not to
//! answer.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex, split};

use super::super::objects::Objects;
use super::super::realtime;
use super::super::request::Reader;
use super::super::token::TokenClient;
use super::super::upstream::Upstreams;
use super::*;
use crate::ably::hosts::Hosts;
use crate::net::http;
use crate::net::tls::Tls;
use crate::protocol::ably::codec::Format;
use crate::protocol::token::{BrokerToken, BrokerTokens};

struct Client {
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    tasks: Shutdown,
}

fn shared(tasks: &Shutdown) -> Arc<Shared> {
    let config = realtime::Config {
        changes: None,
        hosts: Hosts::parse("http://127.0.0.1:1").expect("an endpoint"),
        format: Format::Msgpack,
        agent: "test".to_owned(),
        tokens: TokenClient {
            socket: "/nonexistent/ably-auth.sock".into(),
            device_id: "d".to_owned(),
            broker_tokens: BrokerTokens {
                daemon_falco: BrokerToken::new("f"),
                daemon_nagato: BrokerToken::new("n"),
            },
        },
        tls: Tls::system(),
        http: Arc::new(http::Client::new(Tls::system())),
        stop_by: super::super::StopBy::default(),
    };
    let (objects, _) = Objects::channel();
    Arc::new(Shared {
        upstreams: Upstreams::start(config, tasks.clone()),
        objects,
        reader: Reader {
            format: Format::Msgpack,
            default_timeout: Duration::from_secs(5),
        },
        line_max: 1000,
        clients: 0.into(),
    })
}

/// A client whose socket holds `buffer` bytes each way.
fn connect(buffer: usize) -> Client {
    let tasks = Shutdown::new();
    let shared = shared(&tasks);
    let (ours, theirs) = duplex(buffer);
    let (reader, writer) = split(theirs);
    let session = Session::new(SessionId(1), shared, reader, writer);
    tasks.spawn(session.run(tasks.clone()));
    let (reader, writer) = split(ours);
    Client {
        reader: BufReader::new(reader),
        writer,
        tasks,
    }
}

impl Client {
    async fn send(&mut self, line: &str) {
        self.writer
            .write_all(line.as_bytes())
            .await
            .expect("writes");
        self.writer.write_all(b"\n").await.expect("writes");
    }

    async fn answer(&mut self) -> Value {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).await.expect("reads");
        assert!(read > 0, "the session has ended");
        serde_json::from_str(&line).expect("JSON")
    }

    async fn has_ended(&mut self) -> bool {
        let mut line = String::new();
        matches!(self.reader.read_line(&mut line).await, Ok(0) | Err(_))
    }
}

fn publish(id: &str, timeout_ms: u64) -> String {
    json!({
        "op": "publish.v1", "request_id": id, "channel": "c", "event": "e",
        "payload_b64": "aGk=", "timeout_ms": timeout_ms,
    })
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn every_line_with_a_request_id_is_answered_once() {
    let mut client = connect(1 << 16);
    client.send(r#"{"op":"hello.v1","request_id":"1"}"#).await;
    client.send(r#"{"op":"novel.v7","request_id":"2"}"#).await;
    client
        .send(r#"{"op":"publish.v1","request_id":"3","channel":7}"#)
        .await;
    client.send("nonsense").await;
    client.send("").await;
    client.send(r#"{"op":"publish.v1","channel":"c"}"#).await;
    client.send(r#"{"op":"status.v1","request_id":"4"}"#).await;
    let hello = client.answer().await;
    assert_eq!(
        (&hello["op"], &hello["ok"]),
        (&json!("hello.ack.v1"), &json!(true))
    );
    let unknown = client.answer().await;
    assert_eq!(
        (&unknown["op"], &unknown["ok"]),
        (&json!("error.v1"), &json!(false))
    );
    let malformed = client.answer().await;
    assert_eq!(
        (&malformed["op"], &malformed["request_id"]),
        (&json!("publish.ack.v1"), &json!("3"))
    );
    let nameless = client.answer().await;
    assert_eq!(nameless["error"], "request_id is required");
    let status = client.answer().await;
    assert_eq!(status["connections"][0]["audience"], "daemon_falco");
}

#[tokio::test(start_paused = true)]
async fn without_ably_a_request_is_answered_when_its_patience_ends_and_others_before() {
    let mut client = connect(1 << 16);
    let start = tokio::time::Instant::now();
    client.send(&publish("slow", 700)).await;
    client.send(&publish("quick", 100)).await;
    client.send(&json!({"op": "subscribe.v1", "request_id": "sub", "channel": "c", "subscription_id": "s", "timeout_ms": 300}).to_string()).await;
    for (id, after_ms) in [("quick", 100), ("sub", 300), ("slow", 700)] {
        let answer = client.answer().await;
        assert_eq!(answer["request_id"], id);
        assert_eq!(
            (&answer["ok"], &answer["retryable"]),
            (&json!(false), &json!(true))
        );
        assert!(
            answer["error"]
                .as_str()
                .is_some_and(|text| text.starts_with("timed out: not"))
        );
        let waited = start.elapsed().as_millis();
        assert!(
            (after_ms..after_ms + 50).contains(&waited),
            "{id}: {waited}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_unterminated_last_line_counts_and_the_session_ends_after_its_answer() {
    let mut client = connect(1 << 16);
    client.send(&publish("1", 100)).await;
    client
        .writer
        .write_all(publish("2", 100).as_bytes())
        .await
        .expect("writes");
    client.writer.shutdown().await.expect("half-closes");
    let ids =
        [client.answer().await, client.answer().await].map(|answer| answer["request_id"].clone());
    assert_eq!(ids, ["1", "2"]);
    assert!(client.has_ended().await);
}

#[tokio::test(start_paused = true)]
async fn a_line_over_the_limit_ends_the_session() {
    let mut client = connect(1 << 16);
    client.send(&"x".repeat(1001)).await;
    assert!(client.has_ended().await);
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_what_is_open_and_ends_the_session() {
    let mut client = connect(1 << 16);
    client.send(&publish("1", 1000)).await;
    client.send(r#"{"op":"hello.v1","request_id":"2"}"#).await;
    client.answer().await;
    client.tasks.begin();
    assert_eq!(client.answer().await["request_id"], "1");
    assert!(client.has_ended().await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_read_no_more_and_then_hung_up_on() {
    let mut client = connect(4096);
    let line = "{\"op\":\"nope\",\"request_id\":\"r\"}\n".repeat(1000);
    let start = tokio::time::Instant::now();
    let mut taken = 0;
    while client.writer.write_all(line.as_bytes()).await.is_ok() {
        taken += line.len();
    }
    let waited = start.elapsed();
    assert!(
        (STALLED_MAX..STALLED_MAX + Duration::from_secs(1)).contains(&waited),
        "{waited:?}"
    );
    assert!(taken < 2 * OUTPUT_PAUSE, "{taken} bytes were read");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_can_ask_any_more_sleeps() {
    let tasks = Shutdown::new();
    drop(shared(&tasks));
    // Virtual time only passes while every task sleeps.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        tasks.drain(Duration::from_secs(1)).await,
        crate::shutdown::Drained::InTime
    );
}
