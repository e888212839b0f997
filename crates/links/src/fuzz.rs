//! What has to hold for any link that somebody wants, and for whoever follows it.

use serde_json::{Value, from_slice, to_value};
use tollgate_clock::UnixMillis;
use url::Url;

pub use crate::store::fuzz::cursor;
use crate::{
    Code, Domain, LinkDraft, LinkKey, LinkPatch, LinkSpec, MAX_RULES, MAX_TAGS, MAX_TARGET_BYTES,
    MAX_TITLE_CHARS, PasswordHasher, SpecRules, TargetRules, Visitor,
};

const NOW: UnixMillis = UnixMillis::from_millis(1_700_000_000_000);

fn rules() -> TargetRules {
    let own = |host: &str| (Domain::from_stored(host), None);
    TargetRules {
        schemes: ["http", "https", "mailto", "ftp", "javascript", "data"]
            .map(str::to_owned)
            .to_vec(),
        allow_credentials: false,
        own_hosts: vec![
            own("s.example"),
            own("127.0.0.1"),
            own("xn--bcher-kva.example"),
        ],
    }
}

/// Text, a line end, and the query of a visitor. A target is in its normal form, can stand in a header, and leads
/// neither back nor into a browser; and no query leads anywhere else.
pub fn target_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (text, query) = text.split_once('\n').unwrap_or((text, ""));
    let rules = rules();
    let Ok(target) = rules.parse(text) else {
        return;
    };
    check_target(target.as_str());
    assert_eq!(rules.parse(target.as_str()).as_ref(), Ok(&target));
    let Ok(same) = Url::parse(text) else {
        panic!("no URL: {text:?}");
    };
    assert_eq!(same.as_str().replace(' ', "%20"), target.as_str());

    let spec = LinkSpec {
        forward_query: true,
        ..LinkSpec::to(target)
    };
    follow(&spec, query, Some(query));
}

fn check_target(target: &str) {
    assert!(target.len() <= MAX_TARGET_BYTES);
    assert!(
        target.bytes().all(|byte| byte.is_ascii_graphic()),
        "{target:?}"
    );
    let Ok(url) = Url::parse(target) else {
        panic!("no URL: {target:?}");
    };
    assert_eq!(url.as_str(), target, "in its normal form");
    assert!(
        ["http", "https", "mailto", "ftp"].contains(&url.scheme()),
        "{target}"
    );
    assert!(
        url.username().is_empty() && url.password().is_none(),
        "{target}"
    );
    if ["http", "https"].contains(&url.scheme()) {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let own = ["s.example", "127.0.0.1", "xn--bcher-kva.example"];
        assert!(!host.is_empty() && !own.contains(&host), "{target}");
    }
}

/// Where a visitor is sent: to one of the link's own targets, with no more than a longer query.
fn follow(spec: &LinkSpec, header: &str, query: Option<&str>) {
    let key = LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored("code"),
    };
    let visitor = Visitor {
        user_agent: Some(header),
        accept_language: Some(header),
        query,
        hash: 7,
        now: NOW,
    };
    let destination = spec.destination(&key, &visitor);
    assert!(destination.len() <= MAX_TARGET_BYTES);
    assert!(
        destination.bytes().all(|byte| byte.is_ascii_graphic()),
        "{destination:?}"
    );
    let Ok(sent) = Url::parse(&destination) else {
        panic!("no URL: {destination:?}");
    };
    assert_eq!(sent.as_str(), &*destination, "in its normal form");
    let targets = spec.rules.iter().map(|rule| rule.target.as_str());
    let of = |target: &str| {
        let Ok(mut target) = Url::parse(target) else {
            panic!("no URL: {target:?}");
        };
        let own = target.query().unwrap_or_default().to_owned();
        let merged = sent.query().unwrap_or_default();
        let longer = merged.starts_with(&own);
        target.set_query(sent.query());
        longer && target == sent
    };
    assert!(
        targets.chain([spec.target.as_str()]).any(of),
        "{destination} is none of the targets"
    );
}

/// A link as JSON. What is accepted is within its bounds, and the same when it is written and read again; also as an
/// edit; and its rules send nobody anywhere else.
pub fn link_draft(data: &[u8]) {
    let rules = SpecRules {
        targets: rules(),
        passwords: PasswordHasher::default(),
    };
    if let Ok(patch) = from_slice::<LinkPatch>(data) {
        let written = to_value(&patch).unwrap_or_default();
        assert_eq!(serde_json::from_value(written).ok().as_ref(), Some(&patch));
        edit(&rules, patch);
    }
    let Ok(draft) = from_slice::<LinkDraft>(data) else {
        return;
    };
    let written = to_value(&draft).unwrap_or_default();
    assert_eq!(serde_json::from_value(written).ok().as_ref(), Some(&draft));
    // Hashing is slow, and known to fuzzers.
    let draft = LinkDraft {
        password: None,
        restore: None,
        ..draft
    };
    match rules.spec(&draft, NOW) {
        Ok(spec) => check_spec(&spec, &draft.url),
        Err(wrong) => {
            assert!(!wrong.is_empty());
            let fields: Value = to_value(&draft).unwrap_or_default();
            for wrong in &wrong {
                let field = wrong.field.split(['.', '[']).next().unwrap_or_default();
                assert!(fields.get(field).is_some(), "{field} was not given");
                assert!(wrong.reason.len() < 1_000, "{}", wrong.reason);
            }
        }
    }
}

fn edit(rules: &SpecRules, patch: LinkPatch) {
    let Ok(target) = rules.targets.parse("https://example.com/?a=b#c") else {
        unreachable!("that is a target");
    };
    let patch = LinkPatch {
        password: None,
        ..patch
    };
    let before = LinkSpec::to(target);
    if let Ok(after) = rules.patched(&before, &patch) {
        check_spec(&after, "an edit");
        assert_eq!(
            rules.patched(&after, &patch).as_ref(),
            Ok(&after),
            "once more"
        );
    }
}

fn check_spec(spec: &LinkSpec, header: &str) {
    check_target(spec.target.as_str());
    assert!(spec.rules.len() <= MAX_RULES && spec.tags.len() <= MAX_TAGS);
    assert!(
        spec.title
            .as_ref()
            .is_none_or(|title| title.chars().count() <= MAX_TITLE_CHARS)
    );
    assert!(match (spec.starts_at, spec.expires_at) {
        (Some(starts), Some(ends)) => starts < ends,
        _ => true,
    });
    for rule in &spec.rules {
        check_target(&rule.target);
    }
    follow(spec, header, Some("a=b&utm_source=x&%"));
    follow(spec, "de-DE, en;q=0.5", None);
}
