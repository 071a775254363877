//! When a sidecar counts as ready, and what it is given.

use std::fs;
use std::process::Stdio;

use super::{file, python, shell};
use crate::base::{Base, eventually, free_address};

/// Brings it up, and takes it down without a trace.
fn up_and_down(base: &Base, name: &str) {
    base.up();
    let part = base.part(name);
    assert_eq!(part["state"], "running", "{part}");
    assert_eq!(base.run(&["stop"]).code, 0);
    base.assert_nothing_left();
}

/// What a sidecar has written to a file, once it is whole: nobody waits for that.
fn written(base: &Base, name: &str, is_whole: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    eventually("it is written", || {
        let read = fs::read_to_string(file(base, name));
        text = read.unwrap_or_default();
        !text.is_empty() && is_whole(&text)
    });
    text
}

/// The chain is not up before the file `ready` is there.
fn up_waits_for_ready(base: &Base, name: &str) {
    base.up();
    assert!(file(base, "ready").exists(), "up came back too early");
    assert_eq!(base.part(name)["state"], "running");
}

#[test]
fn a_sidecar_is_ready_when_its_socket_answers_what_it_should() {
    let script = r#"
import os, socket, time
time.sleep(0.3)
server = socket.socket(socket.AF_UNIX)
server.bind("web.sock"); server.listen()
while True:
    peer, _ = server.accept()
    if peer.recv(100) == b"PING\n":
        open("ready", "w").close()
        peer.sendall(b"hello\nPONG\n")
    peer.close()
"#;
    let readiness = r#"readiness = { unix = "web.sock", send = "PING\n", expect = "^PONG$" }"#;
    let base = Base::configured(&python("web", script, readiness));
    up_waits_for_ready(&base, "web");
    assert!(
        base.part("web")["place"]
            .as_str()
            .unwrap()
            .ends_with("/web.sock")
    );
}

#[test]
fn a_sidecar_is_ready_when_its_port_takes_connections_or_answers_http() {
    let port = free_address().port();
    let script = format!(
        r#"
import http.server, time
time.sleep(0.3)
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204 if self.path == "/health" else 404)
        self.end_headers()
open("ready", "w").close()
http.server.HTTPServer(("127.0.0.1", {port}), Web).serve_forever()
"#
    );
    let url = format!("http://127.0.0.1:{port}/health");
    for readiness in [
        format!(r#"readiness = {{ tcp = "127.0.0.1:{port}" }}"#),
        format!(r#"readiness = {{ http = "{url}", status = 204 }}"#),
    ] {
        let base = Base::configured(&python("web", &script, &readiness));
        up_waits_for_ready(&base, "web");
        assert_eq!(base.run(&["stop"]).code, 0);
    }
}

#[test]
fn a_sidecar_is_ready_when_a_command_with_its_environment_says_so() {
    let script = "sleep 0.3; touch ready; exec sleep 1000";
    let more = "env = { WHAT = \"ready\" }\nreadiness = { command = [\"sh\", \"-c\", 'test -e \"$WHAT\"'] }";
    let base = Base::configured(&shell("web", script, more));
    up_waits_for_ready(&base, "web");
}

#[test]
fn a_sidecar_is_ready_when_it_prints_a_line_that_matches() {
    let script = "echo not listening on anything; sleep 0.3; touch ready; echo listening on 8080 >&2; exec sleep 1000";
    let more = r"readiness = { line = '^listening on \d+$' }";
    let base = Base::configured(&shell("web", script, more));
    up_waits_for_ready(&base, "web");
    eventually("it is in the log", || {
        let logs = base.run(&["logs", "web"]).stdout;
        logs.contains("listening on 8080")
    });
}

#[test]
fn a_sidecar_is_ready_when_it_writes_to_its_descriptor() {
    let script = r#"
import os, time
time.sleep(0.3)
open("ready", "w").close()
os.write(int(os.environ["FALCO_READY_FD"]), b"\n")
time.sleep(1000)
"#;
    let base = Base::configured(&python("web", script, "readiness = { descriptor = true }"));
    up_waits_for_ready(&base, "web");
}

#[test]
fn a_sidecar_is_ready_when_it_says_so_as_services_of_systemd_do() {
    let script = r#"
import os, socket, time
time.sleep(0.3)
open("ready", "w").close()
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"STATUS=fine\nREADY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"#;
    let base = Base::configured(&python("web", script, "readiness = { notify = true }"));
    up_waits_for_ready(&base, "web");
}

#[test]
fn a_notice_of_somebody_else_makes_nobody_ready() {
    let more = "readiness = { notify = true, within = \"100s\" }";
    let base = Base::configured(&shell("web", "exec sleep 1000", more));
    let mut up = base
        .falco(&["up", "-q"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = file(&base, "run/web.notify");
    eventually("it listens", || socket.exists());
    let stranger = std::os::unix::net::UnixDatagram::unbound().unwrap();
    stranger.send_to(b"READY=1", &socket).unwrap();
    eventually("it was said", || {
        let log = fs::read_to_string(file(&base, "logs/web.log")).unwrap_or_default();
        log.contains("a notice of another process was ignored")
    });
    assert_eq!(base.part("web")["state"], "starting");
    assert_eq!(base.run(&["stop", "--now"]).code, 0);
    up.wait().unwrap();
}

#[test]
fn a_sidecar_of_which_nothing_is_said_is_ready_once_it_has_run_a_while() {
    let base = Base::configured(&shell("web", "exec sleep 1000", ""));
    up_and_down(&base, "web");
}

#[test]
fn sidecars_start_behind_what_they_come_after_and_stop_before_it() {
    let noted = |name: &str| {
        format!(
            "echo up {name} >> order; trap 'echo down {name} >> order; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
        )
    };
    let line = "readiness = { line = \"ready\" }\n";
    let text = [
        shell(
            "web",
            &noted("web"),
            &format!("{line}after = [\"db\", \"falco\"]"),
        ),
        shell("db", &noted("db"), line),
    ];
    let base = Base::configured(&text.concat());
    base.up();
    let parts = base.status()["parts"].clone();
    let names: Vec<_> = parts
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].clone())
        .collect();
    assert_eq!(
        names,
        ["broker", "emulator", "transport", "falco", "db", "web"]
    );
    assert_eq!(base.run(&["stop"]).code, 0);
    let order = fs::read_to_string(file(&base, "order")).unwrap();
    assert_eq!(order, "up db\nup web\ndown web\ndown db\n");
    base.assert_nothing_left();
}

#[test]
fn a_sidecar_gets_what_is_declared_and_nothing_of_ours() {
    let script = "env > got; pwd >> got; exec sleep 1000";
    let more = "env = { A = \"from env\" }\nenv_file = \"web.env\"\ncwd = \"sub\"";
    let base = Base::configured(&shell("web", script, more)).with_env("ABLY_SECRET", "hunter2");
    fs::create_dir(file(&base, "sub")).unwrap();
    fs::write(
        file(&base, "web.env"),
        "# mine\nA=from file\nB=\"two words\"\n",
    )
    .unwrap();
    base.up();
    let pwd = base.dir().join("sub");
    let got = written(&base, "sub/got", |got| got.lines().last() == pwd.to_str());
    let has = |line: &str| got.lines().any(|l| l == line);
    assert!(has("A=from env") && has("B=two words"), "{got}");
    assert!(has(&format!(
        "FALCO_SOCKET={}",
        base.socket("falco.sock").display()
    )));
    assert!(
        !got.contains("hunter2") && !got.contains("BROKER_TOKEN"),
        "{got}"
    );
}

#[test]
fn a_nagato_is_started_as_the_contract_says() {
    let base = Base::configured("[[sidecar]]\nname = \"nagato\"\ncommand = \"./nagato\"\n");
    let script = base.script(
        "nagato",
        "echo \"$@\" > args; env > made; mv made env; exec sleep 1000",
    );
    fs::rename(script, file(&base, "nagato")).unwrap();
    base.up();
    let device = base.status()["device_id"].as_str().unwrap().to_owned();
    let env = written(&base, "env", |_| true);
    let args = fs::read_to_string(file(&base, "args")).unwrap();
    assert_eq!(args.trim(), format!("--device-id {device}"));
    for (name, socket) in [
        ("NAGATO_SOCKET", "nagato.sock"),
        ("UNBOUND_ABLY_SOCKET", "ably.sock"),
    ] {
        let line = format!("{name}={}", base.socket(socket).display());
        assert!(env.lines().any(|l| l == line), "{env}");
    }
}

#[test]
fn a_sidecar_is_there_only_under_its_condition() {
    let text = [
        shell("local", "exec sleep 1000", "condition = \"no_credentials\""),
        shell("remote", "exec sleep 1000", "condition = \"logged_in\""),
        shell("any", "exec sleep 1000", "after = [\"remote\", \"local\"]"),
    ];
    let base = Base::configured(&text.concat());
    base.up();
    assert_eq!(base.part("local")["state"], "running");
    assert_eq!(base.part("any")["state"], "running");
    assert!(base.part("remote").is_null());
}
