//! From source text to nodes: every name known, every type fitting, everything of bounded size.

use super::{
    Condition, ConditionError,
    local::{Direction, Local},
    network::Network,
    node::{ClientField, Comparison, Comprehension, Function, MailboxField, Node, Operation},
};
use cel::{
    IdedExpr, Program,
    common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators},
};
use regex::RegexBuilder;
use std::{fmt, sync::Arc};
use wasmilter_message::judge::Needs;

/// Checks a condition and says which parts of the message it looks at.
pub(super) fn check(source: &str, local: Option<&Arc<Local>>) -> Result<(Node, Needs), ConditionError> {
    before_parsing(source)?;
    let program = Program::compile(source).map_err(|errors| syntax(source, &errors))?;
    let places = program.source_info();
    let mut checker = Checker { source, local, places, needs: Needs::default(), depth: 0, scope: None };
    let (node, found) = checker.check(program.expression())?;
    if !matches!(found, Type::Bool | Type::Fact) {
        let message = format!("condition must be true or false, is {found}");
        return Err(ConditionError { message, offset: None });
    }
    Ok((node, checker.needs))
}

/// Deepest nesting of operators and calls. Well-balanced chains of `&&` and `||` do not count much.
const MAX_DEPTH: usize = 60;
/// Most elements of a list in the source.
const MAX_LIST: usize = 200;
/// Largest compiled regular expression, in bytes.
const MAX_REGEX: usize = 1 << 20;

/// What has to hold before the parser sees the source: its recursion follows the nesting of the text.
fn before_parsing(source: &str) -> Result<(), ConditionError> {
    if source.len() > Condition::MAX_SOURCE {
        let message = format!("condition must have at most {} bytes, has {}", Condition::MAX_SOURCE, source.len());
        return Err(ConditionError { message, offset: None });
    }
    if source.trim().is_empty() {
        return Err(ConditionError { message: "condition must not be empty".to_owned(), offset: None });
    }
    let mut depth = 0_usize;
    let mut run = 0_usize;
    for (offset, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth = depth.saturating_add(1),
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        run = if matches!(byte, b'!' | b'-') { run.saturating_add(1) } else { 0 };
        if depth > MAX_DEPTH || run > MAX_DEPTH {
            return Err(ConditionError { message: "nested too deeply".to_owned(), offset: Some(offset) });
        }
    }
    Ok(())
}

fn syntax(source: &str, errors: &cel::ParseErrors) -> ConditionError {
    let Some(first) = errors.errors.first() else {
        return ConditionError { message: "condition can not be read".to_owned(), offset: None };
    };
    let (line, column) = (usize::try_from(first.pos.0).unwrap_or(1), usize::try_from(first.pos.1).unwrap_or(1));
    let before: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let in_line = source.split_inclusive('\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let offset = before.saturating_add(byte_of(in_line, column.saturating_sub(1)));
    ConditionError { message: format!("syntax error: {}", first.msg.trim()), offset: Some(offset) }
}

/// The byte at which a character begins; the end when there are fewer.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte)
}

/// Type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Type {
    Bool,
    Number,
    Text,
    List(Box<Type>),
    Mailbox,
    Direction,
    /// Value of a fact: known only when the condition is computed.
    Fact,
    /// Elements of an empty list.
    Nothing,
    Client,
    Envelope,
    Message,
    Headers,
    Facts,
    /// The facts of one stage.
    FactsOf(String),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List(_) => "a list",
            Self::Mailbox => "a mailbox (write .address, .local or .domain)",
            Self::Direction => "a direction",
            Self::Fact => "a fact",
            Self::Nothing => "nothing",
            Self::Client => "client (write client.FIELD)",
            Self::Envelope => "envelope (write envelope.FIELD)",
            Self::Message => "message (write message.FIELD)",
            Self::Headers => "headers (write headers['name'] or header('name'))",
            Self::Facts => "facts (write facts.STAGE.NAME)",
            Self::FactsOf(_) => "the facts of a stage (write facts.STAGE.NAME)",
        })
    }
}

impl Type {
    fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// The type of what may be either; None when they do not fit.
    fn unify(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Nothing, other) | (other, Self::Nothing) => Some(other.clone()),
            (Self::List(own), Self::List(other)) => own.unify(other).map(Self::list),
            (own, other) if own == other => Some(own.clone()),
            _ => None,
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(self, Self::Bool | Self::Number | Self::Text)
    }
}

const ROOTS: &str = "client, envelope, headers, message, facts, direction";
const CLIENT: &str = "address, port, hostname, helo, authenticated, user, tls, listener";
const ENVELOPE: &str = "sender, recipients, queue_id";
const MAILBOX: &str = "address, local, domain";
const MESSAGE: &str = "size";
const FUNCTIONS: &str = "header(), size(), startsWith(), endsWith(), contains(), matches(), lowerAscii(), inNetwork(), has(), \
                         all(), exists(), exists_one(), map(), filter()";

struct Checker<'a> {
    source: &'a str,
    local: Option<&'a Arc<Local>>,
    places: &'a SourceInfo,
    needs: Needs,
    depth: usize,
    /// Variables of the comprehension at hand.
    scope: Option<Scope>,
}

struct Scope {
    item: (String, Type),
    gathered: (String, Type),
}

type Checked = Result<(Node, Type), ConditionError>;

impl Checker<'_> {
    fn check(&mut self, expression: &IdedExpr) -> Checked {
        if self.depth > MAX_DEPTH {
            return Err(self.error(expression, "nested too deeply"));
        }
        self.depth = self.depth.saturating_add(1);
        let checked = self.check_kind(expression);
        self.depth = self.depth.saturating_sub(1);
        checked
    }

    fn check_kind(&mut self, expression: &IdedExpr) -> Checked {
        match &expression.expr {
            Expr::Literal(value) => self.literal(expression, value),
            Expr::Ident(name) => self.name(expression, name),
            Expr::Select(select) => self.select(expression, select),
            Expr::Call(call) => self.call(expression, call),
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension),
            Expr::List(list) => {
                if list.elements.len() > MAX_LIST {
                    let text = format!("list must have at most {MAX_LIST} elements, has {}", list.elements.len());
                    return Err(self.error(expression, text));
                }
                let mut of = Type::Nothing;
                let mut nodes = Vec::new();
                for element in &list.elements {
                    let (node, found) = self.check(element)?;
                    let fits = of.unify(&found).filter(|of| of.is_scalar() || matches!(of, Type::Fact | Type::Mailbox));
                    of = fits.ok_or_else(|| {
                        self.error(element, format!("list must have elements of one type, has {found} beside {of}"))
                    })?;
                    nodes.push(node);
                }
                Ok((Node::List(nodes), Type::list(of)))
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err(self.error(expression, "maps and structures can not be written in conditions"))
            }
        }
    }

    fn literal(&self, expression: &IdedExpr, value: &LiteralValue) -> Checked {
        Ok(match value {
            LiteralValue::Boolean(value) => (Node::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(value) => (Node::Int(*value.inner()), Type::Number),
            LiteralValue::UInt(value) => match i64::try_from(*value.inner()) {
                Ok(value) => (Node::Int(value), Type::Number),
                Err(_) => return Err(self.error(expression, "number is too large")),
            },
            LiteralValue::Double(value) => (Node::Double(*value.inner()), Type::Number),
            LiteralValue::String(value) => (Node::Text(value.inner().to_owned()), Type::Text),
            LiteralValue::Bytes(_) | LiteralValue::Null => {
                return Err(self.error(expression, "bytes and null have no use in conditions"));
            }
        })
    }

    fn name(&mut self, expression: &IdedExpr, name: &str) -> Checked {
        if let Some(scope) = &self.scope {
            if scope.item.0 == name {
                return Ok((Node::Item, scope.item.1.clone()));
            }
            if scope.gathered.0 == name {
                return Ok((Node::Gathered, scope.gathered.1.clone()));
            }
        }
        if name == "direction" {
            return self.direction(expression);
        }
        // Nodes of their own have only what can be computed; a root alone can not.
        let root = match name {
            "client" => Type::Client,
            "envelope" => Type::Envelope,
            "headers" => Type::Headers,
            "message" => Type::Message,
            "facts" => Type::Facts,
            _ => return Err(self.error(expression, format!("no such name {name:?}; there are {ROOTS}"))),
        };
        Ok((Node::Bool(false), root))
    }

    fn direction(&self, expression: &IdedExpr) -> Checked {
        match self.local {
            Some(local) => Ok((Node::Direction(Arc::clone(local)), Type::Direction)),
            None => Err(self
                .error(expression, "direction needs to know what is inside: write [local] with domains and networks")),
        }
    }

    /// What a direction is compared with stands in the source: a wrong name would never be true.
    fn directions(&self, of: &Type, others: &[&IdedExpr]) -> Result<(), ConditionError> {
        if *of != Type::Direction {
            return Ok(());
        }
        let known = |text: &str| Direction::ALL.iter().any(|direction| direction.name() == text);
        for other in others {
            match &other.expr {
                Expr::Literal(LiteralValue::String(text)) if known(text.inner()) => {}
                _ => return Err(self.error(other, "a direction is 'inbound', 'outbound' or 'internal'")),
            }
        }
        Ok(())
    }

    fn select(&mut self, expression: &IdedExpr, select: &SelectExpr) -> Checked {
        let (operand, of) = self.check(&select.operand)?;
        if select.test {
            return match of {
                Type::FactsOf(stage) => Ok((Node::HasFact(format!("{stage}.{}", select.field)), Type::Bool)),
                Type::Headers => self.headers(Node::Text(select.field.clone()), Node::HasHeader, Type::Bool),
                _ => {
                    Err(self
                        .error(expression, "has() is for facts.STAGE.NAME and headers.NAME; all else is always there"))
                }
            };
        }
        self.member(expression, operand, of, &select.field)
    }

    /// `of.field`, or `of['field']`.
    fn member(&mut self, expression: &IdedExpr, operand: Node, of: Type, field: &str) -> Checked {
        let unknown = |of, known| self.error(expression, format!("{of} has no field {field:?}; there are {known}"));
        match of {
            Type::Client => {
                let (field, of) = match field {
                    "address" => (ClientField::Address, Type::Text),
                    "port" => (ClientField::Port, Type::Number),
                    "hostname" => (ClientField::Hostname, Type::Text),
                    "helo" => (ClientField::Helo, Type::Text),
                    "authenticated" => (ClientField::Authenticated, Type::Bool),
                    "user" => (ClientField::User, Type::Text),
                    "tls" => (ClientField::Tls, Type::Bool),
                    "listener" => (ClientField::Listener, Type::Text),
                    _ => return Err(unknown("client", CLIENT)),
                };
                Ok((Node::Client(field), of))
            }
            Type::Envelope => match field {
                "sender" => Ok((Node::Sender, Type::Mailbox)),
                "recipients" => Ok((Node::Recipients, Type::list(Type::Mailbox))),
                "queue_id" => Ok((Node::QueueId, Type::Text)),
                _ => Err(unknown("envelope", ENVELOPE)),
            },
            Type::Mailbox => {
                let field = match field {
                    "address" => MailboxField::Address,
                    "local" => MailboxField::Local,
                    "domain" => MailboxField::Domain,
                    _ => return Err(unknown("a mailbox", MAILBOX)),
                };
                Ok((Node::Mailbox(Box::new(operand), field), Type::Text))
            }
            Type::Message => match field {
                "size" => {
                    self.needs.body = true;
                    self.needs.headers = true;
                    Ok((Node::Size, Type::Number))
                }
                _ => Err(unknown("message", MESSAGE)),
            },
            Type::Headers => self.headers(Node::Text(field.to_owned()), Node::Headers, Type::list(Type::Text)),
            Type::Facts => Ok((Node::Bool(false), Type::FactsOf(field.to_owned()))),
            Type::FactsOf(stage) => Ok((Node::Fact(format!("{stage}.{field}")), Type::Fact)),
            other => Err(self.error(expression, format!("{other} has no fields, {field:?} was asked for"))),
        }
    }

    fn headers(&mut self, name: Node, node: fn(Box<Node>) -> Node, of: Type) -> Checked {
        self.needs.headers = true;
        Ok((node(Box::new(name)), of))
    }

    fn call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Checked {
        let name = call.func_name.as_str();
        match (name, &call.target, call.args.as_slice()) {
            (operators::LOGICAL_AND, None, [left, right]) => {
                Ok((Node::And(self.truth(left)?, self.truth(right)?), Type::Bool))
            }
            (operators::LOGICAL_OR, None, [left, right]) => {
                Ok((Node::Or(self.truth(left)?, self.truth(right)?), Type::Bool))
            }
            (operators::LOGICAL_NOT, None, [operand]) => Ok((Node::Not(self.truth(operand)?), Type::Bool)),
            // Part of how the parser spells `all` and `exists`; says that an error is no reason to stop.
            (operators::NOT_STRICTLY_FALSE, None, [operand]) => Ok((*self.truth(operand)?, Type::Bool)),
            (operators::NEGATE, None, [operand]) => {
                let (node, found) = self.check(operand)?;
                match found {
                    Type::Number | Type::Fact => Ok((Node::Negate(Box::new(node)), found)),
                    _ => Err(self.error(expression, format!("'-' is for numbers, not for {found}"))),
                }
            }
            (operators::CONDITIONAL, None, [condition, yes, no]) => {
                let condition = self.truth(condition)?;
                let ((yes, left), (no, right)) = (self.check(yes)?, self.check(no)?);
                let of = left.unify(&right).filter(|of| self.is_value(of)).ok_or_else(|| {
                    self.error(expression, format!("both sides of ':' must have one type, are {left} and {right}"))
                })?;
                Ok((Node::If(condition, Box::new(yes), Box::new(no)), of))
            }
            (operators::INDEX, None, [operand, index]) => self.index(expression, operand, index),
            (operators::IN, None, [element, list]) => self.within(expression, element, list),
            (_, None, [left, right]) if comparison(name).is_some() => self.compare(expression, name, left, right),
            (_, None, [left, right]) if operation(name).is_some() => self.calculate(expression, name, left, right),
            ("header", None, [field]) => {
                let field = self.text(field, "header()")?;
                self.headers(field, Node::Header, Type::Text)
            }
            ("size", None, [operand]) => self.size(expression, operand),
            ("size", Some(operand), []) => self.size(expression, operand),
            ("startsWith" | "endsWith" | "contains", Some(operand), [argument]) => {
                let function = match name {
                    "startsWith" => Function::StartsWith,
                    "endsWith" => Function::EndsWith,
                    _ => Function::Contains,
                };
                let operand = self.text(operand, name)?;
                let argument = self.text(argument, name)?;
                Ok((Node::Call(function, Box::new(operand), vec![argument]), Type::Bool))
            }
            ("lowerAscii", Some(operand), []) => {
                let operand = self.text(operand, name)?;
                Ok((Node::Call(Function::LowerAscii, Box::new(operand), Vec::new()), Type::Text))
            }
            ("matches", Some(operand), [pattern]) => {
                let operand = self.text(operand, name)?;
                let pattern_text = self.written_text(pattern, "matches()")?;
                let regex = RegexBuilder::new(pattern_text).size_limit(MAX_REGEX).build();
                let regex = regex.map_err(|error| {
                    let reason = error.to_string();
                    let reason = reason.lines().last().unwrap_or_default().trim().to_owned();
                    self.error(pattern, format!("regular expression can not be used: {reason}"))
                })?;
                Ok((Node::Matches(Box::new(operand), regex), Type::Bool))
            }
            ("inNetwork", Some(operand), [network]) => {
                let operand = self.text(operand, name)?;
                let text = self.written_text(network, "inNetwork()")?;
                let parsed = Network::parse(text).ok_or_else(|| {
                    self.error(network, format!("network must look like '10.0.0.0/8' or '2001:db8::/32', is {text:?}"))
                })?;
                Ok((Node::InNetwork(Box::new(operand), parsed), Type::Bool))
            }
            _ => Err(self.error(expression, self.no_such_function(name, call))),
        }
    }

    fn no_such_function(&self, name: &str, call: &CallExpr) -> String {
        let known = FUNCTIONS.split(", ").any(|known| known.strip_suffix("()") == Some(name));
        match (known, &call.target) {
            (true, Some(_)) => format!("{name}() is not used like that, with {} arguments on a value", call.args.len()),
            (true, None) => format!("{name}() is not used like that, with {} arguments on its own", call.args.len()),
            (false, _) => format!("no such function {name:?}; there are {FUNCTIONS}"),
        }
    }

    /// An operand that must be true or false.
    fn truth(&mut self, expression: &IdedExpr) -> Result<Box<Node>, ConditionError> {
        match self.check(expression)? {
            (node, Type::Bool | Type::Fact) => Ok(Box::new(node)),
            (_, found) => Err(self.error(expression, format!("must be true or false, is {found}"))),
        }
    }

    fn text(&mut self, expression: &IdedExpr, function: &str) -> Result<Node, ConditionError> {
        match self.check(expression)? {
            (node, Type::Text | Type::Fact) => Ok(node),
            (_, found) => Err(self.error(expression, format!("{function} is for text, not for {found}"))),
        }
    }

    /// An argument that must stand in the source: it is compiled now and not for every message.
    fn written_text<'e>(&self, expression: &'e IdedExpr, function: &str) -> Result<&'e str, ConditionError> {
        match &expression.expr {
            Expr::Literal(LiteralValue::String(text)) => Ok(text.inner()),
            _ => Err(self.error(expression, format!("argument of {function} must be a text in quotes"))),
        }
    }

    fn index(&mut self, expression: &IdedExpr, operand: &IdedExpr, index: &IdedExpr) -> Checked {
        let (node, of) = self.check(operand)?;
        match of {
            Type::Headers => {
                let name = self.text(index, "headers[]")?;
                self.headers(name, Node::Headers, Type::list(Type::Text))
            }
            Type::Facts | Type::FactsOf(_) => {
                let field = self.written_text(index, "facts[]")?;
                self.member(expression, node, of, field)
            }
            Type::List(element) => match self.check(index)? {
                (index, Type::Number) => Ok((Node::Index(Box::new(node), Box::new(index)), *element)),
                (_, found) => Err(self.error(index, format!("index of a list must be a number, is {found}"))),
            },
            other => Err(self.error(expression, format!("[] is for lists, headers and facts, not for {other}"))),
        }
    }

    fn within(&mut self, expression: &IdedExpr, element: &IdedExpr, list: &IdedExpr) -> Checked {
        let (element, found) = self.check(element)?;
        let written: Vec<&IdedExpr> = match &list.expr {
            Expr::List(list) => list.elements.iter().collect(),
            _ => vec![list],
        };
        self.directions(&found, &written)?;
        let found = if found == Type::Direction { Type::Text } else { found };
        let (list, of) = self.check(list)?;
        match (&found, of) {
            (Type::Text | Type::Fact, Type::Headers) => self.headers(element, Node::HasHeader, Type::Bool),
            (_, Type::List(of)) if comparable(&found, &of) || *of == Type::Nothing && self.is_value(&found) => {
                Ok((Node::In(Box::new(element), Box::new(list)), Type::Bool))
            }
            (Type::Text | Type::Fact, Type::Fact) => Ok((Node::In(Box::new(element), Box::new(list)), Type::Bool)),
            (_, Type::List(of)) => Err(self.error(expression, format!("{found} can not be in a list of {of}"))),
            (_, of) => Err(self.error(expression, format!("'in' is for lists and headers, not for {of}"))),
        }
    }

    fn compare(&mut self, expression: &IdedExpr, name: &str, left: &IdedExpr, right: &IdedExpr) -> Checked {
        let written = (left, right);
        let ((left, mut a), (right, mut b)) = (self.check(left)?, self.check(right)?);
        let kind = comparison(name).unwrap_or(Comparison::Equal);
        let ordering = !matches!(kind, Comparison::Equal | Comparison::NotEqual);
        if !ordering {
            self.directions(&a, &[written.1])?;
            self.directions(&b, &[written.0])?;
            for of in [&mut a, &mut b] {
                if *of == Type::Direction {
                    *of = Type::Text;
                }
            }
        }
        let unordered = |of: &Type| !matches!(of, Type::Number | Type::Text | Type::Fact);
        if !comparable(&a, &b) || ordering && (unordered(&a) || unordered(&b)) {
            return Err(self.error(expression, format!("{a} can not be compared with {b}")));
        }
        Ok((Node::Compare(kind, Box::new(left), Box::new(right)), Type::Bool))
    }

    fn calculate(&mut self, expression: &IdedExpr, name: &str, left: &IdedExpr, right: &IdedExpr) -> Checked {
        let ((left, a), (right, b)) = (self.check(left)?, self.check(right)?);
        let kind = operation(name).unwrap_or(Operation::Add);
        let of = match (&a, &b, kind) {
            (Type::Number, Type::Number, _) => Type::Number,
            (Type::Number | Type::Fact, Type::Number | Type::Fact, _) => Type::Fact,
            (Type::Text, Type::Text, Operation::Add) => Type::Text,
            (Type::List(_), Type::List(_), Operation::Add) if a.unify(&b).is_some() => a.unify(&b).unwrap_or(a),
            _ => return Err(self.error(expression, format!("can not calculate with {a} and {b}"))),
        };
        Ok((Node::Calculate(kind, Box::new(left), Box::new(right)), of))
    }

    fn size(&mut self, expression: &IdedExpr, operand: &IdedExpr) -> Checked {
        match self.check(operand)? {
            (node, Type::Text | Type::List(_)) => {
                Ok((Node::Call(Function::Size, Box::new(node), Vec::new()), Type::Number))
            }
            (node, Type::Fact) => Ok((Node::Call(Function::Size, Box::new(node), Vec::new()), Type::Fact)),
            (_, found) => Err(self.error(expression, format!("size() is for text and lists, not for {found}"))),
        }
    }

    fn comprehension(&mut self, expression: &IdedExpr, parts: &ComprehensionExpr) -> Checked {
        if self.scope.is_some() {
            return Err(self.error(expression, "all(), exists(), map() and filter() can not be nested"));
        }
        let (range, of) = self.check(&parts.iter_range)?;
        let item = match of {
            Type::List(item) => *item,
            // The only facts that are lists are lists of text.
            Type::Fact => Type::Text,
            other => return Err(self.error(expression, format!("all(), exists()… are for lists, not for {other}"))),
        };
        if parts.iter_var2.is_some() || ROOTS.split(", ").any(|root| root == parts.iter_var) {
            return Err(self.error(expression, format!("variable must have another name than {ROOTS}")));
        }
        let (start, gathered) = self.check(&parts.accu_init)?;
        self.scope =
            Some(Scope { item: (parts.iter_var.clone(), item), gathered: (parts.accu_var.clone(), gathered.clone()) });
        let inside = self.inside(parts, gathered);
        self.scope = None;
        let (goes_on, step, (result, of)) = inside?;
        Ok((Node::Comprehension(Box::new(Comprehension { range, start, goes_on, step, result })), of))
    }

    fn inside(
        &mut self,
        parts: &ComprehensionExpr,
        gathered: Type,
    ) -> Result<(Node, Node, (Node, Type)), ConditionError> {
        let goes_on = *self.truth(&parts.loop_cond)?;
        let (step, stepped) = self.check(&parts.loop_step)?;
        let gathered = gathered
            .unify(&stepped)
            .ok_or_else(|| self.error(&parts.loop_step, format!("must be {gathered}, is {stepped}")))?;
        if let Some(scope) = &mut self.scope {
            scope.gathered.1 = gathered;
        }
        Ok((goes_on, step, self.check(&parts.result)?))
    }

    /// Whether it is something that can be computed, not only a step on the way to it.
    fn is_value(&self, of: &Type) -> bool {
        of.is_scalar() || matches!(of, Type::Fact | Type::Mailbox | Type::List(_))
    }

    fn error(&self, at: &IdedExpr, message: impl Into<String>) -> ConditionError {
        let start = self.places.offset_for(at.id).and_then(|(start, _)| usize::try_from(start).ok());
        ConditionError { message: message.into(), offset: start.filter(|start| self.source.is_char_boundary(*start)) }
    }
}

fn comparable(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Fact, other) | (other, Type::Fact) => other.is_scalar() || *other == Type::Fact,
        (a, b) => a == b && a.is_scalar(),
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        operators::ADD => Operation::Add,
        operators::SUBSTRACT => Operation::Subtract,
        operators::MULTIPLY => Operation::Multiply,
        operators::DIVIDE => Operation::Divide,
        operators::MODULO => Operation::Remainder,
        _ => return None,
    })
}
