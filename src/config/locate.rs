//! Where in the text the findings are, in one pass: the deepest value on a finding's path that the text has.

use std::cmp::Ordering;

use super::json::{Kind, Reader, SyntaxError};
use super::report::{Finding, Position, Step};

/// Gives every finding its line and column in `text`, which is JSON.
pub(super) fn locate(text: &[u8], findings: &mut [Finding]) {
    let mut sought: Vec<&mut Finding> =
        findings.iter_mut().filter(|finding| finding.offset.is_none()).collect();
    sought.sort_by(|one, other| one.path.cmp(&other.path));
    if !sought.is_empty() {
        // The text was read before: a syntax error cannot come up again, and would only leave places out.
        drop(place(&mut Reader::new(text), &mut sought, 0));
    }
    positions(text, findings);
}

/// The findings in `sought` share the path to the value that comes next, `depth` steps long.
fn place(reader: &mut Reader<'_>, sought: &mut [&mut Finding], depth: usize) -> Result<(), SyntaxError> {
    let kind = reader.peek()?;
    if !matches!(kind, Kind::Array | Kind::Object) {
        settle(sought, reader.offset());
        return reader.skip();
    }
    reader.enter()?;
    // As in the reference, a list or object is shown by the byte after its bracket.
    settle(sought, reader.offset());
    let below = depth.saturating_add(1);
    let mut index: usize = 0;
    loop {
        let range = if kind == Kind::Object {
            let Some((key, _)) = reader.next_key(index == 0)? else { return Ok(()) };
            range(sought, depth, |step| order_of_key(step, &key))
        } else {
            if !reader.next_item(index == 0)? {
                return Ok(());
            }
            range(sought, depth, |step| order_of_index(step, index))
        };
        index = index.saturating_add(1);
        match sought.get_mut(range) {
            Some(inside) if !inside.is_empty() => place(reader, inside, below)?,
            _ => reader.skip()?,
        }
    }
}

fn settle(sought: &mut [&mut Finding], offset: usize) {
    for finding in sought {
        finding.offset = Some(offset);
    }
}

/// The findings whose step at `depth` is the one that `order` finds equal.
fn range(sought: &[&mut Finding], depth: usize, order: impl Fn(&Step) -> Ordering) -> std::ops::Range<usize> {
    // A path that ends here sorts before those that go on.
    let order = |finding: &&mut Finding| finding.path.get(depth).map_or(Ordering::Less, &order);
    let start = sought.partition_point(|finding| order(finding) == Ordering::Less);
    let end = sought.partition_point(|finding| order(finding) != Ordering::Greater);
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

/// Counts lines and columns once for all offsets.
fn positions(text: &[u8], findings: &mut [Finding]) {
    let mut sought: Vec<(usize, &mut Finding)> =
        findings.iter_mut().filter_map(|finding| Some((finding.offset?, finding))).collect();
    sought.sort_by_key(|(offset, _)| *offset);
    let mut at = 0;
    let mut position = Position { line: 1, column: 1 };
    for (offset, finding) in sought {
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
