//! A small disk under an outbox, that can be filled and emptied at will.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statvfs::statvfs;

/// More than twice what Falco leaves free.
const MIB: u64 = 1024;

/// Says that mounts are ours alone.
const INSIDE: &str = "TEST_HAS_OWN_MOUNTS";

/// Ways to have mounts of one's own: as root, and as anybody.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// This program again, with mounts that are gone when it is. `None` if it has
/// them already, or cannot have them.
pub fn again_with_own_mounts() -> Option<Command> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let works = |way: &&[&str]| can("unshare", &[way, &["true"][..]].concat());
    let way = WAYS.into_iter().find(works)?;
    let mut command = Command::new("unshare");
    command.args(way);
    command.arg(std::env::current_exe().expect("a path"));
    command.env(INSIDE, "1");
    Some(command)
}

/// What is to be told where no disk can be mounted.
///
/// # Panics
///
/// On Linux in CI: what shall be tested there must not be left out unseen.
#[allow(clippy::print_stdout, reason = "says which tests were not run")]
pub fn left_out(what: &str) {
    let must_be = cfg!(target_os = "linux") && std::env::var_os("CI").is_some();
    assert!(!must_be, "{what}: no disk can be mounted here");
    println!("{what} was left out: no disk can be mounted here");
}

/// A tmpfs that is as large as it is told to be.
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one at `path`, if that can be.
    pub fn mount(path: &Path) -> Option<Self> {
        std::env::var_os(INSIDE)?;
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).create(path).expect("a directory");
        let options = format!("size={MIB}m,mode=0700");
        let path = path.to_owned();
        let place = path.to_str().expect("UTF-8");
        let mounted = can("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", place]);
        mounted.then_some(Self { path })
    }

    /// Leaves no room; something has to be on it.
    #[allow(clippy::useless_conversion, reason = "narrower elsewhere")]
    pub fn fill(&self) {
        // What is written meanwhile makes the first tries too small.
        let filled = (0..1000).any(|_| {
            let now = statvfs(&self.path).expect("a disk");
            let used = u64::from(now.blocks() - now.blocks_free());
            self.resize(used * u64::from(now.fragment_size()) / 1024)
        });
        assert!(filled, "the disk can be filled");
    }

    pub fn empty(&self) {
        self.size(MIB);
    }

    /// As if it had so many MiB in all.
    pub fn size(&self, mib: u64) {
        assert!(self.resize(mib * 1024), "the disk can be resized");
    }

    fn resize(&self, kib: u64) -> bool {
        let options = format!("remount,size={kib}k");
        can(
            "mount",
            &["-o", &options, self.path.to_str().expect("UTF-8")],
        )
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file there keeps it until it ends.
        can("umount", &["-l", self.path.to_str().expect("UTF-8")]);
    }
}

fn can(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    let output = command.args(args).output();
    output.is_ok_and(|output| output.status.success())
}
