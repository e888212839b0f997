//! Formulas: written once, they are computed, shown with names, and shown with numbers.

use std::collections::BTreeSet;
use std::ops::{Add, Div, Mul, Sub};

use crate::assumption::Assumption;
use crate::output::Output;

/// A formula. Public only because operators of public types answer it; the module is not.
#[derive(Debug, Clone)]
pub enum Expression {
    Assumption(Assumption),
    Output(Output),
    /// A number, and how it is written.
    Constant(f64, &'static str),
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// The next whole number.
    Ceil(Box<Expression>),
    Max(Box<Expression>, Box<Expression>),
    Power(Box<Expression>, Box<Expression>),
    Root(Box<Expression>),
    /// The odds that something happens that is expected so many times.
    Odds(Box<Expression>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Add,
    Sub,
    Mul,
    Div,
}

/// What a formula is computed with.
pub(crate) trait Values {
    fn assumption(&self, assumption: Assumption) -> f64;
    fn output(&self, output: Output) -> f64;
    /// What a result was computed from, all the way down.
    fn used(&self, output: Output) -> &BTreeSet<Assumption>;
}

/// How strongly a part binds; what binds less than its surroundings has parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Sum,
    Product,
    Atom,
}

/// Sums and products are a little off, which must not cost a machine: 1 - 0.99 is more than 0.01.
const TOLERANCE: f64 = 1e-9;

impl Expression {
    pub(crate) fn ceil(self) -> Self {
        Self::Ceil(Box::new(self))
    }

    pub(crate) fn max(self, other: impl Into<Self>) -> Self {
        Self::Max(Box::new(self), Box::new(other.into()))
    }

    pub(crate) fn power(self, exponent: impl Into<Self>) -> Self {
        Self::Power(Box::new(self), Box::new(exponent.into()))
    }

    pub(crate) fn root(self) -> Self {
        Self::Root(Box::new(self))
    }

    pub(crate) fn odds(self) -> Self {
        Self::Odds(Box::new(self))
    }

    pub(crate) fn value(&self, values: &impl Values) -> f64 {
        match self {
            Self::Assumption(assumption) => values.assumption(*assumption),
            Self::Output(output) => values.output(*output),
            Self::Constant(value, _) => *value,
            Self::Binary(operator, left, right) => {
                let (left, right) = (left.value(values), right.value(values));
                match operator {
                    Operator::Add => left + right,
                    Operator::Sub => left - right,
                    Operator::Mul => left * right,
                    Operator::Div => left / right,
                }
            }
            Self::Ceil(inner) => {
                let value = inner.value(values);
                (value - value.abs() * TOLERANCE).ceil()
            }
            Self::Max(left, right) => left.value(values).max(right.value(values)),
            Self::Power(base, exponent) => base.value(values).powf(exponent.value(values)),
            Self::Root(inner) => inner.value(values).sqrt(),
            // Exact also where the odds are tiny.
            Self::Odds(inner) => -(-inner.value(values).max(0.0)).exp_m1(),
        }
    }

    /// With names.
    pub(crate) fn formula(&self) -> String {
        self.write(None)
    }

    /// With numbers.
    pub(crate) fn calculation(&self, values: &impl Values) -> String {
        self.write(Some(values))
    }

    /// The assumptions in it, and those that the results in it were computed from.
    pub(crate) fn used(&self, values: &impl Values) -> BTreeSet<Assumption> {
        match self {
            Self::Assumption(assumption) => BTreeSet::from([*assumption]),
            Self::Output(output) => values.used(*output).clone(),
            Self::Constant(..) => BTreeSet::new(),
            Self::Binary(_, left, right) | Self::Max(left, right) | Self::Power(left, right) => {
                let mut used = left.used(values);
                used.extend(right.used(values));
                used
            }
            Self::Ceil(inner) | Self::Root(inner) | Self::Odds(inner) => inner.used(values),
        }
    }

    fn binding(&self) -> Binding {
        match self {
            Self::Binary(Operator::Add | Operator::Sub, ..) | Self::Odds(_) => Binding::Sum,
            Self::Binary(..) => Binding::Product,
            _ => Binding::Atom,
        }
    }

    /// Writes it with values, or else with names.
    fn write(&self, values: Option<&dyn Values>) -> String {
        let within = |part: &Self, least: Binding| {
            let text = part.write(values);
            if part.binding() < least {
                format!("({text})")
            } else {
                text
            }
        };
        match self {
            Self::Binary(operator, left, right) => {
                let (sign, left_least, right_least) = match operator {
                    Operator::Add => ("+", Binding::Sum, Binding::Sum),
                    Operator::Sub => ("−", Binding::Sum, Binding::Product),
                    Operator::Mul => ("×", Binding::Product, Binding::Product),
                    Operator::Div => ("÷", Binding::Product, Binding::Atom),
                };
                // a × (b ÷ c) needs none either, and looks better without.
                format!(
                    "{} {sign} {}",
                    within(left, left_least),
                    within(right, right_least)
                )
            }
            Self::Ceil(inner) => format!("ceil({})", inner.write(values)),
            Self::Max(left, right) => {
                format!("max({}, {})", left.write(values), right.write(values))
            }
            Self::Power(base, exponent) => {
                let (base, exponent) =
                    (within(base, Binding::Atom), within(exponent, Binding::Atom));
                format!("{base} ^ {exponent}")
            }
            Self::Root(inner) => format!("sqrt({})", inner.write(values)),
            Self::Odds(inner) => format!("1 − e ^ −({})", inner.write(values)),
            Self::Assumption(one) => values.map_or_else(
                || one.name().to_owned(),
                |values| one.unit().show_in_formula(values.assumption(*one)),
            ),
            Self::Output(one) => values.map_or_else(
                || one.name().to_owned(),
                |values| one.unit().show_in_formula(values.output(*one)),
            ),
            Self::Constant(_, text) => (*text).to_owned(),
        }
    }
}

impl From<Assumption> for Expression {
    fn from(assumption: Assumption) -> Self {
        Self::Assumption(assumption)
    }
}

impl From<Output> for Expression {
    fn from(output: Output) -> Self {
        Self::Output(output)
    }
}

fn binary(
    operator: Operator,
    left: impl Into<Expression>,
    right: impl Into<Expression>,
) -> Expression {
    Expression::Binary(operator, Box::new(left.into()), Box::new(right.into()))
}

macro_rules! operators {
    ($($left:ty),*) => {$(
        impl<R: Into<Expression>> Add<R> for $left {
            type Output = Expression;
            fn add(self, right: R) -> Expression {
                binary(Operator::Add, self, right)
            }
        }
        impl<R: Into<Expression>> Sub<R> for $left {
            type Output = Expression;
            fn sub(self, right: R) -> Expression {
                binary(Operator::Sub, self, right)
            }
        }
        impl<R: Into<Expression>> Mul<R> for $left {
            type Output = Expression;
            fn mul(self, right: R) -> Expression {
                binary(Operator::Mul, self, right)
            }
        }
        impl<R: Into<Expression>> Div<R> for $left {
            type Output = Expression;
            fn div(self, right: R) -> Expression {
                binary(Operator::Div, self, right)
            }
        }
    )*};
}

operators!(Expression, Assumption, Output);

#[cfg(test)]
mod tests {
    use super::*;

    struct Some_;

    impl Values for Some_ {
        fn assumption(&self, assumption: Assumption) -> f64 {
            assumption.default().unwrap()
        }
        fn output(&self, _: Output) -> f64 {
            60_000.0
        }
        fn used(&self, _: Output) -> &BTreeSet<Assumption> {
            const { &BTreeSet::new() }
        }
    }

    const ONE: Expression = Expression::Constant(1.0, "1");

    #[test]
    fn parentheses_stand_where_they_are_needed() {
        let (a, b) = (Assumption::HitRate, Assumption::Peak);
        for (formula, text) in [
            ((ONE - a) * b, "(1 − hit_rate) × peak"),
            (ONE - a * b, "1 − hit_rate × peak"),
            (ONE - (ONE - a), "1 − (1 − hit_rate)"),
            (ONE / (a * b), "1 ÷ (hit_rate × peak)"),
            (ONE / a / b, "1 ÷ hit_rate ÷ peak"),
            ((a * b).ceil(), "ceil(hit_rate × peak)"),
            ((a + b).power(b), "(hit_rate + peak) ^ peak"),
            ((a * b).odds(), "1 − e ^ −(hit_rate × peak)"),
            ((a * b).max(b), "max(hit_rate × peak, peak)"),
        ] {
            assert_eq!(formula.formula(), text);
        }
    }

    #[test]
    fn numbers_take_the_place_of_names() {
        let formula = Output::PeakReadsPerSecond * (ONE - Assumption::HitRate);
        assert_eq!(formula.calculation(&Some_), "60,000/s × (1 − 0.9)");
        assert_eq!(formula.used(&Some_), BTreeSet::from([Assumption::HitRate]));
    }

    #[test]
    fn a_rounding_error_is_no_machine() {
        let ten = Expression::Constant(0.99, "0.99");
        let machines =
            (Output::PeakReadsPerSecond * (ONE - ten) / Expression::Constant(100.0, "100")).ceil();
        assert_eq!(machines.value(&Some_), 6.0);
    }
}
