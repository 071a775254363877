//! An API key, `appId.keyId:secret` (RSA11).

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq as _;

/// The public half of an API key, `appId.keyId`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The application the key belongs to.
    #[must_use]
    pub fn app_id(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(app, _)| app)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An API key with its secret.
///
/// Neither `Debug` nor any error shows the secret.
#[derive(Clone)]
pub struct ApiKey {
    name: KeyName,
    secret: String,
}

impl ApiKey {
    /// The public half.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// What tokens are signed with.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The whole key as it is configured; a secret.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}:{}", self.name, self.secret)
    }

    /// Whether `text` is this key, in time that tells nothing of the secret.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        text.parse::<Self>().is_ok_and(|other| {
            self.name == other.name
                && bool::from(self.secret.as_bytes().ct_eq(other.secret.as_bytes()))
        })
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}:…)", self.name)
    }
}

/// Why a text is no API key; never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// No colon.
    #[error("an API key has the form appId.keyId:secret; there is no colon in this one")]
    NoSecret,
    /// The part before the colon is no `appId.keyId`.
    #[error(
        "an API key has the form appId.keyId:secret; the part before the colon is not appId.keyId"
    )]
    BadName,
    /// Nothing after the colon.
    #[error("an API key has the form appId.keyId:secret; the secret is empty")]
    EmptySecret,
    /// White space or control characters inside.
    #[error("an API key has no white space or control characters inside")]
    BadCharacter,
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    /// Surrounding white space, such as a file's last newline, is ignored.
    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let text = text.trim();
        let (name, secret) = text.split_once(':').ok_or(ApiKeyError::NoSecret)?;
        let (app, key) = name.split_once('.').ok_or(ApiKeyError::BadName)?;
        if app.is_empty() || key.is_empty() {
            return Err(ApiKeyError::BadName);
        }
        if secret.is_empty() {
            return Err(ApiKeyError::EmptySecret);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(ApiKeyError::BadCharacter);
        }
        Ok(Self {
            name: KeyName(name.to_owned()),
            secret: secret.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_splits_at_its_first_colon_and_shows_no_secret() {
        let key: ApiKey = " app1.key1:se:cret\n".parse().expect("parses");
        assert_eq!(key.name().as_str(), "app1.key1");
        assert_eq!(key.name().app_id(), "app1");
        assert_eq!(key.secret(), "se:cret");
        assert_eq!(format!("{key:?}"), "ApiKey(app1.key1:…)");
        assert!(key.matches("app1.key1:se:cret"));
        assert!(!key.matches("app1.key1:se:cred"));
        assert!(!key.matches("app1.key2:se:cret"));
    }

    #[test]
    fn what_is_no_key_says_which_part_is_missing() {
        let error = |text: &str| text.parse::<ApiKey>().expect_err("no key");
        assert_eq!(error("app.key"), ApiKeyError::NoSecret);
        assert_eq!(error("appkey:secret"), ApiKeyError::BadName);
        assert_eq!(error(".key:secret"), ApiKeyError::BadName);
        assert_eq!(error("app.:secret"), ApiKeyError::BadName);
        assert_eq!(error("app.key:"), ApiKeyError::EmptySecret);
        assert_eq!(error("app.key:a b"), ApiKeyError::BadCharacter);
    }
}
