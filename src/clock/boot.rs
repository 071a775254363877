//! Which life of the machine it is.

/// A text that is another one after every boot; empty where nobody knows.
#[cfg(target_os = "linux")]
#[must_use]
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.unwrap_or_default().trim().to_owned()
}

/// A text that is another one after every boot; empty where nobody knows.
#[cfg(not(target_os = "linux"))]
#[allow(unsafe_code)]
#[must_use]
pub fn boot_id() -> String {
    use nix::libc;

    let mut text = [0_u8; 64];
    let mut len = text.len();
    // SAFETY: it writes at most `len` bytes and says how many.
    let done = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            text.as_mut_ptr().cast::<libc::c_void>(),
            &raw mut len,
            std::ptr::null_mut(),
            0,
        )
    };
    if done != 0 {
        return String::new();
    }
    let text = String::from_utf8_lossy(&text[..len.min(text.len())]);
    text.trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_of_the_machine_has_one_name_and_that_is_a_uuid() {
        let name = boot_id();
        assert!(uuid::Uuid::parse_str(&name).is_ok(), "{name}");
        assert_eq!(boot_id(), name);
    }
}
