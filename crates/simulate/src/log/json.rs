//! Objects of JSON, read in one pass that keeps nothing but the values asked for.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::{Fields, Node, Role};
use super::time::{Times, fraction, whole_number};
use super::{Format, LogTime, Malformed, Request, address, part, path, request_line, split_target};

/// What was found, each with its rank: a lower one replaces it.
#[derive(Default)]
struct Found<'a> {
    time: Option<(usize, Value<'a>)>,
    client: Option<(usize, Cow<'a, str>)>,
    method: Option<(usize, Cow<'a, str>)>,
    path: Option<(usize, Cow<'a, str>)>,
    request: Option<(usize, Cow<'a, str>)>,
    host: Option<(usize, Cow<'a, str>)>,
    user_agent: Option<(usize, Cow<'a, str>)>,
    referrer: Option<(usize, Cow<'a, str>)>,
    api_key: Option<(usize, Cow<'a, str>)>,
    authorization: Option<(usize, Cow<'a, str>)>,
    headers: Vec<(usize, usize, Cow<'a, str>)>,
    /// Whether the request was an object, as Caddy writes it.
    nested: bool,
}

enum Value<'a> {
    Text(Cow<'a, str>),
    Whole(i64),
    Fraction(f64),
}

impl<'a> Value<'a> {
    fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => Cow::Owned(number.to_string()),
            Self::Fraction(number) => Cow::Owned(number.to_string()),
        }
    }
}

impl<'a> Found<'a> {
    fn put(&mut self, (role, rank): (Role, usize), value: Value<'a>) {
        let place = match role {
            Role::Time => {
                if self.time.as_ref().is_none_or(|(kept, _)| rank < *kept) {
                    self.time = Some((rank, value));
                }
                return;
            }
            Role::Header(number) => {
                let value = value.text();
                match self
                    .headers
                    .iter_mut()
                    .find(|(header, ..)| *header == number)
                {
                    None => self.headers.push((number, rank, value)),
                    Some(kept) if rank < kept.1 => *kept = (number, rank, value),
                    Some(_) => {}
                }
                return;
            }
            Role::Client => &mut self.client,
            Role::Method => &mut self.method,
            Role::Path => &mut self.path,
            Role::Request => &mut self.request,
            Role::Host => &mut self.host,
            Role::UserAgent => &mut self.user_agent,
            Role::Referrer => &mut self.referrer,
            Role::ApiKey => &mut self.api_key,
            Role::Authorization => &mut self.authorization,
        };
        let value = value.text();
        if value.is_empty() || value == "-" {
            return;
        }
        if place.as_ref().is_none_or(|(kept, _)| rank < *kept) {
            *place = Some((rank, value));
        }
    }
}

/// Reads whatever stands at a node of the tree of keys.
struct At<'n, 'f, 'a> {
    node: &'n Node,
    found: &'f mut Found<'a>,
    top: bool,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.put(Value::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.put(Value::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.put(Value::Whole(number)),
            Err(_) => self.put(Value::Fraction(number as f64)),
        }
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.put(Value::Whole(number));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.put(Value::Fraction(number));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    /// Of a list, the first: headers may come several times.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let At { node, found, .. } = self;
        let top = false;
        if list.next_element_seed(At { node, found, top })?.is_some() {
            while list.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let At { node, found, top } = self;
        while let Some(below) = map.next_key_seed(Key(node))? {
            match below {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(node) => map.next_value_seed(At {
                    node,
                    found: &mut *found,
                    top: false,
                })?,
            }
        }
        if !top && matches!(node.role, Some((Role::Request, _))) {
            found.nested = true;
        }
        Ok(())
    }
}

impl<'a> At<'_, '_, 'a> {
    fn put(self, value: Value<'a>) {
        if let Some(role) = self.node.role {
            self.found.put(role, value);
        }
    }
}

/// Finds the node below for a key.
struct Key<'n>(&'n Node);

impl<'de, 'n> DeserializeSeed<'de> for Key<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.below.get(key))
    }
}

/// Reads an object.
pub(super) fn parse<'a>(
    line: &'a [u8],
    fields: &Fields,
    times: &mut Times,
) -> Result<Request<'a>, Malformed> {
    let mut found = Found::default();
    let mut from = serde_json::Deserializer::from_slice(line);
    let seed = At {
        node: &fields.root,
        found: &mut found,
        top: true,
    };
    seed.deserialize(&mut from).map_err(|_| Malformed::Json)?;
    from.end().map_err(|_| Malformed::Json)?;
    request(found, times)
}

fn request<'a>(found: Found<'a>, times: &mut Times) -> Result<Request<'a>, Malformed> {
    let (_, time) = found.time.ok_or(Malformed::NoTime)?;
    let time = time_of(&time, times).ok_or(Malformed::Time)?;
    let client = value(found.client).ok_or(Malformed::NoClient)?;
    let line = found.request.and_then(|(_, line)| request_line(&line));
    let [line_method, line_path, line_host] = line.unwrap_or_default();
    let (mut host, mut target) = (value(found.host), value(found.path));
    if let Some(whole) = target {
        let (absolute, rest) = split_target(&whole);
        host = host.or(absolute.map(|host| part(&whole, host)));
        target = Some(part(&whole, path(rest)));
    }
    // Caddy and others write this instead of a secret.
    let known = |secret: &Cow<'_, str>| secret != "REDACTED";
    let bearer = value(found.authorization).and_then(|text| {
        let (scheme, token) = text.split_at_checked(7)?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer ");
        is_bearer.then(|| Cow::Owned(token.trim().to_owned()))
    });
    Ok(Request {
        time,
        format: if found.nested {
            Format::Caddy
        } else {
            Format::Json
        },
        client: address(client),
        method: value(found.method).or(line_method),
        path: target.or(line_path),
        host: host.or(line_host),
        user_agent: value(found.user_agent),
        referrer: value(found.referrer),
        api_key: bearer.or(value(found.api_key)).filter(known),
        headers: found
            .headers
            .into_iter()
            .map(|(number, _, value)| (number, value))
            .collect(),
    })
}

fn value<'a>(found: Option<(usize, Cow<'a, str>)>) -> Option<Cow<'a, str>> {
    found.map(|(_, value)| value)
}

fn time_of(value: &Value<'_>, times: &mut Times) -> Option<LogTime> {
    match value {
        Value::Text(text) => times.text(text.as_bytes()),
        Value::Whole(number) => whole_number(*number),
        Value::Fraction(number) => fraction(*number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request<'_>, Malformed> {
        parse(line.as_bytes(), &Fields::default(), &mut Times::default())
    }

    #[test]
    fn usual_keys_are_known() {
        let nginx = r#"{"time_local":"10/Oct/2000:13:55:36 -0700","remote_addr":"192.0.2.7","request":"GET /a?b HTTP/1.1","status":"200","http_user_agent":"x\"y","http_host":"a.example","http_x_api_key":"secret","upstream":{"time":[1,2]}}"#;
        let request = read(nginx).unwrap();
        assert_eq!(request.format, Format::Json);
        assert_eq!(request.time.nanos, 971_211_336_000_000_000);
        assert_eq!(request.client, "192.0.2.7");
        assert_eq!(request.method.as_deref(), Some("GET"));
        assert_eq!(request.path.as_deref(), Some("/a"));
        assert_eq!(request.host.as_deref(), Some("a.example"));
        assert_eq!(request.user_agent.as_deref(), Some("x\"y"));
        assert_eq!(request.api_key.as_deref(), Some("secret"));
        let bare =
            r#"{"ts":971211336.5,"ip":"192.0.2.7","method":"PUT","url":"https://b.example/p?q"}"#;
        let request = read(bare).unwrap();
        assert!(request.time.exact);
        assert_eq!(request.path.as_deref(), Some("/p"));
        assert_eq!(request.host.as_deref(), Some("b.example"));
    }

    #[test]
    fn caddy_is_known() {
        let line = r#"{"level":"info","ts":1646861401.5241024,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"41342","client_ip":"192.0.2.7","proto":"HTTP/2.0","method":"GET","host":"localhost","uri":"/a?b","headers":{"User-Agent":["curl/7.82.0"],"Accept":["*/*"],"Authorization":["REDACTED"],"X-Tenant":["t1","t2"]},"tls":{"resumed":false}},"user_id":"","duration":0.0009,"size":10900,"status":200,"resp_headers":{"Server":["Caddy"]}}"#;
        let mut parser = super::super::Parser::new(Fields::default().with_header("X-Tenant"));
        let request = parser.parse(line.as_bytes()).unwrap();
        assert_eq!(request.format, Format::Caddy);
        assert_eq!(request.client, "192.0.2.7");
        assert_eq!(request.path.as_deref(), Some("/a"));
        assert_eq!(request.host.as_deref(), Some("localhost"));
        assert_eq!(request.user_agent.as_deref(), Some("curl/7.82.0"));
        assert_eq!(request.api_key, None);
        let tenant = tollgate_limit::attribute::Attribute::header("x-tenant").unwrap();
        assert_eq!(parser.value(&request, &tenant).as_deref(), Some("t1"));
    }

    #[test]
    fn keys_can_be_named() {
        let fields = Fields::default()
            .with("time=meta.at")
            .and_then(|fields| fields.with("client=who"))
            .and_then(|fields| fields.with("header:x-plan=plan"))
            .unwrap();
        let line = br#"{"ip":"192.0.2.1","time":"never","meta":{"at":971211336},"who":"192.0.2.9","plan":"gold"}"#;
        let request = parse(line, &fields, &mut Times::default()).unwrap();
        assert_eq!(request.client, "192.0.2.9");
        assert_eq!(request.time.nanos, 971_211_336_000_000_000);
        assert_eq!(request.headers, [(0, Cow::Borrowed("gold"))]);
        for wrong in ["time", "time=", "when=ts", "time=a..b", "header:a b=c"] {
            assert!(Fields::default().with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_that_is_a_host_alone_asks_for_its_root() {
        for line in [
            r#"{"ts":1,"ip":"192.0.2.1","request":"GET http://a.example?x HTTP/1.1"}"#,
            r#"{"ts":1,"ip":"192.0.2.1","path":"http://a.example"}"#,
            r#"{"ts":1,"ip":"192.0.2.1","request":"GET http://a.example/?\u0078 HTTP/1.1"}"#,
        ] {
            let request = read(line).unwrap();
            assert_eq!(request.host.as_deref(), Some("a.example"), "{line}");
            assert_eq!(request.path.as_deref(), Some("/"), "{line}");
        }
    }

    #[test]
    fn other_objects_are_told_apart() {
        for (line, why) in [
            ("{", Malformed::Json),
            ("{}}", Malformed::Json),
            ("{} {}", Malformed::Json),
            ("{}", Malformed::NoTime),
            (r#"{"time":"x","ip":"192.0.2.1"}"#, Malformed::Time),
            (r#"{"time":true,"ip":"192.0.2.1"}"#, Malformed::NoTime),
            (r#"{"time":1}"#, Malformed::NoClient),
            (r#"{"time":1,"ip":"-"}"#, Malformed::NoClient),
        ] {
            assert_eq!(read(line).unwrap_err(), why, "{line}");
        }
    }
}
