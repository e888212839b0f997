//! Countries and cities of addresses, from a file in MaxMind's format.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use maxminddb::{PathElement, Reader};
use smol_str::SmolStr;

use crate::enriched::cut;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// The largest file that is read: it is held in memory, and the large ones have some 100 MB.
const MAX_FILE: u64 = 1 << 30;

/// Why a file of countries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is none.
    #[error("{0} is no database of MaxMind's format: {1}")]
    Format(PathBuf, maxminddb::MaxMindDbError),
}

/// Where an address is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Two letters.
    pub(super) country: Option<SmolStr>,
    /// Its name, and the country.
    pub(super) city: Option<SmolStr>,
}

/// What tells one version of a file from another.
type Version = (u64, Option<SystemTime>);

/// A file of countries, and perhaps cities, that is read again when it changes.
pub struct GeoFile {
    path: PathBuf,
    reader: Option<Reader<Vec<u8>>>,
    /// Of the file that was read, or could not be.
    version: Option<Version>,
    looked: Option<Duration>,
}

impl GeoFile {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            reader: None,
            version: None,
            looked: None,
        }
    }

    /// Reads the file whatever it was before.
    ///
    /// # Errors
    /// [`GeoError`]; what was read before stays in use.
    pub fn load(&mut self) -> Result<(), GeoError> {
        let of_read = |error| GeoError::Read(self.path.clone(), error);
        let length = fs::metadata(&self.path).map_err(of_read)?.len();
        if length > MAX_FILE {
            return Err(of_read(std::io::Error::other("it has more than 1 GiB")));
        }
        let bytes = fs::read(&self.path).map_err(of_read)?;
        let reader = Reader::from_source(bytes)
            .map_err(|error| GeoError::Format(self.path.clone(), error))?;
        self.reader = Some(reader);
        Ok(())
    }

    /// Looks whether the file has changed, if it is time to, and reads it then. A file that cannot
    /// be used is told once; the one before stays in use.
    pub(super) fn refresh(&mut self, now: Duration) {
        if self
            .looked
            .is_some_and(|looked| now < looked.saturating_add(LOOK))
        {
            return;
        }
        self.looked = Some(now);
        let version = version(&self.path);
        if version == self.version && version.is_some() {
            return;
        }
        let first = self.version.is_none() && self.reader.is_none();
        match (self.load(), version) {
            (Ok(()), _) => tracing::info!(file = %self.path.display(), "countries are read"),
            // A file that is replaced may be away for a moment.
            (Err(error), None) if !first => tracing::debug!(%error, "countries are not there"),
            (Err(error), _) => tracing::warn!(%error, "countries are not read"),
        }
        self.version = version.or(self.version).or(Some((0, None)));
    }

    /// Where an address is; unknown if the file does not say so.
    pub(super) fn find(&self, address: IpAddr) -> Place {
        let Some(reader) = &self.reader else {
            return Place::default();
        };
        let Ok(found) = reader.lookup(address) else {
            return Place::default();
        };
        let text = |path: &[PathElement<'_>]| found.decode_path::<&str>(path).ok().flatten();
        let key = PathElement::Key;
        let country = text(&[key("country"), key("iso_code")])
            .filter(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()))
            .map(|code| SmolStr::from(code.to_ascii_uppercase()));
        let city = text(&[key("city"), key("names"), key("en")]).map(|name| match &country {
            Some(country) => cut(&format!("{name}, {country}")),
            None => cut(name),
        });
        Place { country, city }
    }
}

fn version(path: &Path) -> Option<Version> {
    let data = fs::metadata(path).ok()?;
    Some((data.len(), data.modified().ok()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use maxminddb_writer::Database;
    use maxminddb_writer::metadata::IpVersion;
    use maxminddb_writer::paths::IpAddrWithMask;
    use serde_json::json;

    use super::*;

    fn write(path: &Path, networks: &[(&str, &str, Option<&str>)]) {
        let mut database = Database::default();
        database.metadata.binary_format_major_version = 2;
        database.metadata.ip_version = IpVersion::V6;
        database.metadata.database_type = "Test-City".into();
        for (network, country, city) in networks {
            let mut place = json!({"country": {"iso_code": country}});
            if let Some(city) = city {
                place["city"] = json!({"names": {"de": "-", "en": city}});
            }
            let place = database.insert_value(place).unwrap();
            database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), place);
        }
        let unfinished = path.with_extension("new");
        database
            .write_to(File::create(&unfinished).unwrap())
            .unwrap();
        fs::rename(unfinished, path).unwrap();
    }

    fn find(geo: &GeoFile, address: &str) -> (Option<String>, Option<String>) {
        let place = geo.find(address.parse().unwrap());
        (place.country.map(Into::into), place.city.map(Into::into))
    }

    #[test]
    fn the_file_may_come_later_change_and_break() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("geo.mmdb");
        let mut geo = GeoFile::new(path.clone());
        let mut now = Duration::ZERO;
        let mut later = |geo: &mut GeoFile| {
            now += LOOK;
            geo.refresh(now);
        };
        later(&mut geo);
        assert_eq!(find(&geo, "2001:db8::1"), (None, None));

        write(
            &path,
            &[
                ("2001:db8::/48", "de", Some("Berlin")),
                ("2001:db8:1::/48", "FR", None),
            ],
        );
        geo.refresh(LOOK);
        assert_eq!(find(&geo, "2001:db8::1"), (None, None), "too early to look");
        later(&mut geo);
        assert_eq!(
            find(&geo, "2001:db8::1"),
            (Some("DE".into()), Some("Berlin, DE".into()))
        );
        assert_eq!(find(&geo, "2001:db8:1::"), (Some("FR".into()), None));
        assert_eq!(find(&geo, "2001:db9::"), (None, None));

        write(&path, &[("2001:db8::/48", "AT", Some("Wien im Jahr 2026"))]);
        later(&mut geo);
        assert_eq!(find(&geo, "2001:db8::1").0.unwrap(), "AT");
        fs::write(&path, "no such file").unwrap();
        later(&mut geo);
        assert_eq!(find(&geo, "2001:db8::1").0.unwrap(), "AT");
        fs::remove_file(&path).unwrap();
        later(&mut geo);
        assert_eq!(find(&geo, "2001:db8::1").0.unwrap(), "AT");
    }

    #[test]
    fn addresses_of_the_old_protocol_are_found_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("geo.mmdb");
        // They are at the beginning of those of the new one.
        write(
            &path,
            &[("::192.0.2.0/120", "JP", Some("\u{6771}\u{4eac}"))],
        );
        let mut geo = GeoFile::new(path);
        geo.load().unwrap();
        assert_eq!(find(&geo, "192.0.2.77").1.unwrap(), "\u{6771}\u{4eac}, JP");
        assert_eq!(find(&geo, "192.0.3.77"), (None, None));
    }
}
