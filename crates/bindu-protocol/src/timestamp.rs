//! Points in time, as the wire writes them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, to the microsecond, in UTC.
///
/// Written as ISO 8601 with six fractional digits (none if they are all zero) and the offset
/// `+00:00`, the form that stored tasks have; read from any RFC 3339 text.
///
/// ```
/// # use bindu_protocol::Timestamp;
/// let at: Timestamp = "2026-11-21T04:09:09.144808+00:00".parse()?;
/// assert_eq!(at.to_string(), "2026-11-21T04:09:09.144808+00:00");
/// assert_eq!(at, "2026-11-21T05:09:09.144808+01:00".parse()?);
/// # Ok::<(), bindu_protocol::TimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The text is no RFC 3339 date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a timestamp must be an RFC 3339 date and time, like 2026-11-21T04:09:09Z")]
pub struct TimestampError;

impl Timestamp {
    /// The present time by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Makes one from microseconds since 1970-01-01T00:00:00Z.
    ///
    /// Values outside the years 0 to 9999 are moved to the nearest that can be written.
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Self {
        Self(micros.clamp(-62_167_219_200_000_000, 253_402_300_799_999_999))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_unix_micros(self) -> i64 {
        self.0
    }

    /// Lends the written form to `read`, without allocating.
    fn with_str<R>(self, read: impl FnOnce(&str) -> R) -> R {
        let seconds = self.0.div_euclid(1_000_000);
        let micros = self.0.rem_euclid(1_000_000);
        let date =
            OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut text = [b'0'; 32];
        put(&mut text[0..4], date.year().unsigned_abs());
        text[4] = b'-';
        put(&mut text[5..7], u32::from(u8::from(date.month())));
        text[7] = b'-';
        put(&mut text[8..10], u32::from(date.day()));
        text[10] = b'T';
        put(&mut text[11..13], u32::from(date.hour()));
        text[13] = b':';
        put(&mut text[14..16], u32::from(date.minute()));
        text[16] = b':';
        put(&mut text[17..19], u32::from(date.second()));
        let mut end = 19;
        if micros != 0 {
            text[19] = b'.';
            put(&mut text[20..26], u32::try_from(micros).unwrap_or(0));
            end = 26;
        }
        text[end..end + 6].copy_from_slice(b"+00:00");
        read(std::str::from_utf8(&text[..end + 6]).unwrap_or_default())
    }
}

/// Writes `value` in decimal, right-aligned over zeros.
fn put(digits: &mut [u8], mut value: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self::from_unix_micros(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        })
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        let span = Duration::from_micros(at.0.unsigned_abs());
        let time = if at.0 < 0 {
            Self::UNIX_EPOCH.checked_sub(span)
        } else {
            Self::UNIX_EPOCH.checked_add(span)
        };
        // Only where the system's clock cannot hold the year, as Windows' cannot before 1601.
        time.unwrap_or(Self::UNIX_EPOCH)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let date = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let micros = date.unix_timestamp_nanos() / 1_000;
        Ok(Self::from_unix_micros(i64::try_from(micros).map_err(|_| TimestampError)?))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| f.pad(text))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_str(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_have_no_fraction() {
        let at = Timestamp::from_unix_micros(1_700_000_000_000_000);
        assert_eq!(at.to_string(), "2023-11-14T22:13:20+00:00");
    }

    #[test]
    fn extremes_can_be_written_and_read() {
        for micros in [i64::MIN, -1, 0, 1, i64::MAX] {
            let at = Timestamp::from_unix_micros(micros);
            assert_eq!(at.to_string().parse(), Ok(at));
        }
    }
}
