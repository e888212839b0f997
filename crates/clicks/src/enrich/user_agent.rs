//! Browser, operating system and kind of device, by the lists that others keep (`data/README.md`).

use std::sync::{Arc, LazyLock};

use aho_corasick::AhoCorasick;
use moka::sync::Cache;
use smol_str::SmolStr;
use ua_parser::{Regexes, os, user_agent};

use crate::Snippet;
use crate::enriched::cut;

const USER_AGENTS: &str = include_str!("../../data/user-agents.json");
const CRAWLERS: &str = include_str!("../../data/crawlers.txt");

/// User agents whose answer is remembered: most clicks have one of a few.
const REMEMBERED: u64 = 20_000;

/// What a user agent tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// The family of the browser.
    pub(super) browser: Option<SmolStr>,
    /// The family of the operating system.
    pub(super) os: Option<SmolStr>,
    /// The kind of device.
    pub(super) device: Option<&'static str>,
    /// Whether it is a program.
    pub(super) bot: bool,
}

struct Patterns {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
    crawlers: regex_filtered::Regexes,
    words: AhoCorasick,
}

#[expect(
    clippy::expect_used,
    reason = "the lists are constants, and tests read them"
)]
static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regexes: Regexes<'static> =
        serde_json::from_str(USER_AGENTS).expect("the list of user agents is JSON");
    let mut browsers = user_agent::Builder::new();
    for parser in regexes.user_agent_parsers {
        browsers = browsers
            .push(parser)
            .expect("patterns of browsers are right");
    }
    let mut systems = os::Builder::new();
    for parser in regexes.os_parsers {
        systems = systems.push(parser).expect("patterns of systems are right");
    }
    let crawlers = regex_filtered::Builder::new_atom_len(3)
        .push_all(CRAWLERS.lines())
        .expect("patterns of crawlers are right");
    Patterns {
        browsers: browsers.build().expect("patterns of browsers fit"),
        systems: systems.build().expect("patterns of systems fit"),
        crawlers: crawlers.build().expect("patterns of crawlers fit"),
        words: AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(WORDS.map(|(word, _)| word))
            .expect("a few words fit an automaton"),
    }
});

/// What a word tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Of programs that are in no list yet.
    Bot,
    /// A brand of phones that would be one.
    Cubot,
    Tv,
    Console,
    Watch,
    Tablet,
    /// Its user agent may name `iPhone OS` as its system.
    Ipad,
    /// A phone, unless it is a tablet.
    Mobile,
    Iphone,
    Android,
    Windows,
    Desktop,
}

const WORDS: [(&str, Sign); 56] = [
    ("cubot", Sign::Cubot),
    ("bot", Sign::Bot),
    ("crawl", Sign::Bot),
    ("spider", Sign::Bot),
    ("headless", Sign::Bot),
    ("scraper", Sign::Bot),
    ("smarttv", Sign::Tv),
    ("smart-tv", Sign::Tv),
    ("smart tv", Sign::Tv),
    ("hbbtv", Sign::Tv),
    ("googletv", Sign::Tv),
    ("google tv", Sign::Tv),
    ("android tv", Sign::Tv),
    ("appletv", Sign::Tv),
    ("apple tv", Sign::Tv),
    ("tvos", Sign::Tv),
    ("webtv", Sign::Tv),
    ("bravia", Sign::Tv),
    ("roku", Sign::Tv),
    ("crkey", Sign::Tv),
    ("aftt", Sign::Tv),
    ("web0s", Sign::Tv),
    ("netcast", Sign::Tv),
    ("viera", Sign::Tv),
    ("playstation", Sign::Console),
    ("xbox", Sign::Console),
    ("nintendo", Sign::Console),
    ("watchos", Sign::Watch),
    ("apple watch", Sign::Watch),
    ("ipad", Sign::Ipad),
    ("tablet", Sign::Tablet),
    ("kindle", Sign::Tablet),
    ("silk/", Sign::Tablet),
    ("playbook", Sign::Tablet),
    ("iphone", Sign::Iphone),
    ("ipod", Sign::Iphone),
    ("windows phone", Sign::Iphone),
    ("mobi", Sign::Mobile),
    ("opera mini", Sign::Mobile),
    ("blackberry", Sign::Mobile),
    ("bb10", Sign::Mobile),
    ("symbian", Sign::Mobile),
    ("series40", Sign::Mobile),
    ("series60", Sign::Mobile),
    ("android", Sign::Android),
    ("windows", Sign::Windows),
    ("macintosh", Sign::Desktop),
    ("mac_powerpc", Sign::Desktop),
    ("macbook", Sign::Desktop),
    ("macmini", Sign::Desktop),
    ("x11;", Sign::Desktop),
    ("linux", Sign::Desktop),
    ("cros ", Sign::Desktop),
    ("freebsd", Sign::Desktop),
    ("netbsd", Sign::Desktop),
    ("openbsd", Sign::Desktop),
];

/// Reads user agents, and remembers those it has read.
pub(super) struct UserAgents {
    remembered: Cache<Snippet, Arc<Agent>>,
}

impl UserAgents {
    /// Builds the patterns, which takes some tens of milliseconds once in a process.
    pub(super) fn new() -> Self {
        LazyLock::force(&PATTERNS);
        Self {
            remembered: Cache::builder().max_capacity(REMEMBERED).build(),
        }
    }

    /// What a user agent tells.
    pub(super) fn read(&self, header: &Snippet) -> Arc<Agent> {
        if let Some(agent) = self.remembered.get(header) {
            return agent;
        }
        let agent = Arc::new(read(header.as_str()));
        self.remembered.insert(header.clone(), Arc::clone(&agent));
        agent
    }
}

/// The lists' own word for what they do not know.
const UNKNOWN: &str = "Other";

fn read(header: &str) -> Agent {
    let known = |family: &str| (family != UNKNOWN).then(|| cut(family));
    let signs: Vec<Sign> = PATTERNS
        .words
        .find_overlapping_iter(header)
        .filter_map(|found| Some(WORDS.get(found.pattern().as_usize())?.1))
        .collect();
    let count = |sign: Sign| signs.iter().filter(|its| **its == sign).count();
    // Each `cubot` holds one `bot` that is none.
    let bot = count(Sign::Bot) > count(Sign::Cubot) || PATTERNS.crawlers.is_match(header);
    Agent {
        browser: PATTERNS
            .browsers
            .extract(header)
            .and_then(|found| known(&found.family)),
        os: PATTERNS
            .systems
            .extract(header)
            .and_then(|found| known(&found.os)),
        device: device(bot, |sign| count(sign) > 0),
        bot,
    }
}

fn device(bot: bool, shows: impl Fn(Sign) -> bool) -> Option<&'static str> {
    Some(if bot {
        "bot"
    } else if shows(Sign::Tv) {
        "tv"
    } else if shows(Sign::Console) {
        "console"
    } else if shows(Sign::Watch) {
        "watch"
    } else if shows(Sign::Ipad) {
        "tablet"
    } else if shows(Sign::Iphone) {
        "mobile"
    // Windows computers may say `Tablet PC`, and Android's tablets leave `Mobile` out.
    } else if (shows(Sign::Tablet) && !shows(Sign::Windows))
        || (shows(Sign::Android) && !shows(Sign::Mobile))
    {
        "tablet"
    } else if shows(Sign::Mobile) {
        "mobile"
    } else if shows(Sign::Windows) || shows(Sign::Desktop) {
        "desktop"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_systems_and_devices() {
        let cases = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
                "Chrome",
                "Windows",
                "desktop",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
                "Edge",
                "Windows",
                "desktop",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                "Safari",
                "Mac OS X",
                "desktop",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                "Mobile Safari",
                "iOS",
                "mobile",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
                "Mobile Safari",
                "iOS",
                "tablet",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
                "Chrome Mobile",
                "Android",
                "mobile",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Safari/537.36",
                "Samsung Internet",
                "Android",
                "tablet",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; CUBOT_X70) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
                "Chrome Mobile",
                "Android",
                "mobile",
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox",
                "Ubuntu",
                "desktop",
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
                "Chrome",
                "Chrome OS",
                "desktop",
            ),
            (
                "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36",
                "Chrome",
                "Web0S",
                "tv",
            ),
            (
                "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605.1.15",
                "Safari",
                "",
                "console",
            ),
            (
                "Mozilla/5.0 (iPad; CPU iPhone OS 8_3 like Mac OS X) AppleWebKit/600.1.4 (KHTML, like Gecko) FxiOS/1.0 Mobile/12F69 Safari/600.1.4",
                "Firefox iOS",
                "iOS",
                "tablet",
            ),
            (
                "Viafree-tvOS-DK/3.7.1 (com.MTGx.ViaFree.dk; build:7341; tvOS 12.1.0) Alamofire/4.7.0",
                "ViaFree",
                "tvOS",
                "tv",
            ),
            (
                "Mozilla/5.0 (Series40; NokiaC2-03/07.48; Profile/MIDP-2.1 Configuration/CLDC-1.1) Gecko/20100401 S40OviBrowser/2.2.0.0.33",
                "Ovi Browser",
                "Nokia Series 40",
                "mobile",
            ),
            (
                "Mozilla/5.0 (NetBSD 1.6.2; U) [en]",
                "",
                "NetBSD",
                "desktop",
            ),
        ];
        let mut wrong = Vec::new();
        for (header, browser, os, device) in cases {
            let agent = read(header);
            let found = (
                agent.browser.as_deref(),
                agent.os.as_deref(),
                agent.device,
                agent.bot,
            );
            let device = Some(device);
            let families = (found.0.unwrap_or_default(), found.1.unwrap_or_default());
            if families != (browser, os) || (found.2, found.3) != (device, false) {
                wrong.push((header, format!("{found:?}")));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn programs_are_known_by_the_list_or_by_what_they_call_themselves() {
        for header in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "WhatsApp/2.23.20.0",
            "curl/8.5.0",
            "python-requests/2.32.3",
            "Go-http-client/2.0",
            "SomethingNewBot/0.1",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36",
        ] {
            let agent = read(header);
            assert!(agent.bot && agent.device == Some("bot"), "{header}");
        }
    }

    #[test]
    fn what_nobody_knows_is_unknown_and_remembered() {
        let agents = UserAgents::new();
        let header = Snippet::of(b"\xff\xfe~~~", 100).unwrap();
        let first = agents.read(&header);
        assert_eq!(
            (&first.browser, &first.os, first.device),
            (&None, &None, None)
        );
        assert!(Arc::ptr_eq(&first, &agents.read(&header)));
    }
}
