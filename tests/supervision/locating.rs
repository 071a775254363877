//! Where the logs are.

use std::fs;

use serde_json::json;

use super::base::Base;

#[test]
fn where_the_logs_are_is_one_path_a_line_or_one_object() {
    let base = Base::made();
    let logs = base.dir().join("logs");
    fs::create_dir(&logs).unwrap();
    let path = |name: &str| logs.join(name).display().to_string();
    for name in ["falco.log", "falco.log.1", "emulator.log"] {
        fs::write(logs.join(name), "").unwrap();
    }
    let (falco, older, emulator) = (path("falco.log"), path("falco.log.1"), path("emulator.log"));

    let said = base.run(&["logs", "--path"]);
    assert_eq!(said.stdout, format!("{emulator}\n{falco}\n{older}\n"));

    let said = base.run(&["logs", "--path", "--json", "falco", "transport", "emulator"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let object: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let expected = json!({"schema": 1, "logs": [
        {"name": "emulator", "files": [emulator]},
        {"name": "falco", "files": [falco, older]},
        {"name": "transport", "files": []},
    ]});
    assert_eq!(object, expected);
}
