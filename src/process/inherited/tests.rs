use super::*;

fn pipe() -> (OwnedFd, File) {
    let (read, write) = nix::unistd::pipe().unwrap();
    (read, write.into())
}

#[test]
fn a_ready_line_is_followed_by_end_of_file() {
    let (read, write) = pipe();
    ReadySender { pipe: write }.send(r#"{"ready":true}"#);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "{\"ready\":true}\n");
}

#[tokio::test]
async fn a_lifeline_is_lost_when_the_other_end_closes_and_not_before() {
    let (read, write) = pipe();
    let lost = Lifeline { pipe: read }.lost();
    tokio::pin!(lost);
    let early = tokio::time::timeout(std::time::Duration::from_millis(20), &mut lost).await;
    assert!(early.is_err());
    drop(write);
    lost.await;
}

#[test]
fn secrets_are_read_to_the_end_and_never_shown() {
    let (read, mut write) = pipe();
    write.write_all(b"hunter2").unwrap();
    drop(write);
    let secrets = Secrets::read(read).unwrap();
    assert_eq!(secrets.expose(), "hunter2");
    assert_eq!(format!("{secrets:?}"), "Secrets(..)");
}
