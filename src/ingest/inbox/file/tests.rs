use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::super::cut::LINE_BYTES_MAX;
use super::*;

fn lines(payloads: &[u32]) -> String {
    let line = |n| format!(r#"{{"type":"t","channel":"c","payload":{n}}}"#) + "\n";
    payloads.iter().map(line).collect()
}

const NAME: &str = "external.jsonl";

/// A file that is written anew, and never another.
struct Anew {
    dir: tempfile::TempDir,
    file: File,
}

impl Anew {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = File::create(dir.path().join(NAME)).expect("makes");
        Self { dir, file }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    fn write(&self, text: &str) {
        self.file.set_len(0).expect("empties");
        self.file.write_all_at(text.as_bytes(), 0).expect("writes");
    }
}

fn look(path: &Path, before: Option<&Progress>) -> io::Result<Step> {
    let Ok(Opened::Open(document)) = Document::open(path, None) else {
        panic!("{} opens", path.display());
    };
    document.step(before, true, &Routing::for_device("d"))
}

fn step(path: &Path, before: Option<&Progress>) -> Step {
    look(path, before).expect("is read")
}

fn taken(path: &Path, before: Option<&Progress>) -> (Cut, Progress) {
    match step(path, before) {
        Step::Piece(cut, progress) => (cut, progress),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_written_anew_while_it_is_read_is_never_gone_on_with_within_a_line() {
    let anew = Anew::new();
    // The end of the one is within a line of the other, and they begin alike.
    let texts = [lines(&[0, 1]), lines(&[0, 22_222, 33_333])];
    let taken_of = |text: &str| {
        anew.write(text);
        taken(&anew.path(), None).1
    };
    // A read that has the length of the one and the bytes of the other ends at a
    // line of that.
    let line_ends = |text: &String| -> Vec<Progress> {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        ends.map(|lf| taken_of(&text[..=lf])).collect()
    };
    let ends: Vec<Progress> = texts.iter().flat_map(line_ends).collect();
    let before = taken_of(&texts[0]);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..6000 {
                anew.write(&texts[n % 2]);
                // It wakes up again at any moment of a look, also on one core.
                thread::sleep(Duration::from_micros(20));
            }
        });
        while !writer.is_finished() {
            let (cut, progress) = match look(&anew.path(), Some(&before)) {
                Ok(Step::Piece(cut, progress)) => (cut, progress),
                Ok(_) => continue,
                // It was written between the two reads of a pair each time, as on a
                // machine whose cores are taken away: looked at again later.
                Err(error) => {
                    assert_eq!(error.to_string(), piece::ANEW);
                    continue;
                }
            };
            assert_eq!(cut.rejects, []);
            assert_eq!(cut.lines[0].at, 0);
            assert!(ends.contains(&progress), "{progress:?}");
        }
    });
}

#[test]
fn a_file_is_read_from_its_top_once_it_is_shorter_or_another_stands_before_the_place() {
    let anew = Anew::new();
    anew.write(&lines(&[0, 1]));
    let (_, before) = taken(&anew.path(), None);
    anew.write(&lines(&[0, 1, 2]));
    let grown = taken(&anew.path(), Some(&before));
    assert_eq!((grown.0.lines.len(), grown.0.lines[0].at), (1, before.at));
    for other in [vec![0], vec![9, 1, 2], vec![0, 9, 2]] {
        anew.write(&lines(&other));
        let (cut, _) = taken(&anew.path(), Some(&before));
        assert_eq!((cut.lines.len(), cut.lines[0].at), (other.len(), 0));
    }
    let older = Progress {
        tail: None,
        ..before
    };
    anew.write(&lines(&[0, 9, 2]));
    let (cut, _) = taken(&anew.path(), Some(&older));
    assert_eq!(cut.lines[0].at, before.at, "nobody knows better");
    let damaged = Progress {
        at: u64::MAX,
        ..before
    };
    assert_eq!(taken(&anew.path(), Some(&damaged)).0.lines[0].at, 0);
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_what_follows_is_taken() {
    let anew = Anew::new();
    // Its LF is among the first bytes of a read, and among the last.
    for length in [LINE_BYTES_MAX + 1, LINE_BYTES_MAX + PIECE_BYTES] {
        anew.write(&("x".repeat(length) + "\n" + &lines(&[7])));
        let (cut, progress) = taken(&anew.path(), None);
        assert_eq!((cut.lines.len(), cut.rejects.len()), (0, 1));
        assert_eq!(cut.end, length as u64 + 1);
        assert!(cut.rejects[0].reason.contains(&length.to_string()));
        let (cut, progress) = taken(&anew.path(), Some(&progress));
        assert_eq!(cut.lines[0].at, length as u64 + 1);
        assert!(matches!(
            step(&anew.path(), Some(&progress)),
            Step::Caught(Caught { rest: 0, .. })
        ));
    }
}

#[test]
fn a_last_line_is_taken_only_if_the_file_looks_as_it_did_all_the_while_before() {
    let anew = Anew::new();
    anew.write(lines(&[0]).trim_end());
    let shape = shape(&anew.file.metadata().expect("a file"));
    let step = || {
        let Ok(Opened::Open(document)) = Document::open(&anew.path(), Some(shape)) else {
            panic!("it opens");
        };
        let step = document.step(None, false, &Routing::for_device("d"));
        step.expect("is read")
    };
    assert!(matches!(step(), Step::Piece(..)));
    anew.write(lines(&[10]).trim_end());
    let Step::Caught(caught) = step() else {
        panic!("it was changed");
    };
    assert_eq!((caught.at, caught.is_calm), (0, false));
    assert!(0 < caught.rest);
}

#[test]
fn a_file_written_anew_while_the_end_of_a_too_long_line_is_looked_for_is_looked_at_again() {
    let first = lines(&[0]);
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    let short = lines(&[7]).repeat(2 * LINE_BYTES_MAX / lines(&[7]).len());
    let anew = Anew::new();
    anew.write(&(first.clone() + &long));
    let (_, before) = taken(&anew.path(), None);
    let Ok(Opened::Open(document)) = Document::open(&anew.path(), None) else {
        panic!("it opens");
    };
    let (piece, file) = document.go_on(Some(&before)).unwrap().unwrap();
    let routing = Routing::for_device("d");
    let passed_over = || piece.lines(&document.file, &file, &routing).unwrap();
    assert!(passed_over().is_none(), "it has no end yet");
    // Other lines behind the same first one, and the same line behind another.
    let others = [first.clone() + &short, lines(&[9]) + &long + "\n"];
    for other in others {
        anew.write(&other);
        assert!(passed_over().is_none(), "its end is of another file");
    }
    anew.write(&(first.clone() + &long + "\n"));
    let (cut, _) = passed_over().unwrap();
    assert_eq!(cut.end, (first.len() + long.len()) as u64 + 1);
}
