//! From counters to regions: the programs themselves say which counter stands for which part of which file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use llvm_profparser::coverage::coverage_mapping::read_object_file;
use llvm_profparser::{
    Counter, CounterType, CoverageMappingInfo, ExprKind, Expression, FunctionRecordV3, RegionKind,
};

use super::lines::{Region, Regions};
use super::profiles::{Counters, Function};

/// The regions of each counted file, by its path from the root.
pub(super) type Files = BTreeMap<String, Regions>;

/// Reads the regions of programs.
///
/// # Errors
/// When a program cannot be read or is not instrumented.
pub(super) fn read(
    programs: &[PathBuf],
    counters: &Counters,
    root: &Path,
    is_counted: impl Fn(&str) -> bool,
) -> Result<Files> {
    let version = counters.version.context("no profile was written")?;
    let mut files = Files::new();
    // Many programs contain the same functions, and the counters are sums over all programs already.
    let mut seen: HashSet<Function> = HashSet::new();
    for program in programs {
        let mapping = read_object_file(program, version)
            .with_context(|| format!("cannot read the regions of {}", program.display()))?;
        let names = names(&mapping, root, &is_counted);
        for function in &mapping.cov_fun {
            let key = (function.header.name_hash, function.header.fn_hash);
            if let Some(names) = names.get(&function.header.filenames_ref)
                && seen.insert(key)
            {
                add(&mut files, function, names, counters.of(key));
            }
        }
    }
    Ok(files)
}

/// The lists of files that functions refer to, as paths from the root; none stands for a file that is not
/// counted. Lists without a counted file are left out.
fn names(
    mapping: &CoverageMappingInfo,
    root: &Path,
    is_counted: impl Fn(&str) -> bool,
) -> HashMap<u64, Vec<Option<String>>> {
    let name = |path: &PathBuf| {
        let name = path.strip_prefix(root).ok()?.to_str()?;
        is_counted(name).then(|| name.to_owned())
    };
    mapping
        .cov_map
        .keys()
        .map(|&list| {
            let paths = mapping.get_files_from_id(list);
            (list, paths.iter().map(name).collect::<Vec<_>>())
        })
        .filter(|(_, names)| names.iter().any(Option::is_some))
        .collect()
}

fn add(files: &mut Files, function: &FunctionRecordV3, names: &[Option<String>], counts: &[u64]) {
    let mut values = Values::new(counts, &function.expressions);
    for region in &function.regions {
        let Some(Some(name)) = names.get(region.file_id) else {
            continue;
        };
        if region.kind != RegionKind::Code {
            continue;
        }
        let count = u64::try_from(values.of(region.count)).unwrap_or(0);
        let region = Region {
            start: (region.loc.line_start, region.loc.column_start),
            end: (region.loc.line_end, region.loc.column_end),
        };
        let regions = match files.get_mut(name) {
            Some(regions) => regions,
            None => files.entry(name.clone()).or_default(),
        };
        let sum = regions.entry(region).or_default();
        *sum = sum.saturating_add(count);
    }
}

/// The values of counters, of which most are sums and differences of others. A difference may be negative:
/// threads count without waiting for each other.
struct Values<'a> {
    counts: &'a [u64],
    expressions: &'a [Expression],
    known: Vec<Option<i128>>,
}

impl<'a> Values<'a> {
    fn new(counts: &'a [u64], expressions: &'a [Expression]) -> Self {
        Self {
            counts,
            expressions,
            known: vec![None; expressions.len()],
        }
    }

    fn of(&mut self, counter: Counter) -> i128 {
        let Ok(index) = usize::try_from(counter.id) else {
            return 0;
        };
        match counter.kind {
            CounterType::Zero => 0,
            CounterType::ProfileInstrumentation => {
                self.counts.get(index).copied().map_or(0, i128::from)
            }
            CounterType::Expression(_) => self.of_expression(index),
        }
    }

    fn of_expression(&mut self, index: usize) -> i128 {
        let Some(expression) = self.expressions.get(index) else {
            return 0;
        };
        if let Some(value) = self.known[index] {
            return value;
        }
        // An expression that refers to itself, which no compiler writes, would never end.
        self.known[index] = Some(0);
        let (left, right) = (self.of(expression.lhs), self.of(expression.rhs));
        let value = match expression.kind {
            ExprKind::Add => left.saturating_add(right),
            ExprKind::Subtract => left.saturating_sub(right),
        };
        self.known[index] = Some(value);
        value
    }
}

#[cfg(test)]
mod tests {
    use llvm_profparser::{Counter, CounterType, ExprKind, Expression};

    use super::Values;

    fn expression(kind: ExprKind, lhs: Counter, rhs: Counter) -> Expression {
        let mut expression = Expression::new(lhs, rhs);
        expression.set_kind(kind);
        expression
    }

    fn result_of(kind: ExprKind, id: u64) -> Counter {
        Counter {
            kind: CounterType::Expression(kind),
            id,
        }
    }

    #[test]
    fn counters_are_sums_and_differences_of_others() {
        let difference = result_of(ExprKind::Subtract, 1);
        let expressions = [
            expression(ExprKind::Add, difference, Counter::instrumentation(2)),
            expression(
                ExprKind::Subtract,
                Counter::instrumentation(0),
                Counter::instrumentation(1),
            ),
        ];
        let mut values = Values::new(&[5, 7, 3], &expressions);
        assert_eq!(values.of(Counter::default()), 0);
        assert_eq!(values.of(Counter::instrumentation(1)), 7);
        assert_eq!(values.of(difference), -2);
        assert_eq!(values.of(result_of(ExprKind::Add, 0)), 1);
    }

    #[test]
    fn what_was_never_run_counts_nothing() {
        let itself = result_of(ExprKind::Add, 0);
        let expressions = [expression(
            ExprKind::Add,
            itself,
            Counter::instrumentation(0),
        )];
        let mut values = Values::new(&[], &expressions);
        assert_eq!(values.of(itself), 0);
        assert_eq!(values.of(result_of(ExprKind::Add, 9)), 0);
    }
}
