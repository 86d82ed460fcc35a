//! Counts of tests, as nextest and libtest programs print them.

use std::ops::AddAssign;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// One check that passed.
    pub(crate) const ONE_PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    /// One check that failed.
    pub(crate) const ONE_FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
    /// One check that did not run.
    pub(crate) const ONE_SKIPPED: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    /// Adds up every summary in a log; `None` when there is none. Where nextest ran the tests, the
    /// summaries of libtest are what failed tests printed: nextest has counted those tests.
    pub(crate) fn in_log(log: &str) -> Option<Self> {
        let mut total = None;
        let by_nextest = log.lines().any(is_of_nextest);
        let lines = log
            .lines()
            .filter(|line| !by_nextest || is_of_nextest(line));
        for summary in lines.filter_map(summary) {
            *total.get_or_insert_with(Self::default) += summary;
        }
        total
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }
}

fn is_of_nextest(line: &str) -> bool {
    line.trim_start().starts_with("Summary [")
}

fn summary(line: &str) -> Option<Counts> {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix("test result: ") {
        let (_, counts) = rest.split_once(". ")?;
        Some(parse(counts, ';'))
    } else if is_of_nextest(line) {
        let (_, counts) = line.split_once(" run: ")?;
        Some(parse(&without_parentheses(counts), ','))
    } else {
        None
    }
}

/// Reads `2 passed, 1 failed` and the like.
fn parse(text: &str, separator: char) -> Counts {
    let mut counts = Counts::default();
    for part in text.split(separator) {
        let Some((number, what)) = part.trim().split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match what.trim_end_matches('.') {
            "passed" => counts.passed += number,
            "failed" | "timed out" | "exec failed" => counts.failed += number,
            "skipped" | "ignored" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

/// Drops nextest's remarks on passed tests: `(1 slow, 1 flaky)`.
fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|letter| {
            match letter {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts {
            passed,
            failed,
            skipped,
        })
    }

    #[test]
    fn nextest_summaries_are_read() {
        let log = "     Summary [   0.015s] 12 tests run: 12 passed, 3 skipped\n";
        assert_eq!(Counts::in_log(log), counts(12, 0, 3));
        let log = "────\n     Summary [  61.3s] 5/9 tests run: 3 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 4 skipped\n";
        assert_eq!(Counts::in_log(log), counts(3, 2, 4));
        let log = "     Summary [   0.000s] 0 tests run: 0 passed, 0 skipped\n";
        assert_eq!(Counts::in_log(log), counts(0, 0, 0));
    }

    #[test]
    fn a_failed_test_is_counted_once_though_nextest_shows_what_it_printed() {
        let log = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 59 filtered out\n\
                        Summary [  37.3s] 966 tests run: 965 passed, 1 failed, 0 skipped\n";
        assert_eq!(Counts::in_log(log), counts(965, 1, 0));
    }

    #[test]
    fn libtest_summaries_are_added_up() {
        let log = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
                   noise\n\
                   test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s\n";
        assert_eq!(Counts::in_log(log), counts(7, 1, 1));
    }

    #[test]
    fn a_log_without_a_summary_has_no_counts() {
        assert_eq!(Counts::in_log("error: could not compile `x`\n"), None);
    }
}
