//! Lists of one kind of value.

use super::super::tree::{Node, Value};
use super::{Kind, Written};

/// A list of texts.
pub(in super::super) struct Words;

impl Kind for Words {
    type Value = Vec<String>;

    fn read(&self, written: Written<'_>) -> Result<Vec<String>, String> {
        let Written::File(Value::List(items)) = written else {
            let found = match written {
                Written::File(other) => other.describe(),
                Written::Text(text) => format!("{text:?}"),
            };
            return Err(format!(
                "expected a list such as [\"a\", \"b\"], found {found}"
            ));
        };
        let word = |item: &Node| match &item.value {
            Value::Text(text) => Ok(text.clone()),
            other => Err(format!(
                "expected a list of texts, found {} in it",
                other.describe()
            )),
        };
        items.iter().map(word).collect()
    }

    fn show(&self, value: &Vec<String>) -> String {
        format!("{value:?}")
    }
}

/// A list of exit codes.
pub(in super::super) struct Numbers;

impl Kind for Numbers {
    type Value = Vec<i32>;

    fn read(&self, written: Written<'_>) -> Result<Vec<i32>, String> {
        let wrong = || "expected a list of exit codes such as [64, 78]".to_owned();
        let Written::File(Value::List(items)) = written else {
            return Err(wrong());
        };
        let code = |item: &Node| match &item.value {
            Value::Number(number) => u8::try_from(*number).ok().map(i32::from),
            _ => None,
        };
        items
            .iter()
            .map(code)
            .collect::<Option<_>>()
            .ok_or_else(wrong)
    }

    fn show(&self, value: &Vec<i32>) -> String {
        format!("{value:?}")
    }
}
