//! A text with variables in braces.

use wasmilter_sdk::Message;

/// A text whose variables are known to exist.
#[derive(Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Literal(String),
    Variable(Variable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    /// Envelope sender.
    Sender,
    /// Domain of the envelope sender.
    SenderDomain,
    /// Display name in From; without one, the address there.
    FromName,
    /// Day in the message's Date field, as written there: `3 Nov 2026`.
    Date,
}

const VARIABLES: [(&str, Variable); 4] = [
    ("sender", Variable::Sender),
    ("sender_domain", Variable::SenderDomain),
    ("from_name", Variable::FromName),
    ("date", Variable::Date),
];

/// What the variables are in a message.
#[derive(Debug, Default, Clone)]
pub(crate) struct Values {
    sender: String,
    sender_domain: String,
    from_name: String,
    date: String,
}

impl Template {
    /// Variables stand in braces; `{{` and `}}` are braces. A brace that starts no name (CSS, a formula) is an error, so
    /// that misspelled variables are found.
    ///
    /// # Errors
    /// What is wrong, for the administrator.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from_brace.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = from_brace.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else if let Some((name, after)) = from_brace.strip_prefix('{').and_then(|name| name.split_once('}')) {
                let variable = VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, variable)| *variable);
                let variable = variable.ok_or_else(|| {
                    let known: Vec<&str> = VARIABLES.iter().map(|(known, _)| *known).collect();
                    format!(
                        "no such variable {{{name}}}; there are {}; a brace is written {{{{ or }}}}",
                        known.join(", ")
                    )
                })?;
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                pieces.push(Piece::Variable(variable));
                rest = after;
            } else {
                return Err("a brace has no counterpart; a brace is written {{ or }}".to_owned());
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Literal(literal));
        Ok(Self(pieces))
    }

    pub(crate) fn render(&self, values: &Values) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.as_str(),
                Piece::Variable(variable) => values.get(*variable),
            })
            .collect()
    }

    /// The texts between the variables.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Variable(_) => None,
        })
    }
}

impl Values {
    pub(crate) fn of(message: &Message) -> Self {
        let sender = message.sender();
        let from = message.addresses("From").into_iter().next();
        let from_name = from.map(|from| if from.name.is_empty() { from.address } else { from.name });
        let date = message.header_text("Date").first().map(|date| day_of(date));
        Self {
            sender: one_line(&sender.address),
            sender_domain: one_line(&sender.domain),
            from_name: one_line(&from_name.unwrap_or_default()),
            date: one_line(&date.unwrap_or_default()),
        }
    }

    /// The same for use in HTML.
    pub(crate) fn escaped(&self) -> Self {
        Self {
            sender: escape_html(&self.sender),
            sender_domain: escape_html(&self.sender_domain),
            from_name: escape_html(&self.from_name),
            date: escape_html(&self.date),
        }
    }

    fn get(&self, variable: Variable) -> &str {
        match variable {
            Variable::Sender => &self.sender,
            Variable::SenderDomain => &self.sender_domain,
            Variable::FromName => &self.from_name,
            Variable::Date => &self.date,
        }
    }
}

/// `Tue, 3 Nov 2026 10:00:00 +0100` → `3 Nov 2026` (RFC 5322 §3.3).
fn day_of(date: &str) -> String {
    let day = date.split_once(',').map_or(date, |(_, rest)| rest);
    day.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// What comes from the message must not shape the text: at most 200 characters, none of them a line end.
fn one_line(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}

pub(crate) fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
