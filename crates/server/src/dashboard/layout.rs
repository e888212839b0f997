//! The frame of every page.

use axum::Extension;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderName, StatusCode};
use maud::{DOCTYPE, Markup, html};
use tollgate_access::Scope;

use super::assets::{HTMX, ICON, SCRIPT, STYLE, UPLOT, UPLOT_STYLE};
use super::client::Refusal;
use super::visitor::{CSRF_FIELD, Visitor};
use crate::problem::{HTML, OwnForm};

/// Nothing from elsewhere, no script or style in a page, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// htmx is to run nothing that stands in an attribute, and to add no style of its own.
const HTMX_CONFIG: &str = r#"{"includeIndicatorCSS":false,"history":true}"#;
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// What every page comes with.
const HEAD: [(HeaderName, &str); 4] = [
    (CONTENT_TYPE, HTML),
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "same-origin"),
    (OPENER_POLICY, "same-origin"),
];

/// A part of the dashboard, as the navigation lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Links,
    Limits,
    Replay,
    Keys,
    Domains,
    Webhooks,
    Audit,
    Planner,
    Simulator,
    System,
}

impl Place {
    const ALL: [Self; 11] = [
        Self::Overview,
        Self::Links,
        Self::Limits,
        Self::Replay,
        Self::Simulator,
        Self::Planner,
        Self::Keys,
        Self::Domains,
        Self::Webhooks,
        Self::Audit,
        Self::System,
    ];

    const fn parts(self) -> (&'static str, &'static str, Option<Scope>) {
        match self {
            Self::Overview => ("/", "Overview", None),
            Self::Links => ("/links", "Links", Some(Scope::LinksRead)),
            Self::Limits => ("/limits", "Limits", Some(Scope::LimitsCheck)),
            Self::Replay => ("/replay", "Replay", Some(Scope::LimitsCheck)),
            Self::Keys => ("/keys", "Keys", Some(Scope::Admin)),
            Self::Domains => ("/domains", "Domains", Some(Scope::LinksRead)),
            Self::Webhooks => ("/webhooks", "Webhooks", Some(Scope::Admin)),
            Self::Audit => ("/audit", "Audit log", Some(Scope::AuditRead)),
            Self::Planner => ("/planner", "Planner", None),
            Self::Simulator => ("/simulator", "Simulator", None),
            Self::System => ("/system", "System", None),
        }
    }
}

impl Visitor {
    /// A page for somebody who is signed in.
    pub(super) fn page(&self, here: Place, title: &str, body: &Markup) -> Response {
        self.page_of(StatusCode::OK, Some(here), title, body)
    }

    /// The same with another status: a form that is shown again.
    pub(super) fn page_of(
        &self,
        status: StatusCode,
        here: Option<Place>,
        title: &str,
        body: &Markup,
    ) -> Response {
        let notice = self.dashboard.sessions.told(self.session.id);
        let inner = html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                a.brand href="/" { img src=(ICON.path) alt="" width="24" height="24"; " Tollgate" }
                nav aria-label="Main" {
                    ul {
                        @for place in Place::ALL {
                            @let (path, name, scope) = place.parts();
                            @if scope.is_none_or(|scope| self.may(scope)) {
                                li { a href=(path) aria-current=[(Some(place) == here).then_some("page")] { (name) } }
                            }
                        }
                    }
                }
                form.who method="post" action="/sign-out" {
                    (self.csrf())
                    span title=(self.key().id) { (self.key().name) }
                    button.quiet { "Sign out" }
                }
            }
            main #main tabindex="-1" {
                @if let Some(notice) = notice {
                    p.notice role="status" { (notice) }
                }
                (body)
            }
            footer {
                a href="/api/docs/" { "API" } " · "
                a href="/api/openapi.json" { "OpenAPI" } " · "
                a href="/metrics" { "Metrics" } " · "
                "Tollgate " (env!("CARGO_PKG_VERSION")) " · Times are in UTC"
            }
        };
        answer(status, title, &inner)
    }

    /// The field that proves that a form is from a page of this session.
    pub(super) fn csrf(&self) -> Markup {
        html! { input type="hidden" name=(CSRF_FIELD) value=(self.session.csrf.expose()); }
    }

    /// A button that does something at once.
    pub(super) fn button(&self, action: &str, class: &str, text: &str) -> Markup {
        html! {
            form.inline method="post" action=(action) {
                (self.csrf())
                button class=(class) { (text) }
            }
        }
    }

    /// Asks before something is done that cannot be undone.
    pub(super) fn ask(&self, question: &Question<'_>) -> Response {
        let body = html! {
            h1 { (question.question) }
            form.card method="post" action=(question.action) {
                (self.csrf())
                (question.sent_along)
                p { (question.consequence) }
                p.actions {
                    button.danger { (question.yes) }
                    a.button href=(question.back) { "Cancel" }
                }
            }
        };
        self.page(question.here, question.question, &body)
    }
}

/// See [`Visitor::ask`].
pub(super) struct Question<'a> {
    pub(super) here: Place,
    pub(super) question: &'a str,
    /// What happens then.
    pub(super) consequence: &'a str,
    /// Where the form goes.
    pub(super) action: &'a str,
    /// What the button says.
    pub(super) yes: &'a str,
    /// Where to go without doing it.
    pub(super) back: &'a str,
    /// Fields of the form.
    pub(super) sent_along: Markup,
}

/// Why something cannot be shown or done.
pub(super) fn refused(visitor: &Visitor, refusal: &Refusal) -> Response {
    let body = html! {
        h1 { (refusal.title) }
        div.alert role="alert" { p { (refusal.detail) } }
        p { a href="/" { "Back to the overview" } }
    };
    visitor.page_of(refusal.status(), None, &refusal.title, &body)
}

/// A page for somebody who is not signed in.
pub(super) fn outside(status: StatusCode, title: &str, body: &Markup) -> Response {
    let inner = html! {
        header.top { span.brand { img src=(ICON.path) alt="" width="24" height="24"; " Tollgate" } }
        main.narrow #main { (body) }
    };
    answer(status, title, &inner)
}

/// The same with nothing but a text.
pub(super) fn bare(status: StatusCode, title: &str, text: &str) -> Response {
    let body = html! {
        h1 { (title) }
        p { (text) }
        p { a href="/" { "Back to the overview" } }
    };
    outside(status, title, &body)
}

/// A part of a page, for a script to put into it; guarded as a page is, because a browser can be led there as well.
pub(super) fn part(part: Markup) -> Response {
    (HEAD, part.into_string()).into_response()
}

fn answer(status: StatusCode, title: &str, inner: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                meta name="htmx-config" content=(HTMX_CONFIG);
                title { (title) " · Tollgate" }
                link rel="icon" type="image/svg+xml" href=(ICON.path);
                link rel="stylesheet" href=(UPLOT_STYLE.path);
                link rel="stylesheet" href=(STYLE.path);
                script src=(HTMX.path) defer {}
                script src=(UPLOT.path) defer {}
                script src=(SCRIPT.path) defer {}
            }
            body { (inner) }
        }
    };
    (status, HEAD, Extension(OwnForm), page.into_string()).into_response()
}
