use super::*;

#[test]
fn nothing_in_a_word_is_expanded() {
    assert_eq!(quoted("/opt/falco"), "/opt/falco");
    assert_eq!(quoted(r#"/a b/50%/$x/"\"#), r#""/a b/50%%/$$x/\"\\""#);
    assert_eq!(quoted(""), "\"\"");
    assert_eq!(escaped("<a&b>"), "&lt;a&amp;b&gt;");
}

#[test]
fn a_line_that_comes_to_nothing_goes_and_an_empty_one_stays() {
    let filled = fill(
        "a={{a}}\n{{b}}\n\nc\n",
        &[("a", "1".into()), ("b", String::new())],
    );
    assert_eq!(filled, "a=1\n\nc\n");
}

#[test]
fn a_credential_is_one_that_falco_reads_in_a_file_that_is_there() {
    assert!(Credential::parse("ably-api-key:/", false).is_ok());
    assert!(Credential::parse("ably-api-key:/no/such/file", false).is_err());
    assert!(Credential::parse("password:/", false).is_err());
    assert!(Credential::parse("/", false).is_err());
}
