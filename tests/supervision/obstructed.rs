//! What stands where a file or a directory of ours belongs is no good: it is named
//! and left alone, and who reads that knows what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::base::{Base, Said};

/// That `said` is a failure with `code` whose error and hint say all of these.
fn assert_told(said: &Said, code: i32, error: &str, hint: &str) {
    assert_eq!(said.code, code, "{}", said.stderr);
    let told = said.stderr.split_once("\nhint: ");
    let (why, what_to_do) = told.unwrap_or_else(|| panic!("{}", said.stderr));
    assert!(why.contains(error), "{why}");
    assert!(what_to_do.contains(hint), "{what_to_do}");
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
