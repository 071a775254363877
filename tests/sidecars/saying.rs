//! What sidecars say of themselves to their notify socket.

use std::fs;

use super::{count_lines, file, python};
use crate::base::{Base, eventually};

/// Says lines to its notify socket, then what is put into the file `say`.
const SPEAKER: &str = r#"
import os, socket, time
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
say = lambda text: sock.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
open("starts", "a").write("started\n")
"#;

const LISTEN: &str = r#"
while True:
    if os.path.exists("say"):
        text = open("say").read()
        os.remove("say")
        say(text)
    time.sleep(0.01)
"#;

const NOTIFY: &str = "readiness = { notify = true, within = \"20s\" }";

/// Within how many seconds it has to say its first word, and how long it pauses
/// after each: both pauses take longer. A busy machine may need more.
const UNTIL_THE_FIRST_WORD: [(u32, u32); 2] = [(5, 4), (15, 10)];

/// Twice has more time to itself, and takes `pause` seconds of it.
fn extend_twice(pause: u32) -> String {
    let more = (pause + 16) * 1_000_000;
    format!("for _ in range(2): say('EXTEND_TIMEOUT_USEC={more}'); time.sleep({pause})")
}

fn says(base: &Base, text: &str) {
    fs::write(file(base, "say.new"), text).unwrap();
    fs::rename(file(base, "say.new"), file(base, "say")).unwrap();
}

#[test]
fn what_a_sidecar_says_of_itself_is_shown() {
    let script = format!("{SPEAKER}say('READY=1')\n{LISTEN}");
    let base = Base::configured(&python("web", &script, NOTIFY));
    base.up();
    assert!(base.part("web")["says"].is_null());
    let shown = |text: &str| eventually(text, || base.part("web")["says"] == text);
    says(&base, "STATUS=40 % migrated\nRELOADING=1");
    shown("reloading: 40 % migrated");
    let said = base.run(&["status", "web"]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert!(
        said.stdout.contains("says      web: reloading: 40 %"),
        "{}",
        said.stdout
    );
    says(&base, "STATUS=all migrated\nREADY=1");
    shown("all migrated");
    says(&base, "STOPPING=1\nSTATUS=");
    shown("stopping");
    assert_eq!(base.part("web")["ready"], false);
    assert_eq!(base.run(&["status"]).code, 1);
}

#[test]
fn a_slow_start_is_waited_for_if_it_says_so() {
    let waited = |(within, pause)| {
        let slow = format!("{}\nsay('READY=1')\n", extend_twice(pause));
        let notify = NOTIFY.replace("20s", &format!("{within}s"));
        let script = format!("{SPEAKER}{slow}{LISTEN}");
        let base = Base::configured(&python("web", &script, &notify));
        let said = base.run(&["up"]);
        said.code == 0 && count_lines(&file(&base, "starts")) == 1
    };
    assert!(UNTIL_THE_FIRST_WORD.into_iter().any(waited));
}

#[test]
fn a_slow_stop_by_name_is_waited_for_if_it_says_so() {
    let waited = |(grace, pause)| {
        let extend_twice = extend_twice(pause);
        let polite = format!(
            "
import signal, sys
def end(*_):
    {extend_twice}
    open('ended', 'w')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
say('READY=1')
"
        );
        let script = format!("{SPEAKER}{polite}{LISTEN}");
        let more = format!("{NOTIFY}\nstop = {{ grace = \"{grace}s\" }}");
        let base = Base::configured(&python("web", &script, &more));
        base.up();
        let said = base.run(&["stop", "web"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        file(&base, "ended").exists()
    };
    assert!(UNTIL_THE_FIRST_WORD.into_iter().any(waited));
}

#[test]
fn a_sidecar_that_pulls_its_watchdog_is_restarted_at_once() {
    let script = format!("{SPEAKER}say('READY=1')\n{LISTEN}");
    let more = format!(
        "{NOTIFY}\nliveness = {{ watchdog = true, every = \"1h\" }}\nrestart = {{ base = \"10ms\" }}"
    );
    let base = Base::configured(&python("web", &script, &more));
    base.up();
    says(&base, "WATCHDOG=trigger");
    eventually("it was restarted", || {
        count_lines(&file(&base, "starts")) == 2
    });
    base.wait_ready();
    eventually("the log says why", || {
        let log = fs::read_to_string(file(&base, "logs/falco.log")).unwrap();
        log.contains("not alive: it said so itself")
    });
}
