//! What a plugin said against what it must say, line by line.

use crate::{
    expected::{Expected, ExpectedCall},
    outcome::{Contents, Outcome, Said, shown},
};
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// Everything that differs, in the order of `expected.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Difference(pub Vec<Block>);

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    /// What: `verdict`, `edits`, `facts.score`, with several calls `call 2: edits`.
    pub what: String,
    /// Expected and got, for lists with what is the same.
    pub lines: Vec<Line>,
}

/// One line of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Whose it is.
    pub mark: Mark,
    /// The line; line breaks inside are escaped.
    pub text: String,
}

/// Whose a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Expected and got.
    Same,
    /// Expected, but not got.
    Expected,
    /// Got, but not expected.
    Got,
}

impl Outcome {
    /// What differs from `expected`; None when nothing does.
    #[must_use]
    pub fn difference(&self, expected: &Expected) -> Option<Difference> {
        let mut blocks = Blocks::default();
        match (self, &expected.problems) {
            (Self::Unusable(reason), _) => blocks.differ("plugin", None, Some(reason.clone())),
            (Self::Problems(problems), expected) => {
                let found: Vec<_> =
                    problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
                let what = if expected.is_some() { "problems" } else { "the configuration was refused" };
                blocks.list(what, expected.as_deref().unwrap_or_default(), &found);
            }
            (Self::Said { .. }, Some(problems)) => blocks.list("problems", problems, &[]),
            (Self::Said { calls, store, strayed }, None) => {
                let several = expected.calls.len() > 1;
                for (number, (expected, times)) in (1_usize..).zip(expected.calls.iter().zip(calls)) {
                    let of_call = if several { format!("call {number}: ") } else { String::new() };
                    for (time, said) in (1_usize..).zip(times) {
                        let before = blocks.list.len();
                        let of_time = if times.len() > 1 { format!("{of_call}time {time}: ") } else { of_call.clone() };
                        blocks.call(&of_time, expected, said);
                        // What differs once mostly differs from then on.
                        if blocks.list.len() > before {
                            break;
                        }
                    }
                }
                if let Some(expected) = &expected.store {
                    blocks.store(expected, store);
                }
                for what in strayed {
                    blocks.differ("script", None, Some(what.clone()));
                }
            }
        }
        (!blocks.list.is_empty()).then_some(Difference(blocks.list))
    }
}

impl Difference {
    /// For people; with ANSI colours for a terminal. Ends with a line break.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for block in &self.0 {
            text += &format!("{}\n", block.what);
            for line in &block.lines {
                let (sign, style) = match line.mark {
                    Mark::Same => ("         ", ""),
                    Mark::Expected => ("expected ", "\x1b[32m"),
                    Mark::Got => ("got      ", "\x1b[31m"),
                };
                text += &match colour && !style.is_empty() {
                    true => format!("  {style}{sign} {}\x1b[0m\n", line.text),
                    false => format!("  {sign} {}\n", line.text),
                };
            }
        }
        text
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

#[derive(Default)]
struct Blocks {
    list: Vec<Block>,
}

impl Blocks {
    fn call(&mut self, of: &str, expected: &ExpectedCall, said: &Said) {
        if said.verdict != expected.verdict {
            let got = match (&said.failure, said.reply.as_str()) {
                (Some(cause), detail) => format!("{} ({cause}: {detail})", said.verdict),
                (None, "") => said.verdict.clone(),
                (None, reply) => format!("{} ({reply})", said.verdict),
            };
            self.differ(&format!("{of}verdict"), Some(expected.verdict.clone()), Some(got));
        }
        if let Some(code) = expected.code.filter(|code| *code != said.code) {
            self.differ(&format!("{of}code"), Some(code.to_string()), Some(said.code.to_string()));
        }
        if let Some(piece) = expected.reply.as_ref().filter(|piece| !said.reply.contains(piece.as_str())) {
            self.differ(&format!("{of}reply"), Some(format!("… {piece} …")), Some(said.reply.clone()));
        }
        if expected.failure.is_some() && expected.failure != said.failure {
            self.differ(&format!("{of}failure"), expected.failure.clone(), said.failure.clone());
        }
        self.list(&format!("{of}edits"), &expected.edits, &said.edits);
        for (name, value) in &expected.facts {
            let got = said.facts.get(name);
            if !got.is_some_and(|got| same_value(got, value)) {
                self.differ(&format!("{of}facts.{name}"), Some(value.to_string()), got.map(Value::to_string));
            }
        }
    }

    fn store(&mut self, expected: &Contents, got: &Contents) {
        let values = expected.values.keys().chain(got.values.keys().filter(|key| !expected.values.contains_key(*key)));
        for key in values {
            let of = |contents: &Contents| contents.values.get(key).map(|value| shown(value).to_string());
            if expected.values.get(key) != got.values.get(key) {
                self.differ(&format!("store.values.{key:?}"), of(expected), of(got));
            }
        }
        let counters =
            expected.counters.keys().chain(got.counters.keys().filter(|key| !expected.counters.contains_key(*key)));
        for key in counters {
            let of = |contents: &Contents| contents.counters.get(key).map(u32::to_string);
            if of(expected) != of(got) {
                self.differ(&format!("store.counters.{key:?}"), of(expected), of(got));
            }
        }
    }

    /// One thing where another was expected; None: nothing.
    fn differ(&mut self, what: &str, expected: Option<String>, got: Option<String>) {
        let nothing = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
        let mut lines = vec![line(Mark::Expected, &nothing(expected)), line(Mark::Got, &nothing(got))];
        // Where nothing can be expected, saying so would only be noise.
        if ["plugin", "script"].contains(&what) {
            lines.remove(0);
        }
        self.list.push(Block { what: what.to_owned(), lines });
    }

    /// A list of lines against the beginnings that they must have.
    fn list(&mut self, what: &str, expected: &[String], got: &[String]) {
        let lines = aligned(expected, got);
        if lines.iter().any(|line| line.mark != Mark::Same) {
            self.list.push(Block { what: what.to_owned(), lines });
        }
    }
}

fn line(mark: Mark, text: &str) -> Line {
    let text = text.replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n");
    let text = text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
    Line { mark, text }
}

/// Both lists with as much as possible side by side: a longest common subsequence.
fn aligned(expected: &[String], got: &[String]) -> Vec<Line> {
    let same = |e: &String, g: &String| g.starts_with(e.as_str());
    // From the end, the length of the best rest for every pair of places; lists of edits are short.
    let width = got.len().saturating_add(1);
    let mut best = vec![0_usize; expected.len().saturating_add(1).saturating_mul(width)];
    let at = |e: usize, g: usize| e.saturating_mul(width).saturating_add(g);
    let read = |best: &[usize], e: usize, g: usize| best.get(at(e, g)).copied().unwrap_or_default();
    for (e, wanted) in expected.iter().enumerate().rev() {
        for (g, line) in got.iter().enumerate().rev() {
            let length = if same(wanted, line) {
                read(&best, e.saturating_add(1), g.saturating_add(1)).saturating_add(1)
            } else {
                read(&best, e.saturating_add(1), g).max(read(&best, e, g.saturating_add(1)))
            };
            if let Some(cell) = best.get_mut(at(e, g)) {
                *cell = length;
            }
        }
    }
    let (mut e, mut g, mut lines) = (0, 0, Vec::new());
    loop {
        match (expected.get(e), got.get(g)) {
            (None, None) => return lines,
            (Some(wanted), Some(found)) if same(wanted, found) => {
                lines.push(line(Mark::Same, found));
                (e, g) = (e.saturating_add(1), g.saturating_add(1));
            }
            (Some(wanted), found)
                if found.is_none() || read(&best, e.saturating_add(1), g) >= read(&best, e, g.saturating_add(1)) =>
            {
                lines.push(line(Mark::Expected, wanted));
                e = e.saturating_add(1);
            }
            (_, Some(found)) => {
                lines.push(line(Mark::Got, found));
                g = g.saturating_add(1);
            }
            (Some(_), None) => return lines,
        }
    }
}

/// 7 and 7.0 are the same number.
fn same_value(got: &Value, expected: &Value) -> bool {
    match (got.as_f64(), expected.as_f64()) {
        (Some(got), Some(expected)) => (got - expected).abs() < 1e-6,
        _ => got == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;
    use wasmilter_wasm::Problem;

    fn said() -> Said {
        Said {
            verdict: "next".to_owned(),
            edits: ["add-header A: 1", "add-header B: 2\r\n\t3", "remove-part 2"].map(str::to_owned).to_vec(),
            facts: BTreeMap::from([("score".to_owned(), json!(7.0)), ("names".to_owned(), json!(["a"]))]),
            ..Said::default()
        }
    }

    fn outcome(said: Said) -> Outcome {
        Outcome::Said { calls: vec![vec![said]], store: Contents::default(), strayed: Vec::new() }
    }

    fn expected() -> Expected {
        let call = ExpectedCall {
            verdict: "next".to_owned(),
            edits: ["add-header A: ", "add-header B: 2", "remove-part"].map(str::to_owned).to_vec(),
            facts: BTreeMap::from([("score".to_owned(), json!(7))]),
            ..ExpectedCall::default()
        };
        Expected { problems: None, calls: vec![call], store: None }
    }

    fn shown(outcome: &Outcome, expected: &Expected) -> String {
        outcome.difference(expected).map_or_else(String::new, |difference| difference.render(false))
    }

    #[test]
    fn beginnings_are_enough_and_facts_may_be_more() {
        assert_eq!(outcome(said()).difference(&expected()), None);
    }

    #[test]
    fn lists_are_laid_side_by_side() {
        let mut wanted = expected();
        wanted.calls[0].edits =
            ["add-header A: 2", "add-header B: 2", "set-subject x", "remove-part"].map(str::to_owned).to_vec();
        let text = "edits\n  expected  add-header A: 2\n  got       add-header A: 1\n            \
            add-header B: 2\\r\\n\u{fffd}3\n  expected  set-subject x\n            remove-part 2\n";
        assert_eq!(shown(&outcome(said()), &wanted), text);
        wanted.calls[0].edits.clear();
        assert_eq!(shown(&outcome(said()), &wanted).matches("got ").count(), 3);
    }

    #[test]
    fn each_difference_is_told() {
        let mut got = said();
        got.verdict = "reject".to_owned();
        got.reply = "no spam".to_owned();
        got.code = 554;
        got.facts.clear();
        let mut wanted = expected();
        wanted.calls[0].code = Some(550);
        wanted.calls[0].reply = Some("virus".to_owned());
        wanted.calls[0].failure = Some("trap".to_owned());
        let text = "verdict\n  expected  next\n  got       reject (no spam)\n\
            code\n  expected  550\n  got       554\n\
            reply\n  expected  … virus …\n  got       no spam\n\
            failure\n  expected  trap\n  got       nothing\n\
            facts.score\n  expected  7\n  got       nothing\n";
        assert_eq!(shown(&outcome(got.clone()), &wanted), text);
        let coloured = outcome(got).difference(&wanted).unwrap().render(true);
        assert!(coloured.contains("\x1b[32mexpected  next\x1b[0m") && coloured.contains("\x1b[31mgot       reject"));
    }

    #[test]
    fn repetitions_stop_at_the_first_that_differs() {
        let mut late = said();
        late.verdict = "tempfail".to_owned();
        let times = vec![said(), said(), late.clone(), late];
        let got = Outcome::Said { calls: vec![vec![said()], times], store: Contents::default(), strayed: Vec::new() };
        let mut wanted = expected();
        wanted.calls.push(wanted.calls[0].clone());
        assert_eq!(shown(&got, &wanted), "call 2: time 3: verdict\n  expected  next\n  got       tempfail\n");
    }

    #[test]
    fn store_and_script() {
        let mut wanted = expected();
        let values = |list: &[(&str, &[u8])]| {
            list.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect::<BTreeMap<_, _>>()
        };
        wanted.store = Some(Contents {
            values: values(&[("a", b"1"), ("b", b"2")]),
            counters: BTreeMap::from([("n".to_owned(), 3)]),
        });
        let store = Contents {
            values: values(&[("a", b"1"), ("c", b"\xff")]),
            counters: BTreeMap::from([("n".to_owned(), 4)]),
        };
        let got = Outcome::Said { calls: vec![vec![said()]], store, strayed: vec!["service x: …".to_owned()] };
        let text = "store.values.\"b\"\n  expected  \"2\"\n  got       nothing\n\
            store.values.\"c\"\n  expected  nothing\n  got       {\"base64\":\"/w==\"}\n\
            store.counters.\"n\"\n  expected  3\n  got       4\n\
            script\n  got       service x: …\n";
        assert_eq!(shown(&got, &wanted), text);
        wanted.store = None;
        assert_eq!(shown(&got, &wanted), "script\n  got       service x: …\n");
    }

    #[test]
    fn configurations_that_are_refused() {
        let problem = Problem { path: "/a".to_owned(), message: "must be above 0, is -1".to_owned() };
        let refused = Outcome::Problems(vec![problem]);
        let wants = |problems: &[&str]| Expected {
            problems: Some(problems.iter().map(|text| (*text).to_owned()).collect()),
            calls: Vec::new(),
            store: None,
        };
        assert_eq!(refused.difference(&wants(&["/a: must be above 0"])), None);
        assert_eq!(
            shown(&refused, &wants(&["/b: "])),
            "problems\n  expected  /b: \n  got       /a: must be above 0, is -1\n"
        );
        assert!(shown(&refused, &expected()).starts_with("the configuration was refused\n  got  "));
        assert_eq!(shown(&outcome(said()), &wants(&["/a: x"])), "problems\n  expected  /a: x\n");
        let unusable = Outcome::Unusable("no".to_owned());
        assert_eq!(shown(&unusable, &expected()), "plugin\n  got       no\n");
    }
}
