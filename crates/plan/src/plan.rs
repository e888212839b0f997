//! A plan: every result with its formula, and what it was computed from.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::assumption::{Assumption, Basis, MACHINE};
use crate::assumptions::{Assumptions, Conflict, Origin};
use crate::expression::Values;
use crate::model::formula;
use crate::output::{Output, Section};
use crate::unit::{DAY, Unit};
use crate::warning::{Warning, warnings};

/// The windows of the table of hot sets, in days.
const HOT_SET_DAYS: [u32; 5] = [1, 7, 30, 90, 365];

/// What a service of some size takes. As JSON, each section is an object of numbers; `results` has their
/// formulas.
#[derive(Debug, Clone)]
pub struct Plan {
    assumptions: Assumptions,
    quantities: BTreeMap<Output, Quantity>,
    warnings: Vec<Warning>,
}

/// A result.
#[derive(Debug, Clone)]
pub struct Quantity {
    /// Which.
    pub output: Output,
    /// The value, in the unit of the output.
    pub value: f64,
    /// How it is computed, with names.
    pub formula: String,
    /// The same with numbers.
    pub calculation: String,
    /// Every assumption that it depends on, also through other results.
    pub assumptions: BTreeSet<Assumption>,
}

/// What has to be at hand if links are followed up to some age.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HotSet {
    /// The age, in days.
    pub days: u32,
    /// Links of that age.
    pub links: f64,
    /// Those of them that are followed often.
    pub hot_links: f64,
    /// The size of these.
    pub bytes: f64,
}

/// What has been computed so far. Formulas use only results that come before them, and assumptions with a
/// default or a value: see `model::formula`.
impl Values for Plan {
    fn assumption(&self, assumption: Assumption) -> f64 {
        self.assumed(assumption)
    }

    fn output(&self, output: Output) -> f64 {
        self.value(output)
    }

    fn used(&self, output: Output) -> &BTreeSet<Assumption> {
        const NONE: &BTreeSet<Assumption> = &BTreeSet::new();
        self.get(output)
            .map_or(NONE, |quantity| &quantity.assumptions)
    }
}

impl Plan {
    /// Computes everything.
    ///
    /// # Errors
    /// Assumptions that contradict each other.
    pub fn new(assumptions: Assumptions) -> Result<Self, Conflict> {
        assumptions.check()?;
        let mut plan = Self {
            assumptions,
            quantities: BTreeMap::new(),
            warnings: Vec::new(),
        };
        for &output in Output::ALL {
            let Some(expression) = formula(output, &plan.assumptions) else {
                continue;
            };
            let quantity = Quantity {
                output,
                value: expression.value(&plan),
                formula: expression.formula(),
                calculation: expression.calculation(&plan),
                assumptions: expression.used(&plan),
            };
            plan.quantities.insert(output, quantity);
        }
        plan.warnings = warnings(&plan);
        Ok(plan)
    }

    /// What it is made by.
    #[must_use]
    pub fn assumptions(&self) -> &Assumptions {
        &self.assumptions
    }

    /// The results, in order. Costs are only there if prices are given.
    pub fn quantities(&self) -> impl Iterator<Item = &Quantity> {
        self.quantities.values()
    }

    /// The results of a section.
    pub fn section(&self, section: Section) -> impl Iterator<Item = &Quantity> {
        self.quantities()
            .filter(move |quantity| quantity.output.section() == section)
    }

    /// A result, unless it is a cost without a price.
    #[must_use]
    pub fn get(&self, output: Output) -> Option<&Quantity> {
        self.quantities.get(&output)
    }

    /// The value of a result; not a number if it is a cost without a price.
    #[must_use]
    pub fn value(&self, output: Output) -> f64 {
        self.get(output).map_or(f64::NAN, |quantity| quantity.value)
    }

    /// The hot sets of some windows.
    #[must_use]
    pub fn hot_sets(&self) -> [HotSet; HOT_SET_DAYS.len()] {
        HOT_SET_DAYS.map(|days| self.hot_set(days))
    }

    /// Where a number leads to another design.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The assumptions that any result depends on, in order.
    pub fn used(&self) -> impl Iterator<Item = Assumption> {
        let used: BTreeSet<Assumption> = self
            .quantities()
            .flat_map(|quantity| quantity.assumptions.iter().copied())
            .collect();
        used.into_iter()
    }

    /// Whether a default that was measured is in force, so that the machine matters.
    #[must_use]
    pub fn is_of_our_machine(&self) -> bool {
        self.used().any(|one| {
            self.assumptions.origin(one) == Origin::Default
                && matches!(one.basis(), Basis::Benchmark(_))
        })
    }

    pub(crate) fn assumed(&self, assumption: Assumption) -> f64 {
        self.assumptions.value(assumption).unwrap_or(f64::NAN)
    }

    fn hot_set(&self, days: u32) -> HotSet {
        let links = self.value(Output::WritesPerSecond) * f64::from(days) * DAY;
        let hot_links = links * self.assumed(Assumption::HotShare);
        HotSet {
            days,
            links,
            hot_links,
            bytes: hot_links * self.assumed(Assumption::RecordSize),
        }
    }
}

/// Where the value of an assumption is from, in words.
#[must_use]
pub fn basis(assumptions: &Assumptions, assumption: Assumption) -> String {
    match (assumptions.origin(assumption), assumption.basis()) {
        (Origin::Default, Basis::Rule("")) => "rule of thumb".to_owned(),
        (Origin::Default, Basis::Rule(rule)) => format!("rule of thumb: {rule}"),
        (Origin::Default, Basis::Benchmark(name)) => format!("benchmark: {name}"),
        (Origin::Measured, _) => "measured on a running instance".to_owned(),
        (origin, _) => origin.as_str().to_owned(),
    }
}

/// Whole numbers without a point, which they would otherwise have in JSON.
pub(crate) struct Number(pub(crate) f64);

/// Doubles hold every whole number up to here.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        if value.fract() == 0.0 && (0.0..MOST_EXACT).contains(&value) {
            // Whole and in range.
            return serializer.serialize_u64(value as u64);
        }
        serializer.serialize_f64(value)
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for section in Section::ALL {
            if self.section(section).next().is_some() {
                map.serialize_entry(section.name(), &Numbers(self, section))?;
            }
        }
        map.serialize_entry("warnings", &self.warnings)?;
        let results: Vec<_> = self.quantities().map(QuantityView::of).collect();
        map.serialize_entry("results", &results)?;
        let assumptions: Vec<_> = self
            .used()
            .map(|one| AssumptionView::of(one, &self.assumptions))
            .collect();
        map.serialize_entry("assumptions", &assumptions)?;
        map.serialize_entry("strategy", &self.assumptions.strategy)?;
        map.serialize_entry("machine", &self.is_of_our_machine().then_some(MACHINE))?;
        map.end()
    }
}

/// A section as an object of numbers.
struct Numbers<'a>(&'a Plan, Section);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for quantity in self.0.section(self.1) {
            map.serialize_entry(quantity.output.key(), &Number(quantity.value))?;
        }
        if self.1 == Section::Memory {
            map.serialize_entry("hot_sets", &self.0.hot_sets())?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct QuantityView<'a> {
    name: Output,
    value: Number,
    unit: Unit,
    text: String,
    formula: &'a str,
    calculation: &'a str,
    assumptions: &'a BTreeSet<Assumption>,
}

impl<'a> QuantityView<'a> {
    fn of(quantity: &'a Quantity) -> Self {
        let unit = quantity.output.unit();
        Self {
            name: quantity.output,
            value: Number(quantity.value),
            unit,
            text: unit.show(quantity.value),
            formula: &quantity.formula,
            calculation: &quantity.calculation,
            assumptions: &quantity.assumptions,
        }
    }
}

#[derive(Serialize)]
struct AssumptionView {
    name: Assumption,
    value: Number,
    unit: Unit,
    text: String,
    origin: Origin,
    basis: String,
}

impl AssumptionView {
    fn of(assumption: Assumption, all: &Assumptions) -> Self {
        let value = all.value(assumption).unwrap_or(f64::NAN);
        Self {
            name: assumption,
            value: Number(value),
            unit: assumption.unit(),
            text: assumption.unit().show(value),
            origin: all.origin(assumption),
            basis: basis(all, assumption),
        }
    }
}
