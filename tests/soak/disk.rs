//! A small disk under an outbox, that can be filled and emptied at will.

use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statvfs::statvfs;

/// More than twice what Falco leaves free.
const MIB: u64 = 1024;

/// Says that mounts are ours alone.
const INSIDE: &str = "SOAK_HAS_OWN_MOUNTS";

/// Begins anew with mounts that are gone when this process is, if that can be.
pub fn enter_own_mounts() {
    if std::env::var_os(INSIDE).is_some() || !can("unshare", &["--mount", "true"]) {
        return;
    }
    let mut command = Command::new("unshare");
    command.arg("--mount");
    command.arg(std::env::current_exe().expect("a path"));
    command.args(std::env::args_os().skip(1)).env(INSIDE, "1");
    let error = command.exec();
    panic!("cannot go on with mounts of its own: {error}");
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
        if !mounted {
            println!("no disk is full: nothing can be mounted");
        }
        mounted.then_some(Self { path })
    }

    /// Leaves no room.
    pub fn fill(&self) {
        // What is written meanwhile makes the first tries too small.
        let filled = (0..1000).any(|_| {
            let now = statvfs(&self.path).expect("a disk");
            let used = (now.blocks() - now.blocks_free()) * now.fragment_size();
            self.resize(used / 1024)
        });
        assert!(filled, "the disk can be filled");
    }

    pub fn empty(&self) {
        assert!(self.resize(MIB * 1024), "the disk can be emptied");
    }

    fn resize(&self, kib: u64) -> bool {
        let options = format!("remount,size={kib}k");
        can(
            "mount",
            &["-o", &options, self.path.to_str().expect("UTF-8")],
        )
    }
}

fn can(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    let output = command.args(args).output();
    output.is_ok_and(|output| output.status.success())
}
