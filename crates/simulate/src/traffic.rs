//! Made traffic: the times at which requests come, the same on every machine for the same seed.
//!
//! Load is a multiple of a limit: at 1, as many requests come in a window, on average, as the limit lets
//! through.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Packed load falls into this share of the window.
const PACKED: f64 = 0.05;

/// How the requests of one key come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// One after the other, at even distances, at this multiple of the limit.
    Even(f64),
    /// Independent requests at this mean multiple of the limit: a Poisson process.
    Steady(f64),
    /// Twice the load for half a period (in windows), nothing for the other half; the phase is
    /// random.
    Wave {
        /// The mean multiple of the limit.
        load: f64,
        /// The period, in windows.
        period: f64,
    },
    /// The load of each window within a twentieth of it.
    Packed {
        /// The mean multiple of the limit.
        load: f64,
        /// Where in the window.
        place: Place,
    },
    /// What a sliding counter takes worst: a whole limit in the last twentieth of one window, and
    /// another spread over the next, while the first is forgotten too early.
    Ambush,
}

/// Where in a window packed load falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Into its first twentieth.
    Start,
    /// Into its last twentieth.
    End,
    /// At the end of one window and the start of the next, so that two loads come as one.
    InTurn,
}

/// What times are measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Requests a window at a load of 1.
    pub limit: u64,
    /// The window, in nanoseconds.
    pub window: u64,
    /// How many windows there are.
    pub windows: u64,
}

/// A generator for the key of this number in the traffic of this name and seed: each key has a stream of its own, so
/// that one trace does not move when another does.
#[must_use]
pub fn generator(name: &str, seed: u64, key: u64) -> ChaCha8Rng {
    // FNV-1a, to tell the traces apart.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ChaCha8Rng::seed_from_u64(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key)
}

/// The times of the requests of one key, in nanoseconds, ascending.
#[must_use]
pub fn times(shape: Shape, scale: Scale, random: &mut ChaCha8Rng) -> Vec<u64> {
    let windows = scale.windows as f64;
    let limit = scale.limit as f64;
    let times: Vec<f64> = match shape {
        Shape::Even(load) => {
            let count = (load * limit * windows) as u64;
            (0..count)
                .map(|number| number as f64 / (load * limit))
                .collect()
        }
        Shape::Steady(load) => poisson(load * limit, windows, random),
        Shape::Wave { load, period } => {
            let phase = uniform(random) * period;
            // The time within the halves that are on, laid end to end, then spread out.
            let half = period / 2.0;
            let on = poisson(2.0 * load * limit, windows / 2.0, random).into_iter();
            on.map(|t| (t / half).floor() * half + t + phase).collect()
        }
        Shape::Packed { load, place } => {
            // The same, with a twentieth of each window on.
            let on = poisson(load / PACKED * limit, windows * PACKED, random).into_iter();
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
            let bursts = poisson(1.0 / PACKED * limit, pairs * PACKED, random).into_iter();
            let bursts = bursts.map(|t| {
                let pair = (t / PACKED).floor();
                pair * 2.0 + 1.0 - PACKED + (t - pair * PACKED)
            });
            let steady = poisson(limit, pairs, random).into_iter();
            let steady = steady.map(|t| t.floor() + 1.0 + t);
            let mut times: Vec<f64> = bursts.chain(steady).collect();
            times.sort_by(f64::total_cmp);
            times
        }
    };
    let nanos = times.into_iter().map(|t| (t * scale.window as f64) as u64);
    nanos.collect()
}

/// The times, in windows, of independent requests, so many a window.
fn poisson(rate: f64, windows: f64, random: &mut ChaCha8Rng) -> Vec<f64> {
    let mean = 1.0 / rate;
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
pub(crate) fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale {
        limit: 100,
        window: 60_000_000_000,
        windows: 40,
    };

    #[test]
    fn traffic_has_its_load_and_comes_in_order() {
        let (load, place) = (0.8, Place::InTurn);
        for shape in [
            Shape::Even(load),
            Shape::Steady(load),
            Shape::Wave { load, period: 1.5 },
            Shape::Packed { load, place },
            Shape::Packed {
                load,
                place: Place::Start,
            },
        ] {
            let made = times(shape, SCALE, &mut generator("test", 1, 0));
            assert!(made.is_sorted(), "{shape:?}");
            let share = made.len() as f64 / 3_200.0;
            assert!((0.9..1.1).contains(&share), "{shape:?}: {share}");
        }
    }

    #[test]
    fn a_seed_makes_the_same_traffic_and_another_seed_other_traffic() {
        let made = |seed, key| times(Shape::Steady(1.0), SCALE, &mut generator("test", seed, key));
        assert_eq!(made(1, 2), made(1, 2));
        assert_ne!(made(1, 2), made(2, 2));
        assert_ne!(made(1, 2), made(1, 3));
    }

    #[test]
    fn packed_traffic_keeps_to_its_place() {
        let place = Place::End;
        let shape = Shape::Packed { load: 1.0, place };
        let made = times(shape, SCALE, &mut generator("test", 1, 0));
        let window = SCALE.window;
        assert!(made.iter().all(|time| time % window >= window / 20 * 19));
    }
}
