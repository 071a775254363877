use super::*;

#[test]
fn a_lease_is_free_again_when_nobody_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transport.lease");
    let (lease, ended) = Lease::take(&path).unwrap();
    assert!(ended.is_empty());
    drop(lease);
    let (_lease, ended) = Lease::take(&path).unwrap();
    assert!(ended.is_empty());
}

#[test]
fn a_lease_that_is_a_symbolic_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transport.lease");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
    assert!(matches!(Lease::take(&path), Err(LeaseError::Open { .. })));
    assert!(!dir.path().join("elsewhere").exists());
}

/// Where the kernel tells who holds a lock.
#[cfg(target_os = "linux")]
mod told {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A `sleep` that inherited the lease; nobody else who is started meanwhile has.
    fn child_with(lease: &Lease) -> Child {
        let mut command = Command::new("sleep");
        let shared = Stdio::from(lease.share().unwrap());
        let child = command.arg("1000").stdin(shared).spawn().unwrap();
        let mark = lease.mark();
        while !mark.is_held_by(child.id()) {
            std::thread::sleep(LOOK);
        }
        child
    }

    fn stranger() -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null()).spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn who_holds_a_lease_after_its_supervisor_let_go_is_ended_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("transport.lease");
        let (lease, _) = Lease::take(&path).unwrap();
        let mut child = child_with(&lease);
        drop(lease);
        let waiter = std::thread::spawn(move || {
            let pid = child.id();
            (pid, child.wait().unwrap())
        });
        let outlived = clear(dir.path()).unwrap();
        let (pid, status) = waiter.join().unwrap();
        assert!(!status.success());
        let name = "transport".to_owned();
        let pids = vec![pid];
        assert_eq!(outlived, [Outlived { name, pids }]);
    }

    #[test]
    fn whatever_the_file_says_nobody_is_ended_who_does_not_hold_the_lease() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("transport.lease");
        let (lease, _) = Lease::take(&path).unwrap();
        let mut stranger = stranger();
        let (child, reaper) = (child_with(&lease), Identity::of(stranger.id()));
        lease.record(reaper).unwrap();
        drop(lease);
        let waiter = std::thread::spawn(move || end_when_told(child));
        Lease::take(&path).unwrap();
        waiter.join().unwrap();
        assert!(stranger.try_wait().unwrap().is_none(), "it was ended");
        end(stranger);
    }

    fn end_when_told(mut child: Child) {
        child.wait().unwrap();
    }

    #[test]
    fn a_stranger_who_locked_the_file_by_itself_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("transport.lease");
        let (lease, _) = Lease::take(&path).unwrap();
        // Recorded as taken by somebody else than who locks it.
        drop(lease);
        let mut theirs = Command::new("flock")
            .args([path.to_str().unwrap(), "sleep", "1000"])
            .spawn()
            .unwrap();
        let file = open(&path).unwrap();
        while try_lock(&file, &path).unwrap() {
            file.unlock().unwrap();
            std::thread::sleep(LOOK);
        }
        assert!(matches!(Lease::take(&path), Err(LeaseError::Held { .. })));
        assert!(theirs.try_wait().unwrap().is_none());
        let group = crate::process::table::Table::read().below(theirs.id());
        for (pid, _) in group {
            Held::at(pid).unwrap().kill().unwrap();
        }
        theirs.wait().unwrap();
    }

    #[test]
    fn a_process_that_only_looks_into_the_file_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("transport.lease");
        let (lease, _) = Lease::take(&path).unwrap();
        let mut reader = Command::new("sleep");
        let reader = reader.arg("1000").stdin(File::open(&path).unwrap());
        let reader = reader.spawn().unwrap();
        assert!(!lease.mark().is_held_by(reader.id()));
        assert!(lease.mark().is_held_by(std::process::id()));
        end(reader);
    }
}
