//! The file as a tree in which everything knows where it stands.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value as Written};

/// A value and where it stands, in bytes.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// A value as the file has it.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    /// A kind that no setting has, by its name.
    Other(&'static str),
    List(Vec<Node>),
    Table(Table),
}

/// Keys and their values, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Table(pub(super) Vec<Entry>);

/// A key, where it stands, and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) span: Range<usize>,
    pub(super) node: Node,
}

impl Table {
    /// The entry called `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }
}

impl Value {
    /// What it is, for an error.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Number(number) => number.to_string(),
            Self::Flag(word) => word.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(kind) => format!("a {kind}"),
        }
    }
}

/// Reads `text`, or says what keeps it from being TOML, and where.
pub(super) fn parse(text: &str) -> Result<Table, (Range<usize>, String)> {
    match Document::parse(text) {
        Ok(document) => Ok(table(document.as_table())),
        Err(error) => Err((error.span().unwrap_or(0..0), error.message().to_owned())),
    }
}

fn table(found: &dyn TableLike) -> Table {
    let entry = |(key, item): (&str, &Item)| Entry {
        key: key.to_owned(),
        span: found
            .key(key)
            .and_then(toml_edit::Key::span)
            .unwrap_or(0..0),
        node: node(item),
    };
    Table(found.iter().map(entry).collect())
}

fn node(item: &Item) -> Node {
    let value = match item {
        Item::Value(written) => return leaf(written),
        Item::Table(found) => Value::Table(table(found)),
        Item::ArrayOfTables(tables) => Value::List(
            tables
                .iter()
                .map(|found| Node {
                    span: found.span().unwrap_or(0..0),
                    value: Value::Table(table(found)),
                })
                .collect(),
        ),
        Item::None => Value::Other("nothing"),
    };
    Node {
        span: item.span().unwrap_or(0..0),
        value,
    }
}

fn leaf(written: &Written) -> Node {
    let value = match written {
        Written::String(text) => Value::Text(text.value().clone()),
        Written::Integer(number) => Value::Number(*number.value()),
        Written::Boolean(word) => Value::Flag(*word.value()),
        Written::Float(_) => Value::Other("number with a fraction"),
        Written::Datetime(_) => Value::Other("date"),
        Written::Array(items) => Value::List(items.iter().map(leaf).collect()),
        Written::InlineTable(found) => Value::Table(table(found)),
    };
    Node {
        span: written.span().unwrap_or(0..0),
        value,
    }
}
