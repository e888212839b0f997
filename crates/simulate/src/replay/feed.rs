//! Logs merged by time, as requests that are ready to be decided.

use std::borrow::Cow;
use std::sync::Arc;

use tollgate_limit::attribute::{Attribute, cut};
use tollgate_limit::policy::{Descriptor, Entry, PolicySet};

use super::{BadLine, Formats, LinesReport, Options, ReplayError};
use crate::log::{Line, Log, Malformed, Parser, Request};

/// How much of a bad line is shown, in bytes.
const SHOWN: usize = 80;
/// More than most descriptors have entries.
const FEW: usize = 8;

/// A request that waits for its time.
pub(super) struct Pending {
    /// Since the Unix epoch.
    pub(super) nanos: i64,
    /// Whether that is more than the second.
    pub(super) exact: bool,
    pub(super) descriptors: Vec<Descriptor>,
    pub(super) good: bool,
}

pub(super) struct Feed<'o> {
    options: &'o Options,
    policies: Arc<PolicySet>,
    parser: Parser,
    logs: Vec<Ahead>,
    lines: u64,
    bad: u64,
    bad_lines: Vec<BadLine>,
    formats: Formats,
    late: u64,
    latest: i64,
    most_late: i64,
}

/// A log, and the next request of it.
struct Ahead {
    log: Log,
    next: Option<Pending>,
}

impl<'o> Feed<'o> {
    pub(super) fn new(
        logs: Vec<Log>,
        options: &'o Options,
        policies: Arc<PolicySet>,
    ) -> Result<Self, ReplayError> {
        let good = options.good.iter().filter_map(|good| good.attribute());
        let named = options.by.iter().flatten().chain(good);
        let fields = named.fold(
            options.fields.clone(),
            |fields, attribute| match attribute {
                Attribute::Header(name) => fields.with_header(name.as_str()),
                _ => fields,
            },
        );
        let mut feed = Self {
            options,
            policies,
            parser: Parser::new(fields),
            logs: Vec::with_capacity(logs.len()),
            lines: 0,
            bad: 0,
            bad_lines: Vec::new(),
            formats: Formats::new(),
            late: 0,
            latest: i64::MIN,
            most_late: 0,
        };
        for mut log in logs {
            let next = feed.read(&mut log)?;
            feed.logs.push(Ahead { log, next });
        }
        Ok(feed)
    }

    /// The earliest of the next requests of all logs.
    pub(super) fn next(&mut self) -> Result<Option<Pending>, ReplayError> {
        let logs = self.logs.iter().enumerate();
        let ahead = logs.filter_map(|(at, ahead)| Some((ahead.next.as_ref()?.nanos, at)));
        let Some((nanos, at)) = ahead.min() else {
            return Ok(None);
        };
        let mut ahead = self.logs.swap_remove(at);
        let pending = ahead.next.take();
        ahead.next = self.read(&mut ahead.log)?;
        // Back to its place, so that lines of one time keep the order of their logs.
        self.logs.push(ahead);
        let last = self.logs.len() - 1;
        self.logs.swap(at, last);
        if nanos < self.latest {
            self.late += 1;
            self.most_late = self.most_late.max(self.latest - nanos);
        }
        self.latest = self.latest.max(nanos);
        Ok(pending)
    }

    /// What was read so far.
    pub(super) fn lines(self) -> LinesReport {
        LinesReport {
            read: self.lines,
            formats: self.formats,
            late: self.late,
            most_late_ms: u64::try_from(self.most_late / 1_000_000).unwrap_or(0),
            bad: self.bad,
            bad_lines: self.bad_lines,
        }
    }

    fn read(&mut self, log: &mut Log) -> Result<Option<Pending>, ReplayError> {
        loop {
            let number = log.number() + 1;
            let line = match log.next_line() {
                Ok(None) => return Ok(None),
                Ok(Some(line)) => line,
                Err(source) => {
                    return Err(ReplayError::Read {
                        log: log.name().to_owned(),
                        line: number - 1,
                        source,
                    });
                }
            };
            let text = match line {
                Line::Whole(text) if text.trim_ascii().is_empty() => continue,
                Line::Whole(text) => text,
                Line::TooLong => &[],
            };
            self.lines += 1;
            let parsed = match line {
                Line::Whole(text) => self.parser.parse(text),
                Line::TooLong => Err(Malformed::TooLong),
            };
            let request = match parsed {
                Ok(request) => request,
                Err(why) => {
                    self.bad += 1;
                    if self.bad_lines.len() < self.options.bad_lines {
                        let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
                        let (text, reason) = (text.into_owned(), why.to_string());
                        self.bad_lines.push(BadLine {
                            log: log.name().to_owned(),
                            line: number,
                            reason,
                            text,
                        });
                    }
                    continue;
                }
            };
            *self.formats.entry(request.format).or_default() += 1;
            let value = |attribute: &Attribute| self.parser.value(&request, attribute);
            let by = self.options.by.iter();
            return Ok(Some(Pending {
                nanos: request.time.nanos,
                exact: request.time.exact,
                descriptors: by.filter_map(|by| self.descriptor(by, &request)).collect(),
                good: self.options.good.iter().any(|good| good.fits(value)),
            }));
        }
    }

    /// The descriptor of these attributes, as [`Attribute::descriptor`] has it; none if a value is missing, and none if
    /// no rule would count it, which is what most are.
    fn descriptor(&self, by: &[Attribute], request: &Request<'_>) -> Option<Descriptor> {
        let mut values = [const { Cow::Borrowed("") }; FEW];
        let Some(values) = values.get_mut(..by.len()) else {
            // Nobody counts by so many.
            let value =
                |attribute: &Attribute| Some(self.parser.value(request, attribute)?.into_owned());
            return Attribute::descriptor(by, value);
        };
        for (attribute, value) in by.iter().zip(values.iter_mut()) {
            *value = self.parser.value(request, attribute)?;
        }
        let pairs = || {
            by.iter()
                .zip(values.iter())
                .map(|(by, value)| (by.key(), cut(value)))
        };
        let entries = |(key, value): (&str, &str)| Entry::new(key, value);
        self.policies
            .has_rule(&self.options.domain, pairs())
            .then(|| Descriptor {
                entries: pairs().map(entries).collect(),
                ..Descriptor::default()
            })
    }
}
