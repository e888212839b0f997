//! Ports for the servers of tests.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// A port below those that the system gives to whoever asks for any: nobody takes it while its server
/// is away, and no connection to it can meet itself. Kinds of servers have other spreads, so that they
/// begin at different places.
pub fn free_port(spread: u32) -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Test programs that run at the same time begin at different places.
        let place = std::process::id().wrapping_mul(spread).wrapping_add(step) % COUNT;
        let port = u16::try_from(FIRST + place).expect("below 32,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
