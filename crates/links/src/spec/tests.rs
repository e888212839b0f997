use super::*;
use crate::PasswordHash;

const NOW: UnixMillis = UnixMillis::from_millis(1_000_000);

fn rules() -> SpecRules {
    SpecRules {
        targets: TargetRules {
            schemes: vec!["http".to_owned(), "https".to_owned()],
            allow_credentials: false,
            own_hosts: Vec::new(),
        },
        passwords: PasswordHasher::default(),
    }
}

fn at(ms: i64) -> Option<UnixMillis> {
    Some(UnixMillis::from_millis(NOW.as_millis() + ms))
}

fn draft() -> LinkDraft {
    LinkDraft {
        url: "https://a.example".to_owned(),
        ..LinkDraft::default()
    }
}

/// The names of the fields found wrong.
fn wrong(draft: &LinkDraft) -> Vec<String> {
    match rules().spec(draft, NOW) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.field).collect(),
    }
}

fn rule(url: &str, conditions: Vec<Condition>) -> Rule {
    Rule {
        conditions,
        target: url.to_owned(),
    }
}

#[test]
fn every_field_arrives_in_normal_form() {
    let spec = rules()
        .spec(
            &LinkDraft {
                starts_at: at(1),
                expires_at: at(2),
                max_clicks: Some(3),
                redirect: Some(308),
                password: Some("secret".into()),
                tags: vec!["News ".to_owned(), "a".to_owned(), "news".to_owned()],
                title: Some("  A title ".to_owned()),
                forward_query: true,
                rules: vec![rule(
                    "HTTPS://B.example",
                    vec![Condition::Percent { share: 100 }],
                )],
                clicks_used: Some(2),
                ..draft()
            },
            NOW,
        )
        .unwrap();
    assert_eq!(spec.target.as_str(), "https://a.example/");
    assert_eq!((spec.starts_at, spec.expires_at), (at(1), at(2)));
    assert_eq!(spec.max_clicks, NonZeroU64::new(3));
    assert_eq!(spec.redirect, Some(RedirectKind::Permanent));
    assert!(rules().passwords.verify("secret", &spec.password.unwrap()));
    assert_eq!(spec.tags, [Tag::from_stored("a"), Tag::from_stored("news")]);
    assert_eq!(spec.title.as_deref(), Some("A title"));
    assert!(spec.forward_query);
    assert_eq!(spec.rules[0].target, "https://b.example/");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let bad = LinkDraft {
        url: "nowhere".to_owned(),
        starts_at: at(5),
        expires_at: at(5),
        max_clicks: Some(0),
        redirect: Some(303),
        password: Some("".into()),
        tags: vec!["ok".to_owned(), String::new(), "a,b".to_owned()],
        title: Some("a\nb".to_owned()),
        rules: vec![
            rule("https://ok.example", Vec::new()),
            rule(
                "nowhere",
                vec![
                    Condition::Percent { share: 0 },
                    Condition::Percent { share: 101 },
                    Condition::Language { is: "*".to_owned() },
                    Condition::Query {
                        name: String::new(),
                        value: Some("x".repeat(MAX_CONDITION_CHARS + 1)),
                    },
                    Condition::Date {
                        from: at(2),
                        until: at(2),
                    },
                    Condition::Date {
                        from: None,
                        until: None,
                    },
                ],
            ),
        ],
        created_at: at(1),
        ..draft()
    };
    let mut found = wrong(&bad);
    found.sort();
    let mut wanted = [
        "created_at",
        "expires_at",
        "max_clicks",
        "password",
        "redirect",
        "rules[1].if[0].share",
        "rules[1].if[1].share",
        "rules[1].if[2].is",
        "rules[1].if[3].name",
        "rules[1].if[3].value",
        "rules[1].if[4].until",
        "rules[1].if[5]",
        "rules[1].url",
        "tags[1]",
        "tags[2]",
        "title",
        "url",
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn the_number_and_size_of_things_are_bounded() {
    let with = |change: &dyn Fn(&mut LinkDraft)| {
        let mut draft = draft();
        change(&mut draft);
        wrong(&draft)
    };
    let tags = |count: usize| (0..count).map(|i| format!("t{i}")).collect::<Vec<_>>();
    let none: [&str; 0] = [];
    assert_eq!(with(&|d| d.tags = tags(MAX_TAGS)), none);
    assert_eq!(with(&|d| d.tags = tags(MAX_TAGS + 1)), ["tags"]);
    // Told once, however many there are, or an answer could be far larger than its request.
    let bad = vec![String::new(); MAX_TAGS + 1];
    assert_eq!(with(&|d| d.tags = bad.clone()), ["tags"]);
    assert_eq!(
        with(&|d| d.title = Some("\u{e4}".repeat(MAX_TITLE_CHARS))),
        none
    );
    assert_eq!(
        with(&|d| d.title = Some("x".repeat(MAX_TITLE_CHARS + 1))),
        ["title"]
    );
    assert_eq!(
        with(&|d| d.password = Some("x".repeat(MAX_PASSWORD_BYTES + 1).into())),
        ["password"]
    );
    assert_eq!(with(&|d| d.max_clicks = Some(u64::MAX)), ["max_clicks"]);
    assert_eq!(with(&|d| d.clicks_used = Some(1)), ["clicks_used"]);
    let many = |count| vec![rule("https://a.example", Vec::new()); count];
    assert_eq!(with(&|d| d.rules = many(MAX_RULES)), none);
    assert_eq!(with(&|d| d.rules = many(MAX_RULES + 1)), ["rules"]);
    let percents = |count| {
        vec![rule(
            "https://a.example",
            vec![Condition::Percent { share: 1 }; count],
        )]
    };
    assert_eq!(with(&|d| d.rules = percents(MAX_CONDITIONS)), none);
    assert_eq!(
        with(&|d| d.rules = percents(MAX_CONDITIONS + 1)),
        ["rules[0].if"]
    );
}

#[test]
fn only_imports_bring_links_that_are_over() {
    let over = LinkDraft {
        expires_at: at(0),
        ..draft()
    };
    assert_eq!(wrong(&over), ["expires_at"]);
    let import = LinkDraft {
        created_at: at(-5),
        ..over
    };
    assert!(wrong(&import).is_empty());
}

#[test]
fn a_patch_changes_what_it_names_and_null_clears() {
    let old = LinkSpec {
        starts_at: at(1),
        expires_at: at(9),
        max_clicks: NonZeroU64::new(5),
        redirect: Some(RedirectKind::Found),
        password: Some(PasswordHash::from_phc("hash")),
        tags: vec![Tag::from_stored("a")],
        title: Some("title".to_owned()),
        forward_query: true,
        rules: vec![rule("https://r.example/", Vec::new())],
        ..LinkSpec::to(TargetUrl::from_stored("https://a.example/"))
    };
    let nothing = rules().patched(&old, &LinkPatch::default());
    assert_eq!(nothing.as_ref(), Ok(&old));

    let cleared = LinkPatch {
        url: Some("https://b.example".to_owned()),
        starts_at: Some(None),
        expires_at: Some(None),
        max_clicks: Some(None),
        redirect: Some(None),
        password: Some(None),
        tags: Some(Vec::new()),
        title: Some(None),
        forward_query: Some(false),
        rules: Some(Vec::new()),
    };
    let bare = LinkSpec::to(TargetUrl::from_stored("https://b.example/"));
    assert_eq!(rules().patched(&old, &cleared), Ok(bare));

    let lowered = LinkPatch {
        max_clicks: Some(Some(1)),
        expires_at: Some(at(2)),
        ..LinkPatch::default()
    };
    let patched = rules().patched(&old, &lowered).unwrap();
    assert_eq!(
        (patched.max_clicks, patched.expires_at),
        (NonZeroU64::new(1), at(2))
    );
    assert_eq!(patched.password, old.password);
}

#[test]
fn a_patch_is_checked_together_with_what_stays() {
    let old = LinkSpec {
        starts_at: at(5),
        ..LinkSpec::to(TargetUrl::from_stored("https://a.example/"))
    };
    let bad = LinkPatch {
        url: Some("x".to_owned()),
        expires_at: Some(at(5)),
        max_clicks: Some(Some(0)),
        ..LinkPatch::default()
    };
    let errors = rules().patched(&old, &bad).unwrap_err();
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["url", "expires_at", "max_clicks"]);
}
