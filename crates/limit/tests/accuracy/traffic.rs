//! Traffic that is the same on every machine: for each key, the times of its requests.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

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
/// Packed load falls into this share of the window.
const PACKED: f64 = 0.05;

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

#[derive(Clone, Copy)]
enum Shape {
    /// Independent requests at this mean multiple of the limit.
    Steady(f64),
    /// Twice the load for half a period (in windows), nothing for the other half; the phase is
    /// random.
    Wave { load: f64, period: f64 },
    /// The load of each window within a twentieth of it.
    Packed { load: f64, place: Place },
    /// What a sliding counter takes worst: a whole limit in the last twentieth of one window, and
    /// another spread over the next, while the first is forgotten too early.
    Ambush,
}

#[derive(Clone, Copy)]
enum Place {
    Start,
    End,
    /// At the end of one window and the start of the next, so that two loads come as one.
    InTurn,
}

fn each_key(name: &'static str, keys: u64, shape: impl Fn(u64) -> Shape) -> Traffic {
    let keys = (0..keys)
        .map(|key| {
            // Each key has a stream of its own, so that one trace does not move when another does.
            let mut random = ChaCha8Rng::seed_from_u64(seed(name) ^ key);
            requests(shape(key), &mut random)
        })
        .collect();
    Traffic { name, keys }
}

/// FNV-1a, to tell the traces apart.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn requests(shape: Shape, random: &mut ChaCha8Rng) -> Vec<u64> {
    let windows = WINDOWS as f64;
    let times: Vec<f64> = match shape {
        Shape::Steady(load) => poisson(load, windows, random),
        Shape::Wave { load, period } => {
            let phase = uniform(random) * period;
            // The time within the halves that are on, laid end to end, then spread out.
            let half = period / 2.0;
            let on = poisson(2.0 * load, windows / 2.0, random).into_iter();
            on.map(|t| (t / half).floor() * half + t + phase).collect()
        }
        Shape::Packed { load, place } => {
            // The same, with a twentieth of each window on.
            let on = poisson(load / PACKED, windows * PACKED, random).into_iter();
            on.map(|t| {
                let window = (t / PACKED).floor();
                let at_end = match place {
                    Place::Start => false,
                    Place::End => true,
                    Place::InTurn => window % 2.0 == 0.0,
                };
                let start = if at_end { 1.0 - PACKED } else { 0.0 };
                window + start + (t - window * PACKED)
            })
            .collect()
        }
        Shape::Ambush => {
            let pairs = windows / 2.0;
            let bursts = poisson(1.0 / PACKED, pairs * PACKED, random).into_iter();
            let bursts = bursts.map(|t| {
                let pair = (t / PACKED).floor();
                pair * 2.0 + 1.0 - PACKED + (t - pair * PACKED)
            });
            let steady = poisson(1.0, pairs, random).into_iter();
            let steady = steady.map(|t| t.floor() + 1.0 + t);
            let mut times: Vec<f64> = bursts.chain(steady).collect();
            times.sort_by(f64::total_cmp);
            times
        }
    };
    times
        .into_iter()
        .map(|t| (t * WINDOW as f64) as u64)
        .collect()
}

/// The times, in windows, of independent requests at `load` limits a window.
fn poisson(load: f64, windows: f64, random: &mut ChaCha8Rng) -> Vec<f64> {
    let mean = 1.0 / (load * LIMIT as f64);
    let mut times = Vec::new();
    let mut now = 0.0;
    loop {
        // The logarithm of the standard library may differ in its last bit between systems.
        now -= mean * libm::log(1.0 - uniform(random));
        if now >= windows {
            return times;
        }
        times.push(now);
    }
}

/// Evenly in [0, 1), in steps of 2^-53.
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
