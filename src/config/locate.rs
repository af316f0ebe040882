//! Finds the places of findings in the text, in one pass over it. A finding whose path the text does not have gets the
//! place of the deepest value on that path that the text does have.

use std::cmp::Ordering;

use super::report::{Finding, Position, Step};
use crate::json::{JsonKind, JsonReader, SyntaxError};
use crate::sort::{order, sort};

/// Sets the line and column of every finding, and sorts the findings by their places. `text` must be JSON.
pub(super) fn locate(text: &[u8], findings: &mut [Finding]) {
    let by_path = |one: usize, other: usize| {
        let path = |index: usize| findings.get(index).map(|finding| &finding.path);
        path(one).cmp(&path(other))
    };
    let mut sought = order(findings.len(), &by_path);
    sought.retain(|index| findings.get(*index).is_some_and(|finding| finding.offset.is_none()));
    if !sought.is_empty() {
        // The text was decoded before, so that this cannot fail. An error would only leave findings without a place.
        drop(place(&mut JsonReader::new(text), findings, &sought, 0));
    }
    sort(findings, &|one, other| one.offset.cmp(&other.offset));
    positions(text, findings);
}

/// Reads the next value and sets the offsets of the findings in `sought`: indices into `findings`, sorted by path. All
/// of them share the first `depth` steps of their paths, which lead to this value.
fn place(
    reader: &mut JsonReader<'_>,
    findings: &mut [Finding],
    sought: &[usize],
    depth: usize,
) -> Result<(), SyntaxError> {
    let kind = reader.peek()?;
    if !matches!(kind, JsonKind::Array | JsonKind::Object) {
        settle(findings, sought, reader.offset());
        return reader.skip();
    }
    reader.enter()?;
    // As in the reference, the place of a list or object is the byte after its opening bracket.
    settle(findings, sought, reader.offset());
    let below = depth.saturating_add(1);
    let mut index: usize = 0;
    loop {
        let inside = if kind == JsonKind::Object {
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

/// Sets the offset of the findings in `sought`. A deeper value may set it again.
fn settle(findings: &mut [Finding], sought: &[usize], offset: usize) {
    for index in sought {
        if let Some(finding) = findings.get_mut(*index) {
            finding.offset = Some(offset);
        }
    }
}

/// Returns the part of `sought` whose step at `depth` is the one that `order` finds equal.
fn range(
    findings: &[Finding],
    sought: &[usize],
    depth: usize,
    order: &dyn Fn(&Step) -> Ordering,
) -> std::ops::Range<usize> {
    // A path that ends at this value is sorted before the longer ones.
    let order = |index: &usize| {
        let step = findings.get(*index).and_then(|finding| finding.path.get(depth));
        step.map_or(Ordering::Less, order)
    };
    let start = sought.partition_point(|index| order(index) == Ordering::Less);
    let end = sought.partition_point(|index| order(index) != Ordering::Greater);
    start..end
}

/// Compares a step with the object's key `key`.
fn order_of_key(step: &Step, key: &str) -> Ordering {
    match step {
        Step::Key(own) => (*own).cmp(key),
        _ => Ordering::Greater,
    }
}

/// Compares a step with the list's index `index`.
fn order_of_index(step: &Step, index: usize) -> Ordering {
    match step {
        Step::Key(_) => Ordering::Less,
        Step::Index(own) => own.cmp(&index),
        Step::Unused(_) => Ordering::Greater,
    }
}

/// Returns the line and column of the byte at `offset`; 0 and 0 at the end of the text.
pub(super) fn position(text: &[u8], offset: usize) -> Position {
    let mut finding = [Finding { offset: Some(offset), ..Finding::default() }];
    positions(text, &mut finding);
    let [finding] = finding;
    finding.position.unwrap_or(Position { line: 0, column: 0 })
}

/// Sets line and column of the findings, which are sorted by offset, in one pass over the text.
fn positions(text: &[u8], findings: &mut [Finding]) {
    let mut at = 0;
    let mut position = Position { line: 1, column: 1 };
    for finding in findings {
        let Some(offset) = finding.offset else { continue };
        let Some(passed) = text.get(at..offset).filter(|_| offset < text.len()) else {
            // For an error at the end of the text, the reference shows line 0, column 0.
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
