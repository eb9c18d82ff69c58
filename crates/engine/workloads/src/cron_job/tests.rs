use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    format!("2026-01-{text}Z").parse().unwrap()
}

fn cron_job(spec: &Value, status: &Value) -> CronJob {
    let mut whole = json!({
        "schedule": "*/10 * * * *", "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
        "jobTemplate": { "metadata": { "labels": { "app": "c" } }, "spec": { "template": {} } },
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let metadata = json!({ "name": "c", "namespace": "n", "uid": "c", "creationTimestamp": "2026-01-01T00:00:00Z" });
    serde_json::from_value(json!({ "metadata": metadata, "spec": whole, "status": status })).unwrap()
}

/// `name [Complete | Failed]`; finished ones began in the order in which they are written.
fn jobs(texts: &[&str]) -> Vec<Arc<Job>> {
    let job = |(second, text): (usize, &&str)| {
        let (name, outcome) = text.split_once(' ').unwrap_or((text, ""));
        let start = format!("2026-01-01T00:00:{second:02}Z");
        let conditions = if outcome.is_empty() { vec![] } else { vec![json!({ "type": outcome, "status": "True" })] };
        let end = (outcome == "Complete").then_some(&start);
        let status = json!({ "startTime": start, "completionTime": end, "conditions": conditions });
        Arc::new(
            serde_json::from_value(
                json!({ "metadata": { "name": name, "uid": name }, "spec": null, "status": status }),
            )
            .unwrap(),
        )
    };
    texts.iter().enumerate().map(job).collect()
}

fn active(names: &[&str]) -> Value {
    json!({ "active": names.iter().map(|name| json!({ "name": name, "uid": name })).collect::<Vec<_>>() })
}

/// Spec, status, present; the Job that starts, the event, seconds to the next look.
type Case<'a> = (Value, Value, &'a str, Option<String>, &'a str, Option<u64>);
/// Spec, status, Jobs; whether one starts, who is active then, what is told.
type Company<'a> = (&'a Value, Value, &'a [&'a str], bool, &'a [&'a str], &'a [&'a str]);

#[test]
fn starts_what_is_due() {
    let none = || json!({});
    let due = |minute: i64| format!("c-{}", 29_453_760 + minute);
    let last = |time: &str| json!({ "lastScheduleTime": format!("2026-01-{time}Z") });
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        (none(), none(), "01T00:09:59", None, "", Some(1)),
        (none(), none(), "01T00:10:00", Some(due(10)), "", Some(600)),
        (none(), last("01T00:10:00"), "01T00:10:01", None, "", Some(599)),
        (none(), last("01T00:10:00"), "01T00:25:00", Some(due(20)), "", Some(300)),
        (none(), none(), "01T10:00:00", Some(due(600)), "", Some(600)),
        (none(), none(), "02T10:00:00", Some(due(34 * 60)), "TooManyMissedTimes", Some(600)),
        (json!({ "startingDeadlineSeconds": 200 }), none(), "02T10:02:00", Some(due(34 * 60)), "", Some(480)),
        (json!({ "startingDeadlineSeconds": 60 }), none(), "01T00:12:00", None, "", Some(480)),
        (json!({ "suspend": true }), none(), "01T00:10:00", None, "", None),
        (json!({ "timeZone": "Mars/Olympus" }), none(), "01T00:10:00", None, "UnknownTimeZone", None),
        (json!({ "schedule": "bad" }), none(), "01T00:10:00", None, "UnparseableSchedule", None),
        (json!({ "schedule": "59 23 31 2 *" }), none(), "01T00:10:00", None, "InvalidSchedule", None),
        (json!({ "schedule": "@every 7m" }), none(), "01T00:15:00", Some(due(14)), "", Some(360)),
        (json!({ "schedule": "0 9 * * *", "timeZone": "Asia/Tokyo" }), none(), "01T00:00:30", None, "", Some(23 * 3600 + 59 * 60 + 30)),
        (json!({ "schedule": "30 6-16/4 * * 1-5" }), last("02T14:30:00"), "05T07:00:00", Some(due(4 * 24 * 60 + 390)), "", Some(12_600)),
    ];
    for (spec, status, now, name, event, wait) in cases {
        let found = plan(&Observed { cron_job: &cron_job(&spec, &status), jobs: &[], now: at(now) });
        let reasons: Vec<&str> = found.events.iter().map(|event| event.reason.as_str()).collect();
        assert_eq!(found.start.and_then(|start| start.job.metadata.name), name, "{spec} at {now}");
        assert_eq!(reasons.join(" "), event, "{spec} at {now}");
        assert_eq!(found.wait.map(|wait| wait.as_secs()), wait, "{spec} at {now}");
    }
}

#[test]
fn other_jobs_matter() {
    let forbid = json!({ "concurrencyPolicy": "Forbid" });
    let replace = json!({ "concurrencyPolicy": "Replace" });
    let none = json!({});
    #[rustfmt::skip]
    let cases: Vec<Company<'_>> = vec![
        (&forbid, active(&["a"]), &["a"], false, &["a"], &["Not starting job because prior execution is running and concurrency policy is Forbid"]),
        (&forbid, active(&["a"]), &["a Complete"], true, &[], &["Saw completed job: a, condition: Complete"]),
        (&forbid, active(&["a"]), &["a Failed"], true, &[], &["Saw completed job: a, condition: Failed"]),
        (&forbid, active(&["a"]), &[], true, &[], &["Active job went missing: a"]),
        (&none, active(&["a"]), &["a", "b"], true, &["a"], &["Saw a job that the controller did not create or forgot: b"]),
        (&replace, active(&["a"]), &["a"], true, &["a"], &[]),
        (&none, active(&["c-29453770"]), &["c-29453770"], false, &["c-29453770"], &[]),
    ];
    for (spec, status, texts, starts, left, events) in cases {
        let found = plan(&Observed { cron_job: &cron_job(spec, &status), jobs: &jobs(texts), now: at("01T00:10:05") });
        let messages: Vec<&str> = found.events.iter().map(|event| event.message.as_str()).collect();
        let names: Vec<String> = found.status.active.into_iter().flatten().filter_map(|active| active.name).collect();
        assert_eq!(
            (&names[..], &messages[..]),
            (&left.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()[..], events),
            "{spec} {texts:?}"
        );
        let replaces = found.start.as_ref().map(|start| start.replaces.len());
        assert_eq!(replaces, starts.then_some(usize::from(spec == &replace)), "{spec} {texts:?}");
    }
}

#[test]
fn history_keeps_the_latest() {
    let texts = ["a Complete", "b Failed", "c Complete", "d Failed", "e Complete", "f Complete", "g"];
    let cron_job = cron_job(&json!({ "successfulJobsHistoryLimit": 2 }), &active(&["g"]));
    let found = plan(&Observed { cron_job: &cron_job, jobs: &jobs(&texts), now: at("01T00:00:30") });
    let names: Vec<&str> = found.surplus.iter().filter_map(|job| job.metadata.name.as_deref()).collect();
    assert_eq!(names, ["a", "c", "b"]);
    assert_eq!(found.status.last_successful_time, Some(Time(at("01T00:00:05"))));
}

#[test]
fn a_job_says_when_it_was_due() {
    let spec = json!({ "timeZone": "Asia/Tokyo" });
    let cron_job = cron_job(&spec, &json!({}));
    let found = plan(&Observed { cron_job: &cron_job, jobs: &[], now: at("01T00:10:05") });
    let start = found.start.unwrap();
    let job = serde_json::to_value(&start.job).unwrap();
    assert_eq!(job["metadata"]["annotations"], json!({ SCHEDULED: "2026-01-01T09:10:00+09:00" }));
    assert_eq!(job["metadata"]["labels"], json!({ "app": "c" }));
    assert_eq!(job["metadata"]["ownerReferences"][0]["controller"], true);
    let mut status = found.status;
    started(&mut status, &start.job, start.due);
    assert_eq!(status.last_schedule_time, Some(Time(at("01T00:10:00"))));
    assert_eq!(status.active.as_ref().map(Vec::len), Some(1));
}
