use secrecy::{ExposeSecret as _, SecretString};

/// A value that nobody should read by chance: `Debug` does not show it, and its memory is wiped when
/// it is dropped.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The value.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The value, still guarded.
    #[must_use]
    pub fn guarded(&self) -> &SecretString {
        &self.0
    }
}

impl PartialEq for Secret {
    /// For comparing configurations, not for checking what a stranger says: it takes longer the more
    /// is equal.
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_shown() {
        let secret = Secret::new("sesame");
        assert!(!format!("{secret:?}").contains("sesame"));
        assert_eq!(secret.guarded().expose_secret(), "sesame");
        assert_ne!(secret, Secret::new("sesam"));
    }
}
