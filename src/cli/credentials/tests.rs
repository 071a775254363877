use super::*;

fn choice_in(dir: &Path, variables: &[(&str, &str)]) -> Result<Choice, Failure> {
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    Places {
        variables: &variables.collect(),
        stored: &dir.join("credentials.json"),
        files: &Credentials::default(),
        spawner: &Spawner::start().expect("a thread"),
        directory: Path::new("/"),
    }
    .choose()
}

fn chosen(variables: &[(&str, &str)]) -> Result<Option<Source>, Failure> {
    Ok(match choice_in(Path::new("/nonexistent"), variables)? {
        Choice::Ably(chosen) => Some(chosen.source),
        Choice::LoggedOut | Choice::Nobody => None,
    })
}

fn failure(variables: &[(&str, &str)]) -> String {
    format!("{:?}", chosen(variables).expect_err("refused"))
}

#[test]
fn with_nothing_set_it_is_the_emulator() {
    assert!(chosen(&[]).expect("fine").is_none());
    assert!(chosen(&[("ABLY_API_KEY", " ")]).expect("fine").is_none());
}

#[test]
fn a_token_source_goes_before_a_key() {
    let key = ("ABLY_API_KEY", "app.key:secret");
    let command = ("FALCO_TOKEN_COMMAND", "cat token");
    let endpoint = ("FALCO_TOKEN_ENDPOINT", "https://example.com/token");
    assert!(matches!(chosen(&[key]), Ok(Some(Source::ApiKey(_)))));
    assert!(matches!(
        chosen(&[key, command]),
        Ok(Some(Source::Command(_)))
    ));
    let all = chosen(&[key, command, endpoint]);
    assert!(matches!(all, Ok(Some(Source::Endpoint(_)))));
}

#[test]
fn a_key_comes_from_the_credentials_directory_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("text");
    assert!(
        chosen(&[("CREDENTIALS_DIRECTORY", path)])
            .expect("fine")
            .is_none()
    );
    std::fs::write(dir.path().join("ably-api-key"), "app.key:secret\n").expect("writes");
    let source = chosen(&[("CREDENTIALS_DIRECTORY", path)]);
    assert!(matches!(source, Ok(Some(Source::ApiKey(_)))));
}

#[test]
fn what_cannot_be_used_is_named_and_a_key_never_quoted() {
    let text = failure(&[("ABLY_API_KEY", "s3cret-without-form")]);
    assert!(text.contains("ABLY_API_KEY") && !text.contains("s3cret"));
    let text = failure(&[("FALCO_TOKEN_ENDPOINT", "http://example.com/")]);
    assert!(text.contains("use https"));
}

#[test]
fn who_logged_out_stays_out_unless_the_environment_says_otherwise() {
    let dir = tempfile::tempdir().expect("a directory");
    let stored = dir.path().join("credentials.json");
    let choice = |variables| choice_in(dir.path(), variables).expect("fine");
    assert!(matches!(choice(&[]), Choice::Nobody));
    let key = Stored::ApiKey {
        api_key: "app.key:secret".to_owned(),
    };
    key.write(&stored).expect("writes");
    let Choice::Ably(chosen) = choice(&[]) else {
        panic!("logged in");
    };
    assert_eq!(
        (chosen.how, chosen.from.as_str()),
        ("API key", "falco login")
    );
    Stored::LoggedOut.write(&stored).expect("writes");
    assert!(matches!(choice(&[]), Choice::LoggedOut));
    let Choice::Ably(chosen) = choice(&[("FALCO_TOKEN_COMMAND", "true")]) else {
        panic!("the environment goes first");
    };
    assert_eq!(chosen.from, "FALCO_TOKEN_COMMAND");
}
