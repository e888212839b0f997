//! The way to a provider and back.

use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, IssuerUrl,
    Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse as _,
    UserInfoClaims,
};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;
use tokio::sync::Mutex;
use tollgate_clock::Clock;
use url::{Host, Url};

use crate::claims::Claims;
use crate::http::{Http, causes};
use crate::{Grant, Person};

/// How long what a provider says of itself, its keys included, is believed.
const FRESH: Duration = Duration::from_mins(5);

type Tokens = StandardTokenResponse<
    IdTokenFields<
        Claims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type OidcClient = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Where people are sent, and what is believed of them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The provider: what `/.well-known/openid-configuration` is appended to.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// What proves that; none for a public client.
    pub client_secret: Option<SecretString>,
    /// Where it sends people back to.
    pub redirect: String,
    /// What to ask for beside `openid`, such as `email` and `groups`.
    pub scopes: Vec<String>,
    /// What people may do.
    pub grants: Vec<Grant>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The issuer is no URL, or one that anybody on the way could answer for.
    #[error("the issuer {0:?} is no https URL; http is for this machine alone")]
    Issuer(String),
    /// The address to come back to is no URL.
    #[error("{0:?} is no URL to come back to")]
    Redirect(String),
    /// The certificates that the system trusts cannot be read.
    #[error("the authorities that this system trusts cannot be read: {0}")]
    Tls(#[from] std::io::Error),
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The provider cannot be reached, or does not work.
    #[error("the provider did not answer as it should: {0}")]
    Provider(String),
    /// What it or somebody else sent does not prove anything.
    #[error("the answer of the provider is not accepted: {0}")]
    Proof(String),
}

/// Somebody who was sent to the provider and is to come back with this.
#[derive(Debug)]
pub struct Begun {
    /// What comes back with them, and nobody else knows.
    pub state: String,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

/// A provider that people sign in at.
pub struct Provider {
    settings: Settings,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    http: Http,
    clock: Arc<dyn Clock>,
    /// What the provider said of itself, and when.
    known: Mutex<Option<(Duration, CoreProviderMetadata)>>,
}

impl Provider {
    /// Nothing is asked yet, so that a provider that is away keeps nobody else waiting.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let unusable = || SettingsError::Issuer(settings.issuer.clone());
        let url = Url::parse(&settings.issuer).map_err(|_| unusable())?;
        let own = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && own) {
            return Err(unusable());
        }
        let redirect = RedirectUrl::new(settings.redirect.clone());
        Ok(Self {
            issuer: IssuerUrl::new(settings.issuer.clone()).map_err(|_| unusable())?,
            redirect: redirect.map_err(|_| SettingsError::Redirect(settings.redirect.clone()))?,
            http: Http::new()?,
            clock,
            known: Mutex::default(),
            settings,
        })
    }

    /// Where to send somebody, and what to keep until they come back.
    ///
    /// # Errors
    /// When the provider cannot be asked where that is.
    pub async fn begin(&self) -> Result<(Url, Begun), SignInError> {
        let client = self.client().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        let state = state.into_secret();
        let begun = Begun {
            state,
            nonce,
            verifier,
        };
        Ok((url, begun))
    }

    /// Who has come back with this code.
    ///
    /// # Errors
    /// When the provider does not answer, or does not prove who it is.
    pub async fn finish(&self, begun: Begun, code: String) -> Result<Person, SignInError> {
        let client = self.client().await?;
        let provider =
            |error: &(dyn std::error::Error + 'static)| SignInError::Provider(causes(error));
        let proof = |error: &(dyn std::error::Error + 'static)| SignInError::Proof(causes(error));
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| provider(&error))?;
        let request = request.set_pkce_verifier(begun.verifier);
        let tokens = request.request_async(&self.http).await;
        let tokens = tokens.map_err(|error| match error {
            // It works, and does not take the code.
            RequestTokenError::ServerResponse(_) => proof(&error),
            error => provider(&error),
        })?;
        let none = || SignInError::Proof("it has no ID token".to_owned());
        let token = tokens.id_token().ok_or_else(none)?;
        let verifier = client.id_token_verifier();
        let claims = token.claims(&verifier, &begun.nonce);
        let claims = claims.map_err(|error| proof(&error))?;
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(|error| proof(&error))?;
            let key = token
                .signing_key(&verifier)
                .map_err(|error| proof(&error))?;
            let found = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
            if found.map_err(|error| proof(&error))? != *expected {
                return Err(SignInError::Proof(
                    "its access token is another's".to_owned(),
                ));
            }
        }
        let subject = claims.subject().clone();
        let json = |claims| serde_json::to_value(claims).map(Claims::from_json);
        let mut claims = json(claims).map_err(|error| proof(&error))?;
        let access = tokens.access_token().clone();
        // Many providers put no more than the subject into the token. Who has no such endpoint has put in all.
        if let Ok(request) = client.user_info(access, Some(subject.clone())) {
            let more: Result<UserInfoClaims<Claims, CoreGenderClaim>, _> =
                request.request_async(&self.http).await;
            let more = serde_json::to_value(more.map_err(|error| provider(&error))?);
            claims.complete(Claims::from_json(more.map_err(|error| proof(&error))?));
        }
        Ok(claims.person(&self.settings.issuer, &subject, &self.settings.grants))
    }

    async fn client(&self) -> Result<OidcClient, SignInError> {
        let secret = self.settings.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let id = ClientId::new(self.settings.client_id.clone());
        let metadata = self.metadata().await?;
        let client = OidcClient::from_provider_metadata(metadata, id, secret);
        Ok(client.set_redirect_uri(self.redirect.clone()))
    }

    async fn metadata(&self) -> Result<CoreProviderMetadata, SignInError> {
        // Whoever comes while it is asked waits for the same answer.
        let mut known = self.known.lock().await;
        let now = self.clock.monotonic();
        if let Some((asked, metadata)) = &*known
            && now.saturating_sub(*asked) < FRESH
        {
            return Ok(metadata.clone());
        }
        let metadata = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await;
        let metadata = metadata.map_err(|error| SignInError::Provider(causes(&error)))?;
        *known = Some((now, metadata.clone()));
        Ok(metadata)
    }
}
