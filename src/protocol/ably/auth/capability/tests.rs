use super::*;

fn capability(text: &str) -> Capability {
    text.parse().expect("a capability")
}

#[test]
fn operations_of_all_matching_resources_are_united() {
    let capability = capability(r#"{"a:*":["subscribe"],"a:b":["publish"],"*":["history"]}"#);
    let wanted = [Operation::Subscribe, Operation::Publish, Operation::History];
    assert_eq!(capability.operations("a:b"), Operations::of(&wanted));
    assert!(!capability.allows("a:c", Operation::Publish));
}

#[test]
fn the_canonical_text_is_sorted() {
    let text = capability(r#"{"b":["subscribe","publish"],"a":["*"],"a":["*"]}"#).to_string();
    assert_eq!(text, r#"{"a":["*"],"b":["publish","subscribe"]}"#);
    assert_eq!(Capability::default().to_string(), "{}");
}

#[test]
fn a_token_gets_what_it_asks_for_and_its_key_has() {
    let table = [
        (
            r#"{"*":["*"]}"#,
            r#"{"a":["publish"]}"#,
            r#"{"a":["publish"]}"#,
        ),
        (
            r#"{"a":["publish","subscribe"]}"#,
            r#"{"a":["*"]}"#,
            r#"{"a":["publish","subscribe"]}"#,
        ),
        (
            r#"{"a":["subscribe"]}"#,
            r#"{"a":["subscribe","presence"],"x":["publish"]}"#,
            r#"{"a":["subscribe"]}"#,
        ),
        (
            r#"{"a:*":["subscribe"]}"#,
            r#"{"a:b:*":["*"]}"#,
            r#"{"a:b:*":["subscribe"]}"#,
        ),
        (
            r#"{"a:*":["subscribe"]}"#,
            r#"{"a":["subscribe"]}"#,
            r#"{"a":["subscribe"]}"#,
        ),
        (
            r#"{"a:*":["publish"]}"#,
            r#"{"*:b":["publish"]}"#,
            r#"{"a:b":["publish"]}"#,
        ),
        (
            r#"{"a:*:c":["publish"]}"#,
            r#"{"a:*":["publish"]}"#,
            r#"{"a:*:c":["publish"]}"#,
        ),
        (
            r#"{"[*]*":["*"]}"#,
            r#"{"[meta]*":["subscribe"],"*":["stats"]}"#,
            r#"{"*":["stats"],"[meta]*":["subscribe"]}"#,
        ),
        (r#"{"a":["publish"]}"#, r#"{"a":["subscribe"]}"#, "{}"),
        (r#"{"a":["publish"]}"#, r#"{"b":["publish"]}"#, "{}"),
        (r#"{"a:b":["publish"]}"#, r#"{"a:b:c":["publish"]}"#, "{}"),
    ];
    for (key, asked, expected) in table {
        let (key, asked) = (capability(key), capability(asked));
        assert_eq!(key.intersection(&asked).to_string(), expected);
        assert_eq!(asked.intersection(&key).to_string(), expected);
    }
}

#[test]
fn what_ably_refuses_is_refused_with_40000() {
    let refused = [
        "",
        "[]",
        r#"{"a":"publish"}"#,
        r#"{"a":[]}"#,
        r#"{"a":["publish_"]}"#,
        r#"{"a":["*","publish"]}"#,
        r#"{"":["publish"]}"#,
        r#"{"[meta":["publish"]}"#,
    ];
    for text in refused {
        let error = text.parse::<Capability>().expect_err(text);
        assert_eq!(ErrorInfo::from(&error).code, 40000);
    }
}
