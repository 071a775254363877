use std::sync::{Arc, Mutex};

use super::*;

/// A sync that waits to be told how it ends, and says that it was done.
struct Told {
    name: &'static str,
    done: Arc<Mutex<Vec<&'static str>>>,
    ends: Receiver<io::Result<()>>,
}

impl LaterSync for Told {
    fn sync(self) -> io::Result<()> {
        self.done.lock().unwrap().push(self.name);
        self.ends.recv().expect("told")
    }
}

/// A syncer, and what it did.
struct Watched {
    syncer: Syncer<Told>,
    done: Arc<Mutex<Vec<&'static str>>>,
}

impl Watched {
    fn new() -> Self {
        let mut syncer = Syncer::new();
        assert!(syncer.is_ready());
        Self {
            syncer,
            done: Arc::default(),
        }
    }

    /// Asks for one; by what is returned it ends.
    fn order(&mut self, name: &'static str, segment: u64) -> Sender<io::Result<()>> {
        let (end, ends) = unbounded();
        let done = Arc::clone(&self.done);
        self.syncer.order(Told { name, done, ends }, segment);
        end
    }

    fn done(&self) -> Vec<&'static str> {
        self.done.lock().unwrap().clone()
    }

    fn wait_for(&self, name: &str) {
        while !self.done().contains(&name) {
            std::thread::yield_now();
        }
    }
}

fn failure() -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::StorageFull))
}

#[test]
fn what_is_asked_for_during_a_sync_is_one_sync_that_began_after_all_of_it() {
    let mut watched = Watched::new();
    let first = watched.order("first", 1);
    watched.wait_for("first");
    let second = watched.order("second", 1);
    let third = watched.order("third", 1);
    first.send(Ok(())).unwrap();
    third.send(Ok(())).unwrap();
    let answers: Vec<Synced> = (0..3).map(|_| watched.syncer.wait()).collect();
    assert!(answers.iter().all(|answer| answer.result.is_ok()));
    assert_eq!(answers.iter().filter_map(|answer| answer.took).count(), 2);
    assert_eq!(watched.done(), ["first", "third"]);
    drop(second);
}

#[test]
fn a_file_whose_sync_failed_is_never_synced_again_and_another_is() {
    let mut watched = Watched::new();
    let first = watched.order("first", 1);
    watched.wait_for("first");
    let _second = watched.order("second", 1);
    first.send(failure()).unwrap();
    for _ in 0..2 {
        let error = watched.syncer.wait().result.expect_err("poisoned");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
    let _third = watched.order("third", 1);
    assert!(watched.syncer.wait().result.is_err());
    watched.order("fourth", 2).send(Ok(())).unwrap();
    assert!(watched.syncer.wait().result.is_ok());
    assert_eq!(watched.done(), ["first", "fourth"]);
}

#[test]
fn the_failure_of_one_sync_is_that_of_all_it_was_for() {
    let mut watched = Watched::new();
    let first = watched.order("first", 1);
    watched.wait_for("first");
    let _second = watched.order("second", 1);
    let third = watched.order("third", 1);
    first.send(Ok(())).unwrap();
    third.send(failure()).unwrap();
    let answers: Vec<bool> = (0..3)
        .map(|_| watched.syncer.wait().result.is_ok())
        .collect();
    assert_eq!(answers, [true, false, false]);
}

#[test]
fn a_thread_that_is_gone_fails_what_it_is_asked_for() {
    let mut watched = Watched::new();
    // It ends with a panic.
    drop(watched.order("first", 1));
    assert!(watched.syncer.wait().result.is_err());
    drop(watched.order("second", 1));
    assert!(watched.syncer.wait().result.is_err());
}
