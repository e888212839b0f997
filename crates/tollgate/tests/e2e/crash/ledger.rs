//! What has been sent and answered, and so what may be in the files.

use std::collections::{HashMap, HashSet};
use std::fmt;

use std::sync::Mutex;

/// What a link may lead to; absent: there may be none of this code.
type States = Vec<Option<String>>;

/// Everything that was sent to the servers of one directory. A link has one possible state when its last change was
/// answered, and two while it was not: the old one and the new one.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) links: HashMap<String, States>,
    /// Each is sent with one link only, so one that is there twice is a link that was made twice.
    pub(super) sent: HashSet<String>,
    /// Codes of links of which nobody else sends a change meanwhile.
    editable: Vec<String>,
    /// Links sent with an idempotency key, and the code if there was an answer.
    tokens: Vec<Token>,
    /// Identifiers of keys, and whether they may be revoked: no, yes, or not answered.
    pub(super) keys: HashMap<String, Vec<bool>>,
    /// Clicks of the link with `max_clicks`: how many were answered with a redirect, and how many not at all.
    pub(super) clicks: (u64, u64),
    /// What a limit let pass since its counter began.
    passed: u64,
    most_passed: u64,
    /// Links, and edits and deletions, that were answered.
    pub(super) answered: (usize, usize),
    /// Codes that were given to two links.
    pub(super) given_twice: usize,
    /// Answers to a repeated idempotency key that named another link.
    pub(super) token_answers: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) key: String,
    pub(super) url: String,
    pub(super) code: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict {
    pub(super) links: usize,
    pub(super) changes: usize,
    pub(super) inspections: usize,
    pub(super) lost: usize,
    pub(super) undone: usize,
    pub(super) foreign: usize,
    pub(super) duplicates: usize,
    pub(super) damaged: Vec<String>,
    pub(super) keys_wrong: usize,
    pub(super) clicks_wrong: usize,
    pub(super) most_passed: u64,
    pub(super) limit: u64,
    visits: usize,
    visits_wrong: usize,
}

impl Ledger {
    pub(super) fn new(not_ours: &[&str]) -> Self {
        let ledger = Self::default();
        for code in not_ours {
            let mut books = ledger.0.lock().unwrap();
            books.links.insert((*code).to_owned(), Vec::new());
        }
        ledger
    }

    /// All of it, for as long as it is looked at.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Books) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// A link will be sent.
    pub(super) fn send(&self, url: &str) {
        self.with(|books| books.sent.insert(url.to_owned()));
    }

    /// A link was answered.
    pub(super) fn made(&self, code: &str, url: &str) {
        self.with(|books| {
            let state = vec![Some(url.to_owned())];
            let before = books.links.insert(code.to_owned(), state);
            let is_new = before.is_none_or(|states| {
                states.contains(&None) || states.contains(&Some(url.to_owned()))
            });
            books.given_twice += usize::from(!is_new);
            books.answered.0 += 1;
            books.editable.push(code.to_owned());
        });
    }

    /// A link under an alias will be sent.
    pub(super) fn send_alias(&self, code: &str, url: &str) {
        self.with(|books| {
            books.sent.insert(url.to_owned());
            let states = vec![None, Some(url.to_owned())];
            books.links.insert(code.to_owned(), states);
        });
    }

    /// A link that nobody else changes until it is given back.
    pub(super) fn take(&self, at: usize) -> Option<String> {
        self.with(|books| {
            let count = books.editable.len();
            (count > 0).then(|| books.editable.swap_remove(at % count))
        })
    }

    /// A link will be changed to this.
    pub(super) fn change(&self, code: &str, to: Option<&str>) {
        self.with(|books| {
            books.sent.extend(to.map(str::to_owned));
            let states = books.links.get_mut(code).expect("a link of ours");
            states.push(to.map(str::to_owned));
        });
    }

    /// That was answered.
    pub(super) fn changed(&self, code: &str, to: Option<&str>) {
        self.with(|books| {
            books
                .links
                .insert(code.to_owned(), vec![to.map(str::to_owned)]);
            books.answered.1 += 1;
            if to.is_some() {
                books.editable.push(code.to_owned());
            }
        });
    }

    /// A link was sent with a key; it may be sent again.
    pub(super) fn keep_token(&self, token: Token) {
        self.with(|books| books.tokens.push(token));
    }

    pub(super) fn some_token(&self, at: usize) -> Option<Token> {
        self.with(|books| {
            let count = books.tokens.len();
            (count > 0).then(|| books.tokens.swap_remove(at % count))
        })
    }

    pub(super) fn passed(&self) {
        self.with(|books| {
            books.passed += 1;
            books.most_passed = books.most_passed.max(books.passed);
        });
    }

    /// What is in memory alone is gone.
    pub(super) fn limits_begin_anew(&self) {
        self.with(|books| books.passed = 0);
    }

    pub(super) fn most_passed(&self) -> u64 {
        self.with(|books| books.most_passed)
    }

    /// Some links, and where they have to lead.
    pub(super) fn sample(&self, most: usize) -> Vec<(String, Option<String>)> {
        self.with(|books| {
            let certain = books.links.iter().filter(|(_, states)| states.len() == 1);
            certain
                .map(|(code, states)| (code.clone(), states[0].clone()))
                .take(most)
                .collect()
        })
    }
}

impl Verdict {
    pub(super) fn visited(&mut self, is_right: bool) {
        self.visits += 1;
        self.visits_wrong += usize::from(!is_right);
    }

    pub(super) fn failures(&self) -> usize {
        self.lost
            + self.undone
            + self.foreign
            + self.duplicates
            + self.damaged.len()
            + self.keys_wrong
            + self.clicks_wrong
            + self.visits_wrong
            + usize::from(self.most_passed > self.limit)
    }

    #[track_caller]
    pub(super) fn check(&self) {
        assert!(
            self.inspections > 0 && self.links > 0 && self.changes > 0,
            "{self}"
        );
        assert_eq!(self.failures(), 0, "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} links and {} edits and deletions answered; files looked through {} times",
            self.links, self.changes, self.inspections
        )?;
        writeln!(
            f,
            "links lost: {}, changes undone: {}, links that nobody sent: {}, codes or tokens used twice: {}, \
             files damaged: {:?}",
            self.lost, self.undone, self.foreign, self.duplicates, self.damaged
        )?;
        write!(
            f,
            "keys lost or revoked in vain: {}, counts of max_clicks wrong: {}, of a limit of {} passed at most: {}, \
             visits afterwards: {}, of them wrong: {}",
            self.keys_wrong,
            self.clicks_wrong,
            self.limit,
            self.most_passed,
            self.visits,
            self.visits_wrong
        )
    }
}
