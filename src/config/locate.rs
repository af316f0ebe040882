//! Where in the text the findings are, in one pass: the deepest value on a finding's path that the text has.

use std::cmp::Ordering;

use super::report::{Finding, Position, Step};
use crate::json::{JsonReader, Kind, SyntaxError};
use crate::sort::{order, sort};

/// Gives every finding its line and column in `text`, which is JSON, and brings them into its order.
pub(super) fn locate(text: &[u8], findings: &mut [Finding]) {
    let by_path = |one: usize, other: usize| {
        let path = |index: usize| findings.get(index).map(|finding| &finding.path);
        path(one).cmp(&path(other))
    };
    let mut sought = order(findings.len(), &by_path);
    sought.retain(|index| findings.get(*index).is_some_and(|finding| finding.offset.is_none()));
    if !sought.is_empty() {
        // The text was read before: a syntax error cannot come up again, and would only leave places out.
        drop(place(&mut JsonReader::new(text), findings, &sought, 0));
    }
    sort(findings, &|one, other| one.offset.cmp(&other.offset));
    positions(text, findings);
}

/// The findings numbered in `sought` share the path to the value that comes next, `depth` steps long.
fn place(
    reader: &mut JsonReader<'_>,
    findings: &mut [Finding],
    sought: &[usize],
    depth: usize,
) -> Result<(), SyntaxError> {
    let kind = reader.peek()?;
    if !matches!(kind, Kind::Array | Kind::Object) {
        settle(findings, sought, reader.offset());
        return reader.skip();
    }
    reader.enter()?;
    // As in the reference, a list or object is shown by the byte after its bracket.
    settle(findings, sought, reader.offset());
    let below = depth.saturating_add(1);
    let mut index: usize = 0;
    loop {
        let inside = if kind == Kind::Object {
            let Some((key, _)) = reader.next_key(index == 0)? else { return Ok(()) };
            range(findings, sought, depth, &|step| order_of_key(step, &key))
        } else {
            if !reader.next_item(index == 0)? {
                return Ok(());
            }
            range(findings, sought, depth, &|step| order_of_index(step, index))
        };
        index = index.saturating_add(1);
        match sought.get(inside) {
            Some(inside) if !inside.is_empty() => place(reader, findings, inside, below)?,
            _ => reader.skip()?,
        }
    }
}

fn settle(findings: &mut [Finding], sought: &[usize], offset: usize) {
    for index in sought {
        if let Some(finding) = findings.get_mut(*index) {
            finding.offset = Some(offset);
        }
    }
}

/// The findings whose step at `depth` is the one that `order` finds equal.
fn range(
    findings: &[Finding],
    sought: &[usize],
    depth: usize,
    order: &dyn Fn(&Step) -> Ordering,
) -> std::ops::Range<usize> {
    // A path that ends here sorts before those that go on.
    let order = |index: &usize| {
        let step = findings.get(*index).and_then(|finding| finding.path.get(depth));
        step.map_or(Ordering::Less, order)
    };
    let start = sought.partition_point(|index| order(index) == Ordering::Less);
    let end = sought.partition_point(|index| order(index) != Ordering::Greater);
    start..end
}

fn order_of_key(step: &Step, key: &str) -> Ordering {
    match step {
        Step::Key(own) => (*own).cmp(key),
        _ => Ordering::Greater,
    }
}

fn order_of_index(step: &Step, index: usize) -> Ordering {
    match step {
        Step::Key(_) => Ordering::Less,
        Step::Index(own) => own.cmp(&index),
        Step::Unused(_) => Ordering::Greater,
    }
}

/// The place of the byte at `offset`.
pub(super) fn position(text: &[u8], offset: usize) -> Position {
    let mut finding = [Finding { offset: Some(offset), ..Finding::default() }];
    positions(text, &mut finding);
    let [finding] = finding;
    finding.position.unwrap_or(Position { line: 0, column: 0 })
}

/// Counts lines and columns once for all findings, which are in the order of their offsets.
fn positions(text: &[u8], findings: &mut [Finding]) {
    let mut at = 0;
    let mut position = Position { line: 1, column: 1 };
    for finding in findings {
        let Some(offset) = finding.offset else { continue };
        let Some(passed) = text.get(at..offset).filter(|_| offset < text.len()) else {
            // The reference has no place for what is missing at the end.
            finding.position = Some(Position { line: 0, column: 0 });
            continue;
        };
        let lines = passed.split(|&byte| byte == b'\n').count().saturating_sub(1);
        position.line = position.line.saturating_add(lines);
        position.column = match passed.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => passed.len().saturating_sub(newline),
            None => position.column.saturating_add(passed.len()),
        };
        at = offset;
        finding.position = Some(position);
    }
}
