//! What comes from a transport and is no answer.

use serde_json::json;

use super::publish;
use crate::falco::Falco;

#[test]
fn garbage_from_the_transport_changes_nothing() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &publish("s", 1));
    let request = peer.read();
    let id = request.text("request_id");
    let other_ops = ["subscribe.ack.v1", "message.v1", "error.v1", ""]
        .map(|op| format!("{{\"op\":\"{op}\",\"request_id\":\"{id}\",\"ok\":true}}\n"))
        .concat();
    let longest = format!(
        "{{\"op\":\"x\",\"error\":\"{}\"}}\n",
        "x".repeat(3 * 1024 * 1024)
    );
    for garbage in [
        b"\n\n not json \n\xff\xfe\n[]\n{}\n".as_slice(),
        b"{\"op\":\"publish.ack.v1\",\"request_id\":\"99.99.1\",\"ok\":true}\n",
        b"{\"op\":\"publish.ack.v1\",\"request_id\":\"unknown\",\"ok\":true}\n",
        b"{\"op\":\"publish.ack.v1\",\"request_id\":5,\"ok\":true}\n",
        other_ops.as_bytes(),
        longest.as_bytes(),
    ] {
        peer.write_raw(garbage);
    }
    daemon.expect_silence();
    let answer =
        json!({"op": "publish.ack.v1", "request_id": id, "ok": true, "code": "0", "extra": [1]});
    let twice = format!("{answer}\r\n{answer}\n");
    peer.write_raw(twice.as_bytes());
    daemon.expect_success(1);
    daemon.send(2, &publish("s", 2));
    let request = peer.read();
    assert_eq!(request.payload(), "2");
    peer.accept(&request);
    daemon.expect_success(2);
}

#[test]
fn a_line_without_end_costs_the_connection_and_no_effect() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut transport = falco.transport();
    let mut peer = transport.accept_ours();
    daemon.send(1, &publish("s", 1));
    _ = peer.read();
    let endless = vec![b'x'; 64 * 1024];
    while std::io::Write::write_all(&mut peer.stream, &endless).is_ok() {}
    assert_eq!(transport.accept_ours().accept_messages(1), [b"1"]);
    daemon.expect_success(1);
}

#[test]
fn a_close_in_the_middle_of_an_answer_is_no_answer() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut transport = falco.transport();
    let mut peer = transport.accept_ours();
    daemon.send(1, &publish("s", 1));
    let request = peer.read();
    let id = request.text("request_id");
    peer.write_raw(
        format!("{{\"op\":\"publish.ack.v1\",\"request_id\":\"{id}\",\"ok\":tr").as_bytes(),
    );
    drop(peer);
    assert_eq!(transport.accept_ours().accept_messages(1), [b"1"]);
    daemon.expect_success(1);
}
