//! What stands where a file or a directory of ours belongs is no good: it is named
//! and left alone, and who reads that knows what to do.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::base::{Base, Said};

const MOVE: &str = "move it away";

/// That `said` is a failure with `code` whose error and hint say all of these.
fn assert_told(said: &Said, code: i32, error: &str, hint: &str) {
    assert_eq!(said.code, code, "{}", said.stderr);
    let told = said.stderr.split_once("\nhint: ");
    let (why, what_to_do) = told.unwrap_or_else(|| panic!("{}", said.stderr));
    assert!(why.contains(error), "{why}");
    assert!(what_to_do.contains(hint), "{what_to_do}");
}

fn pipe_at(path: &Path) {
    mkfifo(path, Mode::S_IRWXU).unwrap();
}

#[test]
fn a_pipe_in_the_place_of_the_lock_is_named_by_every_verb_and_kept() {
    let base = Base::made();
    let lock = base.dir().join("falco.lock");
    pipe_at(&lock);
    let error = format!("{}: it is a named pipe, not a regular file", lock.display());
    for (verb, code) in [("up", 73), ("stop", 73), ("status", 4)] {
        assert_told(&base.run(&[verb]), code, &error, MOVE);
    }
    let found = base.run(&["doctor"]);
    assert!(found.stdout.contains(&format!("{error}   fix: {MOVE}")));
    assert!(fs::symlink_metadata(&lock).unwrap().file_type().is_fifo());
    assert_eq!(base.processes(), []);
}

#[test]
fn a_pipe_in_the_place_of_who_we_are_is_named_and_kept() {
    let base = Base::made();
    let file = base.dir().join("identity.json");
    pipe_at(&file);
    let error = format!("{}: it is a named pipe, not a regular file", file.display());
    assert_told(&base.run(&["up"]), 73, &error, MOVE);
    let found = base.run(&["doctor"]);
    assert!(found.stdout.contains(&format!("{error}   fix: {MOVE}")));
    assert!(fs::symlink_metadata(&file).unwrap().file_type().is_fifo());
    assert_eq!(base.processes(), []);
}

#[test]
fn a_link_a_pipe_or_a_directory_in_the_place_of_any_file_of_ours_is_named() {
    type Make = fn(&Path);
    let others: [(Make, &str); 3] = [
        (pipe_at, "a named pipe"),
        (|path| fs::create_dir(path).unwrap(), "a directory"),
        (
            |path| std::os::unix::fs::symlink("/nowhere", path).unwrap(),
            "a symbolic link",
        ),
    ];
    for name in ["falco.lock", "credentials.json", "emulator/key"] {
        for (make, kind) in others {
            let base = Base::made();
            let mut private = fs::DirBuilder::new();
            private.mode(0o700);
            private.create(base.dir().join("emulator")).unwrap();
            let path = base.dir().join(name);
            make(&path);
            let error = format!("{}: it is {kind}, not a regular file", path.display());
            assert_told(&base.run(&["up"]), 73, &error, MOVE);
            assert!(fs::symlink_metadata(&path).is_ok(), "it is kept");
        }
    }
}

#[test]
fn a_file_in_the_place_of_a_directory_is_named_and_kept() {
    for name in ["logs", "run", "emulator"] {
        let base = Base::made();
        let path = base.dir().join(name);
        fs::write(&path, "precious").unwrap();
        let error = format!("{} is a regular file, not a directory", path.display());
        assert_told(&base.run(&["up"]), 73, &error, MOVE);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(base.processes(), []);
    }
}

#[test]
fn a_directory_of_ours_that_others_can_write_to_is_refused_whichever_it_is() {
    for name in ["logs", "run", "emulator"] {
        let base = Base::made();
        let path = base.dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let error = format!("others can write to {} (mode 777)", path.display());
        assert_told(&base.run(&["up"]), 77, &error, "chmod go-w");
        assert_eq!(base.processes(), []);
        assert!(!path.join("key").exists());
    }
}

#[test]
fn an_emulator_alone_keeps_no_key_where_others_can_write() {
    let base = Base::made();
    let path = base.home().join("open");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    // An address it refuses: it ends in any case.
    let nowhere = ["emulator", "--listen", "0.0.0.0:1", "--dir"];
    let dir = path.to_str().unwrap();
    let said = base.run(&[&nowhere[..], &[dir]].concat());
    assert_told(&said, 77, "others can write to", "chmod go-w");
    assert!(!path.join("key").exists());
}
