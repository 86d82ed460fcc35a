//! `sframe coverage`: assemblers leave functions out that they cannot express, so it has to be looked at.

use std::process::ExitCode;

use serde::Serialize;
use sframe_unwind::{Malformed, Section};

use crate::cli::CoverageArgs;
use crate::failure::Failure;
use crate::input::{Function, Input, Layout};
use crate::output;

/// Exit code when too little is covered.
const TOO_LITTLE: u8 = 6;

#[derive(Debug, Default, Serialize)]
struct Answer {
    functions: usize,
    covered: usize,
    bytes: u64,
    covered_bytes: u64,
    /// Covered in part or not at all.
    uncovered: Vec<Uncovered>,
}

#[derive(Debug, Serialize)]
struct Uncovered {
    function: String,
    start: u64,
    size: u64,
    covered_bytes: u64,
}

pub(crate) fn coverage(args: &CoverageArgs) -> Result<ExitCode, Failure> {
    let read = Input::read(&args.input, Layout::OneBehindTheOther)?;
    let section = Section::parse(&read.bytes, read.placement)?;
    let answer = measure(&read.functions, &ranges(&section)?);
    if args.json {
        output::json(&answer)?;
    } else {
        for function in &answer.uncovered {
            output::line(&format!(
                "{:#018x} {:>8} {:>8} {}",
                function.start, function.size, function.covered_bytes, function.function
            ));
        }
        output::line(&format!(
            "{} of {} functions covered, {} of {} bytes ({:.2} %)",
            answer.covered,
            answer.functions,
            answer.covered_bytes,
            answer.bytes,
            percent(&answer)
        ));
    }
    let is_too_little = args.at_least.is_some_and(|least| percent(&answer) < least);
    Ok(if is_too_little {
        ExitCode::from(TOO_LITTLE)
    } else {
        ExitCode::SUCCESS
    })
}

fn percent(answer: &Answer) -> f64 {
    // Shares of bytes of code: a double has room for them.
    #[expect(clippy::cast_precision_loss, reason = "less than 2^53 bytes of code")]
    let percent = answer.covered_bytes as f64 * 100.0 / answer.bytes.max(1) as f64;
    percent
}

/// Code that has rows, ascending and without overlap.
fn ranges(section: &Section<'_>) -> Result<Vec<(u64, u64)>, Malformed> {
    let mut ranges = Vec::new();
    for fde in section.fdes() {
        let fde = fde?;
        if fde.num_fres > 0 || fde.is_outermost() {
            ranges.push((fde.start, fde.end()));
        }
    }
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    Ok(joined)
}

/// `functions` ascend; of names of the same code the first counts.
fn measure(functions: &[Function], ranges: &[(u64, u64)]) -> Answer {
    let mut answer = Answer::default();
    let mut behind = 0;
    for function in functions {
        let end = function.start.saturating_add(function.size);
        let start = function.start.max(behind);
        if start >= end {
            continue;
        }
        behind = end;
        let first = ranges.partition_point(|range| range.1 <= start);
        let covered: u64 = ranges
            .iter()
            .skip(first)
            .take_while(|range| range.0 < end)
            .map(|range| range.1.min(end) - range.0.max(start))
            .sum();
        answer.functions += 1;
        answer.bytes += end - start;
        answer.covered_bytes += covered;
        if covered == end - start {
            answer.covered += 1;
        } else {
            answer.uncovered.push(Uncovered {
                function: function.name.clone(),
                start: function.start,
                size: function.size,
                covered_bytes: covered,
            });
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_counted_once_and_in_part() {
        let function = |start, size, name: &str| Function {
            start,
            size,
            name: name.to_owned(),
        };
        let functions = [
            function(0x100, 0x10, "covered"),
            function(0x100, 0x10, "alias"),
            function(0x110, 0x20, "half"),
            function(0x200, 8, "not"),
        ];
        let answer = measure(&functions, &[(0x100, 0x120)]);
        assert_eq!((answer.functions, answer.covered), (3, 1));
        assert_eq!((answer.bytes, answer.covered_bytes), (0x38, 0x20));
        let names: Vec<_> = answer
            .uncovered
            .iter()
            .map(|one| one.function.as_str())
            .collect();
        assert_eq!(names, ["half", "not"]);
    }
}
