use super::*;

#[test]
fn what_launchd_prints_is_read() {
    let text =
        "gui/501/falco = {\n\tstate = running\n\tpid = 812\n\tlast exit code = (never exited)\n}";
    let running = read(Some(text));
    assert_eq!(
        (running.activity, running.pid),
        (Activity::Active, Some(812))
    );
    let text = "gui/501/falco = {\n\tstate = not running\n\tlast exit code = 69\n}";
    assert_eq!(read(Some(text)).activity, Activity::Passing);
    let text = "gui/501/falco = {\n\tstate = not running\n\tlast exit code = 0\n}";
    assert_eq!(read(Some(text)).activity, Activity::Inactive);
    assert!(!read(None).enabled);
}

#[test]
fn what_is_in_a_service_is_not_taken_for_the_service() {
    let text = "gui/501/falco = {\n\tendpoints = {\n\t\tpid = 7\n\t\tstate = running\n\t}\n\tstate = spawn scheduled\n}";
    let standing = read(Some(text));
    assert_eq!(
        (standing.pid, standing.word.as_str()),
        (None, "spawn scheduled")
    );
    assert_eq!(standing.activity, Activity::Passing);
}

#[test]
fn how_a_service_ended_last_is_told_if_it_ran() {
    let end = |line: &str| last_end(&format!("gui/501/falco = {{\n\t{line}\n}}"));
    assert_eq!(end("last exit code = (never exited)"), None);
    assert_eq!(end("runs = 1"), None);
    assert_eq!(end("last exit code = 0").as_deref(), Some(WELL));
    assert_eq!(
        end("last exit code = 78: EX_CONFIG").unwrap(),
        "exit code 78"
    );
    let killed = end("last terminating signal = Killed: 9");
    assert_eq!(killed.unwrap(), "signal Killed: 9");
}
