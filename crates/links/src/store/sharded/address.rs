//! Where a shard is, and how much of the links it gets.

use crate::store::{AddressError, PostgresAddress};

/// The weight of a shard that says none.
const DEFAULT_WEIGHT: u32 = 1;
/// The largest weight.
const MAX_WEIGHT: u32 = 100;

/// The URL of a shard: that of a PostgreSQL, with the parameter `weight` if it is not 1.
#[derive(Debug, Clone)]
pub struct ShardAddress {
    pub(in crate::store) address: PostgresAddress,
    pub(in crate::store) weight: u32,
}

impl ShardAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut weight, mut rest) = (DEFAULT_WEIGHT, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.strip_prefix("weight=") {
                Some(text) => {
                    let read = text.parse().ok();
                    let read = read.filter(|weight| *weight <= MAX_WEIGHT);
                    weight = read.ok_or(AddressError::Parameter {
                        parameter: "weight",
                        expected: "a whole number from 0 to 100",
                    })?;
                }
                None => rest.push(pair),
            }
        }
        let address = match rest.as_slice() {
            [] => PostgresAddress::parse(base),
            rest => PostgresAddress::parse(&format!("{base}?{}", rest.join("&"))),
        };
        Ok(Self {
            address: address?,
            weight,
        })
    }

    /// That of its PostgreSQL.
    #[must_use]
    pub const fn address(&self) -> &PostgresAddress {
        &self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_no_parameter_of_the_server() {
        let weight = |url: &str| ShardAddress::parse(url).map(|read| read.weight);
        assert_eq!(weight("postgres://u@a/d"), Ok(1));
        assert_eq!(weight("postgres://u@a/d?weight=0"), Ok(0));
        assert_eq!(
            weight("postgres://u@a/d?connect_timeout=3&weight=100"),
            Ok(100)
        );
        for wrong in ["101", "-1", "", "x"] {
            let read = weight(&format!("postgres://u@a/d?weight={wrong}"));
            assert!(
                matches!(read, Err(AddressError::Parameter { .. })),
                "{wrong}"
            );
        }
    }
}
