//! What was installed before, as far as an installation over it leaves it behind.

use std::path::PathBuf;

use super::super::missed::missed;
use super::super::place::Place;
use super::super::{Order, PATIENCE, file, systemd};
use crate::cli::exit::Failure;
use crate::cli::{output, progress, shell};

/// See the module.
#[derive(Debug)]
pub(super) struct Former {
    /// Flags that it had and has no more.
    missed: Vec<String>,
    /// The file of its socket, by which systemd would go on to listen.
    socket: Option<PathBuf>,
    /// Whom it ran as, and whom it runs as.
    user: Option<[String; 2]>,
}

impl Former {
    /// What was at `place`, where `now` is to be.
    pub(super) fn of(place: &Place, order: &Order, now: &str) -> Self {
        let before = file::ours(&place.file()).unwrap_or_default();
        let is_stale = !order.socket && place.has_socket();
        let socket = place.socket_file().filter(|_| is_stale);
        let flag = socket.iter().map(|_| "--socket".to_owned());
        Self {
            missed: missed(&before, now).into_iter().chain(flag).collect(),
            socket,
            user: another_user(&before, now),
        }
    }

    /// Says what is another now.
    pub(super) fn tell(&self) {
        if !self.missed.is_empty() {
            let flags = self.missed.join(" ");
            output::message(&format!(
                "  without {flags}, which it had: a service has the flags it was installed with last"
            ));
        }
        if let Some([before, now]) = &self.user {
            let flag = shell::word(before);
            output::message(&format!(
                "  as user {now}, and it was {before}'s: --run-as {flag} keeps it so"
            ));
        }
    }

    /// The commands that take away what is left.
    pub(super) fn commands(&self, systemctl: &str, place: &Place) -> Vec<String> {
        let Some(file) = &self.socket else {
            return Vec::new();
        };
        vec![
            format!("{systemctl} disable --now {}", place.socket_name()),
            format!("rm {}", shell::path(file)),
            format!("{systemctl} daemon-reload"),
        ]
    }

    /// Has systemd listen no more where it did; which file is gone.
    pub(super) async fn clear(&self, place: &Place) -> Result<Option<&PathBuf>, Failure> {
        let Some(file) = &self.socket else {
            return Ok(None);
        };
        let name = place.socket_name();
        systemd::insist(place, &["disable", "--now", &name], PATIENCE).await?;
        file::remove(file)?;
        output::message(&format!(
            "  removed {}: systemd listens on falco.sock no more",
            progress::tilde(file)
        ));
        systemd::insist(place, &["daemon-reload"], PATIENCE).await?;
        Ok(Some(file))
    }
}

/// Whom it ran as, and whom it runs as, if that is another.
fn another_user(before: &str, now: &str) -> Option<[String; 2]> {
    let of = |text: &str| {
        let user = text.lines().find_map(|line| line.strip_prefix("User="));
        user.map(str::to_owned)
    };
    let users = [of(before)?, of(now)?];
    (users[0] != users[1]).then_some(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_service_ran_as_is_told_if_that_is_another_now() {
        let unit = |user| format!("[Service]\nUser={user}\nExecStart=/bin/falco up\n");
        let ann = unit("ann");
        assert_eq!(another_user(&ann, &ann), None);
        assert_eq!(another_user("", &ann), None, "there was none");
        let told = another_user(&ann, &unit("bob"));
        assert_eq!(told, Some(["ann".to_owned(), "bob".to_owned()]));
    }
}
