//! Slots of a cluster: which one a key is in, and what a server tells of who holds them.

use crc::{CRC_16_XMODEM, Crc};
use redis::Value;

use crate::address::Node;

/// How many there are.
pub(crate) const SLOTS: usize = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key: what is between its first `{` and the next `}` chooses it, if there is
/// anything, and else the whole.
#[must_use]
pub fn of(key: &[u8]) -> u16 {
    let tag = || {
        let begin = key.iter().position(|byte| *byte == b'{')? + 1;
        let rest = key.get(begin..)?;
        let end = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..end).filter(|tag| !tag.is_empty())
    };
    CRC.checksum(tag().unwrap_or(key)) % 16_384
}

/// The slot of all these keys, if it is one.
pub(crate) fn of_all(keys: &[Vec<u8>]) -> Option<u16> {
    let mut slots = keys.iter().map(|key| of(key));
    let first = slots.next()?;
    slots.all(|slot| slot == first).then_some(first)
}

/// Slots that follow each other, and who holds them: the master first, then its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) nodes: Vec<Node>,
}

/// Who holds what, as one server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether it hears of most of the others.
    sound: bool,
    /// Grows with each change.
    epoch: u64,
    pub(crate) ranges: Vec<Range>,
}

impl Layout {
    /// The answers to `CLUSTER INFO` and `CLUSTER SLOTS` of the server `asked`; `None` if they are
    /// something else, or name no slot.
    pub(crate) fn read(info: &str, slots: Value, asked: &Node) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let Value::Array(ranges) = slots else {
            return None;
        };
        let ranges: Vec<Range> = ranges
            .into_iter()
            .map(|range| Range::read(range, asked))
            .collect::<Option<_>>()?;
        (!ranges.is_empty()).then_some(Self {
            sound: field("cluster_state")? == "ok",
            epoch: field("cluster_current_epoch")?.trim().parse().ok()?,
            ranges,
        })
    }

    /// Whether `one` was told by a server that knows more than that of `other`.
    pub(crate) fn knows_more(one: &Self, other: &Self) -> bool {
        (one.sound, one.epoch) > (other.sound, other.epoch)
    }
}

impl Range {
    fn read(range: Value, asked: &Node) -> Option<Self> {
        let Value::Array(fields) = range else {
            return None;
        };
        let mut fields = fields.into_iter();
        let mut slot = || match fields.next()? {
            Value::Int(slot) => u16::try_from(slot)
                .ok()
                .filter(|slot| usize::from(*slot) < SLOTS),
            _ => None,
        };
        let (first, last) = (slot()?, slot()?);
        if last < first {
            return None;
        }
        let nodes: Vec<Node> = fields
            .map(|node| read_node(node, asked))
            .collect::<Option<_>>()?;
        (!nodes.is_empty()).then_some(Self { first, last, nodes })
    }
}

/// Host, port, and what does not matter here.
fn read_node(node: Value, asked: &Node) -> Option<Node> {
    let Value::Array(fields) = node else {
        return None;
    };
    let (host, port) = match fields.get(..2)? {
        [Value::BulkString(host), Value::Int(port)] => (str::from_utf8(host).ok()?, port),
        [Value::Nil, Value::Int(port)] => ("", port),
        _ => return None,
    };
    // A server with TLS alone has no port for others, if `tls-cluster` is off.
    Node::parse(&format!("{host}:{port}"), asked).filter(|node| node.port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_redis_tells() {
        // By CLUSTER KEYSLOT.
        for (key, slot) in [
            ("", 0),
            ("foo", 12_182),
            ("123456789", 12_739),
            ("{foo}bar", 12_182),
            ("a{foo}b{bar}", 12_182),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
        ] {
            assert_eq!(of(key.as_bytes()), slot, "{key}");
        }
        let keys = |keys: &[&str]| {
            keys.iter()
                .map(|key| key.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(of_all(&keys(&["{foo}1", "{foo}2"])), Some(12_182));
        assert_eq!(of_all(&keys(&["{foo}1", "{bar}2"])), None);
    }

    fn node(host: Value, port: i64) -> Value {
        let identity = Value::BulkString(b"07c37df".to_vec());
        Value::Array(vec![host, Value::Int(port), identity, Value::Array(vec![])])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        let mut fields = vec![Value::Int(first), Value::Int(last)];
        fields.extend(nodes);
        Value::Array(fields)
    }

    fn named(host: &str) -> Value {
        Value::BulkString(host.as_bytes().to_vec())
    }

    fn read(info: &str, ranges: Vec<Value>) -> Option<Layout> {
        Layout::read(info, Value::Array(ranges), &Node::new("asked", 1))
    }

    const SOUND: &str = "cluster_state:ok\r\ncluster_current_epoch:6\r\ncluster_my_epoch:2\r\n";

    #[test]
    fn what_a_server_tells_is_read() {
        let ranges = vec![
            range(0, 99, vec![node(named("a"), 1), node(Value::Nil, 2)]),
            range(100, 16_383, vec![node(named(""), 3)]),
        ];
        let layout = read(SOUND, ranges).unwrap();
        assert!(layout.sound && layout.epoch == 6);
        let expected = [
            Range {
                first: 0,
                last: 99,
                nodes: vec![Node::new("a", 1), Node::new("asked", 2)],
            },
            Range {
                first: 100,
                last: 16_383,
                nodes: vec![Node::new("asked", 3)],
            },
        ];
        assert_eq!(layout.ranges, expected);
    }

    #[test]
    fn what_is_no_layout_is_none() {
        for ranges in [
            vec![],
            vec![range(0, 16_384, vec![node(named("a"), 1)])],
            vec![range(-1, 3, vec![node(named("a"), 1)])],
            vec![range(3, 2, vec![node(named("a"), 1)])],
            vec![range(0, 1, vec![])],
            vec![range(0, 1, vec![node(named("a"), 65_536)])],
            vec![range(0, 1, vec![node(named("a"), 0)])],
            vec![range(0, 1, vec![Value::Nil])],
            vec![Value::Okay],
        ] {
            assert_eq!(read(SOUND, ranges.clone()), None, "{ranges:?}");
        }
        let fine = vec![range(0, 1, vec![node(named("a"), 1)])];
        assert!(read(SOUND, fine.clone()).is_some());
        assert_eq!(read("cluster_state:ok\r\n", fine), None);
    }

    #[test]
    fn who_is_cut_off_knows_less_than_who_is_not() {
        let layout = |sound, epoch| Layout {
            sound,
            epoch,
            ranges: Vec::new(),
        };
        assert!(Layout::knows_more(&layout(true, 3), &layout(false, 9)));
        assert!(Layout::knows_more(&layout(true, 4), &layout(true, 3)));
        assert!(!Layout::knows_more(&layout(true, 3), &layout(true, 3)));
    }
}
