use jiff::civil::DateTime;

use super::*;

#[test]
fn lines() {
    for line in [
        "* * * * *",
        "*/5 0-6 1,15 jan-mar mon",
        "@daily",
        "@every 1h30m",
        "0 0 ? * 0",
        "0/15 * * * *",
        "1 2 3 4 5",
        "@every 1.5h",
        "@every 100ms",
    ] {
        assert!(Schedule::parse(line).is_ok(), "{line}");
    }
    for (line, message) in [
        ("hello", "expected exactly 5 fields, found 1: [hello]"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ("@every ", "failed to parse duration @every : time: invalid duration \"\""),
        ("@every -1h", "failed to parse duration @every -1h: time: invalid duration \"-1h\""),
    ] {
        assert_eq!(Schedule::parse(line).unwrap_err().to_string(), message, "{line}");
    }
}

#[test]
fn time_zones() {
    for (name, known) in [
        ("", true),
        ("UTC", true),
        ("Europe/Berlin", true),
        ("Asia/Tokyo", true),
        ("asia/tokyo", false),
        ("Mars/Olympus", false),
    ] {
        assert_eq!(time_zone(name).is_some(), known, "{name}");
    }
}

/// The times after a local time, as local times with their offset.
fn due(line: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, zone) = (Schedule::parse(line).unwrap(), time_zone(zone).unwrap());
    let mut at = after.parse::<DateTime>().unwrap().to_zoned(zone.clone()).unwrap().timestamp();
    let mut times = Vec::new();
    while times.len() < count {
        let Some(next) = schedule.next_after(at, &zone) else { break };
        assert!(next > at, "{line}: {next} is not after {at}");
        at = next;
        times.push(next.to_zoned(zone.clone()).strftime("%m-%dT%H:%M:%S%z").to_string());
    }
    times
}

#[test]
fn times() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("* * * * *", "", "2026-01-01T00:00:00", &["01-01T00:01:00+0000", "01-01T00:02:00+0000"]),
        ("* * * * *", "", "2026-01-01T00:00:59.9", &["01-01T00:01:00+0000"]),
        ("*/15 9-10 * * *", "", "2026-01-01T09:50:00", &["01-01T10:00:00+0000", "01-01T10:15:00+0000"]),
        ("0 0 1 */6 *", "", "2026-01-15T00:00:00", &["07-01T00:00:00+0000", "01-01T00:00:00+0000"]),
        ("0 0 * * mon", "", "2026-01-01T00:00:00", &["01-05T00:00:00+0000", "01-12T00:00:00+0000"]),
        // Either day is enough, unless one field is open.
        (
            "0 0 13 * fri",
            "",
            "2026-01-01T00:00:00",
            &["01-02T00:00:00+0000", "01-09T00:00:00+0000", "01-13T00:00:00+0000"],
        ),
        ("0 0 13 * ?", "", "2026-01-01T00:00:00", &["01-13T00:00:00+0000", "02-13T00:00:00+0000"]),
        ("0 0 29 2 *", "", "2026-01-01T00:00:00", &["02-29T00:00:00+0000"]),
        ("0 0 30 2 *", "", "2026-01-01T00:00:00", &[]),
        ("0 12 * * *", "Asia/Tokyo", "2026-01-01T00:00:00", &["01-01T12:00:00+0900"]),
        ("30 4 * * *", "Asia/Kolkata", "2026-01-01T00:00:00", &["01-01T04:30:00+0530"]),
        // Clocks forward: 02:30 does not come on that day. Clocks back: 01:30 comes twice.
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00:00", &["03-09T02:30:00-0400"]),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00",
            &["11-01T01:30:00-0400", "11-01T01:30:00-0500", "11-02T01:30:00-0500"],
        ),
        ("0 * * * *", "America/New_York", "2026-03-08T00:30:00", &["03-08T01:00:00-0500", "03-08T03:00:00-0400"]),
        // Midnight itself is left out.
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00", &["04-25T00:00:00+0300"]),
        ("30 1 * * *", "Africa/Cairo", "2026-04-23T12:00:00", &["04-24T01:30:00+0300"]),
        // Half an hour.
        ("0 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00", &["10-05T02:00:00+1100"]),
        ("@hourly", "", "2026-01-01T00:10:00", &["01-01T01:00:00+0000"]),
        ("@every 90m", "", "2026-01-01T00:10:30.5", &["01-01T01:40:30+0000", "01-01T03:10:30+0000"]),
        ("@every 10ms", "", "2026-01-01T00:00:00", &["01-01T00:00:01+0000"]),
    ];
    for (line, zone, after, expected) in cases {
        assert_eq!(due(line, zone, after, expected.len().max(1)), *expected, "{line} in {zone} after {after}");
    }
}

/// Against the plain meaning: the first whole minute that matches, found by trying all of them.
#[test]
fn no_time_is_skipped() {
    for (line, zone) in [
        ("*/7 1-3 * * *", "Europe/Berlin"),
        ("59 23 * * sat,sun", "America/Sao_Paulo"),
        ("0,30 0-4 28-31 3,10 *", "Australia/Lord_Howe"),
        ("15 2 */3 * 0", "Africa/Cairo"),
    ] {
        let (schedule, zone) = (Schedule::parse(line).unwrap(), time_zone(zone).unwrap());
        let Schedule::Times(times) = &schedule else { continue };
        let matches = |at: &jiff::Zoned| {
            let day = times.days.contains(at.day());
            let weekday = times.weekdays.contains(at.weekday().to_sunday_zero_offset());
            let open = times.days.is_open || times.weekdays.is_open;
            times.minutes.contains(at.minute())
                && times.hours.contains(at.hour())
                && times.months.contains(at.month())
                && if open { day && weekday } else { day || weekday }
        };
        let start = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
        let mut due = None;
        for minute in 0..(365 * 24 * 60) {
            let at = jiff::Timestamp::from_second(start + minute * 60).unwrap();
            if matches(&at.to_zoned(zone.clone())) {
                assert_eq!(due.unwrap_or(at), at, "{line}");
                due = schedule.next_after(at, &zone);
            }
        }
        assert!(due.is_some(), "{line} is due at all");
    }
}
