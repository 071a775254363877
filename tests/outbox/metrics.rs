//! Numbers, as Prometheus reads them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chain::{Chain, OUTBOX, PATIENCE, eventually};
use crate::daemon::effect;

/// Whether `falco metrics` prints this line.
fn prints(chain: &Chain, line: &str) -> bool {
    chain.run(&["metrics"]).1.lines().any(|l| l == line)
}

/// Any free port.
const SERVED: &str = "[metrics]\nlisten = \"127.0.0.1:0\"\n";

/// What is answered to these bytes.
fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn get(address: &str, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    http(address, &head)
}

fn address(chain: &Chain) -> String {
    let place = &chain.status()["metrics"];
    assert_eq!(place["trouble"], Value::Null, "{place}");
    place["address"].as_str().expect("it is served").to_owned()
}

/// The names of all samples: their values change while one looks.
fn names(text: &str) -> Vec<&str> {
    let samples = text.lines().filter(|line| line.starts_with("falco_"));
    samples
        .filter_map(|l| Some(l.rsplit_once(' ')?.0))
        .collect()
}

#[test]
fn what_is_served_is_what_the_verb_prints_and_nothing_else_is() {
    let chain = Chain::up(SERVED);
    let address = address(&chain);
    let answer = get(&address, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert_eq!(names(body), names(&chain.run(&["metrics"]).1));
    assert!(get(&address, "/").starts_with("HTTP/1.1 404"));
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    assert!(http(&address, post).starts_with("HTTP/1.1 405"));
    let head = http(&address, "HEAD /metrics HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"));
    for host in ["Host: rebound.example\r\n", "Host: 192.0.2.1:9464\r\n", ""] {
        let foreign = http(&address, &format!("GET /metrics HTTP/1.1\r\n{host}\r\n"));
        assert!(foreign.starts_with("HTTP/1.1 40"), "{host}: {foreign}");
        assert!(!foreign.contains("falco_"), "{foreign}");
    }
    let (_, text) = chain.run(&["status"]);
    let told = format!("http://{address}/metrics");
    assert!(text.contains(&told), "{text}");
}

#[test]
fn readers_who_say_nothing_do_not_keep_others_from_reading_for_long() {
    let chain = Chain::up(SERVED);
    let address = address(&chain);
    let silent = (0..20).map(|_| TcpStream::connect(&address).expect("connects"));
    let silent: Vec<_> = silent.collect();
    assert!(get(&address, "/metrics").starts_with("HTTP/1.1 200"));
    drop(silent);
}

#[test]
fn hundreds_that_say_half_a_request_cost_who_says_a_whole_one_no_time() {
    let chain = Chain::up(SERVED);
    let address = address(&chain);
    let half = || {
        let mut stream = TcpStream::connect(&address).expect("connects");
        _ = stream.write_all(b"GET /met");
        stream
    };
    let took = || {
        let _silent: Vec<_> = (0..300).map(|_| half()).collect();
        let begun = Instant::now();
        assert!(get(&address, "/metrics").starts_with("HTTP/1.1 200"));
        begun.elapsed()
    };
    // One after the other in eights, each a second, they would take half a minute.
    // A busy machine may take as long once, and not again and again.
    assert!((0..5).any(|_| took() < Duration::from_secs(10)));
}

#[test]
fn a_reload_begins_moves_and_ends_the_serving_and_restarts_nobody() {
    let chain = Chain::up("");
    assert_eq!(chain.status()["metrics"], Value::Null);
    let reload = |toml: &str| {
        chain.configure(toml);
        let (code, text) = chain.run(&["reload"]);
        assert_eq!(code, 0, "{text}");
        assert!(!text.contains("restart"), "{text}");
    };
    reload(SERVED);
    let first = address(&chain);
    assert!(get(&first, "/metrics").starts_with("HTTP/1.1 200"));
    reload("[metrics]\nlisten = \"[::1]:0\"\n");
    let second = chain.status()["metrics"].clone();
    assert!(
        second["address"]
            .as_str()
            .is_some_and(|a| a.starts_with("[::1]:"))
    );
    eventually("the first is free", || TcpStream::connect(&first).is_err());
    reload("");
    assert_eq!(chain.status()["metrics"], Value::Null);
}

#[test]
fn a_port_in_use_is_told_and_the_chain_runs_without_metrics_until_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let place = taken.local_addr().expect("bound");
    let chain = Chain::up(&format!("[metrics]\nlisten = \"{place}\"\n"));
    let status = chain.status();
    assert_eq!(status["state"], "degraded");
    let trouble = status["metrics"]["trouble"].as_str().expect("a reason");
    assert!(trouble.contains(&place.to_string()), "{trouble}");
    let (code, text) = chain.run(&["status"]);
    assert!(code == 1 && text.contains("! metrics"), "{code} {text}");
    drop(taken);
    eventually("they are served", || {
        chain.status()["metrics"]["trouble"] == Value::Null
    });
    assert!(get(&place.to_string(), "/metrics").starts_with("HTTP/1.1 200"));
    assert_eq!(chain.status()["state"], "running");
}

#[test]
fn an_address_that_others_reach_is_a_mistake() {
    let chain = Chain::new("[metrics]\nlisten = \"0.0.0.0:9464\"\n");
    let (code, text) = chain.run(&["config", "check"]);
    assert!(code == 78 && text.contains("127.0.0.1"), "{code} {text}");
}

#[test]
fn every_line_is_a_comment_or_a_sample_and_the_outbox_is_counted() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    (0..5).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    daemon.send(5, &effect("nowhere", "s", 5));
    assert!(daemon.read().1.is_some_and(|e| e.starts_with("rejected: ")));
    let (code, text) = chain.run(&["metrics"]);
    assert_eq!(code, 0, "{text}");
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        assert!(name.starts_with("falco_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    let has = |line: &str| text.lines().any(|l| l == line);
    assert!(has("falco_effects_taken_total 6"), "{text}");
    assert!(
        has("falco_effects_failed_total{class=\"rejected\"} 1"),
        "{text}"
    );
    assert!(has(
        "falco_effect_answer_seconds_count{outcome=\"success\"} 5"
    ));
    assert!(has("falco_effects_published_total 0"), "they are kept");
    assert!(has("falco_effects_answered_total{outcome=\"success\"} 5"));
    assert!(has("falco_outbox_depth 5"), "{text}");
    assert!(has("falco_part_ready{part=\"falco\"} 1"));
    assert!(has("falco_outbox_state{state=\"ok\"} 1"), "{text}");
    assert!(has("falco_outbox_state{state=\"full\"} 0"));
    for class in ["unrecorded", "gap", "parked", "shutting_down"] {
        let line = format!("falco_effects_failed_total{{class=\"{class}\"}} 0");
        assert!(has(&line), "{line} in {text}");
    }
    for route in ["test", "other", "(own)"] {
        let connected = u8::from(route == "(own)");
        let line = format!("falco_route_connected{{route=\"{route}\"}} {connected}");
        assert!(has(&line), "{line} in {text}");
    }
    let waiting = "falco_route_effects_waiting{route=\"test\"} 5";
    assert!(has(waiting), "{text}");
    let (_, status) = chain.run(&["status"]);
    let told = "route     test not connected · 5 waiting, oldest ";
    assert!(status.contains(told), "{status}");
}

#[test]
fn what_is_sent_again_without_knowing_is_counted_and_what_is_published_gives_a_rate() {
    let chain = Chain::up(OUTBOX);
    let mut transport = chain.transport("test");
    let mut peer = transport.accept();
    let mut daemon = chain.daemon();
    daemon.publish(1, &effect("test", "s", 1));
    peer.read();
    assert!(prints(&chain, "falco_duplicates_possible_total 0"));
    drop(peer);
    let mut peer = transport.accept();
    let again = peer.read();
    peer.accept(&again);
    eventually("it is published", || {
        prints(&chain, "falco_effects_published_total 1")
    });
    assert!(prints(&chain, "falco_duplicates_possible_total 1"));
    eventually("its second is over", || {
        chain.status()["ingest"]["published_10s"] == 1
    });
    let (_, text) = chain.run(&["status"]);
    assert!(text.contains("0.1 published/s over 10 s"), "{text}");
}

#[test]
fn without_a_chain_there_are_none() {
    let chain = Chain::new(OUTBOX);
    assert_eq!(chain.run(&["metrics"]).0, 3);
}
