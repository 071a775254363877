//! An outbox that cannot be used at a start: the start ends with the exit code
//! that says why, and whatever is there stays as it is.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use falco::journal::{Config, Journal, Sync};

use crate::chain::{Chain, OUTBOX};
use crate::daemon::effect;
use crate::full::on_a_small_disk;
use crate::transport::numbers;

fn outbox(chain: &Chain) -> PathBuf {
    chain.base().join("outbox")
}

/// Three effects are kept, and nothing runs.
fn keep_three(chain: &Chain) {
    chain.start();
    let mut daemon = chain.daemon();
    (0..3).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    chain.stop();
}

fn are_published(chain: &Chain) {
    chain.start();
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(3), numbers(3));
}

/// All that is there but who has it.
fn kept(chain: &Chain) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(&outbox(chain));
    files.remove(&outbox(chain).join("LOCK"));
    files
}

/// Everything that is there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.insert(path.clone(), fs::read(path).expect("reads"));
        }
    }
    files
}

/// The only segment that has a record.
fn segment(chain: &Chain) -> PathBuf {
    let is_one = |path: &PathBuf| path.to_string_lossy().contains("/seg-");
    let files = files(&outbox(chain));
    files.into_keys().find(is_one).expect("a segment")
}

/// Runs what changes what is mounted; for tests that have mounts of their own.
fn change(program: &str, args: &[&str]) -> bool {
    let output = Command::new(program).args(args).output();
    output.is_ok_and(|output| output.status.success())
}

/// Lets the disk at `place` be read only, or written too.
fn remount(place: &Path, how: &str) {
    let place = place.to_string_lossy();
    let how = format!("remount,{how}");
    assert!(change("mount", &["-o", &*how, &*place]));
}

#[test]
fn a_start_on_a_disk_that_can_only_be_read_ends_as_one_on_a_bad_disk() {
    on_a_small_disk(
        "unusable::a_start_on_a_disk_that_can_only_be_read_ends_as_one_on_a_bad_disk",
        |chain, _| {
            keep_three(chain);
            let before = files(&outbox(chain));
            remount(&outbox(chain), "ro");
            let (code, text) = chain.run(&["up"]);
            assert_eq!(code, 74, "{text}");
            assert!(text.contains("Read-only file system"), "{text}");
            assert!(text.contains(&*outbox(chain).to_string_lossy()), "{text}");
            assert_eq!(chain.run(&["status"]).0, 3, "nothing runs");
            remount(&outbox(chain), "rw");
            assert!(files(&outbox(chain)) == before);
            are_published(chain);
        },
    );
}

/// Puts a file in the place of `segment` of which the kernel says EIO: the disk
/// that has it, which is one in a file, became shorter. `false` if no such disk
/// can be had here.
fn spoil(chain: &Chain, segment: &Path) -> bool {
    let [image, bad] = ["image", "bad"].map(|name| chain.base().join(name));
    let file = fs::File::create(&image).expect("makes");
    file.set_len(8 << 20).expect("grows");
    fs::create_dir(&bad).expect("makes");
    let (image, place) = (image.to_string_lossy(), bad.to_string_lossy());
    let mount = || change("mount", &["-o", "loop", &*image, &*place]);
    if !change("mkfs.ext4", &["-q", "-O", "^has_journal", &*image]) || !mount() {
        return false;
    }
    let spoiled = bad.join("file");
    fs::write(&spoiled, vec![b'x'; 6 << 20]).expect("writes");
    fs::set_permissions(&spoiled, Permissions::from_mode(0o600)).expect("ours");
    // Else it is read from memory.
    assert!(change("umount", &[&*place]) && mount());
    file.set_len(2 << 20).expect("shrinks");
    let error = fs::read(&spoiled).expect_err("it cannot be read");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    let (spoiled, segment) = (spoiled.to_string_lossy(), segment.to_string_lossy());
    change("mount", &["--bind", &*spoiled, &*segment])
}

#[test]
#[allow(clippy::print_stdout, reason = "says that it was not run")]
fn a_segment_that_cannot_be_read_is_no_end_of_a_journal() {
    on_a_small_disk(
        "unusable::a_segment_that_cannot_be_read_is_no_end_of_a_journal",
        |chain, _| {
            keep_three(chain);
            let before = kept(chain);
            let segment = segment(chain);
            if !spoil(chain, &segment) {
                // A machine may have mounts, and no disks in files.
                return println!("left out: no disk in a file can be mounted here");
            }
            let (code, text) = chain.run(&["up"]);
            assert_eq!(code, 74, "{text}");
            let what = format!("failed to read journal segment {}", segment.display());
            assert!(text.contains(&what), "{text}");
            assert!(change("umount", &[&*segment.to_string_lossy()]));
            assert!(kept(chain) == before);
            are_published(chain);
            let bad = chain.base().join("bad");
            assert!(change("umount", &[&*bad.to_string_lossy()]));
        },
    );
}

#[test]
fn a_start_beside_somebody_who_has_the_journal_names_them_and_touches_nothing() {
    let chain = Chain::new(OUTBOX);
    keep_three(&chain);
    let config = Config::with_sync(Sync::INTERVAL);
    let (journal, _) = Journal::open(&outbox(&chain), &config).expect("opens");
    let before = files(&outbox(&chain));
    let (code, text) = chain.run(&["up"]);
    assert_eq!(code, 69, "{text}");
    let who = format!("is in use by pid {}", std::process::id());
    assert!(text.contains(&who), "{text}");
    assert!(files(&outbox(&chain)) == before);
    drop(journal);
    are_published(&chain);
}

#[test]
fn a_start_with_an_outbox_of_another_user_is_not_allowed_and_touches_nothing() {
    let chain = Chain::new(OUTBOX);
    keep_three(&chain);
    let us = nix::unistd::geteuid().as_raw();
    if chown(outbox(&chain), Some(12_345), None).is_err() {
        // Only root can give anything away.
        assert_ne!(us, 0);
        return;
    }
    let before = files(&outbox(&chain));
    are_told_alike(&chain, 77, "it belongs to another user");
    assert!(files(&outbox(&chain)) == before);
    chown(outbox(&chain), Some(us), None).expect("gives it back");
    let segment = segment(&chain);
    chown(&segment, Some(12_345), None).expect("gives it away");
    let what = format!("journal {} is not private", segment.display());
    are_told_alike(&chain, 77, &what);
    chown(&segment, Some(us), None).expect("gives it back");
    are_published(&chain);
}

/// A start fails so, `status` knows why that was, and `doctor` sees it.
fn are_told_alike(chain: &Chain, code: i32, why: &str) {
    let (failed, text) = chain.run(&["up"]);
    assert_eq!(failed, code, "{text}");
    assert!(text.contains(why), "{text}");
    let (code, text) = chain.run(&["status"]);
    assert_eq!(code, 3, "{text}");
    let told = text.split_once("its last start failed at ");
    let told = told.is_some_and(|(_, told)| told.contains("falco: ") && told.contains(why));
    assert!(told, "{text}");
    let (code, text) = chain.run(&["doctor"]);
    let is_it = |line: &str| line.starts_with("FAIL  outbox ") && line.contains(why);
    assert!(code == 1 && text.lines().any(is_it), "{text}");
}

#[test]
fn an_outbox_that_others_may_enter_or_that_is_no_directory_is_told_alike_by_all_who_look() {
    let chain = Chain::new(OUTBOX);
    keep_three(&chain);
    let (outbox, elsewhere) = (outbox(&chain), chain.base().join("elsewhere"));
    let set_mode = |mode| fs::set_permissions(&outbox, Permissions::from_mode(mode));
    set_mode(0o777).expect("chmod");
    are_told_alike(&chain, 77, "others may enter it; chmod 700 it");
    set_mode(0o700).expect("chmod");

    fs::rename(&outbox, &elsewhere).expect("moves");
    symlink(&elsewhere, &outbox).expect("links");
    are_told_alike(&chain, 69, "it is a link, which is not followed");
    fs::remove_file(&outbox).expect("removes");
    fs::write(&outbox, "a diary").expect("writes");
    are_told_alike(&chain, 69, "it is no directory; move it away");
    fs::remove_file(&outbox).expect("removes");

    fs::rename(&elsewhere, &outbox).expect("moves back");
    let (_, text) = chain.run(&["doctor"]);
    assert!(!text.contains("FAIL  outbox"), "{text}");
    are_published(&chain);
}
