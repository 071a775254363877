use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Accepts connections and answers each request on each with the next of
/// `answers`; returns the requests it saw, one list a connection.
async fn serve(listener: TcpListener, connections: Vec<Vec<&'static str>>) -> Vec<Vec<String>> {
    let mut seen = Vec::new();
    for answers in connections {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut requests = Vec::new();
        for answer in answers {
            requests.push(read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.expect("writes");
        }
        seen.push(requests);
    }
    seen
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).await.expect("reads");
        text.push_str(std::str::from_utf8(&chunk[..count]).expect("text"));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |n| n.parse().expect("a number"));
        if count == 0 || length <= body.len() {
            return text;
        }
    }
}

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let url = format!("http://127.0.0.1:{port}/hook?a=b");
    (listener, url.parse().expect("a URL"))
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn a_request_says_where_who_and_what() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(serve(listener, vec![vec![OK]]));
    let client = Client::new(Tls::system());
    let request = Request::post_json(url.clone(), "{}").bearer("t0k");
    assert!(!format!("{request:?}").contains("t0k"));

    let response = client.send(&request).await.expect("answered");

    assert_eq!(
        (response.status.as_u16(), &response.body[..]),
        (200, &b"hi"[..])
    );
    let seen = server.await.expect("served").remove(0).remove(0);
    let host = format!("host: {}\r\n", url.origin().authority());
    for part in [
        "POST /hook?a=b HTTP/1.1\r\n",
        "authorization: Bearer t0k\r\n",
        "\r\n\r\n{}",
        &host,
    ] {
        assert!(seen.contains(part), "{part:?} is not in {seen:?}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(serve(listener, vec![vec![OK, OK]]));
    let client = Client::new(Tls::system());
    for _ in 0..2 {
        client
            .send(&Request::get(url.clone()))
            .await
            .expect("answered");
    }
    assert_eq!(server.await.expect("served")[0].len(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(serve(listener, vec![vec![OK], vec![OK]]));
    let client = Client::new(Tls::system());
    for _ in 0..2 {
        client
            .send(&Request::get(url.clone()))
            .await
            .expect("answered");
        // Lets the server close its end.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.await.expect("served").len(), 2);
}

#[tokio::test]
async fn a_silent_server_is_given_up_at_the_deadline() {
    let (listener, url) = listen().await;
    let client = Client::new(Tls::system());
    let request = Request::get(url).within(Duration::from_millis(50));
    let error = client.send(&request).await.expect_err("no answer");
    assert!(matches!(error, HttpError::TimedOut { .. }), "{error:?}");
    drop(listener);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_read() {
    let (listener, url) = listen().await;
    let long = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n";
    let server = tokio::spawn(serve(listener, vec![vec![long]]));
    let client = Client::new(Tls::system());
    let request = Request::get(url).answer_bytes_max(9);
    let error = client.send(&request).await.expect_err("too long");
    assert!(
        matches!(error, HttpError::TooLong { limit: 9, .. }),
        "{error:?}"
    );
    server.await.expect("served");
}

#[tokio::test]
async fn nobody_listening_is_told_from_a_broken_exchange() {
    let (listener, url) = listen().await;
    let client = Client::new(Tls::system());
    let closer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        read_request(&mut stream).await;
    });
    let error = client
        .send(&Request::get(url.clone()))
        .await
        .expect_err("broken");
    assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
    closer.await.expect("closed");

    let error = client.send(&Request::get(url)).await.expect_err("refused");
    assert!(
        matches!(error, HttpError::Dial(DialError::Connect { .. })),
        "{error:?}"
    );
}
