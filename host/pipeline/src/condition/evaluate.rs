//! Computes a condition against a message. Looks only at what the condition names; counts its steps.

use super::node::{ClientField, Comparison, Comprehension, Function, MailboxField, Node, Operation};
use std::{borrow::Cow, cmp::Ordering, net::IpAddr, rc::Rc};
use wasmilter_message::{envelope::Mailbox, facts, message::ParsedMessage};

/// The value of a condition, or why it has none.
pub(super) fn evaluate<'m>(root: &'m Node, message: &'m ParsedMessage) -> Result<bool, String> {
    let mut evaluation = Evaluation { message, steps: STEPS, item: Value::Unset, gathered: Value::Unset };
    let value = evaluation.value(root)?;
    truth(&value)
}

/// Steps that an evaluation may take: a node, an element of a list, some bytes of text are one each. This many take in the
/// order of ten milliseconds; `envelope.recipients.exists(r, r.domain == 'x')` needs 9 for each recipient.
const STEPS: u64 = 100_000;
/// Bytes of text that cost one step.
const BYTES: usize = 16;
/// Longest text that `+` makes, in bytes.
const MAX_TEXT: usize = 65_536;

struct Evaluation<'m> {
    message: &'m ParsedMessage,
    /// What is left.
    steps: u64,
    item: Value<'m>,
    gathered: Value<'m>,
}

#[derive(Debug, Clone)]
enum Value<'m> {
    /// A fact that nobody published, or what was computed from one.
    Unset,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'m, str>),
    Mailbox(&'m Mailbox),
    List(Rc<Vec<Value<'m>>>),
}

impl<'m> Evaluation<'m> {
    fn value(&mut self, node: &'m Node) -> Result<Value<'m>, String> {
        self.spend(1)?;
        Ok(match node {
            Node::Bool(value) => Value::Bool(*value),
            Node::Int(value) => Value::Int(*value),
            Node::Double(value) => Value::Double(*value),
            Node::Text(text) => Value::Text(Cow::Borrowed(text)),
            Node::List(nodes) => {
                let values = nodes.iter().map(|node| self.value(node)).collect::<Result<_, _>>()?;
                Value::List(Rc::new(values))
            }
            Node::Client(field) => self.client(*field),
            Node::Sender => Value::Mailbox(&self.message.envelope.sender),
            Node::Recipients => {
                let recipients = &self.message.envelope.recipients;
                self.spend(recipients.len())?;
                Value::List(Rc::new(recipients.iter().map(Value::Mailbox).collect()))
            }
            Node::QueueId => text(self.message.envelope.queue_id.as_deref().unwrap_or_default()),
            Node::Direction(local) => {
                self.spend(self.message.envelope.recipients.len())?;
                text(local.direction(self.message).name())
            }
            Node::Size => Value::Int(i64::try_from(self.message.size()).unwrap_or(i64::MAX)),
            Node::Mailbox(of, field) => match self.value(of)? {
                Value::Mailbox(mailbox) => mailbox_field(mailbox, *field),
                _ => return Err("not a mailbox".to_owned()),
            },
            Node::Headers(name) => {
                let values = self.header(name)?;
                Value::List(Rc::new(values.into_iter().map(|value| Value::Text(Cow::Owned(value))).collect()))
            }
            Node::Header(name) => Value::Text(Cow::Owned(self.header(name)?.into_iter().next().unwrap_or_default())),
            Node::HasHeader(name) => {
                let name = self.value(name)?;
                self.spend(self.message.headers.entries().len() / 4)?;
                match name {
                    Value::Unset => Value::Bool(false),
                    name => Value::Bool(self.message.headers.named(&as_text(name)?).next().is_some()),
                }
            }
            Node::Fact(name) => self.message.facts.get(name).map_or(Value::Unset, fact),
            Node::HasFact(name) => Value::Bool(self.message.facts.get(name).is_some()),
            Node::Item => self.item.clone(),
            Node::Gathered => self.gathered.clone(),
            Node::Not(of) => Value::Bool(!truth(&self.value(of)?)?),
            Node::Negate(of) => match self.value(of)? {
                Value::Unset => Value::Unset,
                Value::Int(value) => Value::Int(value.checked_neg().ok_or("number is too large")?),
                Value::Double(value) => Value::Double(-value),
                other => return Err(format!("'-' is for numbers, not for {}", other.kind())),
            },
            Node::And(left, right) => Value::Bool(self.either(left, right, false)?),
            Node::Or(left, right) => Value::Bool(self.either(left, right, true)?),
            Node::If(condition, yes, no) => {
                let condition = truth(&self.value(condition)?)?;
                self.value(if condition { yes } else { no })?
            }
            Node::Compare(kind, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.spend(left.bytes().min(right.bytes()) / BYTES)?;
                Value::Bool(compare(*kind, &left, &right)?)
            }
            Node::In(element, list) => {
                let element = self.value(element)?;
                let list = self.list(list)?;
                self.spend(list.len().saturating_mul(1_usize.saturating_add(element.bytes() / BYTES)))?;
                Value::Bool(list.iter().any(|other| equal(&element, other) == Some(true)))
            }
            Node::Calculate(kind, left, right) => {
                // `map` and `filter` are spelt `@result + [element]`, whose value becomes the next @result: it is moved, or
                // each element would cost a copy of all before it.
                let (left, cost) = match &**left {
                    Node::Gathered => (std::mem::replace(&mut self.gathered, Value::Unset), 0),
                    left => {
                        let left = self.value(left)?;
                        let cost = left.cost();
                        (left, cost)
                    }
                };
                let right = self.value(right)?;
                self.spend(cost.saturating_add(right.cost()))?;
                calculate(*kind, left, right)?
            }
            Node::Index(list, index) => {
                let list = self.list(list)?;
                let index = match self.value(index)? {
                    Value::Int(index) => usize::try_from(index).ok(),
                    _ => return Err("index of a list must be a whole number".to_owned()),
                };
                let element = index.and_then(|index| list.get(index));
                element.cloned().ok_or_else(|| format!("list of {} elements has none at that index", list.len()))?
            }
            Node::Call(function, of, arguments) => {
                let of = self.value(of)?;
                let argument = arguments.first().map(|argument| self.value(argument)).transpose()?;
                self.spend(of.cost())?;
                call(*function, of, argument)?
            }
            Node::Matches(of, regex) => match self.value(of)? {
                Value::Unset => Value::Bool(false),
                of => {
                    let text = as_text(of)?;
                    // A byte of text can cost a regular expression far more than a comparison.
                    self.spend(text.len())?;
                    Value::Bool(regex.is_match(&text))
                }
            },
            Node::InNetwork(of, network) => match self.value(of)? {
                Value::Unset => Value::Bool(false),
                of => {
                    let address = as_text(of)?.parse::<IpAddr>();
                    Value::Bool(address.is_ok_and(|address| network.contains(address)))
                }
            },
            Node::Comprehension(comprehension) => self.comprehension(comprehension)?,
        })
    }

    /// `&&` (decided by false) and `||` (decided by true). As CEL has it, one side that decides makes up for an error in
    /// the other.
    fn either(&mut self, left: &'m Node, right: &'m Node, decides: bool) -> Result<bool, String> {
        let first = self.value(left).and_then(|value| truth(&value));
        if first == Ok(decides) {
            return Ok(decides);
        }
        let second = self.value(right).and_then(|value| truth(&value));
        if second == Ok(decides) { Ok(decides) } else { first.and(second) }
    }

    fn comprehension(&mut self, parts: &'m Comprehension) -> Result<Value<'m>, String> {
        let range = self.list(&parts.range)?;
        self.gathered = self.value(&parts.start)?;
        for item in range.iter() {
            self.spend(1)?;
            self.item = item.clone();
            if !truth(&self.value(&parts.goes_on)?)? {
                break;
            }
            self.gathered = self.value(&parts.step)?;
        }
        self.value(&parts.result)
    }

    fn list(&mut self, node: &'m Node) -> Result<Rc<Vec<Value<'m>>>, String> {
        match self.value(node)? {
            Value::List(list) => Ok(list),
            Value::Unset => Ok(Rc::new(Vec::new())),
            other => Err(format!("must be a list, is {}", other.kind())),
        }
    }

    fn header(&mut self, name: &'m Node) -> Result<Vec<String>, String> {
        let name = match self.value(name)? {
            Value::Unset => return Ok(Vec::new()),
            name => as_text(name)?,
        };
        let bytes: usize = self.message.headers.named(&name).map(|field| field.value.len()).sum();
        self.spend((self.message.headers.entries().len() / 4).saturating_add(bytes / BYTES))?;
        Ok(self.message.header_text(&name))
    }

    fn client(&self, field: ClientField) -> Value<'m> {
        let client = &*self.message.client;
        match field {
            ClientField::Address => {
                Value::Text(client.address.map_or(Cow::Borrowed(""), |address| Cow::Owned(address.to_string())))
            }
            ClientField::Port => Value::Int(i64::from(client.port.unwrap_or_default())),
            ClientField::Hostname => text(client.hostname.as_deref().unwrap_or_default()),
            ClientField::Helo => text(client.helo.as_deref().unwrap_or_default()),
            ClientField::Authenticated => Value::Bool(client.auth.is_some()),
            ClientField::User => text(client.auth.as_ref().map_or("", |auth| &auth.user)),
            ClientField::Tls => Value::Bool(client.tls.is_some()),
            ClientField::Listener => text(client.listener.as_deref().unwrap_or_default()),
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), String> {
        match self.steps.checked_sub(steps as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                // Nothing may go on after this, `||` neither.
                self.steps = 0;
                Err(format!("took more than {STEPS} steps"))
            }
        }
    }
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Double(_) => "a number",
            Self::Text(_) => "text",
            Self::Mailbox(_) => "a mailbox",
            Self::List(_) => "a list",
        }
    }

    fn bytes(&self) -> usize {
        if let Self::Text(text) = self { text.len() } else { 0 }
    }

    /// Steps that copying or searching it takes.
    fn cost(&self) -> usize {
        match self {
            Self::Text(text) => text.len() / BYTES,
            Self::List(list) => list.len(),
            _ => 0,
        }
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn mailbox_field(mailbox: &Mailbox, field: MailboxField) -> Value<'_> {
    match field {
        MailboxField::Address => text(mailbox.address()),
        MailboxField::Local => text(mailbox.local()),
        MailboxField::Domain => Value::Text(Cow::Owned(mailbox.domain())),
    }
}

fn fact(value: &facts::Value) -> Value<'_> {
    match value {
        facts::Value::Flag(value) => Value::Bool(*value),
        facts::Value::Number(value) => Value::Double(*value),
        facts::Value::Text(value) => text(value),
        facts::Value::Texts(values) => Value::List(Rc::new(values.iter().map(|value| text(value)).collect())),
    }
}

/// An unset fact is as good as false.
fn truth(value: &Value<'_>) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Unset => Ok(false),
        other => Err(format!("must be true or false, is {}", other.kind())),
    }
}

fn as_text<'m>(value: Value<'m>) -> Result<Cow<'m, str>, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("must be text, is {}", other.kind())),
    }
}

/// Any comparison with an unset fact is false.
fn compare(kind: Comparison, left: &Value<'_>, right: &Value<'_>) -> Result<bool, String> {
    if matches!(left, Value::Unset) || matches!(right, Value::Unset) {
        return Ok(false);
    }
    match kind {
        Comparison::Equal => return Ok(equal(left, right) == Some(true)),
        Comparison::NotEqual => return Ok(equal(left, right) != Some(true)),
        _ => {}
    }
    let order = match (left, right) {
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        _ => {
            numbers(left, right).ok_or_else(|| format!("{} can not be compared with {}", left.kind(), right.kind()))?
        }
    };
    Ok(match kind {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::Equal | Comparison::NotEqual | Comparison::GreaterOrEqual => order.is_ge(),
    })
}

/// None when one is unset or they are of different types.
fn equal(left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left == right),
        (Value::Text(left), Value::Text(right)) => Some(left == right),
        _ => numbers(left, right).map(Ordering::is_eq),
    }
}

/// Whole numbers and others are compared as numbers, whatever they were written as.
fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        _ => double(left)?.partial_cmp(&double(right)?),
    }
}

#[allow(clippy::cast_precision_loss, reason = "sizes, ports and scores are far below 2^52")]
fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        _ => None,
    }
}

fn calculate<'m>(kind: Operation, left: Value<'m>, right: Value<'m>) -> Result<Value<'m>, String> {
    Ok(match (left, right) {
        (Value::Unset, _) | (_, Value::Unset) => Value::Unset,
        (Value::Int(left), Value::Int(right)) => {
            let value = match kind {
                Operation::Add => left.checked_add(right),
                Operation::Subtract => left.checked_sub(right),
                Operation::Multiply => left.checked_mul(right),
                Operation::Divide | Operation::Remainder if right == 0 => return Err("division by zero".to_owned()),
                Operation::Divide => left.checked_div(right),
                Operation::Remainder => left.checked_rem(right),
            };
            Value::Int(value.ok_or("number is too large")?)
        }
        (Value::Text(left), Value::Text(right)) => {
            if left.len().saturating_add(right.len()) > MAX_TEXT {
                return Err(format!("text of more than {MAX_TEXT} bytes"));
            }
            Value::Text(left + right)
        }
        (Value::List(left), Value::List(right)) => {
            let mut list = Rc::unwrap_or_clone(left);
            list.extend(right.iter().cloned());
            Value::List(Rc::new(list))
        }
        (left, right) => match (double(&left), double(&right)) {
            (Some(left), Some(right)) => Value::Double(match kind {
                Operation::Add => left + right,
                Operation::Subtract => left - right,
                Operation::Multiply => left * right,
                Operation::Divide => left / right,
                Operation::Remainder => left % right,
            }),
            _ => return Err(format!("can not calculate with {} and {}", left.kind(), right.kind())),
        },
    })
}

fn call<'m>(function: Function, of: Value<'m>, argument: Option<Value<'m>>) -> Result<Value<'m>, String> {
    let argument = match argument {
        Some(Value::Unset) => return Ok(Value::Bool(false)),
        Some(argument) => as_text(argument)?,
        None => Cow::Borrowed(""),
    };
    Ok(match (function, of) {
        (Function::Size | Function::LowerAscii, Value::Unset) => Value::Unset,
        (Function::StartsWith | Function::EndsWith | Function::Contains, Value::Unset) => Value::Bool(false),
        (Function::Size, Value::List(list)) => length(list.len()),
        (Function::Size, of) => length(as_text(of)?.chars().count()),
        (Function::StartsWith, of) => Value::Bool(as_text(of)?.starts_with(&*argument)),
        (Function::EndsWith, of) => Value::Bool(as_text(of)?.ends_with(&*argument)),
        (Function::Contains, of) => Value::Bool(as_text(of)?.contains(&*argument)),
        (Function::LowerAscii, of) => Value::Text(Cow::Owned(as_text(of)?.to_ascii_lowercase())),
    })
}

fn length<'m>(length: usize) -> Value<'m> {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}
