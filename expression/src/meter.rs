//! What an evaluation has spent, and the two functions that charge for it.
//!
//! The engine has no cost limit, so [`crate::price`] puts calls of these functions into the
//! expression before it is used. Their names begin with `@`, which no source text can contain.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cel::common::types::{
    CelBytes, CelInt, CelList, CelMap, CelMapKey, CelOptional, CelString, DYN_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

/// Variable that holds the meter.
pub(crate) const METER: &str = "@meter";
/// `@loop(@meter, body, range)` charges for a loop over `range` and gives it back.
pub(crate) const LOOP: &str = "@loop";
/// `@use(@meter, value)` charges for reading or copying `value` and gives it back.
pub(crate) const USE: &str = "@use";

/// How many bytes can be read or copied for one unit.
const BYTES_PER_UNIT: u64 = 1024;
/// What a value takes beside its text, in bytes.
const VALUE_BYTES: u64 = 32;

static METER_TYPE: Type = Type::new_unspecified_type("meter");

/// What is left to spend, in units; below zero it was too much. Clones share it. An evaluation
/// runs on one thread, so nothing is ordered by the counter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<AtomicI64>);

impl Meter {
    pub(crate) fn reset(&self, units: i64) {
        self.0.store(units, Ordering::Relaxed);
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }

    fn charge(&self, units: u64) -> Result<(), ExecutionError> {
        let units = i64::try_from(units).unwrap_or(i64::MAX);
        let left = self.0.load(Ordering::Relaxed).saturating_sub(units);
        self.0.store(left, Ordering::Relaxed);
        if left < 0 {
            return Err(ExecutionError::function_error("cost", "limit exceeded"));
        }
        Ok(())
    }
}

impl Val for Meter {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &METER_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Meter {}

/// Declares the functions that charge.
pub(crate) fn declare(environment: &mut Env) -> Result<(), DeclarationError> {
    let any = || DYN_TYPE;
    environment.add_overload(LOOP, "meter_loop", vec![any(), any(), any()], charge_loop)?;
    environment.add_overload(USE, "meter_use", vec![any(), any()], charge_use)
}

fn meter<'a>(value: &'a CowVal<'_, '_>) -> Result<&'a Meter, ExecutionError> {
    value
        .downcast_ref::<Meter>()
        .ok_or_else(ExecutionError::missing_argument_or_target)
}

fn charge_use<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [spent, value] = <[CowVal<'b, 'v>; 2]>::try_from(arguments)
        .map_err(|_| ExecutionError::missing_argument_or_target())?;
    meter(&spent)?.charge(bytes(value.as_ref()) / BYTES_PER_UNIT)?;
    Ok(value)
}

/// Charges for the whole loop before it begins: each element is bound, which copies it, and the
/// body evaluated. A map is looped over by its keys in order, so that results do not depend on
/// the order of a hash table.
fn charge_loop<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [spent, body, range] = <[CowVal<'b, 'v>; 3]>::try_from(arguments)
        .map_err(|_| ExecutionError::missing_argument_or_target())?;
    let Some(sizer) = range.as_sizer() else {
        // Not something to loop over: the engine says so.
        return Ok(range);
    };
    let number = |integer: &i64| u64::try_from(*integer).unwrap_or_default();
    let rounds = number(sizer.size().inner());
    let body = body
        .downcast_ref::<CelInt>()
        .map_or(1, |units| number(units.inner()));
    let copied = bytes(range.as_ref()) / BYTES_PER_UNIT;
    meter(&spent)?.charge(rounds.saturating_mul(body).saturating_add(copied))?;
    let Some(map) = range.downcast_ref::<CelMap>() else {
        return Ok(range);
    };
    let mut keys: Vec<&CelMapKey<'v>> = map.inner().keys().collect();
    keys.sort();
    let keys: Vec<Box<dyn Val + 'v>> = keys
        .into_iter()
        .map(|key| key.inner().clone_as_boxed())
        .collect();
    Ok(CowVal::owned(CelList::from(keys)))
}

/// About how much memory a value takes.
fn bytes(value: &dyn Val) -> u64 {
    let length = |length: usize| length as u64;
    let inside = if let Some(text) = value.downcast_ref::<CelString>() {
        length(text.inner().len())
    } else if let Some(octets) = value.downcast_ref::<CelBytes>() {
        length(octets.inner().len())
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        list.inner().iter().map(|item| bytes(item.as_ref())).sum()
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let entries = map.inner().iter();
        entries
            .map(|(key, value)| bytes(key.inner()) + bytes(value.as_ref()))
            .sum()
    } else if let Some(optional) = value.downcast_ref::<CelOptional>() {
        optional.option().map_or(0, bytes)
    } else {
        0
    };
    VALUE_BYTES + inside
}
