//! Where a table is, read from a URL.

use url::Url;

/// A URL of a table that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DynamoAddressError {
    /// It is not of the form that is asked for.
    #[error(
        "give the region and the name of a table, such as \"dynamodb://eu-central-1/tollgate\", \
         with \"?endpoint=http://host:8000\" at its end if it is not at Amazon"
    )]
    NotDynamo,
    /// A parameter after the `?` that has no meaning.
    #[error("the URL of the table has no parameter {0:?}: there is \"endpoint\" only")]
    UnknownParameter(String),
    /// The endpoint is no URL of HTTP.
    #[error("the endpoint in the URL of the table has to begin with http:// or https://")]
    Endpoint,
    /// Credentials are not read from the URL.
    #[error(
        "the URL of the table holds no credentials: give them in the environment, as \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Credentials,
}

/// A table at Amazon, or at an endpoint that speaks the same protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoAddress {
    pub(super) region: String,
    pub(super) table: String,
    pub(super) endpoint: Option<String>,
}

impl DynamoAddress {
    /// Reads `dynamodb://region/table?endpoint=…`.
    ///
    /// # Errors
    /// See [`DynamoAddressError`].
    pub fn parse(text: &str) -> Result<Self, DynamoAddressError> {
        use DynamoAddressError::{Credentials, Endpoint, NotDynamo, UnknownParameter};
        let url = Url::parse(text).map_err(|_| NotDynamo)?;
        let table = url.path().trim_matches('/');
        let letters = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        // The bounds that the service has.
        let is_table = (3..=255).contains(&table.len()) && letters(table);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Credentials);
        }
        let region = url.host_str().filter(|region| letters(region));
        let (true, "dynamodb", Some(region), None) = (is_table, url.scheme(), region, url.port())
        else {
            return Err(NotDynamo);
        };
        let mut endpoint = None;
        for (name, value) in url.query_pairs() {
            if name != "endpoint" {
                return Err(UnknownParameter(name.into_owned()));
            }
            let at = Url::parse(&value).map_err(|_| Endpoint)?;
            if !matches!(at.scheme(), "http" | "https") || !at.username().is_empty() {
                return Err(Endpoint);
            }
            endpoint = Some(value.trim_end_matches('/').to_owned());
        }
        Ok(Self {
            region: region.to_owned(),
            table: table.to_owned(),
            endpoint,
        })
    }

    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        let Self { region, table, .. } = self;
        match &self.endpoint {
            Some(endpoint) => format!("the table {table} at {endpoint}"),
            None => format!("the table {table} of DynamoDB in {region}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_and_a_table_are_enough() {
        let address = DynamoAddress::parse("dynamodb://eu-central-1/tollgate").unwrap();
        assert_eq!(
            (address.region.as_str(), address.table.as_str()),
            ("eu-central-1", "tollgate")
        );
        assert_eq!(
            address.place(),
            "the table tollgate of DynamoDB in eu-central-1"
        );
        let address =
            DynamoAddress::parse("dynamodb://here/my_links?endpoint=http://127.0.0.1:8000/");
        let address = address.unwrap();
        assert_eq!(address.endpoint.as_deref(), Some("http://127.0.0.1:8000"));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        use DynamoAddressError::{Credentials, Endpoint, NotDynamo, UnknownParameter};
        for (text, error) in [
            ("dynamodb://eu-central-1", NotDynamo),
            ("dynamodb:///tollgate", NotDynamo),
            ("dynamodb://eu-central-1:80/tollgate", NotDynamo),
            ("dynamodb://eu-central-1/a/b", NotDynamo),
            ("dynamodb://eu-central-1/ab", NotDynamo),
            ("http://eu-central-1/tollgate", NotDynamo),
            ("dynamodb://key:secret@eu-central-1/tollgate", Credentials),
            ("dynamodb://r/tollgate?endpoint=host:80", Endpoint),
            ("dynamodb://r/tollgate?endpoint=http://u:p@h", Endpoint),
            ("dynamodb://r/tollgate?x=1", UnknownParameter("x".into())),
        ] {
            assert_eq!(DynamoAddress::parse(text), Err(error), "{text}");
        }
    }
}
