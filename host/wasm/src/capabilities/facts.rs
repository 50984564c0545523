//! `facts`: what stages before this one published.

use crate::{
    bindings::wasmilter::policy::{facts, types::FactValue},
    call::Call,
};
use wasmilter_message::facts::Value;

impl facts::Host for Call {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<FactValue>> {
        self.charge()?;
        Ok(self.message.facts.get(&name).map(|value| match value {
            Value::Flag(flag) => FactValue::Flag(*flag),
            Value::Number(number) => FactValue::Number(*number),
            Value::Text(text) => FactValue::Text(text.clone()),
            Value::Texts(texts) => FactValue::Texts(texts.clone()),
        }))
    }
}
