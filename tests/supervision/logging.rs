//! The output of children: kept, bounded, and found again.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::base::{Base, PATIENCE, eventually, kill, said};

/// A transport that does `first`, and then is ours.
fn base_with(first: &str) -> Base {
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    std::os::unix::fs::symlink(falco, base.home().join("daemon-ably")).unwrap();
    let text = format!("{first}\nexec \"$HOME/daemon-ably\" \"$@\"");
    let program = base.script("talker", &text);
    base.with_env("DAEMON_ABLY_BINARY", program)
}

fn records(base: &Base, args: &[&str]) -> Vec<Value> {
    let args = [&["logs", "--json", "-n", "1000000"], args].concat();
    let said = base.run(&args);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let lines = said.stdout.lines();
    lines.map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn messages(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|r| r["msg"].as_str()).collect()
}

fn log_files(base: &Base, name: &str) -> Vec<PathBuf> {
    let said = base.run(&["logs", "--path", name]);
    said.stdout.lines().map(PathBuf::from).collect()
}

#[test]
fn every_line_is_kept_with_its_child_its_life_its_stream_and_its_number() {
    let base = base_with("echo to out; echo to err >&2; printf 'no \\377 text\\n'");
    base.up();
    kill(base.pid_of("transport"), "KILL");
    eventually("it lives again", || {
        base.part("transport")["incarnation"] == 2 && base.status()["state"] == "running"
    });
    let written = |records: &[Value]| {
        let last = messages(records).into_iter();
        last.filter(|m| *m == "no \u{fffd} text").count()
    };
    // The log may be a moment behind.
    eventually("both lives are in the log", || {
        written(&records(&base, &["transport"])) == 2
    });
    let records = records(&base, &["transport"]);
    for incarnation in [1, 2] {
        let of_life = |r: &&Value| r["incarnation"] == incarnation;
        let life: Vec<&Value> = records.iter().filter(of_life).collect();
        let find = |msg: &str| life.iter().find(|r| r["msg"] == msg).unwrap();
        assert_eq!(find("to out")["stream"], "out");
        assert_eq!(find("to err")["stream"], "err");
        assert_eq!(find("no \u{fffd} text")["raw"], "bm8g/yB0ZXh0");
        assert!(
            life.iter()
                .all(|r| r["child"] == "transport" && r["ts"].is_string())
        );
        let mut seqs: Vec<_> = life.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
        seqs.sort_unstable();
        let all: Vec<u64> = (1..=seqs.len() as u64).collect();
        assert_eq!(seqs, all, "numbered from 1 without a gap");
    }
}

#[test]
fn lines_are_chosen_by_stream_life_pattern_and_time() {
    let base = base_with("echo to out $$; echo to err $$ >&2");
    base.up();
    let first = base.pid_of("transport");
    assert_eq!(base.run(&["restart", "transport"]).code, 0);
    let second = base.pid_of("transport");
    let of = |args: &[&str]| {
        let args = [&["transport", "--grep", "^to "], args].concat();
        let records = records(&base, &args);
        let messages = messages(&records).into_iter();
        messages.map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = |stream: &str, pids: &[u32]| -> Vec<String> {
        pids.iter()
            .map(|pid| format!("to {stream} {pid}"))
            .collect()
    };
    eventually("all is in the log", || of(&[]).len() == 4);
    assert_eq!(of(&["--stream", "err"]), lines("err", &[first, second]));
    assert_eq!(
        of(&["--stream", "out", "--incarnation", "-1"]),
        lines("out", &[second])
    );
    assert_eq!(
        of(&["--stream", "out", "--incarnation", "1"]),
        lines("out", &[first])
    );
    assert_eq!(of(&["--since", "1h"]).len(), 4);
    assert_eq!(of(&["--since", "2100-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(base.run(&["logs", "--grep", "("]).code, 2);
    assert_eq!(base.run(&["logs", "--since", "soon"]).code, 2);
}

#[test]
fn what_a_child_said_last_is_in_the_log_before_status_tells_of_its_end() {
    let base = base_with("test -e \"$HOME/broken\" && { seq 4000; echo last words; exit 3; }");
    base.up();
    fs::write(base.home().join("broken"), "").unwrap();
    kill(base.pid_of("transport"), "KILL");
    let mut ends = 0;
    while ends < 3 {
        let part = base.part("transport");
        let is_over = part["state"] == "backoff" || part["state"] == "crash-loop";
        // All lives but the first, which was killed, and one that still runs.
        let lives = part["incarnation"].as_u64().unwrap();
        ends = lives - 1 - u64::from(!is_over).min(lives - 1);
        let records = records(&base, &["transport"]);
        let words = messages(&records)
            .iter()
            .filter(|m| **m == "last words")
            .count() as u64;
        assert!(ends <= words, "{ends} ends, {words} last words");
    }
}

#[test]
fn following_shows_what_comes_also_over_a_log_that_was_removed() {
    let base = base_with("(n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.05; done) &");
    base.up();
    let mut follow = base
        .falco(&["logs", "-f", "-n", "0", "transport"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follow.stdout.take().unwrap()));
    let mut next = || lines.next().unwrap().unwrap();
    while !next().contains("tick") {}
    let log = base.dir().join("logs/transport.log");
    fs::remove_file(&log).unwrap();
    // The transport itself has something to say, too.
    let number = |line: &str| line.rsplit_once("tick ")?.1.parse::<u64>().ok();
    let mut first = None;
    eventually("it is there again", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let mut records = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        first = records.find_map(|record: Value| number(record["msg"].as_str()?));
        first.is_some()
    });
    while number(&next()) < first.map(|n| n + 3) {}
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn a_flood_stays_under_the_cap_and_what_is_missing_is_counted() {
    const CAP: u64 = 5 * 10 * 1024 * 1024;
    const LONGEST_RECORD: u64 = 64 * 1024 + 1024;
    let flood = "head -c 56000000 /dev/zero | tr '\\0' x | fold -w 1000; echo";
    let end = "while :; do echo the end; sleep 0.1; done";
    let base = base_with(&format!("({flood}; {end}) &"));
    base.up();
    for file in [
        "transport.log.1",
        "transport.log.2",
        "transport.log.3",
        "transport.log.4",
    ] {
        let file = base.dir().join("logs").join(file);
        eventually("it is rotated", || file.exists());
    }
    // Each look reads all that there is, and may take long itself.
    let (began, mut looks) = (Instant::now(), 0);
    while records(&base, &["transport", "--grep", "^the end$"]).is_empty() {
        looks += 1;
        let patient = looks < 100 || began.elapsed() < PATIENCE;
        assert!(patient, "never: the end is in the log");
        std::thread::sleep(Duration::from_millis(10));
    }
    let files = log_files(&base, "transport");
    assert_eq!(files.len(), 5);
    let bytes: u64 = files.iter().map(|f| fs::metadata(f).unwrap().len()).sum();
    assert!(bytes <= CAP + LONGEST_RECORD, "{bytes}");
    let part = base.part("transport");
    assert_eq!(part["log"]["cap"], CAP);
    let dropped = part["log"]["dropped"].as_u64().unwrap();
    let records = records(&base, &["transport"]);
    let told: u64 = messages(&records)
        .iter()
        .filter_map(|m| {
            m.strip_prefix("dropped ")?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    assert!(told <= dropped, "{told} told of {dropped}");
    base.emit();
}

#[test]
fn a_log_that_cannot_be_written_never_blocks_a_child_and_nothing_is_lost() {
    let base = base_with("echo before");
    let log = base.dir().join("logs/transport.log");
    base.make();
    fs::create_dir_all(&log).unwrap();
    base.up();
    base.emit();
    eventually("it is told and no trouble of the chain", || {
        let said = base.run(&["status"]);
        said.code == 0 && said.stdout.contains("! logs")
    });
    fs::remove_dir(&log).unwrap();
    eventually("the log is written", || log.is_file());
    eventually("nothing is lost", || {
        messages(&records(&base, &["transport"])).contains(&"before")
    });
    eventually("it is told that it could not, and can again", || {
        let journal = base.run(&["events", "transport"]).stdout;
        journal.contains("cannot be written") && journal.contains("written again")
    });
    eventually("all is well", || {
        !base.run(&["status"]).stdout.contains("! logs")
    });
}

/// A small file system of its own over the logs; gone with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where we may not mount.
    fn over(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "none"])
            .arg(&path);
        let mounted = mount.stderr(Stdio::null()).status();
        mounted.is_ok_and(|s| s.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_blocks_nobody_and_the_newest_lines_come_when_there_is_room() {
    let flood = "head -c 600000 /dev/zero | tr '\\0' x | fold -w 1000; echo; echo the end";
    let base = base_with(flood);
    base.make();
    let Some(disk) = SmallDisk::over(base.dir().join("logs")) else {
        eprintln!("skipped: only root may mount");
        return;
    };
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![0; 200 * 1024]).unwrap();
    base.up();
    base.emit();
    eventually("the disk is full", || {
        base.run(&["status"]).stdout.contains("! logs")
    });
    base.emit();
    let records_before = records(&base, &["transport"]);
    assert!(!messages(&records_before).contains(&"the end"));
    fs::remove_file(&filler).unwrap();
    let bigger = ["-o", "remount,size=8m"];
    let grown = Command::new("mount")
        .args(bigger)
        .arg(&disk.0)
        .status()
        .unwrap();
    assert!(grown.success());
    eventually("there is room", || {
        !base.run(&["status"]).stdout.contains("! logs")
    });
    eventually("the newest lines are there", || {
        messages(&records(&base, &["transport"])).contains(&"the end")
    });
    assert_eq!(base.run(&["stop"]).code, 0);
    drop(disk);
}

#[test]
fn logs_in_a_pipe_are_plain_and_say_whose_they_are() {
    let base = base_with("printf '\\033[31mred\\033[0m\\n'");
    base.up();
    let output = base.falco(&["logs", "transport"]).output().unwrap();
    let text = said(&output).stdout;
    assert!(
        text.contains("transport │ \u{fffd}[31mred\u{fffd}[0m"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}
