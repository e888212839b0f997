//! What a form was filled in with, and the fields of forms.

use maud::{Markup, html};

use super::client::Refusal;

/// The fields of a form, in their order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`.
    pub(super) fn parse(body: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body);
        Self(pairs.into_owned().collect())
    }

    /// A field as it was filled in; empty if it was not.
    pub(super) fn raw(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The same without spaces around it.
    pub(super) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// Every value of a field that may be there many times.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_it = self.0.iter().filter(move |(known, _)| known == name);
        of_it.map(|(_, value)| value.as_str())
    }

    /// Whether there is such a field, even an empty one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Whether a box is ticked.
    pub(super) fn is_set(&self, name: &str) -> bool {
        !self.raw(name).is_empty()
    }
}

/// A field with one line of text, or what else `kind` says.
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    pub(super) label: &'a str,
    pub(super) value: &'a str,
    pub(super) hint: &'a str,
    pub(super) kind: &'a str,
    pub(super) required: bool,
}

impl Default for Input<'_> {
    fn default() -> Self {
        Self {
            name: "",
            label: "",
            value: "",
            hint: "",
            kind: "text",
            required: false,
        }
    }
}

impl Input<'_> {
    pub(super) fn show(&self, refusal: Option<&Refusal>) -> Markup {
        let reason = refusal.and_then(|refusal| refusal.reason(self.name));
        let described = described(self.name, self.hint, reason.is_some());
        // Any step, so that no part of a time is refused when it is sent back.
        let step = (self.kind == "datetime-local").then_some("any");
        html! {
            div.field {
                label for=(self.name) { (self.label) @if self.required { span.needed aria-hidden="true" { " *" } } }
                input id=(self.name) name=(self.name) type=(self.kind) value=(self.value) step=[step]
                    required[self.required] autocomplete="off" spellcheck="false"
                    aria-invalid=[reason.as_ref().map(|_| "true")] aria-describedby=[described];
                (below(self.name, self.hint, reason.as_deref()))
            }
        }
    }
}

/// A field of many lines.
pub(super) fn area(
    name: &str,
    label: &str,
    value: &str,
    hint: &str,
    rows: u32,
    refusal: Option<&Refusal>,
) -> Markup {
    let reason = refusal.and_then(|refusal| refusal.reason(name));
    let described = described(name, hint, reason.is_some());
    html! {
        div.field {
            label for=(name) { (label) }
            textarea.code id=(name) name=(name) rows=(rows) spellcheck="false" autocomplete="off"
                autocapitalize="off" aria-invalid=[reason.as_ref().map(|_| "true")]
                aria-describedby=[described] { (value) }
            (below(name, hint, reason.as_deref()))
        }
    }
}

/// One of several values, each with its name.
pub(super) fn select(name: &str, label: &str, value: &str, options: &[(String, String)]) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for (one, shown) in options {
                    option value=(one) selected[one == value] { (shown) }
                }
            }
        }
    }
}

/// A box to tick.
pub(super) fn tick(name: &str, value: &str, label: &str, ticked: bool) -> Markup {
    html! {
        label.tick { input type="checkbox" name=(name) value=(value) checked[ticked]; " " (label) }
    }
}

/// What is wrong, told before a form, with ways to its fields.
pub(super) fn summary(refusal: Option<&Refusal>) -> Markup {
    html! {
        @if let Some(refusal) = refusal {
            div.alert role="alert" {
                strong { (refusal.title) }
                @if refusal.errors.is_empty() {
                    p { (refusal.detail) }
                } @else {
                    ul {
                        @for error in &refusal.errors {
                            @let base = error.field.split(['[', '.']).next().unwrap_or_default();
                            li { a href={ "#" (base) } { (error.field) } ": " (error.reason) }
                        }
                    }
                }
                @if let Some(line) = refusal.line {
                    p { "Line " (line) @if let Some(column) = refusal.column { ", column " (column) } "." }
                }
            }
        }
    }
}

fn described(name: &str, hint: &str, wrong: bool) -> Option<String> {
    let mut ids = Vec::new();
    if wrong {
        ids.push(format!("{name}-error"));
    }
    if !hint.is_empty() {
        ids.push(format!("{name}-hint"));
    }
    (!ids.is_empty()).then(|| ids.join(" "))
}

fn below(name: &str, hint: &str, reason: Option<&str>) -> Markup {
    html! {
        @if let Some(reason) = reason {
            p.error id={ (name) "-error" } { (reason) }
        }
        @if !hint.is_empty() {
            p.hint id={ (name) "-hint" } { (hint) }
        }
    }
}

/// The value of a field for a time, as RFC 3339.
pub(super) fn moment(local: &str) -> String {
    match local.len() {
        // Without seconds, as browsers send them if they are 0.
        16 => format!("{local}:00Z"),
        0 => String::new(),
        _ => format!("{}Z", local.trim_end_matches('Z')),
    }
}
