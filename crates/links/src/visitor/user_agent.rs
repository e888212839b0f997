//! Device and operating system by words in the `User-Agent` header. Coarse on purpose: rules name
//! four devices and six systems, and a database of all browsers would cost megabytes and a
//! millisecond to tell them apart no better.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::{Device, Os};

/// Bytes of the header that are read; what matters stands at the front.
const MAX_BYTES: usize = 1_024;

/// What a word tells.
#[derive(Clone, Copy)]
#[repr(u16)]
enum Sign {
    Bot = 1,
    /// Holds `bot` and is none: a brand of phones.
    Cubot = 1 << 1,
    Mobile = 1 << 2,
    Tablet = 1 << 3,
    Ipad = 1 << 4,
    Iphone = 1 << 5,
    Android = 1 << 6,
    WindowsPhone = 1 << 7,
    Windows = 1 << 8,
    Mac = 1 << 9,
    ChromeOs = 1 << 10,
    Linux = 1 << 11,
    /// There is a header at all.
    Present = 1 << 12,
}

const WORDS: [(&str, Sign); 61] = [
    ("cubot", Sign::Cubot),
    ("bot", Sign::Bot),
    ("crawl", Sign::Bot),
    ("spider", Sign::Bot),
    ("slurp", Sign::Bot),
    ("scrapy", Sign::Bot),
    ("fetcher", Sign::Bot),
    ("preview", Sign::Bot),
    ("monitor", Sign::Bot),
    ("pingdom", Sign::Bot),
    ("lighthouse", Sign::Bot),
    ("headless", Sign::Bot),
    ("phantomjs", Sign::Bot),
    ("facebookexternalhit", Sign::Bot),
    ("meta-externalagent", Sign::Bot),
    ("mediapartners", Sign::Bot),
    ("google-inspectiontool", Sign::Bot),
    ("whatsapp/", Sign::Bot),
    ("embedly", Sign::Bot),
    ("archiver", Sign::Bot),
    ("validator", Sign::Bot),
    ("curl/", Sign::Bot),
    ("wget", Sign::Bot),
    ("httpie", Sign::Bot),
    ("libwww", Sign::Bot),
    ("python", Sign::Bot),
    ("aiohttp", Sign::Bot),
    ("go-http-client", Sign::Bot),
    ("httpclient", Sign::Bot),
    ("http_client", Sign::Bot),
    ("java/", Sign::Bot),
    ("ruby", Sign::Bot),
    ("perl", Sign::Bot),
    ("php/", Sign::Bot),
    ("guzzle", Sign::Bot),
    ("axios/", Sign::Bot),
    ("node-fetch", Sign::Bot),
    ("undici", Sign::Bot),
    ("reqwest", Sign::Bot),
    ("postman", Sign::Bot),
    ("insomnia", Sign::Bot),
    ("mobi", Sign::Mobile),
    ("opera mini", Sign::Mobile),
    ("blackberry", Sign::Mobile),
    ("bb10", Sign::Mobile),
    ("tablet", Sign::Tablet),
    ("kindle", Sign::Tablet),
    ("silk/", Sign::Tablet),
    ("playbook", Sign::Tablet),
    ("ipad", Sign::Ipad),
    ("iphone", Sign::Iphone),
    ("ipod", Sign::Iphone),
    ("android", Sign::Android),
    ("windows phone", Sign::WindowsPhone),
    ("windows", Sign::Windows),
    ("win64", Sign::Windows),
    ("macintosh", Sign::Mac),
    ("mac os x", Sign::Mac),
    ("cros ", Sign::ChromeOs),
    ("linux", Sign::Linux),
    ("x11;", Sign::Linux),
];

#[expect(clippy::expect_used, reason = "the words are a constant that builds")]
static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(WORDS.map(|(word, _)| word))
        .expect("a few words fit an automaton")
});

/// Which signs a header shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserAgent(u16);

impl UserAgent {
    pub(super) fn read(header: &str) -> Self {
        let header = header.as_bytes();
        let header = header.get(..MAX_BYTES).unwrap_or(header);
        let present = if header.is_empty() {
            0
        } else {
            Sign::Present as u16
        };
        let mut bots = 0;
        let mut signs = present;
        for found in AUTOMATON.find_overlapping_iter(header) {
            match WORDS.get(found.pattern().as_usize()) {
                // Each `cubot` holds one `bot` that is none.
                Some((_, Sign::Cubot)) => bots -= 1,
                Some((_, Sign::Bot)) => bots += 1,
                Some((_, sign)) => signs |= *sign as u16,
                None => {}
            }
        }
        if bots > 0 {
            signs |= Sign::Bot as u16;
        }
        Self(signs)
    }

    /// The kind of device; `None` without a header. iPads that ask for desktop pages say they are
    /// Macs, and nothing here can tell.
    pub(super) fn device(self) -> Option<Device> {
        if !self.shows(Sign::Present) {
            None
        } else if self.shows(Sign::Bot) {
            Some(Device::Bot)
        } else if self.shows(Sign::WindowsPhone) || self.shows(Sign::Iphone) {
            Some(Device::Mobile)
        } else if self.is_tablet() {
            Some(Device::Tablet)
        } else if self.shows(Sign::Mobile) {
            Some(Device::Mobile)
        } else {
            Some(Device::Desktop)
        }
    }

    /// The operating system, if it is one that rules can name.
    pub(super) fn os(self) -> Option<Os> {
        // Phones first: they also name the desktop systems they are like or built upon.
        if self.shows(Sign::WindowsPhone) {
            None
        } else if self.shows(Sign::Iphone) || self.shows(Sign::Ipad) {
            Some(Os::Ios)
        } else if self.shows(Sign::Android) {
            Some(Os::Android)
        } else if self.shows(Sign::Windows) {
            Some(Os::Windows)
        } else if self.shows(Sign::ChromeOs) {
            Some(Os::Chromeos)
        } else if self.shows(Sign::Mac) {
            Some(Os::Macos)
        } else if self.shows(Sign::Linux) {
            Some(Os::Linux)
        } else {
            None
        }
    }

    fn is_tablet(self) -> bool {
        // Android tablets leave `Mobile` out; Windows computers may say `Tablet PC`.
        self.shows(Sign::Ipad)
            || (self.shows(Sign::Tablet) && !self.shows(Sign::Windows))
            || (self.shows(Sign::Android) && !self.shows(Sign::Mobile))
    }

    fn shows(self, sign: Sign) -> bool {
        self.0 & sign as u16 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_systems_are_told_apart() {
        let cases = [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
                Some(Device::Mobile),
                Some(Os::Ios),
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) AppleWebKit/605.1.15 Version/12.1 Mobile/15E148 Safari/604.1",
                Some(Device::Tablet),
                Some(Os::Ios),
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/125.0.0.0 Mobile Safari/537.36",
                Some(Device::Mobile),
                Some(Os::Android),
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 Chrome/125.0.0.0 Safari/537.36",
                Some(Device::Tablet),
                Some(Os::Android),
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 Chrome/90.0 Mobile Safari/537.36",
                Some(Device::Mobile),
                Some(Os::Android),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:126.0) Gecko/20100101 Firefox/126.0",
                Some(Device::Desktop),
                Some(Os::Windows),
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Tablet PC 2.0)",
                Some(Device::Desktop),
                Some(Os::Windows),
            ),
            (
                "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Lumia 950) Mobile Edge/15",
                Some(Device::Mobile),
                None,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15",
                Some(Device::Desktop),
                Some(Os::Macos),
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/125.0 Safari/537.36",
                Some(Device::Desktop),
                Some(Os::Chromeos),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
                Some(Device::Desktop),
                Some(Os::Linux),
            ),
            (
                "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) Chrome/125 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                Some(Device::Bot),
                Some(Os::Android),
            ),
            ("curl/8.5.0", Some(Device::Bot), None),
            ("python-requests/2.32", Some(Device::Bot), None),
            ("Wget/1.21", Some(Device::Bot), None),
            ("something new", Some(Device::Desktop), None),
            ("", None, None),
        ];
        for (header, device, os) in cases {
            let read = UserAgent::read(header);
            assert_eq!((read.device(), read.os()), (device, os), "{header}");
        }
    }

    #[test]
    fn long_headers_are_read_in_part_and_cut_anywhere() {
        let header = "\u{e4}".repeat(MAX_BYTES) + "iPhone";
        assert_eq!(UserAgent::read(&header).device(), Some(Device::Desktop));
    }
}
