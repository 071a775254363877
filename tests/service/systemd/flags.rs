//! An `up` that asks for something else than the service was installed with.

use std::fs;

use super::{well, with_systemd};

#[test]
fn an_up_that_names_another_device_or_user_than_the_services_is_told_how_to_change_that() {
    let device = "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11";
    let base = with_systemd();
    let at = format!(" --base-dir {}", base.dir().display());
    well(&base.run(&["service", "install", "--no-start"]));
    for (flag, other) in [("--device-id", device), ("--user-id", "somebody")] {
        well(&base.run(&["stop"]));
        // Who starts the service, and who finds it running.
        for _ in 0..2 {
            let said = base.run(&["up", flag, other]);
            assert_eq!(said.code, 78, "{}", said.stderr);
            let status = base.status();
            let key = flag.trim_start_matches('-').replace('-', "_");
            let has = status[&key].as_str().unwrap();
            for words in [
                format!("the chain that runs is of {}", key.replace("_id", "")),
                format!("{has}, not of {other}"),
                format!("hint: falco service install{at} {flag} … with the other flags it has"),
                format!("falco stop{at}, then falco up --no-service{at} {flag} …"),
            ] {
                assert!(said.stderr.contains(&words), "{words}: {}", said.stderr);
            }
        }
    }
    well(&base.run(&["service", "install", "--device-id", device]));
    well(&base.run(&["up", "--device-id", device]));
    well(&base.run(&["stop"]));
    well(&base.run(&["up", "--device-id", device]));
    well(&base.run(&["service", "uninstall"]));
}

#[test]
fn an_up_that_asks_a_service_of_the_emulator_for_ably_is_told_what_helps() {
    let base = with_systemd();
    let at = format!(" --base-dir {}", base.dir().display());
    let said_by = |upstream: &str| {
        let up = base.falco(&["up"]).env("FALCO_UPSTREAM", upstream).output();
        crate::base::said(&up.unwrap())
    };
    let file = base.dir().join("falco.toml");
    let named = format!(
        "hint: upstream = \"ably\" in {}, then ",
        file.display()
            .to_string()
            .replace(base.home().to_str().unwrap(), "~")
    );
    let aside = format!("; or falco stop{at}, then falco up --no-service{at}\n");

    // A flag of the service's goes before the file.
    well(&base.run(&["service", "install", "--emulator"]));
    let said = said_by("ably");
    assert_eq!(said.code, 78, "{}", said.stderr);
    let install =
        format!("falco service install{at} without --emulator and with the other flags it has");
    let hint = format!("{named}{install}{aside}");
    assert!(said.stderr.contains(&hint), "{hint}: {}", said.stderr);
    fs::write(&file, "upstream = \"ably\"\n").unwrap();
    let said = base.run(&["up"]);
    well(&said);
    let change = format!("to change that: {install}\n");
    assert!(said.stderr.contains(&change), "{}", said.stderr);
    well(&base.run(&["service", "install"]));
    well(&said_by("ably"));

    fs::write(&file, "").unwrap();
    well(&base.run(&["stop"]));
    well(&base.run(&["up"]));
    let said = said_by("ably");
    assert_eq!(said.code, 78, "{}", said.stderr);
    let hint = format!("{named}falco reload{at}{aside}");
    assert!(said.stderr.contains(&hint), "{hint}: {}", said.stderr);
    fs::write(&file, "upstream = \"ably\"\n").unwrap();
    well(&base.run(&["reload"]));
    well(&said_by("ably"));
    well(&base.run(&["service", "uninstall"]));
}

#[test]
fn who_names_anything_to_a_service_that_starts_hears_how_to_change_its_flags() {
    let base = with_systemd();
    well(&base.run(&["service", "install", "--no-start"]));
    let dir = base.dir();
    let at = dir.display();
    let words = format!(
        "has the flags it was installed with; falco service install --base-dir {at} with all it is to have changes them"
    );
    // Blank means unset.
    for (filter, is_told) in [("falco=info", true), ("", false)] {
        let mut up = base.falco(&["up"]);
        up.env("FALCO_LOG", filter);
        up.env("UNBOUND_USER_ID", "").env("UNBOUND_DEVICE_ID", " ");
        let said = crate::base::said(&up.output().unwrap());
        well(&said);
        assert_eq!(said.stderr.contains(&words), is_told, "{}", said.stderr);
        let any = said.stderr.contains("it was installed with");
        assert_eq!(any, is_told, "{}", said.stderr);
        well(&base.run(&["stop"]));
    }
    well(&base.run(&["service", "uninstall"]));
}
