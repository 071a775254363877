//! Colors, for those who see them: never in a pipe, never against `NO_COLOR`.

use std::io::{self, IsTerminal};

/// When there are colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    None,
    Red,
    Green,
    Yellow,
}

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    pub(super) fn new(when: When) -> Self {
        let forbidden = || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            on: match when {
                When::Auto => io::stdout().is_terminal() && !forbidden(),
                When::Always => true,
                When::Never => false,
            },
        }
    }

    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { on: false }
    }

    pub(super) fn with(self, color: Color, text: &str) -> String {
        let code = match color {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::None => return text.to_owned(),
        };
        if self.on {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
