use super::super::tree;
use super::*;

pub(super) fn from_file<K: Kind>(kind: &K, toml: &str) -> Result<K::Value, String> {
    let table = tree::parse(&format!("it = {toml}")).expect("TOML");
    kind.read(Written::File(&table.get("it").expect("it").node.value))
}

#[test]
fn what_listens_listens_on_this_machine_only() {
    assert!(from_file(&Loopback, "\"127.0.0.1:9090\"").is_ok());
    assert!(from_file(&Loopback, "\"0.0.0.0:9090\"").is_err());
    assert!(from_file(&Loopback, "\"9090\"").is_err());
}

#[test]
fn a_path_starts_in_the_base_directory_or_at_home() {
    let kind = Place {
        base: Path::new("/base"),
        home: Some(Path::new("/home/me")),
    };
    let read = |toml| from_file(&kind, toml).unwrap();
    assert_eq!(read("\"a/b\""), Path::new("/base/a/b"));
    assert_eq!(read("\"~/b\""), Path::new("/home/me/b"));
    assert_eq!(read("\"/b\""), Path::new("/b"));
}
