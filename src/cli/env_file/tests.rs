//! What is read, what is refused, and that systemd reads the same.

use std::fs;

use proptest::prelude::*;

use super::*;

type Pairs = Vec<(String, String)>;

fn pairs(text: &str) -> Result<Pairs, Wrong> {
    let variables = parse(text)?;
    Ok(variables.into_iter().map(|v| (v.name, v.value)).collect())
}

fn owned(pairs: &[(&str, &str)]) -> Pairs {
    let owned = pairs.iter().map(|(n, v)| ((*n).into(), (*v).into()));
    owned.collect()
}

/// Line, column and a word of what is wrong.
fn refused(text: &str, line: usize, column: usize, word: &str) {
    let wrong = pairs(text).expect_err(text);
    assert_eq!((wrong.line, wrong.column), (line, column), "{text:?}");
    assert!(wrong.text.contains(word), "{text:?}: {}", wrong.text);
}

#[test]
fn a_line_is_a_variable_a_comment_or_nothing() {
    let text = "# secrets\n\n ;x\nA=1\n\tB = two words \nC='x=y' \nD=\nE=a#b 'c'\n_F9=\"\"";
    let expected = [
        ("A", "1"),
        ("B", "two words"),
        ("C", "x=y"),
        ("D", ""),
        ("E", "a#b 'c'"),
        ("_F9", ""),
    ];
    assert_eq!(pairs(text).unwrap(), owned(&expected));
    assert_eq!(pairs("").unwrap(), []);
}

#[test]
fn quotes_keep_what_is_between_them_and_double_ones_know_four_escapes() {
    let text = r#"A='\n $HOME "x" '
B="\"\\\$\` \n 'x' # y "
"#;
    let expected = [("A", r#"\n $HOME "x" "#), ("B", r#""\$` \n 'x' # y "#)];
    assert_eq!(pairs(text).unwrap(), owned(&expected));
}

#[test]
fn a_file_from_another_system_is_read_as_well() {
    let expected = owned(&[("A", "1"), ("B", "x y")]);
    assert_eq!(pairs("\u{feff}A=1\r\nB='x y'\r\n").unwrap(), expected);
}

#[test]
fn the_later_of_two_lines_counts_and_both_are_known() {
    let variables = parse("A=1\n\nA=2\n").unwrap();
    let lines: Vec<_> = variables.iter().map(|v| (v.line, &*v.value)).collect();
    assert_eq!(lines, [(1, "1"), (3, "2")]);
}

#[test]
fn what_could_be_meant_otherwise_is_refused_where_it_stands() {
    refused("A=1\nnonsense\n", 2, 1, "NAME=value");
    refused("=1", 1, 1, "called");
    refused("A B=1", 1, 1, "called");
    refused("9A=1", 1, 1, "called");
    refused("  export A=1", 1, 3, "export");
    refused("A=1\nB = \"open\nC=\"x\"", 2, 5, "not closed");
    refused("A='x\\", 1, 3, "not closed");
    refused("A=\"x\\\"", 1, 3, "not closed");
    refused("A='x' y", 1, 6, "closing quote");
    refused("A='x''y'", 1, 6, "closing quote");
    refused("ÄÖ=1", 1, 1, "called");
    refused("A=ä\\b", 1, 4, "backslash");
    refused("# over \\\nA=1", 1, 8, "comment");
    refused("A=1\rB=2\n", 1, 4, "character");
    refused("A=\0\n", 1, 3, "character");
}

#[test]
fn a_mistake_names_its_file_and_place_and_not_what_stands_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.env");
    fs::write(&path, "A=1\nhunter2=\n1hunter2=x\n").unwrap();
    let text = read(&path).err().unwrap().to_string();
    assert!(text.contains("web.env:3:1: ") && !text.contains("hunter2"));
    fs::write(&path, b"A=\xff\n").unwrap();
    assert!(read(&path).err().unwrap().to_string().contains("UTF-8"));
    fs::remove_file(&path).unwrap();
    let text = read(&path).err().unwrap().to_string();
    assert!(text.contains("web.env: No such file"), "{text}");
}

/// As systemd reads such a file: `parse_env_file_internal` of its sources,
/// state for state.
fn systemd(text: &str) -> Pairs {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        PreKey,
        Key,
        PreValue,
        Value,
        ValueEscape,
        Single,
        Double,
        DoubleEscape,
        Comment,
        CommentEscape,
    }
    use State::*;
    let mut state = PreKey;
    let (mut key, mut value, mut found) = (String::new(), String::new(), Vec::new());
    let mut trim_at = None;
    for c in text.chars().chain(['\n']) {
        let ends = matches!(c, '\n' | '\r');
        let blank = matches!(c, ' ' | '\t') || ends;
        state = match state {
            PreKey if matches!(c, '#' | ';') => Comment,
            PreKey if blank => PreKey,
            PreKey => {
                key = c.to_string();
                Key
            }
            Key if ends => PreKey,
            Key if c == '=' => {
                value.clear();
                trim_at = None;
                PreValue
            }
            Key => {
                key.push(c);
                Key
            }
            PreValue | Value if ends => {
                if state == Value {
                    value.truncate(trim_at.unwrap_or(value.len()));
                }
                let name = key.trim_end_matches([' ', '\t']).to_owned();
                found.push((name, value.clone()));
                PreKey
            }
            PreValue if c == '\'' => Single,
            PreValue if c == '"' => Double,
            PreValue | Value if c == '\\' => {
                trim_at = None;
                ValueEscape
            }
            PreValue if blank => PreValue,
            PreValue | Value => {
                if !blank {
                    trim_at = None;
                } else if trim_at.is_none() {
                    trim_at = Some(value.len());
                }
                value.push(c);
                Value
            }
            ValueEscape => {
                if !ends {
                    value.push(c);
                }
                Value
            }
            Single if c == '\'' => PreValue,
            Double if c == '"' => PreValue,
            Double if c == '\\' => DoubleEscape,
            Single | Double => {
                value.push(c);
                state
            }
            DoubleEscape => {
                if ESCAPED.contains(&c) {
                    value.push(c);
                } else if c != '\n' {
                    value.push('\\');
                    value.push(c);
                }
                Double
            }
            Comment if c == '\\' => CommentEscape,
            Comment if ends => PreKey,
            Comment | CommentEscape => Comment,
        };
    }
    found
}

/// Pieces that such files are made of.
fn piece() -> impl Strategy<Value = &'static str> {
    let pieces = [
        "A", "B9", "=", "=", " ", "\t", "'", "\"", "\\", "#", ";", "$", "\n", "\n", "\r\n", "x",
        "export ", "é", "9",
    ];
    proptest::sample::select(pieces.to_vec())
}

#[test]
fn a_file_that_others_can_write_is_not_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("env");
    fs::write(&path, "A=1\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(read(&path).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let error = read(&path).err().unwrap().to_string();
    assert!(
        error.ends_with("can be written by others (mode 666)"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn what_is_accepted_means_the_same_to_systemd(text in proptest::collection::vec(piece(), 0..24)) {
        let text = text.concat();
        if let Ok(pairs) = pairs(&text) {
            prop_assert_eq!(pairs, systemd(&text));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        _ = parse(&text);
    }

    #[test]
    fn every_value_of_one_line_can_be_written(value in "[^\r\n\0]*") {
        let mut quoted = String::new();
        for c in value.chars() {
            if ESCAPED.contains(&c) {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        let pairs = pairs(&format!("A=\"{quoted}\"\n"));
        prop_assert_eq!(pairs, Ok(vec![("A".to_owned(), value)]));
    }
}
