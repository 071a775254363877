use super::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

struct Transport {
    listener: UnixListener,
    _dir: tempfile::TempDir,
}

fn transport() -> (Transport, IpcClient) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ably.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let transport = Transport {
        listener,
        _dir: dir,
    };
    (transport, IpcClient::new(path))
}

impl Transport {
    /// Accepts and reads the greeting.
    async fn accept(&self) -> BufReader<UnixStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line, "{\"op\":\"hello.v1\",\"request_id\":\"hello\"}\n");
        stream
    }

    async fn accept_and_greet(&self) -> BufReader<UnixStream> {
        let mut stream = self.accept().await;
        let hello = b"{\"op\":\"hello.ack.v1\",\"request_id\":\"hello\",\"ok\":true,\"features\":[\"publish.batch.v1\"],\"max_line_bytes\":1000}\n";
        stream.write_all(hello).await.unwrap();
        stream
    }
}

#[tokio::test]
async fn a_transport_that_greets_back_is_known_by_its_features() {
    let (transport, mut client) = transport();
    let (event, _stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    let features = Features {
        greeted: true,
        batches: true,
        line_bytes_max: 1000,
    };
    assert!(matches!(event, Event::Connected(found) if found == features));
}

#[tokio::test]
async fn a_transport_that_stays_silent_is_taken_for_the_predecessor() {
    let (transport, mut client) = transport();
    let before = Instant::now();
    let (event, _stream) = tokio::join!(client.event(true), transport.accept());
    assert!(matches!(
        event,
        Event::Connected(Features { greeted: false, .. })
    ));
    assert!(before.elapsed() >= GREETING_PATIENCE);
}

#[tokio::test]
async fn a_lost_connection_is_told_once_and_dialed_again() {
    let (transport, mut client) = transport();
    let (_, stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    drop(stream);
    assert!(matches!(client.event(true).await, Event::Disconnected(_)));
    assert!(client.out().is_none());
    let (event, _stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    assert!(matches!(event, Event::Connected(_)));
}

#[tokio::test]
async fn a_transport_that_comes_late_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ably.sock");
    let mut client = IpcClient::new(path.clone());
    let nothing = tokio::time::timeout(Duration::from_millis(30), client.event(true)).await;
    assert!(nothing.is_err());
    let transport = Transport {
        listener: UnixListener::bind(&path).unwrap(),
        _dir: dir,
    };
    let (event, _stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    assert!(matches!(event, Event::Connected(_)));
}

#[tokio::test]
async fn a_transport_that_does_not_read_is_given_no_more_than_the_bound() {
    let (transport, mut client) = transport();
    let (_, mut stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    let mut line = vec![b'x'; 10_000];
    *line.last_mut().unwrap() = b'\n';
    let mut written = 0;
    loop {
        while let Some(out) = client.out() {
            out.extend_from_slice(&line);
            written += line.len();
        }
        if tokio::time::timeout(Duration::from_millis(20), client.event(true))
            .await
            .is_err()
        {
            break;
        }
    }
    assert!(written < 4 * 1024 * 1024);

    let reader = tokio::spawn(async move {
        let mut total = 0;
        let mut line = Vec::new();
        while total < written {
            line.clear();
            total += stream.read_until(b'\n', &mut line).await.unwrap();
        }
        stream
    });
    assert!(matches!(client.event(true).await, Event::Room));
    assert!(client.out().is_some());
    let idle = tokio::time::timeout(Duration::from_millis(200), client.event(true)).await;
    assert!(idle.is_err());
    reader.await.unwrap();
}

#[tokio::test]
async fn what_is_pushed_goes_out_at_once_and_what_does_not_fit_with_the_next_event() {
    let (transport, mut client) = transport();
    let (_, mut stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    let mut line = vec![b'x'; 10_000];
    *line.last_mut().unwrap() = b'\n';
    let mut written = 0;
    let mut read = Vec::new();
    client.out().unwrap().extend_from_slice(b"first\n");
    client.push();
    stream.read_until(b'\n', &mut read).await.unwrap();
    assert_eq!(read, b"first\n");
    while let Some(out) = client.out() {
        out.extend_from_slice(&line);
        written += line.len();
        client.push();
    }
    let reader = tokio::spawn(async move {
        let mut lines = Vec::new();
        while lines.len() < written {
            assert_ne!(stream.read_until(b'\n', &mut lines).await.unwrap(), 0);
        }
        (lines, stream)
    });
    assert!(matches!(client.event(true).await, Event::Room));
    let idle = tokio::time::timeout(Duration::from_millis(200), client.event(true)).await;
    assert!(idle.is_err(), "all is written");
    let (lines, _stream) = reader.await.unwrap();
    assert_eq!(lines, line.repeat(written / line.len()));
}

#[tokio::test]
async fn answers_that_came_before_a_push_failed_are_still_handed_out() {
    let (transport, mut client) = transport();
    let (_, mut stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    stream.write_all(b"answer\n").await.unwrap();
    drop(stream);
    client.out().unwrap().extend_from_slice(b"too late\n");
    client.push();
    assert!(matches!(client.event(true).await, Event::Lines));
    assert_eq!(client.next_line().unwrap(), Some(&b"answer"[..]));
    let lost = client.event(true).await;
    assert!(
        matches!(lost, Event::Disconnected(Lost::Write(_))),
        "{lost:?}"
    );
}

#[tokio::test]
async fn answers_that_came_before_a_write_failed_are_still_handed_out() {
    let (transport, mut client) = transport();
    let (_, mut stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    stream.write_all(b"one\ntwo\n").await.unwrap();
    drop(stream);
    let out = client.out().expect("connected");
    out.extend_from_slice(b"too late\n");
    assert!(matches!(client.event(true).await, Event::Lines));
    assert_eq!(client.next_line(), Ok(Some(&b"one"[..])));
    assert_eq!(client.next_line(), Ok(Some(&b"two"[..])));
    assert!(client.out().is_none());
    let Event::Disconnected(lost) = client.event(true).await else {
        panic!("disconnected");
    };
    assert!(matches!(lost, Lost::Write(_)));
}

#[tokio::test]
async fn a_transport_that_has_greeted_before_may_take_longer_the_next_time() {
    let (transport, mut client) = transport();
    let (_, stream) = tokio::join!(client.event(true), transport.accept_and_greet());
    drop(stream);
    assert!(matches!(client.event(true).await, Event::Disconnected(_)));
    let slow = async {
        let mut stream = transport.accept().await;
        tokio::time::sleep(2 * GREETING_PATIENCE).await;
        let hello = b"{\"op\":\"hello.ack.v1\",\"request_id\":\"hello\",\"ok\":true}\n";
        stream.write_all(hello).await.unwrap();
        stream
    };
    let (event, _stream) = tokio::join!(client.event(true), slow);
    assert!(matches!(
        event,
        Event::Connected(Features { greeted: true, .. })
    ));
}

#[tokio::test]
async fn a_transport_that_only_greets_is_dialed_ever_less_often() {
    let (transport, mut client) = transport();
    let mut connections = 0;
    let storm = async {
        loop {
            let (_, stream) = tokio::join!(client.event(true), transport.accept_and_greet());
            connections += 1;
            drop(stream);
            client.event(true).await;
        }
    };
    _ = tokio::time::timeout(Duration::from_secs(1), storm).await;
    assert!((3..20).contains(&connections), "{connections} connections");
}

#[tokio::test(start_paused = true)]
async fn without_a_transport_an_idle_client_dials_rarely_and_a_busy_one_soon() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = IpcClient::new(dir.path().join("ably.sock"));
    let idle = tokio::time::timeout(Duration::from_secs(60), client.event(false));
    assert!(idle.await.is_err());
    assert!((15..60).contains(&client.failures), "{}", client.failures);
    let before = client.failures;
    let busy = tokio::time::timeout(REDIAL.cap * 2, client.event(true));
    assert!(busy.await.is_err());
    assert!(client.failures > before);
}
