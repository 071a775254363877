//! `falco version`.

use super::base::Base;

#[test]
fn the_version_is_told_to_programs_too() {
    let said = Base::new().run(&["version", "--json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let version: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(version["schema"], 1);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}
