//! Fields whose page is redrawn as soon as they change.

use std::collections::BTreeMap;

use http::StatusCode;
use maud::{Markup, html};

/// What is wrong, by the name of the field.
pub(super) type Wrong = BTreeMap<&'static str, String>;

/// What a page is answered with.
pub(super) fn status(wrong: &Wrong) -> StatusCode {
    match wrong.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// A form that asks for its page again whenever a field changes, and takes from it the part `shows` and what is
/// wrong.
pub(super) fn form(path: &str, shows: &str, fields: &Markup) -> Markup {
    html! {
        form.card.sliders method="get" action=(path) hx-get=(path) hx-trigger="input delay:150ms, submit"
            hx-target={ "#" (shows) } hx-select={ "#" (shows) } hx-select-oob=".error" hx-swap="outerHTML"
            hx-sync="this:replace" hx-replace-url="true" { (fields) }
    }
}

/// Tells what is wrong, and what holds all the same.
pub(super) fn told(wrong: &Wrong, title: &str, instead: Option<&str>) -> Markup {
    html! {
        div role="status" {
            @if !wrong.is_empty() {
                div.alert {
                    strong { (title) }
                    ul { @for (name, reason) in wrong { li { a href={ "#" (name) } { (name) } ": " (reason) } } }
                    @if let Some(instead) = instead { p { (instead) } }
                }
            }
        }
    }
}

/// The commands that make what a page shows.
pub(super) fn commands(lines: &str) -> Markup {
    html! {
        section.card {
            h2 { "The same on the command line" }
            pre.command { (lines) }
        }
    }
}

/// A field with a number and, with scripts, a slider that goes through usual values of it.
#[derive(Default)]
pub(super) struct Slider<'a> {
    pub(super) name: &'a str,
    pub(super) label: &'a str,
    pub(super) value: &'a str,
    pub(super) hint: &'a str,
    /// The values, ascending, separated by spaces; without any there is no slider.
    pub(super) stops: &'a str,
    /// Which of them is nearest to the value.
    pub(super) at: usize,
    pub(super) placeholder: &'a str,
}

impl Slider<'_> {
    /// The field, with what is wrong with it.
    pub(super) fn show(&self, wrong: Option<&str>) -> Markup {
        let name = self.name;
        let error = format!("{name}-error");
        let hint = format!("{name}-hint");
        let described = match self.hint {
            "" => error.clone(),
            _ => format!("{error} {hint}"),
        };
        let last = self.stops.split(' ').count().saturating_sub(1);
        html! {
            div.field.slide {
                label for=(name) { (self.label) }
                @if !self.stops.is_empty() {
                    input type="range" hidden min="0" max=(last) value=(self.at) data-slides=(name)
                        data-stops=(self.stops) aria-label={ (self.label) ", slider" } aria-valuetext=(self.value);
                }
                input id=(name) name=(name) value=(self.value) autocomplete="off" spellcheck="false"
                    placeholder=[(!self.placeholder.is_empty()).then_some(self.placeholder)]
                    aria-invalid=[wrong.map(|_| "true")] aria-describedby=(described);
                (error_of(name, wrong))
                @if !self.hint.is_empty() { p.hint id=(hint) { (self.hint) } }
            }
        }
    }
}

/// What is wrong with a field. It is there even if nothing is, so that it can be replaced alone.
pub(super) fn error_of(name: &str, wrong: Option<&str>) -> Markup {
    html! { p.error id={ (name) "-error" } { (wrong.unwrap_or_default()) } }
}

/// With a capital letter and a full stop, as it stands alone below a field.
pub(super) fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// The stop that is nearest to a value.
pub(super) fn nearest(stops: &str, value: f64, read: impl Fn(&str) -> Option<f64>) -> usize {
    let distance = |stop: &str| read(stop).map_or(f64::INFINITY, |stop| (stop - value).abs());
    let all = stops.split(' ').map(distance).enumerate();
    let nearest = all.min_by(|(_, one), (_, other)| one.total_cmp(other));
    nearest.map_or(0, |(at, _)| at)
}

/// A picture that one of our crates has drawn. Its attributes are presentation alone, which the policy of pages
/// lets through and the style sheet replaces in the dark.
pub(super) fn picture(svg: &str, label: &str) -> Markup {
    // The default of SVG, on every element.
    let svg = svg.replace(" opacity=\"1\"", "");
    html! {
        div.picture role="img" aria-label=(label) { (maud::PreEscaped(svg)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_stop_is_found() {
        let at = |value| nearest("1 2 5 10", value, |stop| stop.parse().ok());
        assert_eq!([0.0, 1.0, 3.0, 4.0, 99.0].map(at), [0, 0, 1, 2, 3]);
    }
}
