//! Completions and man pages.

use std::fs;
use std::process::Command;

use super::base::Base;

/// The verbs that the help names.
fn verbs(base: &Base) -> Vec<String> {
    let help = base.run(&["--help"]).stdout;
    let commands = help.split("Commands:").nth(1).unwrap();
    let lines = commands.lines().skip(1).take_while(|l| !l.is_empty());
    // A text that is wrapped goes on further to the right.
    let verbs = lines.filter_map(|l| l.strip_prefix("  ")?.split(' ').next());
    let verbs = verbs.filter(|verb| !verb.is_empty() && *verb != "help");
    verbs.map(Into::into).collect()
}

#[test]
fn every_verb_has_a_page_with_the_exit_codes_and_hidden_ones_have_none() {
    let base = Base::new();
    let dir = base.home().join("man");
    let said = base.run(&["man", "--dir", dir.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let version = format!("\"falco {}\"", env!("CARGO_PKG_VERSION"));
    for verb in verbs(&base) {
        let page = fs::read_to_string(dir.join(format!("falco-{verb}.1"))).unwrap();
        assert!(page.contains("EXIT STATUS"), "{verb}");
        assert!(page.contains("nothing runs"), "{verb}");
        assert!(page.contains(&version), "{verb}");
    }
    let uninstall = fs::read_to_string(dir.join("falco-service-uninstall.1")).unwrap();
    assert!(!uninstall.contains("SUBCOMMANDS"), "it has none");
    assert!(dir.join("falco.1").exists());
    assert!(!dir.join("falco-__daemon.1").exists());
}

#[test]
fn the_readme_and_the_manual_know_the_same_exit_codes() {
    let readme = include_str!("../../README.md");
    let table = readme.split("### Exit codes").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let codes: Vec<&str> = table
        .lines()
        .filter_map(|l| l.strip_prefix("| ")?.split(' ').next())
        .filter(|code| code.parse::<u8>().is_ok())
        .collect();
    let manual = Base::new().run(&["man"]).stdout;
    let manual = manual.split("EXIT STATUS").nth(1).unwrap();
    let pages: Vec<&str> = manual
        .lines()
        .filter_map(|l| l.strip_prefix("\\fB")?.strip_suffix("\\fR"))
        .collect();
    assert_eq!(codes, pages);
}

#[test]
fn completions_know_every_verb_and_no_hidden_one() {
    let base = Base::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = base.run(&["completions", shell]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        for verb in verbs(&base) {
            assert!(said.stdout.contains(&verb), "{shell} {verb}");
        }
        assert!(!said.stdout.contains("__daemon"), "{shell}");
    }
    assert_eq!(base.run(&["completions", "csh"]).code, 2);
}

#[test]
fn bash_completes_the_flags_of_the_verb_that_stands_there() {
    let base = Base::new();
    let script = base.home().join("falco.bash");
    fs::write(&script, base.run(&["completions", "bash"]).stdout).unwrap();
    let completed = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let ask = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; _falco falco {} {}; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words
                .iter()
                .map(|w| format!("'{w}'"))
                .collect::<Vec<_>>()
                .join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("falco stat"), "status");
    assert_eq!(completed("falco service inst"), "install");
    assert_eq!(completed("falco service install --dry"), "--dry-run");
    assert_eq!(completed("falco stop --stri"), "--strict");
}
