//! The report, as Markdown.

use std::fmt::Write as _;

use tollgate_limit::{FixedWindow, SlidingCounter};

use crate::LIMIT;
use crate::compare::{Counting, Errors, Wrong, compare};
use crate::traffic::{self, Traffic};

const HEAD: &str = "\
# How accurate is the sliding counter?

Made by `UPDATE_ACCURACY=1 cargo test -p tollgate-limit --test accuracy`; the same test fails if a
figure below is not what the code does.

The sliding counter estimates the count of the last window from two fixed windows. Here every
decision of it is compared with that of an exact log on a virtual clock: limit 100 a minute, 30
minutes, 40 keys a trace unless it says otherwise, random but the same on every machine. Packed
load falls into a twentieth of the window.

- **wrong**: share of all requests that an exact log *of the same history* decides otherwise.
- **far wrong**: share of all requests decided wrong although the true count was a tenth of the limit
  or more away from it. A key whose demand is above its limit stays at the limit all the time, so
  that an estimate that is one unit off is already wrong; this column leaves those out.
- **false allow, false deny**: the same apart, for keys whose mean demand is within 20 % of the
  limit, as shares of their requests; a dash where there is no such key. There it matters: keys far
  from the limit are easily decided right and make every average look good.
- **rate difference**: mean relative difference of the estimated and the true count.
- **worst window**: the most admitted in any window of a minute, as a share of the limit. The bound
  is 200 %.
- **admitted**: units admitted in all, against an exact log that decides for itself.

For comparison, Cloudflare reported for its traffic in 2017 that 0.003 % of requests were decided
wrong and that rates differed by 6 % on average. Most of that traffic was far from any limit.
";

const READING: &str = "
## Reading it

- Random load is judged well: hardly a decision is far wrong, the total admitted is within a few
  per cent of the exact log, and keys far from their limit are never judged wrong. What is wrong are
  close calls of keys at their limit, off by a unit or a few.
- Load packed at the start of each window, as by jobs that run on the full minute, is remembered too
  long: about two fifths of it are refused although the demand is below the limit. Take `Gcra` or
  `SlidingLog` for such clients.
- Load packed at the end of a window is forgotten too early. Steady load after it passes nearly up
  to the bound, twice the limit.
- Waves as slow as the window, or slower, are misjudged often, in both directions.
- With attempts counted, a key well above its limit is refused nearly always, by the exact log as
  well, and leaves nothing to get wrong: so published figures of such counters look better, and so
  does the second table where demand is far above the limit. Near the limit they are no better.
  Limiters of this crate count what was admitted.
- The fixed window never refuses what it should admit, and passes up to twice the limit wherever
  load comes about its seam.
";

/// The whole report. Each table is a kind of limiter and of counting.
pub fn report() -> String {
    let all = traffic::all();
    let mut text = HEAD.to_owned();
    let counter =
        |counting| move |traffic: &Traffic| compare(traffic, counting, SlidingCounter::new);
    table(
        &mut text,
        "Sliding counter, counting what was admitted",
        &all,
        counter(Counting::Admitted),
    );
    table(
        &mut text,
        "Sliding counter, counting attempts",
        &all,
        counter(Counting::Attempts),
    );
    table(
        &mut text,
        "Fixed window, counting what was admitted, for comparison",
        &all,
        |traffic| compare(traffic, Counting::Admitted, FixedWindow::new),
    );
    text.push_str(READING);
    text
}

fn table(text: &mut String, title: &str, all: &[Traffic], compare: impl Fn(&Traffic) -> Errors) {
    let _ = writeln!(text, "\n## {title}\n");
    text.push_str(
        "| traffic | requests | wrong | far wrong | false allow | false deny | rate difference | worst window | admitted |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for traffic in all {
        let errors = compare(traffic);
        assert!(errors.worst_window <= 2 * LIMIT, "{}", traffic.name);
        let Wrong {
            requests,
            false_allow,
            false_deny,
            far,
        } = errors.all;
        let near = errors.near;
        let _ = writeln!(
            text,
            "| {} | {requests} | {} | {} | {} | {} | {:.1} % | {} % | {:+.1} % |",
            traffic.name,
            share(false_allow + false_deny, requests),
            share(far, requests),
            share(near.false_allow, near.requests),
            share(near.false_deny, near.requests),
            errors.mean_difference() * 100.0,
            errors.worst_window * 100 / LIMIT,
            (errors.admitted as f64 / errors.admitted_by_log as f64 - 1.0) * 100.0,
        );
    }
}

/// A percentage with three decimals; a dash of nothing.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    format!("{:.3} %", part as f64 / whole as f64 * 100.0)
}
