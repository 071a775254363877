use super::*;

#[tokio::test]
async fn more_children_than_fit_into_the_queue_are_all_spawned() {
    let spawner = Spawner::start().unwrap();
    let spec = || Spec {
        program: "/bin/sh".into(),
        arg0: None,
        args: vec!["-c".into(), ":".into()],
        env: Vec::new(),
        directory: "/".into(),
        descriptors: Vec::new(),
        lease: None,
    };
    let all = (0..3 * JOBS_MAX).map(|_| async {
        let child = spawner.spawn(spec()).await;
        child.map(drop)
    });
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}
