//! The sliders and fields of the simulator.

use maud::{Markup, html};
use tollgate_limit::AlgorithmKind;

use super::inputs::{Inputs, TRAFFIC};
use crate::dashboard::form::{Fields, select, tick};
use crate::dashboard::slider::{self, Slider, error_of, nearest};

/// A name, a label, where a slider stops, and what holds if the field is empty.
struct Stops(&'static str, &'static str, &'static str, &'static str);

impl Stops {
    /// What is in the field, or what holds if it is empty.
    fn value<'f>(&self, fields: &'f Fields) -> &'f str {
        match fields.text(self.0) {
            "" => self.3,
            text => text,
        }
    }
}

const LIMIT: Stops = Stops(
    "limit",
    "Requests a window",
    "1 2 5 10 20 50 100 200 300 500 1000",
    "100",
);
const OF_THE_LIMIT: [Stops; 3] = [
    LIMIT,
    Stops("window", "Window", "1s 5s 10s 30s 1m 5m 15m 1h 1d", "1m"),
    Stops(
        "burst",
        "Burst of buckets",
        "1 2 5 10 20 30 50 80 100 150 200 300 500 1000",
        "",
    ),
];
const OF_THE_TRAFFIC: [Stops; 4] = [
    Stops(
        "load",
        "Load, times the limit",
        "0.1 0.2 0.5 0.7 0.8 0.9 1 1.1 1.2 1.5 2 3 5 10",
        "1.2",
    ),
    Stops(
        "windows",
        "For how many windows",
        "2 3 4 6 8 10 12 16 20 30 40 60 100",
        "12",
    ),
    Stops(
        "keys",
        "Keys; 1, with zipf 1000",
        "1 2 5 10 20 50 100 200 500 1000",
        "",
    ),
    Stops(
        "seed",
        "Seed",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
        "1",
    ),
];
const OF_FLEETS: [Stops; 3] = [
    Stops("servers", "Servers", "1 2 3 4 5 6 8 10 12 16 20", "4"),
    Stops(
        "skew",
        "Clocks are wrong by",
        "0s 100ms 500ms 1s 2s 5s 10s 30s 1m",
        "2s",
    ),
    Stops("outage", "Redis is away, in windows", "", ""),
];

pub(super) fn form(fields: &Fields, inputs: &Inputs) -> Markup {
    let traffic = TRAFFIC.map(|(name, what)| (name.to_owned(), format!("{name}: {what}")));
    let all = html! {
        fieldset {
            legend { "Traffic" }
            (select("traffic", "What comes", inputs.traffic, &traffic))
            @for stops in &OF_THE_TRAFFIC { (slider(fields, inputs, stops)) }
            div.of-fleet { @for stops in &OF_FLEETS { (slider(fields, inputs, stops)) } }
        }
        fieldset {
            legend { "Limit" }
            @for stops in &OF_THE_LIMIT { (slider(fields, inputs, stops)) }
        }
        fieldset #algorithm {
            legend { "Algorithms" }
            @for kind in AlgorithmKind::ALL {
                (tick("algorithm", kind.name(), kind.name(), inputs.algorithms.contains(&kind)))
            }
            (error_of("algorithm", inputs.wrong("algorithm")))
        }
        p.actions { button.primary { "Run" } a.button href="/simulator" { "Start again" } }
    };
    slider::form("/simulator", "run", &all)
}

fn slider(fields: &Fields, inputs: &Inputs, stops: &Stops) -> Markup {
    let value = stops.value(fields);
    let Stops(name, label, stops, _) = *stops;
    let placeholder = match name {
        "burst" => "the limit",
        "keys" => "usual",
        "outage" => "the middle third",
        _ => "",
    };
    // What holds if they are empty is told by others.
    let holds = match (name, value) {
        ("burst", "") => LIMIT.value(fields),
        ("keys", "") if inputs.traffic == "zipf" => "1000",
        _ => value,
    };
    let at = read(holds).map_or(0, |value| nearest(stops, value, read));
    Slider {
        name,
        label,
        value,
        stops,
        at,
        placeholder,
        ..Slider::default()
    }
    .show(inputs.wrong(name))
}

/// A number, or the seconds of a time.
fn read(text: &str) -> Option<f64> {
    let seconds = || humantime::parse_duration(text).ok();
    text.parse()
        .ok()
        .or_else(|| seconds().map(|time| time.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sliders_go_up_and_are_taken() {
        let all = OF_THE_LIMIT.iter().chain(&OF_THE_TRAFFIC);
        for Stops(name, _, stops, usual) in all.chain(&OF_FLEETS) {
            if stops.is_empty() {
                continue;
            }
            let values: Vec<Option<f64>> = stops.split(' ').map(read).collect();
            assert!(values.is_sorted() && !values.contains(&None), "{name}");
            assert!(usual.is_empty() || values.contains(&read(usual)), "{name}");
            for stop in stops.split(' ') {
                let query = format!("traffic=fleet&{name}={stop}");
                let inputs = Inputs::read(&Fields::parse(query.as_bytes()));
                assert!(!inputs.wrong.contains_key(name), "{query}");
            }
        }
    }
}
