//! The pages people see. None needs a script, and nothing is loaded from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use tollgate_links::CachedLink;

/// The only style there is; the policy allows it by its hash.
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;\
padding:0 1rem;color:#1b1f24;background:#fff}h1{font-size:1.4rem}a{color:#0b57d0}\
p{overflow-wrap:anywhere}input,button{font:inherit;padding:.4rem .6rem}\
@media(prefers-color-scheme:dark){body{color:#e6e8ea;background:#16191d}a{color:#8ab4f8}}";

/// Nothing but the style, and no frame around it. Forms go nowhere.
pub(super) const POLICY: &str = "default-src 'none'; \
style-src 'sha256-IraCowYxvQPwCfVjcAkG5mkLv/JR+/CzludI3fiCGUY='; base-uri 'none'; \
form-action 'none'; frame-ancestors 'none'";

/// As [`POLICY`], for the page with the form. There is no `form-action`: browsers apply it to the
/// redirects after the submission too, and the password's reward is a redirect to another site.
pub(super) const FORM_POLICY: &str = "default-src 'none'; \
style-src 'sha256-IraCowYxvQPwCfVjcAkG5mkLv/JR+/CzludI3fiCGUY='; base-uri 'none'; \
frame-ancestors 'none'";

/// `/`, unless it is configured to redirect.
pub(super) fn landing() -> Markup {
    page(
        "Tollgate",
        &html! {
            h1 { "Short links" }
            p { "This host serves short links. Add " code { "+" } " to one to see where it leads." }
        },
    )
}

/// No such link.
pub(super) fn not_found() -> Markup {
    page(
        "Not found",
        &html! {
            h1 { "There is no such link" }
            p { "Check the address for typing errors: capital and small letters can differ." }
        },
    )
}

/// A link past its expiry, or without clicks left.
pub(super) fn gone() -> Markup {
    page(
        "Gone",
        &html! {
            h1 { "This link is no longer available" }
            p { "It has expired, or was used as often as it may be." }
        },
    )
}

/// What can be asked again soon.
pub(super) fn busy() -> Markup {
    let text = "This cannot be answered now. Try again in a few seconds.";
    message("Try again soon", text)
}

/// Asks for a link's password; `wrong` if the last one was.
pub(super) fn password(wrong: bool) -> Markup {
    // Without an action the form goes to the page's own address, query included.
    page(
        "Password",
        &html! {
            h1 { "This link is protected" }
            @if wrong {
                p role="alert" { "That is not the password. Try again." }
            }
            form method="post" {
                p {
                    label for="password" { "Password" } " "
                    input #password name="password" type="password" autocomplete="off" required
                        autofocus;
                    " "
                    button { "Continue" }
                }
            }
        },
    )
}

/// Where a link leads. The target of a link with a password or a bound on clicks stays hidden:
/// showing it would get around both.
pub(super) fn preview(short_url: &str, link: &CachedLink) -> Markup {
    let hidden = link.has_password() || link.is_counted();
    page(
        "Preview",
        &html! {
            h1 { (link.title().unwrap_or("A short link")) }
            @if hidden {
                p { "Where this link leads is shown to those who follow it." }
            } @else {
                p { "It leads to:" }
                p { (target(link.target())) }
                @if link.has_rules() {
                    p { "Some visitors are led elsewhere." }
                }
            }
            p { a href=(short_url) rel="nofollow" { "Follow the link" } }
        },
    )
}

/// Where a link leads. Other schemes can be allowed by configuration; they must not become clickable.
pub(crate) fn target(url: &str) -> Markup {
    html! {
        @if url.starts_with("https://") || url.starts_with("http://") {
            a href=(url) rel="noreferrer nofollow" { (url) }
        } @else {
            (url)
        }
    }
}

/// Anything that went wrong otherwise.
pub(super) fn message(title: &str, text: &str) -> Markup {
    page(
        title,
        &html! {
            h1 { (title) }
            p { (text) }
        },
    )
}

fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest, Sha256};
    use tollgate_links::{LinkSpec, PasswordHash, TargetUrl};

    use super::super::cached;
    use super::*;

    fn preview_of(spec: &LinkSpec) -> String {
        preview("https://go.example.com/x", &cached(spec.clone())).into_string()
    }

    #[test]
    fn the_policies_allow_the_style_by_its_hash() {
        let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
        for policy in [POLICY, FORM_POLICY] {
            assert!(policy.contains(&format!("'sha256-{hash}'")), "{hash}");
        }
        assert!(
            !STYLE.contains("</"),
            "the style stands in the page as it is"
        );
    }

    #[test]
    fn what_users_wrote_is_escaped() {
        let mut spec = LinkSpec::to(TargetUrl::from_stored("https://example.com/?a=<b>&c=\"d\""));
        spec.title = Some("<script>alert(1)</script>".to_owned());
        let text = preview_of(&spec);
        assert!(!text.contains("<script>"), "{text}");
        assert!(text.contains("&lt;script&gt;"));
        assert!(text.contains("https://example.com/?a=&lt;b&gt;&amp;c=&quot;d&quot;"));
    }

    #[test]
    fn a_preview_gives_nothing_away_that_has_to_be_earned() {
        let mut spec = LinkSpec::to(TargetUrl::from_stored("https://secret.example/"));
        assert!(preview_of(&spec).contains("secret.example"));
        spec.password = Some(PasswordHash::from_phc("x"));
        assert!(!preview_of(&spec).contains("secret.example"));
        spec.password = None;
        spec.max_clicks = std::num::NonZeroU64::new(1);
        assert!(!preview_of(&spec).contains("secret.example"));
    }

    #[test]
    fn only_web_targets_are_clickable() {
        let spec = LinkSpec::to(TargetUrl::from_stored("javascript:alert(1)"));
        let text = preview_of(&spec);
        assert!(!text.contains("href=\"javascript"), "{text}");
        assert!(text.contains("javascript:alert(1)"));
    }

    #[test]
    fn the_form_works_without_a_script() {
        let text = password(false).into_string();
        assert!(text.contains("<form method=\"post\">"), "{text}");
        assert!(text.contains("name=\"password\""));
        assert!(!text.contains("Try again"));
        assert!(password(true).into_string().contains("Try again"));
    }
}
