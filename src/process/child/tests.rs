use tokio::io::AsyncReadExt;

use super::super::spawn::{Spawner, Spec};
use super::*;

const KILLED: Exit = Exit::Signal {
    signal: 9,
    core_dumped: false,
};

fn shell(script: &str) -> Spec {
    Spec {
        program: "/bin/sh".into(),
        arg0: None,
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        directory: "/".into(),
        descriptors: Vec::new(),
        lease: None,
    }
}

async fn run(script: &str) -> (Exit, Vec<u32>) {
    let child = Spawner::start()
        .unwrap()
        .spawn(shell(script))
        .await
        .unwrap();
    child.end().unwrap().reached().await;
    child.reap().await
}

#[tokio::test]
async fn a_child_ends_with_its_code_or_its_signal() {
    assert_eq!(run("exit 42").await.0, Exit::Code(42));
    assert_eq!(run("kill -9 $$").await.0, KILLED);
    let crash = |core_dumped| Exit::Signal {
        signal: 11,
        core_dumped,
    };
    assert_eq!(crash(false).to_string(), "signal SEGV");
    assert_eq!(crash(true).to_string(), "signal SEGV, core dumped");
}

#[tokio::test]
async fn what_a_child_leaves_behind_in_its_group_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}", file.display());
    let (exit, left) = run(&script).await;
    assert_eq!((exit, left), (Exit::Code(0), Vec::new()));
    let pid = std::fs::read_to_string(file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let state = super::super::table::Stat::of(pid).map(|s| s.state);
    assert!(matches!(state, None | Some('Z')), "{state:?}");
}

#[tokio::test]
async fn a_child_that_ignores_the_request_to_end_is_killed() {
    let spawner = Spawner::start().unwrap();
    let script = "trap '' TERM; echo set; while :; do sleep 1; done";
    let mut child = spawner.spawn(shell(script)).await.unwrap();
    let mut output = child.take_output().unwrap().unwrap();
    output.stdout.read_u8().await.unwrap();
    let end = child.end().unwrap();
    child.terminate(Signal::SIGTERM);
    let early = tokio::time::timeout(Duration::from_millis(50), end.reached()).await;
    assert!(early.is_err());
    child.kill();
    end.reached().await;
    assert_eq!(child.reap().await.0, KILLED);
}

#[tokio::test]
async fn a_child_gets_no_environment_and_no_descriptor_that_is_not_declared() {
    let leak = std::fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(
        &leak,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .unwrap();
    let spawner = Spawner::start().unwrap();
    let script = "for fd in 0 1 2 3 4 5 6 7 8 9; do (: <&$fd) 2>/dev/null && echo $fd; done; env";
    let mut child = spawner.spawn(shell(script)).await.unwrap();
    let mut output = child.take_output().unwrap().unwrap();
    let mut text = String::new();
    output.stdout.read_to_string(&mut text).await.unwrap();
    let names: Vec<&str> = text
        .lines()
        .take_while(|l| l.parse::<u32>().is_ok())
        .collect();
    assert_eq!(names, ["0", "1", "2"]);
    let variables = text
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(k, _)| k);
    assert!(
        variables
            .into_iter()
            .all(|k| matches!(k, "PATH" | "PWD" | "_" | "SHLVL" | "OLDPWD"))
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_permanent_failure() {
    let spec = Spec {
        program: "/nonexistent/program".into(),
        ..shell("")
    };
    let error = Spawner::start().unwrap().spawn(spec).await.unwrap_err();
    assert!(error.is_permanent(), "{error}");
}
