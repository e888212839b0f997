//! Reads a [`Plan`] as JSON from the standard input, does it, and writes the [`Report`] as JSON.

use tollgate_load::{Plan, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plan: Plan = serde_json::from_reader(std::io::stdin().lock())?;
    serde_json::to_writer(std::io::stdout().lock(), &run(&plan)?)?;
    println!();
    Ok(())
}
