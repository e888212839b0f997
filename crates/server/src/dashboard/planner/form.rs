//! The sliders and fields of the planner.

use maud::{Markup, html};
use tollgate_plan::{Assumption, Group};

use super::inputs::{By, Inputs, OF_RATES, OF_USERS, STRATEGIES};
use crate::dashboard::form::{Fields, select};
use crate::dashboard::slider::{self, Slider, error_of, nearest};

/// A label and where a slider stops.
pub(super) struct Stops(pub(super) Assumption, &'static str, &'static str);

/// What tells most, in the order of the groups.
pub(super) const SLIDERS: [Stops; 14] = [
    Stops(
        Assumption::Dau,
        "Users a day",
        "1k 2k 5k 10k 20k 50k 100k 200k 500k 1M 2M 5M 10M 20M 50M 100M 200M 500M 1G 2G 5G",
    ),
    Stops(
        Assumption::CreateShare,
        "Links a user creates a day",
        "0.01% 0.02% 0.05% 0.1% 0.2% 0.5% 1% 2% 3% 5% 10% 20% 50% 100%",
    ),
    Stops(
        Assumption::ClickShare,
        "Links a user follows a day",
        "1% 5% 10% 20% 30% 40% 50% 60% 80% 100% 150% 200% 300% 500% 1000%",
    ),
    Stops(
        Assumption::WritesPerSecond,
        "Links created a second",
        "0.1 0.2 0.5 1 2 5 10 20 50 100 200 300 500 700 1k 2k 5k 10k 20k 50k 100k",
    ),
    Stops(
        Assumption::ReadWriteRatio,
        "Redirects a link created",
        "1 2 5 10 20 50 100 200 500 1000 2000 5000 10000",
    ),
    Stops(
        Assumption::Peak,
        "Peak, times the average",
        "1 1.5 2 3 4 5 6 7 8 9 10 12 15 20 30 50 100",
    ),
    Stops(
        Assumption::RecordSize,
        "Size of a link",
        "100B 200B 300B 400B 500B 600B 700B 800B 1kB 1.5kB 2kB 3kB 5kB 10kB",
    ),
    Stops(
        Assumption::Retention,
        "Links are kept for",
        "30d 90d 180d 1y 2y 3y 4y 5y 6y 7y 8y 10y 15y 20y 30y 50y 100y",
    ),
    Stops(
        Assumption::IndexFactor,
        "Indexes multiply by",
        "1 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9 2 2.5 3 4 5",
    ),
    Stops(
        Assumption::Replication,
        "Copies of the store",
        "1 2 3 4 5 6 7 8 9",
    ),
    Stops(
        Assumption::HotWindow,
        "Hot up to an age of",
        "1d 2d 3d 7d 14d 30d 60d 90d 180d 1y 2y",
    ),
    Stops(
        Assumption::HotShare,
        "Share of these that is hot",
        "1% 2% 5% 10% 15% 20% 25% 30% 40% 50% 60% 80% 100%",
    ),
    Stops(
        Assumption::HitRate,
        "Hit rate of the cache",
        "0% 10% 20% 30% 40% 50% 55% 60% 65% 70% 75% 80% 85% 90% 92% 94% 95% 96% 97% 98% 99% 99.5% 99.9%",
    ),
    Stops(
        Assumption::CodeLength,
        "Characters of a code",
        "3 4 5 6 7 8 9 10 11 12 14 16",
    ),
];

/// Groups of assumptions, in order.
const GROUPS: [Group; 7] = [
    Group::Traffic,
    Group::Storage,
    Group::Bandwidth,
    Group::Memory,
    Group::Capacity,
    Group::Codes,
    Group::Prices,
];

pub(super) fn form(fields: &Fields, inputs: &Inputs) -> Markup {
    let all = html! {
        fieldset {
            legend { "Traffic" }
            div.ticks {
                (radio("users", "from users", inputs.by == By::Users))
                (radio("rates", "from rates", inputs.by == By::Rates))
            }
            div.by-users { @for one in OF_USERS { (slider(fields, inputs, one)) } }
            div.by-rates { @for one in OF_RATES { (slider(fields, inputs, one)) } }
            (slider(fields, inputs, Assumption::Peak))
        }
        @for group in [Group::Storage, Group::Memory, Group::Codes] {
            fieldset {
                legend { (group.title()) }
                @for Stops(one, ..) in SLIDERS { @if one.group() == group { (slider(fields, inputs, one)) } }
                @if group == Group::Codes {
                    @let options = STRATEGIES.map(|one| (one.as_str().to_owned(), one.as_str().to_owned()));
                    (select("strategy", "Codes are made by", fields.text("strategy"), &options))
                }
            }
        }
        fieldset {
            legend { "Chart" }
            @let options = SLIDERS.map(|Stops(one, label, _)| (one.name().to_owned(), label.to_owned()));
            @let chosen = match fields.text("sweep") { "" => Assumption::HitRate.name(), name => name };
            (select("sweep", "What changes", chosen, &options))
            (error_of("sweep", inputs.wrong("sweep")))
            @let swept = Assumption::named(chosen).unwrap_or(Assumption::HitRate);
            @let (least, most) = inputs.range(swept);
            div.pair {
                @for (name, label, usual) in [("from", "From", least), ("to", "To", most)] {
                    (Slider { name, label, value: fields.text(name), placeholder: &swept.unit().show_short(usual), ..Slider::default() }.show(inputs.wrong(name)))
                }
            }
        }
        details open[others().any(|one| inputs.wrong(one.name()).is_some())] {
            summary { "All other numbers" }
            @for group in GROUPS {
                @if others().any(|one| one.group() == group) {
                    fieldset {
                        legend { (group.title()) }
                        @for one in others().filter(|one| one.group() == group) {
                            @let usual = one.default().map(|value| one.unit().show_short(value));
                            (Slider {
                                name: one.name(),
                                // Without the hyphens of flags.
                                label: &one.help().replace("--", ""),
                                value: fields.text(one.name()),
                                placeholder: usual.as_deref().unwrap_or("none"),
                                ..Slider::default()
                            }.show(inputs.wrong(one.name())))
                        }
                    }
                }
            }
        }
        p.actions { button.primary { "Plan" } a.button href="/planner" { "Start again" } }
    };
    slider::form("/planner", "plan", &all)
}

/// Those without a slider.
fn others() -> impl Iterator<Item = Assumption> {
    let slides = |one: &Assumption| SLIDERS.iter().any(|slider| slider.0 == *one);
    Assumption::ALL
        .iter()
        .copied()
        .filter(move |one| !slides(one))
}

fn radio(value: &str, label: &str, chosen: bool) -> Markup {
    html! { label.tick { input type="radio" name="by" value=(value) checked[chosen]; " " (label) } }
}

fn slider(fields: &Fields, inputs: &Inputs, one: Assumption) -> Markup {
    let found = SLIDERS.iter().find(|slider| slider.0 == one);
    let Some(Stops(_, label, stops)) = found else {
        return html! {};
    };
    let read = |text: &str| one.parse(text).ok().map(|setting| setting.value());
    // What is hidden now is shown when the traffic is told in the other way.
    let usual = match one {
        Assumption::WritesPerSecond => Some(200.0),
        _ => inputs.assumptions.value(one),
    };
    let typed = fields.text(one.name());
    let value = read(typed).or(usual).unwrap_or_default();
    let at = nearest(stops, value, read);
    let stop = stops.split(' ').nth(at).unwrap_or_default();
    let shown = one.unit().show_short(value);
    let text = match typed {
        "" if read(stop) == Some(value) => stop,
        "" => &shown,
        typed => typed,
    };
    Slider {
        name: one.name(),
        label,
        value: text,
        stops,
        at,
        ..Slider::default()
    }
    .show(inputs.wrong(one.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sliders_go_up_and_stop_at_the_default() {
        for Stops(one, _, stops) in SLIDERS {
            let values: Vec<f64> = stops
                .split(' ')
                .map(|stop| one.parse(stop).unwrap().value())
                .collect();
            assert!(values.is_sorted(), "{one}");
            let default = one.default();
            assert!(default.is_none_or(|value| values.contains(&value)), "{one}");
        }
    }
}
