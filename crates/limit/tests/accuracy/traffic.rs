//! Traffic that is the same on every machine: for each key, the times of its requests.

use tollgate_simulate::traffic::{Place, Scale, Shape, generator, times};

use crate::{LIMIT, WINDOW};

/// The traffic of a trace: what it is, and the times of the requests of each key in nanoseconds,
/// ascending.
pub struct Traffic {
    pub name: &'static str,
    pub keys: Vec<Vec<u64>>,
}

/// How many windows a trace lasts.
pub const WINDOWS: u64 = 30;
const KEYS: u64 = 40;

/// All traces of the report.
pub fn all() -> Vec<Traffic> {
    let steady = |name, load| each_key(name, KEYS, move |_| Shape::Steady(load));
    let wave = |name, load, period| each_key(name, KEYS, move |_| Shape::Wave { load, period });
    let packed = |name, load, place| each_key(name, KEYS, move |_| Shape::Packed { load, place });
    vec![
        steady("Poisson, 0.5 × limit", 0.5),
        steady("Poisson, 0.9 × limit", 0.9),
        steady("Poisson, 1.0 × limit", 1.0),
        steady("Poisson, 1.1 × limit", 1.1),
        steady("Poisson, 2.0 × limit", 2.0),
        // The key of rank n asks an n-th of the first: in the first of these traces the twentieth
        // asks just its limit, in the second the second; most ask hardly anything.
        each_key("Zipf, 3,000 keys, first 20 × limit", 3_000, |rank| {
            Shape::Steady(20.0 / (rank + 1) as f64)
        }),
        each_key("Zipf, 3,000 keys, first 2 × limit", 3_000, |rank| {
            Shape::Steady(2.0 / (rank + 1) as f64)
        }),
        wave("square wave, 1.0 × limit, period 1/4 window", 1.0, 0.25),
        wave("square wave, 1.0 × limit, period 1 window", 1.0, 1.0),
        wave("square wave, 1.0 × limit, period 1.5 windows", 1.0, 1.5),
        wave("square wave, 1.0 × limit, period 4 windows", 1.0, 4.0),
        packed("packed at the start, 0.9 × limit", 0.9, Place::Start),
        packed("packed at the start, 1.1 × limit", 1.1, Place::Start),
        packed("packed at the end, 0.9 × limit", 0.9, Place::End),
        packed("packed at the end, 1.1 × limit", 1.1, Place::End),
        packed(
            "packed at end and start in turn, 0.9 × limit",
            0.9,
            Place::InTurn,
        ),
        packed(
            "packed at end and start in turn, 1.1 × limit",
            1.1,
            Place::InTurn,
        ),
        each_key("packed at the end, then steady, 1.0 × limit", KEYS, |_| {
            Shape::Ambush
        }),
    ]
}

fn each_key(name: &'static str, keys: u64, shape: impl Fn(u64) -> Shape) -> Traffic {
    let scale = Scale {
        limit: LIMIT,
        window: WINDOW,
        windows: WINDOWS,
    };
    let keys = (0..keys).map(|key| times(shape(key), scale, &mut generator(name, 0, key)));
    Traffic {
        name,
        keys: keys.collect(),
    }
}
