mod properties;

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;

const START: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

/// A Job with that spec, and a status if there is one.
fn job(spec: &Value, status: &Value) -> Job {
    let mut whole = json!({ "template": {}, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed" });
    let fields = spec.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(fields);
    let metadata = json!({ "name": "work", "namespace": "default", "uid": "work" });
    serde_json::from_value(json!({ "metadata": metadata, "spec": whole, "status": status })).unwrap()
}

/// `name phase [index=i] [exit=code] [failures=n] [ended=second] [restarts=n] [ready] [disrupted] [going]
/// [counted]`
fn pod(text: &str) -> Arc<Pod> {
    let mut words = text.split(' ');
    let (name, phase) = (words.next().unwrap(), words.next().unwrap());
    let flags: BTreeMap<&str, &str> = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    let is = |flag: &str| flags.contains_key(flag);
    let annotations: BTreeMap<&str, &&str> = [("index", COMPLETION_INDEX), ("failures", pod::FAILURES)]
        .into_iter()
        .filter_map(|(flag, key)| Some((key, flags.get(flag)?)))
        .collect();
    let number = |flag: &str| flags.get(flag).map_or(0, |text| text.parse::<i64>().unwrap());
    let state = json!({ "terminated": { "exitCode": number("exit"), "finishedAt": Time(at(number("ended"))) } });
    let containers =
        json!([{ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state }]);
    let restarted =
        json!([{ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": number("restarts") }]);
    let finished = matches!(phase, "Failed" | "Succeeded");
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "namespace": "default", "uid": name, "annotations": annotations,
                "finalizers": if is("counted") { vec![] } else { vec![TRACKING] },
                "deletionTimestamp": is("going").then(|| Time(at(0))),
            },
            "status": {
                "phase": phase, "containerStatuses": if finished { containers } else { restarted },
                "conditions": [
                    { "type": "Ready", "status": if is("ready") { "True" } else { "False" } },
                    { "type": "DisruptionTarget", "status": if is("disrupted") { "True" } else { "False" } },
                ],
            },
        }))
        .unwrap(),
    )
}

fn pods(texts: &[&str]) -> Vec<Arc<Pod>> {
    texts.iter().map(|text| pod(text)).collect()
}

/// `create 2`, `create 0,3`, `delete a,b`, `end a,b` (these count), `wait 10`.
fn told(plan: &Plan) -> String {
    let names = |pods: &[Arc<Pod>]| {
        let mut names: Vec<_> = pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
        names.sort();
        names.join(",")
    };
    let mut words = Vec::new();
    let indexes: Vec<String> = plan.create.iter().filter_map(|new| new.index).map(|index| index.to_string()).collect();
    match (plan.create.len(), indexes.is_empty()) {
        (0, _) => {}
        (count, true) => words.push(format!("create {count}")),
        _ => words.push(format!("create {}", indexes.join(","))),
    }
    if !plan.delete.is_empty() {
        words.push(format!("{} {}", if plan.counted { "end" } else { "delete" }, names(&plan.delete)));
    }
    words.extend(plan.wait.map(|wait| format!("wait {}", wait.as_secs())));
    words.join(" ")
}

#[test]
fn pods_are_made_and_ended() {
    let indexed = json!({ "completionMode": "Indexed", "completions": 4, "parallelism": 3 });
    let limited = json!({ "completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimit": i32::MAX,
        "backoffLimitPerIndex": 1, "podReplacementPolicy": "TerminatingOrFailed" });
    let fixed = json!({ "completions": 3, "parallelism": 2 });
    let queue = json!({ "parallelism": 3 });
    let replace_failed = json!({ "completions": 2, "parallelism": 2, "podReplacementPolicy": "Failed" });
    let started = json!({ "startTime": Time(at(0)) });
    let with = |spec: &Value, more: Value| {
        let mut spec = spec.clone();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let suspended = with(&fixed, json!({ "suspend": true }));
    let restarting = json!({ "spec": { "restartPolicy": "OnFailure", "containers": [] } });
    let in_place = with(&fixed, json!({ "backoffLimit": 2, "template": restarting }));
    let short = with(&fixed, json!({ "activeDeadlineSeconds": 100 }));
    let cases: Vec<(&Value, Value, &[&str], &str)> = vec![
        (&fixed, json!({}), &[], "create 2"),
        (&fixed, json!({}), &["a Running"], "create 1"),
        (&fixed, json!({}), &["a Running", "b Succeeded", "c Succeeded"], ""),
        (&fixed, json!({}), &["a Succeeded", "b Succeeded", "c Succeeded"], ""),
        (&fixed, json!({}), &["a Running", "b Pending", "c Running"], "delete b"),
        (&fixed, json!({}), &["a Running going"], "create 2 wait 0"),
        (&replace_failed, json!({}), &["a Running going", "b Running"], ""),
        (&replace_failed, json!({}), &["a Failed going ended=80", "b Running"], "create 1"),
        (&fixed, json!({}), &["a Failed ended=95"], "wait 5"),
        (&fixed, json!({}), &["a Failed ended=89"], "create 2"),
        (&fixed, json!({}), &["a Failed ended=20", "b Failed ended=90"], "wait 10"),
        (&fixed, json!({}), &["a Failed ended=90", "b Succeeded ended=95"], "create 2"),
        (&fixed, json!({ "failed": 6 }), &["a Failed ended=1", "b Running"], "end b"),
        (&short, started.clone(), &["b Running"], "end b"),
        (&in_place, json!({}), &["a Running restarts=1", "b Running"], ""),
        (&in_place, json!({}), &["a Running restarts=1", "b Running restarts=1"], "end a,b"),
        (&suspended, json!({}), &["a Running", "b Succeeded"], "delete a"),
        (&suspended, json!({}), &[], ""),
        (&queue, json!({}), &["a Running"], "create 2"),
        (&queue, json!({}), &["a Running", "b Succeeded"], ""),
        (&indexed, json!({}), &[], "create 0,1,2"),
        (&indexed, json!({ "completedIndexes": "0,2" }), &["a Running index=1"], "create 3"),
        (
            &indexed,
            json!({}),
            &["a Running index=0", "b Pending index=0", "c Running index=7", "d Running"],
            "delete b,c,d",
        ),
        (&limited, json!({}), &["a Failed index=0 ended=95 exit=1"], "create 1 wait 5"),
        (&limited, json!({}), &["a Failed index=0 ended=1 exit=1", "b Running index=1"], "create 0"),
        (&limited, json!({}), &["a Failed index=0 failures=1 ended=1 exit=1", "b Running index=1"], ""),
        (&limited, json!({}), &["a Failed index=0 failures=1 ended=1 exit=1", "b Succeeded index=1"], ""),
        (&fixed, json!({ "conditions": [{ "type": "Complete", "status": "True" }] }), &["a Running"], ""),
    ];
    for (spec, status, texts, expected) in cases {
        let (job, pods) = (job(spec, &status), pods(texts));
        let observed = Observed { job: &job, pods: &pods, backoff: &Backoff::default(), now: at(100) };
        let found = told(&plan(&observed));
        assert_eq!(found, expected.trim_end_matches(" wait 0"), "{spec} {status} {texts:?}");
    }
}

/// Reports until nothing changes, as the controller does, and returns the conditions' reasons with the last status.
fn settled(spec: &Value, status: &Value, texts: &[&str]) -> (Vec<String>, JobStatus, Vec<String>) {
    let (mut job, mut pods) = (job(spec, status), pods(texts));
    let mut events = Vec::new();
    for _ in 0..10 {
        let report = report(&Observed { job: &job, pods: &pods, backoff: &Backoff::default(), now: at(100) });
        if report.release.is_empty() && !report.changes(&job) {
            break;
        }
        events.extend(report.events.iter().map(|event| format!("{}: {}", event.reason, event.message)));
        job.status = Some(report.status);
        for released in report.release {
            pods.retain(|pod| pod.metadata.uid != released.metadata.uid);
            let mut released = (*released).clone();
            released.metadata.finalizers = None;
            pods.push(Arc::new(released));
        }
    }
    let status = job.status.unwrap();
    let conditions = status.conditions.iter().flatten();
    let told = conditions.map(|condition| {
        format!("{}={} {}", condition.type_, condition.status, condition.reason.as_deref().unwrap_or_default())
    });
    (told.collect(), status.clone(), events)
}

/// Spec, status, pods; conditions, events.
type Ending<'a> = (&'a Value, Value, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

#[test]
fn ends_with_their_reasons() {
    let policy = json!({ "rules": [
        { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
        { "action": "FailJob", "onExitCodes": { "operator": "In", "values": [42] } },
        { "action": "Count", "onExitCodes": { "operator": "NotIn", "values": [7] } },
    ]});
    let with_policy = json!({ "completions": 2, "backoffLimit": 0, "podFailurePolicy": policy });
    let indexes = json!({ "completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimit": i32::MAX,
        "backoffLimitPerIndex": 0 });
    let few = json!({ "completionMode": "Indexed", "completions": 5, "parallelism": 5,
        "successPolicy": { "rules": [{ "succeededIndexes": "1-3", "succeededCount": 2 }] } });
    let mut strict = indexes.clone();
    strict["maxFailedIndexes"] = json!(1);
    let one = json!({ "completions": 1 });
    let suspended = json!({ "completions": 1, "suspend": true });
    let was_suspended = json!({ "conditions": [{ "type": "Suspended", "status": "True" }] });
    #[rustfmt::skip]
    let cases: Vec<Ending<'_>> = vec![
        (&one, json!({}), &["a Succeeded"], &["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"],
            &["Completed: Job completed"]),
        (&one, json!({}), &["a Succeeded", "b Succeeded"],
            &["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"],
            &["TooManySucceededPods: Too many succeeded pods", "Completed: Job completed"]),
        (&one, json!({}), &["a Succeeded", "b Running going"], &["SuccessCriteriaMet=True CompletionsReached"], &[]),
        (&one, json!({ "failed": 6 }), &["a Failed"], &["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"],
            &["BackoffLimitExceeded: Job has reached the specified backoff limit"]),
        (&one, json!({ "failed": 6 }), &["a Failed", "b Running"], &[], &[]),
        (&with_policy, json!({}), &["a Failed exit=42"], &["FailureTarget=True PodFailurePolicy", "Failed=True PodFailurePolicy"],
            &["PodFailurePolicy: Container c for pod default/a failed with exit code 42 matching FailJob rule at index 1"]),
        (&with_policy, json!({}), &["a Failed exit=42 disrupted"], &[], &[]),
        (&with_policy, json!({}), &["a Failed exit=7"], &["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"],
            &["BackoffLimitExceeded: Job has reached the specified backoff limit"]),
        (&indexes, json!({}), &["a Failed index=0 exit=1", "b Succeeded index=1"], &[], &[]),
        (&indexes, json!({}), &["a Failed index=0 exit=1", "b Succeeded index=1", "c Succeeded index=2"],
            &["FailureTarget=True FailedIndexes", "Failed=True FailedIndexes"], &["FailedIndexes: Job has failed indexes"]),
        (&strict, json!({}), &["a Failed index=0 exit=1", "b Failed index=1 exit=1"],
            &["FailureTarget=True MaxFailedIndexesExceeded", "Failed=True MaxFailedIndexesExceeded"],
            &["MaxFailedIndexesExceeded: Job has exceeded the specified maximal number of failed indexes"]),
        (&few, json!({}), &["a Succeeded index=3", "b Succeeded index=4"], &[], &[]),
        (&few, json!({}), &["a Succeeded index=3", "b Succeeded index=1"], &["SuccessCriteriaMet=True SuccessPolicy", "Complete=True SuccessPolicy"],
            &["Completed: Job completed"]),
        (&suspended, json!({}), &[], &["Suspended=True JobSuspended"], &["Suspended: Job suspended"]),
        (&one, was_suspended.clone(), &[], &["Suspended=False JobResumed"], &["Resumed: Job resumed"]),
    ];
    for (spec, status, texts, conditions, told) in cases {
        let (found, _, events) = settled(spec, &status, texts);
        assert_eq!(
            (&found[..], &events[..]),
            (
                &conditions.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()[..],
                &told.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()[..]
            ),
            "{spec} {texts:?}"
        );
    }
}

#[test]
fn numbers_in_the_status() {
    let spec = json!({ "completionMode": "Indexed", "completions": 5, "parallelism": 3, "backoffLimitPerIndex": 0, "backoffLimit": 99 });
    let texts = [
        "a Succeeded index=0",
        "b Succeeded index=2",
        "c Failed index=3 exit=1",
        "d Running index=1 ready",
        "e Running index=4 going",
    ];
    let (_, status, _) = settled(&spec, &json!({}), &texts);
    assert_eq!(
        serde_json::to_value(&status).unwrap(),
        json!({ "active": 1, "ready": 1, "terminating": 1, "succeeded": 2, "failed": 2, "completedIndexes": "0,2",
            "failedIndexes": "3-4", "startTime": Time(at(100)), "uncountedTerminatedPods": {} }),
    );
}

#[test]
fn an_indexed_pod_knows_its_index() {
    let spec = json!({ "completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 2, "template": { "spec": {
        "containers": [{ "name": "c" }, { "name": "d", "env": [{ "name": "JOB_COMPLETION_INDEX", "value": "own" }] }] } } });
    let mut job = job(&spec, &json!({}));
    job.metadata.name = Some("x".repeat(63));
    let failed = pod("old Failed index=1 failures=1 exit=1");
    let new = new_pod(job.spec.as_ref().unwrap(), 1, Some(&failed));
    let made = serde_json::to_value(pod_for(&job, &new)).unwrap();
    assert_eq!(made["metadata"]["generateName"], format!("{}-1-", "x".repeat(55)));
    assert_eq!(made["metadata"]["finalizers"], json!([TRACKING]));
    assert_eq!(made["metadata"]["labels"], json!({ COMPLETION_INDEX: "1" }));
    assert_eq!(made["metadata"]["annotations"], json!({ COMPLETION_INDEX: "1", pod::FAILURES: "2" }));
    assert_eq!(made["spec"]["hostname"], format!("{}-1", "x".repeat(63)));
    let path = "metadata.labels['batch.kubernetes.io/job-completion-index']";
    assert_eq!(made["spec"]["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], path);
    assert_eq!(made["spec"]["containers"][1]["env"], json!([{ "name": "JOB_COMPLETION_INDEX", "value": "own" }]));
}
