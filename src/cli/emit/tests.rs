use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn effect(args: &[&str]) -> Option<String> {
    let command = Command::try_parse_from([&["emit"], args].concat()).expect("parses");
    let json = command.args.effect.json().expect("JSON")?;
    Some(String::from_utf8(json.to_vec()).expect("UTF-8"))
}

#[test]
fn flags_make_one_effect_and_the_payload_keeps_its_bytes() {
    assert_eq!(
        effect(&["--event", "e", "--payload", r#"{ "b":1,"a": 1.0 }"#]).expect("one"),
        r#"{"event":"e","payload":{ "b":1,"a": 1.0 }}"#
    );
    assert_eq!(
        effect(&["--payload", "null"]).expect("one"),
        r#"{"payload":null}"#
    );
    assert_eq!(
        effect(&["--type", "a\"b", "--session", "s"]).expect("one"),
        r#"{"session_id":"s","type":"a\"b"}"#
    );
    assert_eq!(effect(&["--timeout", "3"]), None);
}

#[test]
fn a_failure_decides_the_exit_code_and_a_timeout_does_if_nothing_worse_happened() {
    assert_eq!(worse(Exit::Ok, None), Exit::Ok);
    let late = worse(Exit::Ok, Some(&PublishError::TimedOut));
    assert_eq!(late, Exit::TimedOut);
    let stopped = PublishError::Stopped;
    assert_eq!(worse(late, Some(&stopped)), Exit::Failed);
    assert_eq!(
        worse(Exit::Failed, Some(&PublishError::TimedOut)),
        Exit::Failed
    );
}
