//! Times as other programs write them into files and responses.
//!
//! The AWS CLI reads them with python-dateutil, so programs that were only ever used with it write
//! many forms. All of them name a time zone: without one the AWS CLI fails as well.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};

/// Longer texts are not a time.
const LONGEST: usize = 64;

/// ISO 8601 with its variants (`+0000`, `UTC`, a space for the `T`, fractions, no separators), RFC
/// 2822, and what `date` prints in UTC.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    iso_8601(text)
        .or_else(|| Some(DateTime::parse_from_rfc2822(text).ok()?.to_utc()))
        .or_else(|| {
            let naive = NaiveDateTime::parse_from_str(text, "%a %b %e %H:%M:%S UTC %Y").ok()?;
            Some(naive.and_utc())
        })
}

fn iso_8601(text: &str) -> Option<DateTime<Utc>> {
    let (date, rest) = date(text)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?.trim_start();
    // The zone begins at the first byte that is not part of a time of day.
    let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ','))?;
    let (time, zone) = rest.split_at(end);
    let at = date.and_time(time_of_day(time)?);
    let at = offset(zone.trim())?.from_local_datetime(&at).single()?;
    Some(at.to_utc())
}

fn date(text: &str) -> Option<(NaiveDate, &str)> {
    // Months and days may have one digit.
    let dashed = NaiveDate::parse_and_remainder(text, "%Y-%m-%d");
    let found = dashed.or_else(|_| {
        let (date, rest) = text.split_at_checked(8).unwrap_or_default();
        Ok::<_, chrono::ParseError>((NaiveDate::parse_from_str(date, "%Y%m%d")?, rest))
    });
    found.ok()
}

fn time_of_day(text: &str) -> Option<NaiveTime> {
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let parts: Vec<_> = whole.split(':').collect();
    let (hour, minute, second) = match (parts.as_slice(), whole.len()) {
        ([hour, minute, second], _) => (*hour, *minute, *second),
        ([hour, minute], _) if fraction.is_none() => (*hour, *minute, "0"),
        ([_], 6) => (&whole[..2], &whole[2..4], &whole[4..]),
        ([_], 4) if fraction.is_none() => (&whole[..2], &whole[2..], "0"),
        _ => return None,
    };
    let number = |text: &str| text.parse().ok().filter(|_| text.len() <= 2);
    let time = NaiveTime::from_hms_opt(number(hour)?, number(minute)?, number(second)?)?;
    // Fractions of a second decide nothing.
    match fraction {
        Some(fraction) if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) => {
            None
        }
        _ => Some(time),
    }
}

fn offset(zone: &str) -> Option<FixedOffset> {
    if ["Z", "UTC", "GMT"]
        .iter()
        .any(|utc| zone.eq_ignore_ascii_case(utc))
    {
        return FixedOffset::east_opt(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match digits.len() {
        2 => (&digits[..], "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_aws_cli_reads() {
        for text in [
            "2030-05-06T07:08:09Z",
            "2030-05-06T07:08:09z",
            " 2030-05-06t07:08:09+00:00 ",
            "2030-05-06T07:08:09+0000",
            "2030-05-06T07:08:09-00",
            "2030-05-06T07:08:09UTC",
            "2030-05-06 07:08:09 UTC",
            "2030-05-06 07:08:09 GMT",
            "2030-05-06T07:08:09.123456Z",
            "2030-05-06T07:08:09,5+0000",
            "20300506T070809Z",
            "2030-05-06T09:08:09+02:00",
            "2030-05-06T01:38:09-0530",
            "2030-05-05T21:08:09 -10",
            "Mon, 06 May 2030 07:08:09 GMT",
            "Mon May  6 07:08:09 UTC 2030",
            "2030-5-6T7:8:9Z",
        ] {
            let found = parse(text).map(|at| at.to_rfc3339());
            assert_eq!(
                found.as_deref(),
                Some("2030-05-06T07:08:09+00:00"),
                "{text}"
            );
        }
        let short = parse("2030-05-06T07:08Z").map(|at| at.to_rfc3339());
        assert_eq!(short.as_deref(), Some("2030-05-06T07:08:00+00:00"));
    }

    #[test]
    fn refuses_what_names_no_time_or_no_zone() {
        for text in [
            "",
            "soon",
            "5",
            "2030-05-06",
            "2030-05-06T07:08:09",
            "2030-13-06T07:08:09Z",
            "2030-05-06T25:08:09Z",
            "2030-05-06T07:08:60Z",
            "2030-05-06T007:08:09Z",
            "2030-05-06T07:08:09.Z",
            "2030-05-06T07:08:09+99:99",
            "2030-05-06T07:08:09+1",
            "2030-05-06T07:08:09 CEST",
            "9999999999-05-06T07:08:09Z",
            "é030-05-06T07:08:09Z",
            "+",
            "2030-05-06T",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"2".repeat(100_000)), None);
    }
}
