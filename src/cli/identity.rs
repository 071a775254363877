//! Which device this is and whose: as configured, else what was made once and
//! is kept in `identity.json`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::exit::{Exit, Failure};
use crate::plain_file;
use crate::token_broker::Identity;

/// Device and user, as given.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct IdentityArgs {
    /// The device, a UUID [default: made once and kept]
    #[arg(long, env = "UNBOUND_DEVICE_ID", value_name = "UUID")]
    pub(super) device_id: Option<String>,
    /// The user it belongs to [default: made once and kept]
    #[arg(long, env = "UNBOUND_USER_ID", value_name = "ID")]
    pub(super) user_id: Option<String>,
}

/// What is kept in `identity.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    #[serde(default)]
    device_id: Option<String>,
    #[serde(default)]
    user_id: Option<String>,
}

impl IdentityArgs {
    /// Whether this is who is meant, as far as anybody was named.
    ///
    /// # Errors
    ///
    /// When `device` or `user`, who has the chain, is another one; `change` says
    /// how the chain becomes that of what is given with a flag.
    pub(super) fn check_against(
        &self,
        device: &str,
        user: &str,
        change: impl Fn(&str) -> String,
    ) -> Result<(), Failure> {
        let pairs = [
            ("device", "--device-id …", &self.device_id, device),
            ("user", "--user-id …", &self.user_id, user),
        ];
        for (what, flag, named, has) in pairs {
            // As everywhere: blank means unset.
            let named = named.as_deref().filter(|named| !named.trim().is_empty());
            // An older version does not say who has it.
            let named = named.filter(|_| !has.is_empty());
            if let Some(named) = named.filter(|named| !is_same(named, has)) {
                let error = format!("the chain that runs is of {what} {has}, not of {named}");
                return Err(Failure::new(Exit::Config, error).hint(change(flag)));
            }
        }
        Ok(())
    }

    /// The arguments that hand these on to another `falco`.
    pub(super) fn to_args(&self) -> Vec<String> {
        let flag = |name: &str, value: &Option<String>| {
            // As everywhere: blank means unset.
            let named = value.iter().filter(|named| !named.trim().is_empty());
            named.map(|v| format!("--{name}={v}")).collect::<Vec<_>>()
        };
        [
            flag("device-id", &self.device_id),
            flag("user-id", &self.user_id),
        ]
        .concat()
    }
}

/// Whether these are the same device, or the same user, however they are written.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let plain = |id: &str| match Uuid::parse_str(id.trim()) {
        Ok(uuid) => uuid.to_string(),
        Err(_) => id.trim().to_lowercase(),
    };
    plain(one) == plain(other)
}

/// Why nobody can tell who this is, if what is kept in `file` does not.
///
/// # Errors
///
/// When it is there and cannot be read, or is damaged.
pub(super) fn check(file: &Path) -> Result<(), Failure> {
    read(file).map(drop)
}

/// Settles who this is; what is not given is made and kept in `file`.
///
/// To be called by the holder of the instance lock.
pub(super) fn settle(
    file: &Path,
    device: Option<&str>,
    user: Option<&str>,
) -> Result<Identity, Failure> {
    let mut kept = read(file)?;
    let given = |value: Option<&str>| value.map(str::to_owned);
    let made = |kept: &mut Option<String>| kept.get_or_insert_with(fresh).clone();
    let before = (kept.device_id.clone(), kept.user_id.clone());
    let device = given(device).unwrap_or_else(|| made(&mut kept.device_id));
    let user = given(user).unwrap_or_else(|| made(&mut kept.user_id));
    if before != (kept.device_id.clone(), kept.user_id.clone()) {
        write(file, &kept).map_err(|e| cannot("write", file, &e))?;
    }
    let device = Uuid::parse_str(device.trim()).map_err(|_| {
        Failure::new(
            Exit::Config,
            format!("the device id {device:?} is not a UUID"),
        )
        .hint("give --device-id, or set UNBOUND_DEVICE_ID, or leave both out")
    })?;
    Identity::new(device, &user).map_err(|e| Failure::of(Exit::Config, &e))
}

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

fn read(file: &Path) -> Result<Kept, Failure> {
    let text = match plain_file::read(file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(e) => return Err(cannot("read", file, &e)),
    };
    serde_json::from_slice(&text).map_err(|e| {
        Failure::new(Exit::Config, format!("{} is damaged: {e}", file.display()))
            .hint("repair it, or remove it to become another device")
    })
}

fn write(file: &Path, kept: &Kept) -> io::Result<()> {
    let temporary = file.with_extension("json.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut new = plain_file::open_own(&temporary, &mut options)?;
    new.write_all(&serde_json::to_vec_pretty(kept)?)?;
    new.write_all(b"\n")?;
    new.sync_all()?;
    fs::rename(&temporary, file)
}

fn cannot(doing: &str, file: &Path, error: &io::Error) -> Failure {
    let doing = format!("{doing} {}", file.display());
    Failure::to(Exit::CannotCreate, &doing, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "7C9E6679-7425-40DE-944B-E07FC1F90AE7";

    #[test]
    fn what_was_made_once_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("identity.json");
        let first = settle(&file, None, None).unwrap();
        let second = settle(&file, None, None).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn what_is_given_goes_before_what_is_kept_and_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("identity.json");
        let identity = settle(&file, Some(DEVICE), Some(" Ann ")).unwrap();
        assert_eq!(identity.device().to_string(), DEVICE.to_lowercase());
        assert_eq!(identity.user(), "ann");
        assert!(!file.exists());
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("identity.json");
        for damaged in [&b"{"[..], b"\xff\0"] {
            fs::write(&file, damaged).unwrap();
            let failure = settle(&file, None, None).unwrap_err();
            assert_eq!(failure.exit(), Exit::Config);
            assert_eq!(fs::read(&file).unwrap(), damaged);
        }
    }

    #[test]
    fn a_device_id_that_is_no_uuid_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("identity.json");
        assert!(settle(&file, Some("laptop"), None).is_err());
    }
}
