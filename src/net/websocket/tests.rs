use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;

use super::super::tls::tests::{acceptor, authority};
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

type Server<S> = WebSocketStream<S>;

async fn listener(secure: bool) -> (TcpListener, Origin) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let origin = Origin {
        secure,
        host: "localhost".to_owned(),
        port: listener.local_addr().expect("bound").port(),
    };
    (listener, origin)
}

/// A websocket and the server's end of it.
async fn pair() -> (WebSocket, Server<tokio::net::TcpStream>) {
    let (listener, origin) = listener(false).await;
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        accept_async(stream).await.expect("shakes hands")
    });
    let client = open(&origin, &Tls::system(), "/?v=6", PATIENCE).await;
    (client.expect("opens"), accepting.await.expect("accepted"))
}

/// What comes first, and its frames.
async fn next(client: &mut WebSocket) -> (Incoming, Vec<Bytes>) {
    let mut frames = Vec::new();
    let incoming = client.next(&mut frames).await;
    (incoming, frames)
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut server: Server<S>) {
    while let Some(Ok(message)) = server.next().await {
        if message.is_binary() || message.is_text() {
            server.send(message).await.expect("sends");
        }
    }
}

#[tokio::test]
async fn it_speaks_over_tls() {
    let (listener, origin) = listener(true).await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        let stream = acceptor().accept(stream).await.expect("is trusted");
        echo(accept_async(stream).await.expect("shakes hands")).await;
    });
    let tls = Tls::trusting(authority());
    let mut client = open(&origin, &tls, "/", PATIENCE).await.expect("opens");
    client.feed_binary(Bytes::from_static(b"hello"));
    assert_eq!(next(&mut client).await.1, ["hello"]);
}

#[tokio::test]
async fn many_frames_are_written_at_once_and_come_at_once() {
    let (mut client, server) = pair().await;
    tokio::spawn(echo(server));
    for n in 0..500_u32 {
        client.feed_binary(Bytes::copy_from_slice(&n.to_be_bytes()));
    }
    client.feed_text(Bytes::from_static("é".as_bytes()));
    let (mut frames, mut turns) = (Vec::new(), 0);
    while frames.len() < 501 {
        assert_eq!(client.next(&mut frames).await, Incoming::Heard);
        turns += 1;
    }
    assert_eq!(frames[499], &499_u32.to_be_bytes()[..]);
    assert_eq!(frames[500], "é".as_bytes());
    assert!(turns < 400, "{turns} turns");
}

#[tokio::test]
async fn a_ping_is_heard_and_answered() {
    let (mut client, mut server) = pair().await;
    server
        .send(Message::Ping(Bytes::from_static(b"1")))
        .await
        .expect("sends");
    assert_eq!(next(&mut client).await, (Incoming::Heard, Vec::new()));
    tokio::spawn(async move { next(&mut client).await });
    let pong = server.next().await.expect("answers").expect("reads");
    assert!(pong.is_pong());
}

#[tokio::test]
async fn room_ends_when_the_server_does_not_read_and_comes_back_when_it_does() {
    let (mut client, server) = pair().await;
    let frame = Bytes::from(vec![7; 64 * 1024]);
    let mut fed = 0;
    loop {
        while client.has_room() {
            client.feed_binary(frame.clone());
            fed += frame.len();
        }
        let mut frames = Vec::new();
        let waiting = client.next(&mut frames);
        if tokio::time::timeout(Duration::from_millis(100), waiting)
            .await
            .is_err()
        {
            break;
        }
    }
    assert!(fed < 64 * 1024 * 1024, "it was bounded");
    tokio::spawn(echo(server));
    while !client.has_room() {
        assert!(!matches!(next(&mut client).await.0, Incoming::Ended(_)));
    }
}

#[tokio::test]
async fn frames_before_an_end_are_handed_out_before_the_end_is() {
    let (mut client, mut server) = pair().await;
    server
        .send(Message::Binary(Bytes::from_static(b"last")))
        .await
        .expect("sends");
    server.close(None).await.expect("closes");
    assert_eq!(next(&mut client).await.1, ["last"]);
    assert!(matches!(next(&mut client).await.0, Incoming::Ended(_)));

    let (mut client, server) = pair().await;
    drop(server);
    assert!(matches!(next(&mut client).await.0, Incoming::Ended(_)));
}

#[tokio::test]
async fn a_refused_handshake_tells_the_status_and_ablys_code() {
    let (listener, origin) = listener(false).await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut request = [0; 1024];
        _ = stream.read(&mut request).await.expect("reads");
        let answer = b"HTTP/1.1 401 Unauthorized\r\nX-Ably-Errorcode: 40142\r\n\
                X-Ably-Errormessage: expired\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("writes");
    });
    let error = open(&origin, &Tls::system(), "/?accessToken=s3cret", PATIENCE).await;
    let error = error.expect_err("refused");
    assert!(!format!("{error:?}").contains("s3cret"));
    assert!(matches!(
        error,
        OpenError::Status {
            status: 401,
            ably_code: Some(40_142),
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let (listener, origin) = listener(false).await;
    let tls = Tls::system();
    let opening = open(&origin, &tls, "/", PATIENCE);
    let (accepted, opened) = tokio::join!(listener.accept(), opening);
    assert!(accepted.is_ok());
    assert!(matches!(
        opened.expect_err("gave up"),
        OpenError::TimedOut { .. }
    ));
}
