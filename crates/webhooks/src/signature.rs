use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// Bytes of a secret that is made here. Standard Webhooks wants 24 to 64.
const BYTES: usize = 32;

/// What messages to one subscription are signed with, as Standard Webhooks writes it: `whsec_` and
/// base64. Its `Debug` shows nothing.
#[derive(Debug, Clone)]
pub struct SigningSecret(SecretString);

/// Why there is no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(String),
    /// What was stored is none.
    #[error("a stored secret is none")]
    Malformed,
}

impl SigningSecret {
    /// A new one from the operating system's randomness.
    ///
    /// # Errors
    /// [`SecretError::Randomness`].
    pub fn generate() -> Result<Self, SecretError> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| SecretError::Randomness(error.to_string()))?;
        Ok(Self(format!("{PREFIX}{}", STANDARD.encode(bytes)).into()))
    }

    /// From text that a store wrote.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The signature of a message: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
    ///
    /// # Errors
    /// [`SecretError::Malformed`].
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> Result<String, SecretError> {
        let encoded = self.expose().strip_prefix(PREFIX);
        let key = encoded.and_then(|text| STANDARD.decode(text).ok());
        let key = key.ok_or(SecretError::Malformed)?;
        let mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SecretError::Malformed)?;
        let signed = format!("{id}.{timestamp}.{body}");
        let mac = mac.chain_update(signed.as_bytes()).finalize();
        Ok(format!("v1,{}", STANDARD.encode(mac.into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let secret = SigningSecret::from_stored("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let signature = secret
            .sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
            )
            .unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn made_secrets_differ_and_show_nothing() {
        let (one, two) = (SigningSecret::generate(), SigningSecret::generate());
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_ne!(one.expose(), two.expose());
        assert!(one.expose().starts_with("whsec_"));
        assert!(one.sign("a", 1, "b").is_ok());
        assert!(!format!("{one:?}").contains(&one.expose()[6..]));
        let bad = SigningSecret::from_stored("nonsense".into());
        assert_eq!(bad.sign("a", 1, "b"), Err(SecretError::Malformed));
    }
}
