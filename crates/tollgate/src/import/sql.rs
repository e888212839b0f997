//! The rows of tables in a dump of MySQL or MariaDB, as mysqldump, phpMyAdmin and others write it.
//!
//! A parser of our own, because those of SQL read a statement at once, and one INSERT of a dump may
//! hold a whole table. Here no more than a row is in memory.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use super::MAX_ROW_BYTES;

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqlRow {
    /// The line it begins on, from 1.
    pub(super) line: u64,
    /// The names of its columns in their order.
    pub(super) columns: Columns,
    /// Its values, NULL as none; or what is wrong with it.
    pub(super) values: Result<Vec<Option<String>>, String>,
}

/// The names of columns, which all rows of an INSERT share.
type Columns = Rc<[String]>;

/// The names of the columns of a table, where a dump does not tell them.
pub(super) type UsualColumns = &'static [&'static str];

/// Reads a dump.
pub(super) struct Dump<R: Read> {
    bytes: BufReader<R>,
    line: u64,
    /// What CREATE TABLE says.
    created: HashMap<String, Columns>,
    /// The columns of the INSERT whose rows are being read.
    insert: Option<Columns>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A keyword, a bare name or a number.
    Word(String),
    /// A name in backticks.
    Name(String),
    /// A string. None if it is longer than a row may be.
    Text(Option<Vec<u8>>),
    Sign(u8),
}

impl<R: Read> Dump<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            bytes: BufReader::with_capacity(1 << 16, reader),
            line: 1,
            created: HashMap::new(),
            insert: None,
        }
    }

    /// The next row of a table that is wanted; none at the end. Names of tables are in lower case.
    pub(super) fn next_row(
        &mut self,
        wanted: impl Fn(&str) -> Option<UsualColumns>,
    ) -> io::Result<Option<SqlRow>> {
        loop {
            if let Some(columns) = self.insert.take() {
                match self.token()? {
                    Some(Token::Sign(b'(')) => {
                        let line = self.line;
                        let values = self.values()?;
                        self.insert = Some(Rc::clone(&columns));
                        return Ok(Some(SqlRow {
                            line,
                            columns,
                            values,
                        }));
                    }
                    Some(Token::Sign(b',')) => self.insert = Some(columns),
                    Some(Token::Sign(b';')) | None => {}
                    // ON DUPLICATE KEY UPDATE and the like.
                    Some(_) => self.skip_statement()?,
                }
                continue;
            }
            let Some(token) = self.token()? else {
                return Ok(None);
            };
            match &token {
                Token::Word(word) if is(word, "INSERT") || is(word, "REPLACE") => {
                    self.begin_insert(&wanted)?;
                }
                Token::Word(word) if is(word, "CREATE") => self.create()?,
                Token::Sign(b';') => {}
                _ => self.skip_statement()?,
            }
        }
    }

    /// Reads up to the first row.
    fn begin_insert(&mut self, wanted: impl Fn(&str) -> Option<UsualColumns>) -> io::Result<()> {
        let (mut table, mut columns) = (None, None);
        loop {
            match self.token()? {
                None | Some(Token::Sign(b';')) => return Ok(()),
                Some(Token::Word(word)) if is(&word, "VALUES") || is(&word, "VALUE") => break,
                Some(Token::Word(word)) if is(&word, "INTO") => table = self.name()?,
                Some(Token::Sign(b'(')) => columns = Some(self.names()?.into()),
                Some(_) => {}
            }
        }
        let table = table.unwrap_or_default();
        let Some(usual) = wanted(&table) else {
            return self.skip_statement();
        };
        let columns = columns.or_else(|| self.created.get(&table).cloned());
        let usual = || usual.iter().map(|name| (*name).to_owned()).collect();
        self.insert = Some(columns.unwrap_or_else(usual));
        Ok(())
    }

    /// The name of a table, in lower case, without that of its data base.
    fn name(&mut self) -> io::Result<Option<String>> {
        let mut name = None;
        while let Some(Token::Name(text) | Token::Word(text)) = self.token()? {
            name = Some(text.to_lowercase());
            if self.peek()? != Some(b'.') {
                break;
            }
            self.next()?;
        }
        Ok(name)
    }

    /// Names up to the closing parenthesis.
    fn names(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        loop {
            match self.token()? {
                None | Some(Token::Sign(b')')) => return Ok(names),
                Some(Token::Name(name) | Token::Word(name)) => names.push(name),
                Some(_) => {}
            }
        }
    }

    /// Notes the columns of a table that is created.
    fn create(&mut self) -> io::Result<()> {
        match self.token()? {
            Some(Token::Word(word)) if is(&word, "TABLE") => {}
            Some(Token::Sign(b';')) | None => return Ok(()),
            Some(_) => return self.skip_statement(),
        }
        let mut table = self.name()?;
        if table.as_deref() == Some("if") {
            // NOT EXISTS
            self.token()?;
            self.token()?;
            table = self.name()?;
        }
        let mut columns = Vec::new();
        let mut depth = 0_u32;
        // Whether a definition begins here.
        let mut fresh = false;
        loop {
            let token = self.token()?;
            let begins = std::mem::take(&mut fresh);
            match token {
                None | Some(Token::Sign(b';')) => break,
                Some(Token::Sign(b'(')) => {
                    depth += 1;
                    fresh = depth == 1;
                }
                Some(Token::Sign(b')')) => depth = depth.saturating_sub(1),
                Some(Token::Sign(b',')) => fresh = depth == 1,
                Some(Token::Name(name)) if begins => columns.push(name),
                Some(Token::Word(word)) if begins && !is_key(&word) => columns.push(word),
                Some(_) => {}
            }
        }
        if let Some(table) = table {
            self.created.insert(table, columns.into());
        }
        Ok(())
    }

    /// The values of a row, up to its closing parenthesis.
    fn values(&mut self) -> io::Result<Result<Vec<Option<String>>, String>> {
        let mut values: Vec<Option<String>> = Vec::new();
        let mut fault = None;
        let mut bytes = 0;
        let mut value: Option<Option<String>> = None;
        let mut depth = 0_u32;
        loop {
            let Some(token) = self.token()? else {
                return Ok(Err("the dump ends in the middle of it".to_owned()));
            };
            match token {
                Token::Sign(b')') if depth == 0 => {
                    values.extend(value);
                    return Ok(fault.map_or(Ok(values), Err));
                }
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') => depth -= 1,
                Token::Sign(b',') if depth == 0 => values.extend(value.take()),
                Token::Sign(b'-') => value = Some(Some("-".to_owned())),
                Token::Sign(_) => {}
                // _binary 'text'
                Token::Word(word) if word.starts_with('_') => {}
                Token::Word(word) if is(&word, "NULL") => value = Some(None),
                Token::Word(word) => match (&mut value, hexadecimal(&word)) {
                    (Some(Some(sign)), _) => sign.push_str(&word),
                    (_, Some(text)) => value = Some(text_of(text, &mut fault)),
                    (_, None) => value = Some(Some(word)),
                },
                Token::Name(name) => value = Some(Some(name)),
                Token::Text(Some(text)) if bytes + text.len() <= MAX_ROW_BYTES => {
                    bytes += text.len();
                    value = Some(text_of(text, &mut fault));
                }
                Token::Text(_) => {
                    fault = Some(format!("longer than {MAX_ROW_BYTES} bytes"));
                    value = Some(None);
                }
            }
        }
    }

    fn skip_statement(&mut self) -> io::Result<()> {
        while let Some(token) = self.token()? {
            if token == Token::Sign(b';') {
                break;
            }
        }
        Ok(())
    }

    fn token(&mut self) -> io::Result<Option<Token>> {
        loop {
            let Some(byte) = self.next()? else {
                return Ok(None);
            };
            let follows = self.peek()?;
            return Ok(Some(match (byte, follows) {
                (byte, _) if byte.is_ascii_whitespace() => continue,
                // Not the sign of a number: a space follows.
                (b'-', Some(b'-')) => {
                    self.skip_line()?;
                    continue;
                }
                (b'#', _) => {
                    self.skip_line()?;
                    continue;
                }
                // Also what only some versions should run: settings, mostly.
                (b'/', Some(b'*')) => {
                    self.skip_comment()?;
                    continue;
                }
                (b'`', _) => {
                    let name = self.quoted(b'`')?.unwrap_or_default();
                    Token::Name(String::from_utf8_lossy(&name).into_owned())
                }
                (b'x' | b'X', Some(b'\'')) => {
                    self.next()?;
                    let digits = self.quoted(b'\'')?.unwrap_or_default();
                    Token::Word(format!("0x{}", String::from_utf8_lossy(&digits)))
                }
                (quote @ (b'\'' | b'"'), _) => Token::Text(self.quoted(quote)?),
                (byte, _) if is_word(byte) => Token::Word(self.word(byte)?),
                (sign, _) => Token::Sign(sign),
            }));
        }
    }

    /// What is between quotes, whose first is read already. None if it is too long.
    fn quoted(&mut self, quote: u8) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let mut too_long = false;
        while let Some(byte) = self.next()? {
            let byte = match byte {
                b'\\' if quote != b'`' => match self.next()? {
                    None => break,
                    Some(b'0') => 0,
                    Some(b'b') => 8,
                    Some(b'n') => b'\n',
                    Some(b'r') => b'\r',
                    Some(b't') => b'\t',
                    Some(b'Z') => 0x1a,
                    Some(other) => other,
                },
                byte if byte == quote => {
                    // Twice, it is one of them.
                    if self.peek()? != Some(quote) {
                        break;
                    }
                    self.next()?;
                    quote
                }
                byte => byte,
            };
            too_long |= text.len() >= MAX_ROW_BYTES;
            if !too_long {
                text.push(byte);
            }
        }
        Ok((!too_long).then_some(text))
    }

    fn word(&mut self, first: u8) -> io::Result<String> {
        let mut word = vec![first];
        while let Some(byte) = self.peek()?.filter(|byte| is_word(*byte)) {
            self.next()?;
            if word.len() < MAX_ROW_BYTES {
                word.push(byte);
            }
        }
        Ok(String::from_utf8_lossy(&word).into_owned())
    }

    fn skip_line(&mut self) -> io::Result<()> {
        while self.next()?.is_some_and(|byte| byte != b'\n') {}
        Ok(())
    }

    fn skip_comment(&mut self) -> io::Result<()> {
        self.next()?;
        let mut before = 0;
        while let Some(byte) = self.next()? {
            if (before, byte) == (b'*', b'/') {
                break;
            }
            before = byte;
        }
        Ok(())
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.bytes.fill_buf()?.first().copied())
    }

    fn next(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.bytes.consume(1);
            self.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }
}

fn is(word: &str, keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword)
}

/// What begins a line of CREATE TABLE that is no column.
fn is_key(word: &str) -> bool {
    [
        "PRIMARY",
        "KEY",
        "UNIQUE",
        "INDEX",
        "FULLTEXT",
        "SPATIAL",
        "CONSTRAINT",
        "FOREIGN",
        "CHECK",
    ]
    .iter()
    .any(|keyword| is(word, keyword))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | 0x80..)
}

/// The bytes of a literal such as `0x68747470`.
fn hexadecimal(word: &str) -> Option<Vec<u8>> {
    let digits = word.strip_prefix("0x")?.as_bytes();
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

fn text_of(bytes: Vec<u8>, fault: &mut Option<String>) -> Option<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(_) => {
            *fault = Some("it is not UTF-8: dump with --default-character-set=utf8mb4".to_owned());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &[u8]) -> Vec<SqlRow> {
        let mut dump = Dump::new(text);
        let mut rows = Vec::new();
        let wanted = |table: &str| table.ends_with("url").then_some(&["usual"][..]);
        while let Some(row) = dump.next_row(wanted).unwrap() {
            rows.push(row);
        }
        rows
    }

    fn values(text: &str) -> Vec<Option<String>> {
        rows(format!("INSERT INTO url VALUES ({text});").as_bytes())
            .remove(0)
            .values
            .unwrap()
    }

    #[test]
    fn a_dump_is_read_whoever_wrote_it() {
        let text = "-- MySQL dump; ' no quote\n/*!40101 SET NAMES utf8 */;\n# one more'\n\
            DROP TABLE IF EXISTS `yourls_url`;\n\
            CREATE TABLE IF NOT EXISTS `db`.`yourls_url` (\n  `keyword` varchar(200) NOT NULL DEFAULT 'a,b',\n\
              `url` text CHARACTER SET latin1, clicks int(10),\n  PRIMARY KEY (`keyword`),\n  KEY `ip` (`ip`)\n) ENGINE=InnoDB;\n\
            INSERT INTO `other` VALUES ('(\\'','x');\nLOCK TABLES `yourls_url` WRITE;\n\
            INSERT INTO `yourls_url` VALUES ('a','https://a.example/',1),\n('b',0x68747470,2);\n\
            INSERT IGNORE INTO yourls_url (`keyword`, `url`) VALUES\n('c', NULL);\n\
            UNLOCK TABLES;";
        let rows = rows(text.as_bytes());
        let some = |text: &str| Some(text.to_owned());
        let read: Vec<_> = rows
            .iter()
            .map(|row| (row.line, row.values.clone().unwrap()))
            .collect();
        assert_eq!(
            read,
            [
                (13, vec![some("a"), some("https://a.example/"), some("1")]),
                (14, vec![some("b"), some("http"), some("2")]),
                (16, vec![some("c"), None]),
            ]
        );
        assert_eq!(*rows[0].columns, ["keyword", "url", "clicks"]);
        assert_eq!(*rows[2].columns, ["keyword", "url"]);
    }

    #[test]
    fn the_columns_of_one_insert_are_not_those_of_the_next() {
        let text = b"CREATE TABLE url (keyword text, url text, clicks int);\n\
            INSERT INTO url (url, keyword) VALUES ('https://a.example/', 'a');\n\
            INSERT INTO url VALUES ('b', 'https://b.example/', 2);\n\
            INSERT INTO other_url VALUES ('c');";
        let rows = rows(text);
        assert_eq!(*rows[0].columns, ["url", "keyword"]);
        assert_eq!(*rows[1].columns, ["keyword", "url", "clicks"]);
        assert_eq!(*rows[2].columns, ["usual"]);
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn escapes_numbers_and_strange_values() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            values(
                r#"'it''s \'q\' \\ \n\t\Z\%', "d""q", -5, _binary 'b', X'4142', now(1,'x'), NULL"#
            ),
            [
                some("it's 'q' \\ \n\t\u{1a}%"),
                some("d\"q"),
                some("-5"),
                some("b"),
                some("AB"),
                some("x"),
                None
            ]
        );
        let bad = rows(b"INSERT INTO url VALUES ('\xff'),('b')");
        assert!(bad[0].values.as_ref().unwrap_err().contains("UTF-8"));
        assert_eq!(bad[1].values, Ok(vec![some("b")]));
        let cut = rows(b"INSERT INTO url VALUES ('a");
        assert!(cut[0].values.as_ref().unwrap_err().contains("ends"));
        let long = format!(
            "INSERT INTO url VALUES ('{}'),('b')",
            "x".repeat(MAX_ROW_BYTES + 1)
        );
        let long = rows(long.as_bytes());
        assert!(long[0].values.as_ref().unwrap_err().contains("longer"));
        assert_eq!(long[1].values, Ok(vec![some("b")]));
    }

    proptest! {
        #[test]
        fn strings_come_back_as_mysqldump_wrote_them(
            texts in prop::collection::vec(any::<String>(), 1..5),
        ) {
            let escaped: Vec<String> = texts
                .iter()
                .map(|text| {
                    let mut out = String::from("'");
                    for one in text.chars() {
                        match one {
                            '\0' => out.push_str("\\0"),
                            '\n' => out.push_str("\\n"),
                            '\r' => out.push_str("\\r"),
                            '\u{1a}' => out.push_str("\\Z"),
                            '\'' | '"' | '\\' => { out.push('\\'); out.push(one); }
                            other => out.push(other),
                        }
                    }
                    out + "'"
                })
                .collect();
            let read = values(&escaped.join(","));
            let texts: Vec<_> = texts.into_iter().map(Some).collect();
            prop_assert_eq!(read, texts);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut text = b"INSERT INTO url VALUES (".to_vec();
            text.extend(&bytes);
            rows(&text);
            rows(&bytes);
        }
    }
}
