//! `headers`: the message's header fields. Linked only with the grant `headers`.

use crate::{
    bindings::wasmilter::policy::{headers, types::HeaderField},
    call::Call,
};
use wasmilter_message::headers::Field;

impl headers::Host for Call {
    fn all(&mut self) -> wasmtime::Result<Vec<HeaderField>> {
        self.charge()?;
        Ok(self.message.headers.fields().map(field).collect())
    }

    fn count(&mut self, name: String) -> wasmtime::Result<u32> {
        self.charge()?;
        Ok(u32::try_from(self.message.headers.named(&name).count()).unwrap_or(u32::MAX))
    }

    fn get(&mut self, name: String) -> wasmtime::Result<Vec<HeaderField>> {
        self.charge()?;
        Ok(self.message.headers.named(&name).map(field).collect())
    }

    fn text(&mut self, name: String) -> wasmtime::Result<Vec<String>> {
        self.charge()?;
        Ok(self.message.header_text(&name))
    }

    fn addresses(&mut self, name: String) -> wasmtime::Result<Vec<headers::Address>> {
        self.charge()?;
        let addresses = self.message.header_addresses(&name).into_iter();
        Ok(addresses.map(|(name, address)| headers::Address { name, address }).collect())
    }
}

/// A field as guests see it.
pub(crate) fn field(field: &Field) -> HeaderField {
    HeaderField { name: String::from_utf8_lossy(&field.name).into_owned(), value: field.value.to_vec() }
}
