use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener as StdListener;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const PATIENCE: Duration = Duration::from_secs(1);

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A socket file whose listener is gone.
fn stale(path: &Path) {
    drop(StdListener::bind(path).unwrap());
}

#[tokio::test]
async fn a_bound_socket_is_private_and_answers() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let mut client = connect(&path, PATIENCE).await.unwrap();
    let mut server = listener.accept().await.unwrap();
    client.write_all(b"hi").await.unwrap();
    let mut bytes = [0; 2];
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hi");
}

#[tokio::test]
async fn nothing_but_the_socket_is_left_in_the_directory_and_it_goes_with_its_owner() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(listener);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_whose_owner_does_not_listen_yet_is_left_alone() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    let held = stream_socket().unwrap();
    let address = Address::of(&path).unwrap();
    socket::bind(held.as_raw_fd(), &address.sockaddr().unwrap()).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    symlink(dir.path(), &elsewhere).unwrap();
    for path in [&path, &elsewhere.join("falco.sock")] {
        let refused = Socket::bind(path).map(drop);
        assert!(matches!(refused, Err(BindError::InUse { .. })));
        let refused = clear_stale(path);
        assert!(matches!(refused, Err(BindError::InUse { .. })));
    }
    drop(held);
    assert!(clear_stale(&path).unwrap());
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    stale(&path);
    assert!(matches!(probe(&path), Probe::Stale { .. }));
    let socket = Socket::bind(&path).unwrap();
    assert!(socket.replaced_stale());
    assert!(matches!(probe(&path), Probe::Live(_)));
}

#[tokio::test]
async fn a_live_socket_is_refused_and_keeps_working() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    let first = Socket::bind(&path).unwrap();
    let error = Socket::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    assert!(first.is_in_place());
    #[cfg(target_os = "linux")]
    assert!(
        error
            .to_string()
            .contains(&format!("pid {}", std::process::id()))
    );
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let dir = directory();
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    assert!(matches!(
        Socket::bind(&file),
        Err(BindError::NotASocket {
            kind: "a regular file",
            ..
        })
    ));
    assert!(matches!(
        clear_stale(&file),
        Err(BindError::NotASocket { .. })
    ));
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    let link = dir.path().join("link");
    stale(&dir.path().join("target"));
    symlink(dir.path().join("target"), &link).unwrap();
    assert!(matches!(
        Socket::bind(&link),
        Err(BindError::NotASocket {
            kind: "a symbolic link",
            ..
        })
    ));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_path_that_another_socket_took_over_is_not_unlinked() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    let ours = Socket::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let theirs = StdListener::bind(&path).unwrap();
    assert!(!ours.is_in_place());
    drop(ours);
    assert!(matches!(probe(&path), Probe::Live(_)));
    drop(theirs);
}

#[tokio::test]
async fn the_path_stays_while_one_listener_of_it_lives() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    let socket = Socket::bind(&path).unwrap();
    drop(socket.listener().unwrap());
    let again = socket.listener().unwrap();
    drop(socket);
    assert!(connect(&path, PATIENCE).await.is_ok());
    assert!(again.accept().await.is_ok());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_path_beyond_the_kernels_limit_works_through_its_directory() {
    let dir = directory();
    let deep = dir.path().join("d".repeat(150));
    fs::create_dir(&deep).unwrap();
    let path = deep.join("falco.sock");
    let listener = Listener::bind(&path).unwrap();
    assert!(matches!(probe(&path), Probe::Live(_)));
    connect(&path, PATIENCE).await.unwrap();
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_file_name_too_long_for_any_address_is_refused_with_length_and_limit() {
    let dir = directory();
    let path = dir.path().join("n".repeat(120));
    stale_free(&path);
    let Err(error) = Address::of(&path) else {
        panic!("must not fit")
    };
    assert!(error.to_string().contains("limit is"), "{error}");
}

fn stale_free(path: &Path) {
    assert!(matches!(probe(path), Probe::Absent));
}

#[tokio::test]
async fn connecting_says_what_is_missing() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    assert!(matches!(
        connect(&path, PATIENCE).await,
        Err(ConnectError::Absent { .. })
    ));
    stale(&path);
    assert!(matches!(
        connect(&path, PATIENCE).await,
        Err(ConnectError::Refused { .. })
    ));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_backlog_is_live_and_connecting_to_it_ends_in_time() {
    let dir = directory();
    let path = dir.path().join("falco.sock");
    let fd = stream_socket().unwrap();
    socket::bind(
        fd.as_raw_fd(),
        &Address::of(&path).unwrap().sockaddr().unwrap(),
    )
    .unwrap();
    socket::listen(&fd, socket::Backlog::new(0).unwrap()).unwrap();
    let mut queued = Vec::new();
    while let Ok(fd) = connect_now(&path) {
        queued.push(fd);
    }
    assert!(matches!(probe(&path), Probe::Live(None)));
    let error = connect(&path, Duration::from_millis(30)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
}

#[test]
fn of_many_binders_over_one_stale_path_exactly_one_wins() {
    for _ in 0..20 {
        let dir = directory();
        let path = dir.path().join("falco.sock");
        stale(&path);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || Socket::bind(&path).ok())
            })
            .collect();
        let sockets: Vec<_> = threads
            .into_iter()
            .filter_map(|t| t.join().unwrap())
            .collect();
        assert_eq!(sockets.len(), 1);
        assert!(sockets[0].is_in_place());
    }
}
