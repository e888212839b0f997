//! A provider that we have written, so that it can lie.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use openidconnect::PrivateSigningKey as _;
use openidconnect::core::{
    CoreEdDsaPrivateSigningKey, CoreIdToken, CoreIdTokenClaims, CoreJsonWebKeySet,
    CoreJwsSigningAlgorithm,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_oidc::{Person, Provider, Settings, SignInError};

/// For tests alone.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIPJioz7zWy4q8XGzEK6s+r6AjrCvrkpiGK3rHYP0SU2
-----END PRIVATE KEY-----";
const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGJhZ2VkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0
-----END PRIVATE KEY-----";

/// How it behaves.
#[derive(Clone)]
struct Fake {
    address: String,
    /// Put into the token, in the place of what belongs there.
    lie: Value,
    key: &'static str,
    /// The nonce of whoever was sent last, and what the code verifier has to hash to.
    sent: Arc<Mutex<(String, String)>>,
    info: Value,
}

impl Fake {
    async fn start(lie: Value) -> (Self, Arc<Mutex<Self>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            lie,
            key: KEY,
            sent: Arc::default(),
            info: json!({"sub": "7", "email": "anna@example.com", "email_verified": true}),
        };
        let shared = Arc::new(Mutex::new(fake.clone()));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/info", get(info))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, shared)
    }
}

type Shared = State<Arc<Mutex<Fake>>>;

async fn configuration(State(fake): Shared) -> Json<Value> {
    let at = fake.lock().address.clone();
    Json(json!({
        "issuer": at, "authorization_endpoint": format!("{at}/auth"), "token_endpoint": format!("{at}/token"),
        "userinfo_endpoint": format!("{at}/info"), "jwks_uri": format!("{at}/jwks"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    }))
}

async fn jwks() -> Json<CoreJsonWebKeySet> {
    let key = CoreEdDsaPrivateSigningKey::from_ed25519_pem(KEY, None).unwrap();
    Json(CoreJsonWebKeySet::new(vec![key.as_verification_key()]))
}

async fn info(State(fake): Shared) -> Json<Value> {
    Json(fake.lock().info.clone())
}

async fn token(
    State(fake): Shared,
    Form(form): Form<HashMap<String, String>>,
) -> (StatusCode, Json<Value>) {
    let fake = fake.lock().clone();
    let (nonce, challenge) = fake.sent.lock().clone();
    let verifier = openidconnect::PkceCodeVerifier::new(form["code_verifier"].clone());
    let hashed = openidconnect::PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    if form["code"] != "good" || hashed.as_str() != challenge {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": "invalid_grant"})),
        );
    }
    let mut claims = json!({
        "iss": fake.address, "aud": ["us"], "sub": "7", "iat": 1_700_000_000_u64,
        "exp": 4_000_000_000_u64, "nonce": nonce,
    });
    for (name, value) in fake.lie.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let claims: CoreIdTokenClaims = serde_json::from_value(claims).unwrap();
    let key = CoreEdDsaPrivateSigningKey::from_ed25519_pem(fake.key, None).unwrap();
    let token = CoreIdToken::new(claims, &key, CoreJwsSigningAlgorithm::EdDsa, None, None).unwrap();
    let tokens = json!({"access_token": "a", "token_type": "Bearer", "id_token": token});
    (StatusCode::OK, Json(tokens))
}

/// Somebody goes there and comes back with this code.
async fn round_trip(fake: &Fake, issuer: &str, code: &str) -> Result<Person, SignInError> {
    let settings = Settings {
        issuer: issuer.to_owned(),
        client_id: "us".to_owned(),
        client_secret: Some("hush".into()),
        redirect: "https://go.example/sign-in/back".to_owned(),
        scopes: vec!["email".to_owned()],
        grants: vec!["email=*@example.com -> links:read".parse().unwrap()],
    };
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
    let provider = Provider::new(settings, clock).unwrap();
    let (url, begun) = provider.begin().await?;
    let asked: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(asked["client_id"], "us");
    assert_eq!(asked["redirect_uri"], "https://go.example/sign-in/back");
    assert_eq!(asked["scope"], "openid email");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["state"], begun.state);
    *fake.sent.lock() = (asked["nonce"].clone(), asked["code_challenge"].clone());
    provider.finish(begun, code.to_owned()).await
}

#[tokio::test]
async fn whoever_a_provider_vouches_for_is_known_with_their_scopes() {
    let (fake, _) = Fake::start(json!({})).await;
    let anna = round_trip(&fake, &fake.address, "good").await.unwrap();
    assert_eq!(anna.subject, format!("{} 7", fake.address));
    assert_eq!(anna.name, "anna@example.com");
    assert_eq!(anna.scopes.to_string(), "links:read");
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_not_accepted() {
    for lie in [
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"aud": ["another"]}),
        json!({"aud": ["us", "another"]}),
        json!({"iss": "https://id.example"}),
        json!({"exp": 1_700_000_001_u64}),
        json!({"at_hash": "bm90IHRoYXQgb25l"}),
    ] {
        let (fake, _) = Fake::start(lie.clone()).await;
        let found = round_trip(&fake, &fake.address, "good").await;
        assert!(
            matches!(found, Err(SignInError::Proof(_))),
            "{lie}: {found:?}"
        );
    }
    let (fake, shared) = Fake::start(json!({})).await;
    shared.lock().key = OTHER_KEY;
    let found = round_trip(&fake, &fake.address, "good").await;
    assert!(matches!(found, Err(SignInError::Proof(_))), "{found:?}");
}

#[tokio::test]
async fn what_is_said_of_somebody_else_does_not_count() {
    let (fake, shared) = Fake::start(json!({})).await;
    shared.lock().info = json!({"sub": "8", "email": "boss@example.com", "email_verified": true});
    let found = round_trip(&fake, &fake.address, "good").await;
    assert!(matches!(found, Err(SignInError::Provider(_))), "{found:?}");
}

#[tokio::test]
async fn a_provider_that_does_not_work_is_told_from_a_lie() {
    let (fake, _) = Fake::start(json!({})).await;
    for issuer in [
        &*format!("{}/elsewhere", fake.address),
        "http://127.0.0.1:9",
    ] {
        let found = round_trip(&fake, issuer, "good").await;
        assert!(
            matches!(found, Err(SignInError::Provider(_))),
            "{issuer}: {found:?}"
        );
    }
    let found = round_trip(&fake, &fake.address, "bad").await;
    assert!(matches!(found, Err(SignInError::Proof(_))), "{found:?}");
}

#[test]
fn only_this_machine_is_asked_in_plain() {
    let provider = |issuer: &str| {
        let settings = Settings {
            issuer: issuer.to_owned(),
            client_id: "us".to_owned(),
            client_secret: None,
            redirect: "https://go.example/sign-in/back".to_owned(),
            scopes: Vec::new(),
            grants: Vec::new(),
        };
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        Provider::new(settings, clock).map(drop)
    };
    for issuer in [
        "https://id.example/realm",
        "http://localhost:8080",
        "http://[::1]:80",
    ] {
        assert!(provider(issuer).is_ok(), "{issuer}");
    }
    for issuer in [
        "http://id.example",
        "http://127.0.0.1.example",
        "ftp://localhost",
        "id",
    ] {
        let error = provider(issuer).unwrap_err().to_string();
        assert!(error.contains("https"), "{issuer}: {error}");
    }
}
