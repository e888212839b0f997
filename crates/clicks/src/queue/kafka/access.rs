//! How brokers are reached: what the URL says, TLS, and SASL.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use rdkafka::config::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};

use super::KafkaQueueError;

/// How brokers are told who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaslMechanism {
    /// The password itself.
    Plain,
    /// A proof of it, by SHA-256.
    ScramSha256,
    /// A proof of it, by SHA-512.
    #[default]
    ScramSha512,
}

impl SaslMechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Whom to trust, and who we are.
#[derive(Debug, Clone, Default)]
pub struct KafkaTls {
    /// The certificates of whom is trusted to sign those of brokers, as PEM. None: those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate that brokers are shown, as PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, as PEM.
    pub key: Option<PathBuf>,
}

/// A file of [`KafkaTls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaFile {
    /// [`KafkaTls::ca`].
    Ca,
    /// [`KafkaTls::certificate`].
    Certificate,
    /// [`KafkaTls::key`].
    Key,
}

impl KafkaFile {
    const ALL: [Self; 3] = [Self::Ca, Self::Certificate, Self::Key];

    /// By which the client knows it.
    fn setting(self) -> &'static str {
        match self {
            Self::Ca => "ssl.ca.location",
            Self::Certificate => "ssl.certificate.location",
            Self::Key => "ssl.key.location",
        }
    }

    fn of(self, tls: &KafkaTls) -> Option<&Path> {
        match self {
            Self::Ca => tls.ca.as_deref(),
            Self::Certificate => tls.certificate.as_deref(),
            Self::Key => tls.key.as_deref(),
        }
    }
}

/// What a URL says.
pub(super) struct Address {
    brokers: String,
    pub(super) topic: String,
    tls: bool,
    /// The user and the password.
    login: Option<(String, SecretString)>,
}

impl Address {
    /// Reads `kafkas://user:password@broker1:9092,broker2:9092/topic`.
    pub(super) fn read(url: &str) -> Result<Self, KafkaQueueError> {
        let wrong = || KafkaQueueError::NotKafka;
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "kafka" => false,
            "kafkas" => true,
            _ => return Err(wrong()),
        };
        let (authority, topic) = rest.rsplit_once('/').ok_or_else(wrong)?;
        let (login, brokers) = match authority.rsplit_once('@') {
            Some((login, brokers)) => (Some(read_login(login)?), brokers),
            None => (None, authority),
        };
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_topic = (1..=249).contains(&topic.len()) && topic.bytes().all(letters);
        let is_broker = |broker: &str| !broker.is_empty() && !broker.contains(['/', '?', ' ']);
        if !is_topic || !brokers.split(',').all(is_broker) {
            return Err(wrong());
        }
        Ok(Self {
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            tls,
            login,
        })
    }

    /// What the client has to know to reach the brokers.
    pub(super) fn settings(
        &self,
        mechanism: SaslMechanism,
        tls: &KafkaTls,
    ) -> Result<ClientConfig, KafkaQueueError> {
        let mut config = ClientConfig::new();
        let protocol = match (self.tls, self.login.is_some()) {
            (false, false) => "plaintext",
            (false, true) => "sasl_plaintext",
            (true, false) => "ssl",
            (true, true) => "sasl_ssl",
        };
        config
            .set("bootstrap.servers", &self.brokers)
            .set("security.protocol", protocol);
        if let Some((user, password)) = &self.login {
            config
                .set("sasl.mechanism", mechanism.name())
                .set("sasl.username", user)
                .set("sasl.password", password.expose_secret());
        }
        for file in KafkaFile::ALL {
            let Some(path) = file.of(tls) else { continue };
            if !self.tls {
                return Err(KafkaQueueError::NoTls);
            }
            let failed = |why: String| KafkaQueueError::File(file, why);
            let told = |error| failed(format!("{} cannot be read: {error}", path.display()));
            std::fs::File::open(path).map_err(told)?;
            let text = path.to_str();
            let text = text.ok_or_else(|| failed(format!("{} is not UTF-8", path.display())))?;
            config.set(file.setting(), text);
        }
        if self.tls {
            // A certificate has to be of the broker that was meant.
            config.set("ssl.endpoint.identification.algorithm", "https");
        }
        if tls.certificate.is_some() != tls.key.is_some() {
            return Err(KafkaQueueError::Half);
        }
        Ok(config)
    }
}

fn read_login(text: &str) -> Result<(String, SecretString), KafkaQueueError> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok()?;
        // A nul ends a text for the client.
        (!text.is_empty() && !text.contains('\0')).then(|| text.into_owned())
    };
    let (user, password) = text.split_once(':').ok_or(KafkaQueueError::NoLogin)?;
    match (decoded(user), decoded(password)) {
        (Some(user), Some(password)) => Ok((user, password.into())),
        _ => Err(KafkaQueueError::NoLogin),
    }
}

/// Why the client could not be made, by the file that it names.
pub(super) fn refused(told: String) -> KafkaQueueError {
    let mut files = KafkaFile::ALL.into_iter();
    match files.find(|file| told.contains(file.setting())) {
        Some(file) => KafkaQueueError::File(file, told),
        None => KafkaQueueError::Client(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_url_is_the_topic() {
        let address = Address::read("kafka://a:9092,b:9092/clicks").unwrap();
        assert_eq!(address.brokers, "a:9092,b:9092");
        assert_eq!(address.topic, "clicks");
        assert!(!address.tls && address.login.is_none());
        for url in [
            "kafka://a:9092",
            "kafka://a:9092/",
            "kafka:///clicks",
            "kafka://a,,b/clicks",
            "kafka://a/x/clicks",
            "kafka://a/cl cks",
            "kafkas://u:p@/clicks",
            "redis://a/clicks",
        ] {
            let error = Address::read(url).err();
            assert_eq!(error, Some(KafkaQueueError::NotKafka), "{url}");
        }
    }

    #[test]
    fn a_user_and_a_password_come_before_the_brokers() {
        for (url, user, password) in [
            ("kafkas://me:sesame@a,b:9093/clicks", "me", "sesame"),
            ("kafkas://m%40e:s%2Fe:s%25@a,b:9093/clicks", "m@e", "s/e:s%"),
            ("kafkas://me:s@sa/me@a,b:9093/clicks", "me", "s@sa/me"),
        ] {
            let address = Address::read(url).unwrap();
            let (told_user, told_password) = address.login.unwrap();
            assert_eq!(address.brokers, "a,b:9093");
            assert!(address.tls);
            assert_eq!(told_user, user);
            assert_eq!(told_password.expose_secret(), password);
        }
        for login in ["me", ":sesame", "me:", "", "me:%00", "%FF:sesame"] {
            let error = Address::read(&format!("kafkas://{login}@a/clicks")).err();
            assert_eq!(error, Some(KafkaQueueError::NoLogin), "{login}");
        }
    }

    #[test]
    fn the_password_is_for_the_client_alone() {
        let tls = KafkaTls::default();
        let settings = |url: &str| {
            let address = Address::read(url).unwrap();
            address.settings(SaslMechanism::Plain, &tls).unwrap()
        };
        let config = settings("kafka://me:sesame@a/clicks");
        assert_eq!(config.get("security.protocol"), Some("sasl_plaintext"));
        assert_eq!(config.get("sasl.mechanism"), Some("PLAIN"));
        assert_eq!(config.get("sasl.password"), Some("sesame"));
        assert!(!format!("{config:?}").contains("sesame"));
        let config = settings("kafkas://me:sesame@a/clicks");
        assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
        let config = settings("kafkas://a/clicks");
        assert_eq!(config.get("security.protocol"), Some("ssl"));
        assert_eq!(config.get("sasl.mechanism"), None);
    }
}
