//! Who asks: by a signature, by the time signed with one, or by a name and a password.
//!
//! Keys are stored as hashes, so nobody but their holders can sign anything with them. A client that
//! only ever sends its signature sends the secret of its key. One that signs the time shares a
//! signature with the configuration, which says for which key it stands.

use md5::{Digest as _, Md5};
use secrecy::ExposeSecret as _;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::YourlsOptions;
use super::answer::Answer;
use super::parameters::Parameters;
use crate::admin::AdminState;
use crate::api::caller::Caller;
use crate::problem::{Kind, Problem};

/// How far the time that was signed may be from now, in seconds: half a day, as in YOURLS.
const WINDOW_SECONDS: u64 = 43_200;

/// Whose request it is. The request is counted.
pub(super) async fn caller(
    state: &AdminState,
    options: &YourlsOptions,
    parameters: &Parameters,
) -> Result<Caller, Answer> {
    let secret = secret(state, options, parameters).ok_or_else(unknown)?;
    Ok(Caller::admitted(secret, state).await?)
}

fn unknown() -> Problem {
    Problem::new(Kind::Unauthorized, "Please log in")
}

/// The secret of the key that a request stands for. Whether there is such a key is not known yet.
fn secret<'s>(
    state: &AdminState,
    options: &'s YourlsOptions,
    parameters: &'s Parameters,
) -> Option<&'s str> {
    let Some(signature) = parameters.get("signature") else {
        // The name says nothing: a secret has one holder.
        parameters.get("username")?;
        return parameters.get("password");
    };
    let own = options.signature.as_ref();
    let key = options.key.as_ref().or(own);
    let key = key.map(|key| key.expose_secret());
    if let Some(timestamp) = parameters.get("timestamp") {
        let now = state.service.parts().clock.now().as_millis() / 1_000;
        let hash = parameters.get("hash").unwrap_or("md5");
        let signed = is_signed(timestamp, signature, hash, own?.expose_secret(), now);
        return if signed { key } else { None };
    }
    match own {
        Some(own) if same(signature, own.expose_secret()) => key,
        _ => Some(signature),
    }
}

/// Whether `signature` is the hash of the time with the secret before or behind it, and that time is
/// not far from now.
fn is_signed(timestamp: &str, signature: &str, hash: &str, secret: &str, now: i64) -> bool {
    let near = timestamp
        .parse::<i64>()
        .is_ok_and(|at| at.abs_diff(now) < WINDOW_SECONDS);
    near && [(timestamp, secret), (secret, timestamp)]
        .iter()
        .any(|(first, second)| {
            let digest = digest(hash, format!("{first}{second}").as_bytes());
            digest.is_some_and(|digest| same(&digest, signature))
        })
}

/// The digest in hexadecimal; none by a hash that is not known here.
fn digest(hash: &str, bytes: &[u8]) -> Option<String> {
    let digest = match hash {
        "md5" => Md5::digest(bytes).to_vec(),
        "sha1" => Sha1::digest(bytes).to_vec(),
        "sha256" => Sha256::digest(bytes).to_vec(),
        "sha512" => Sha512::digest(bytes).to_vec(),
        _ => return None,
    };
    Some(base16ct::lower::encode_string(&digest))
}

/// Compares in a time that tells nothing about where two texts differ.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn the_time_is_signed_from_either_side_by_the_usual_hashes() {
        // By `printf 1800000000tanuki | md5sum` and the like.
        for (hash, text) in [
            ("md5", "1800000000tanuki"),
            ("md5", "tanuki1800000000"),
            ("sha1", "tanuki1800000000"),
            ("sha256", "1800000000tanuki"),
            ("sha512", "1800000000tanuki"),
        ] {
            let signature = digest(hash, text.as_bytes()).unwrap();
            assert!(is_signed("1800000000", &signature, hash, "tanuki", NOW));
            assert!(!is_signed("1800000000", &signature, hash, "other", NOW));
            assert!(!is_signed("1800000001", &signature, hash, "tanuki", NOW));
        }
        assert!(!is_signed("1800000000", "", "crc32", "tanuki", NOW));
        assert_eq!(
            digest("md5", b"abc").unwrap(),
            "900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(
            digest("sha1", b"abc").unwrap(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
    }

    #[test]
    fn a_time_far_from_now_is_refused() {
        let window = i64::try_from(WINDOW_SECONDS).unwrap();
        for (at, near) in [
            (NOW - window + 1, true),
            (NOW + window - 1, true),
            (NOW - window, false),
            (NOW + window, false),
            (i64::MIN, false),
        ] {
            let signature = digest("md5", format!("{at}s").as_bytes()).unwrap();
            let signed = is_signed(&at.to_string(), &signature, "md5", "s", NOW);
            assert_eq!(signed, near, "{at}");
        }
        let signature = digest("md5", b"soons").unwrap();
        assert!(!is_signed("soon", &signature, "md5", "s", NOW));
    }
}
