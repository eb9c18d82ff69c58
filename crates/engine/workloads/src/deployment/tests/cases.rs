use super::*;

#[test]
fn a_new_deployment_gets_its_pods() {
    let mut cluster = Cluster::new(3, "25%", "25%");
    let plan = cluster.plan();
    let [Step::Create(set), Step::SetRevision(revision)] = plan.steps.as_slice() else { panic!("{:?}", plan.steps) };
    assert_eq!((replica_set::desired_replicas(set), revision.as_str()), (3, "1"));
    let annotations = set.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["deployment.kubernetes.io/desired-replicas"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/max-replicas"], "4");
    let hash = &set.metadata.labels.as_ref().unwrap()[POD_TEMPLATE_HASH];
    assert_eq!(set.metadata.name.as_deref().unwrap(), format!("web-{hash}"));
    assert_eq!(&set.spec.as_ref().unwrap().selector.match_labels.as_ref().unwrap()[POD_TEMPLATE_HASH], hash);

    cluster.settle();
    assert_eq!(cluster.sizes(), [(1, 3, 3)]);
    assert_eq!(cluster.reason("Progressing"), Some("NewReplicaSetAvailable"));
    assert_eq!(cluster.reason("Available"), Some("MinimumReplicasAvailable"));
    let status = cluster.deployment.status.as_ref().unwrap();
    assert_eq!((status.replicas, status.updated_replicas, status.available_replicas), (Some(3), Some(3), Some(3)));
    assert_eq!((status.unavailable_replicas, status.observed_generation), (None, Some(1)));
    assert!(cluster.plan().is_empty(&cluster.deployment));
}

#[test]
fn a_new_template_rolls_out_and_back() {
    let mut cluster = Cluster::new(3, "1", "0");
    cluster.settle();
    cluster.spec().template = template("image:2");
    cluster.settle();
    assert_eq!(cluster.sizes(), [(1, 0, 0), (2, 3, 3)]);
    cluster.spec().template = template("image:1");
    cluster.settle();
    assert_eq!(cluster.sizes(), [(2, 0, 0), (3, 3, 3)]);
    let current = cluster.sets.values().find(|set| annotations::revision(set) == 3).unwrap();
    assert_eq!(current.metadata.annotations.as_ref().unwrap()[REVISION_HISTORY], "1");
    assert_eq!(cluster.deployment.metadata.annotations.as_ref().unwrap()[REVISION], "3");
}

#[test]
fn a_broken_template_leaves_the_old_pods() {
    let mut cluster = Cluster::new(4, "25%", "25%");
    cluster.settle();
    cluster.spec().template = template("broken");
    cluster.settle_if(|pod| image_of(pod) != "broken");
    assert_eq!(cluster.sizes(), [(1, 3, 3), (2, 2, 0)]);
    assert_eq!(cluster.reason("Progressing"), Some("ReplicaSetUpdated"));
    assert_eq!(cluster.reason("Available"), Some("MinimumReplicasAvailable"));
    let recheck = cluster.plan().recheck.unwrap();
    assert!(recheck <= Duration::from_secs(601), "{recheck:?}");

    cluster.second += 601;
    cluster.settle_if(|pod| image_of(pod) != "broken");
    assert_eq!(cluster.reason("Progressing"), Some("ProgressDeadlineExceeded"));
    assert_eq!(cluster.plan().recheck, None);

    cluster.spec().template = template("image:1");
    cluster.settle_if(|pod| image_of(pod) != "broken");
    assert_eq!(cluster.sizes(), [(2, 0, 0), (3, 4, 4)]);
    assert_eq!(cluster.reason("Progressing"), Some("NewReplicaSetAvailable"));
}

#[test]
fn recreate_ends_all_old_pods_first() {
    let mut cluster = Cluster::new(3, "25%", "25%");
    cluster.spec().strategy = Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None });
    cluster.settle();
    cluster.spec().template = template("image:2");
    cluster.step(usize::MAX);
    assert_eq!(cluster.sizes(), [(1, 0, 3)]);
    cluster.step(usize::MAX);
    assert_eq!(cluster.sizes(), [(1, 0, 3)], "the old pods still run");
    cluster.settle();
    assert_eq!(cluster.sizes(), [(1, 0, 0), (2, 3, 3)]);
}

#[test]
fn scaling_is_one_write_and_no_revision() {
    let mut cluster = Cluster::new(3, "25%", "25%");
    cluster.settle();
    for replicas in [10, 2, 0, 5] {
        cluster.spec().replicas = Some(replicas);
        let plan = cluster.plan();
        let [Step::Update { scaled: Some((_, to)), .. }] = plan.steps.as_slice() else { panic!("{:?}", plan.steps) };
        assert_eq!(*to, replicas);
        cluster.settle();
        assert_eq!(cluster.sizes(), [(1, replicas, replicas)]);
    }
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_proportional() {
    let check = |before: i32, after: i32, expected: &[(i64, i32)]| {
        let mut cluster = Cluster::new(before, "3", "2");
        cluster.settle();
        cluster.spec().template = template("broken");
        cluster.settle_if(|pod| image_of(pod) != "broken");
        cluster.spec().replicas = Some(after);
        cluster.step(usize::MAX);
        let sizes: Vec<_> = cluster.sizes().into_iter().map(|(revision, size, _)| (revision, size)).collect();
        assert_eq!(sizes, expected, "{before} to {after}");
    };
    // 10 replicas in the middle: 8 old and 5 new.
    check(10, 10, &[(1, 8), (2, 5)]);
    check(10, 15, &[(1, 11), (2, 7)]);
    check(10, 20, &[(1, 14), (2, 9)]);
    check(10, 5, &[(1, 5), (2, 3)]);
    check(10, 0, &[(1, 0), (2, 0)]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut cluster = Cluster::new(3, "25%", "25%");
    cluster.settle();
    cluster.spec().paused = Some(true);
    cluster.spec().template = template("image:2");
    cluster.settle();
    assert_eq!(cluster.sizes(), [(1, 3, 3)]);
    assert_eq!(cluster.reason("Progressing"), Some("DeploymentPaused"));
    cluster.spec().replicas = Some(5);
    cluster.settle();
    assert_eq!(cluster.sizes(), [(1, 5, 5)]);
    cluster.spec().paused = None;
    cluster.settle();
    assert_eq!(cluster.sizes(), [(1, 0, 0), (2, 5, 5)]);
}

#[test]
fn history_is_limited() {
    let mut cluster = Cluster::new(1, "1", "0");
    cluster.spec().revision_history_limit = Some(2);
    for number in 1..=5 {
        cluster.spec().template = template(&format!("image:{number}"));
        cluster.settle();
    }
    assert_eq!(cluster.sizes(), [(3, 0, 0), (4, 0, 0), (5, 1, 1)]);
    cluster.spec().revision_history_limit = Some(0);
    cluster.settle();
    assert_eq!(cluster.sizes(), [(5, 1, 1)]);
}

#[test]
fn annotations_follow_the_deployment() {
    let mut cluster = Cluster::new(1, "1", "0");
    cluster.settle();
    let annotations = cluster.deployment.metadata.annotations.get_or_insert_default();
    annotations.insert("kubernetes.io/change-cause".to_owned(), "because".to_owned());
    annotations.insert("kubectl.kubernetes.io/last-applied-configuration".to_owned(), "{}".to_owned());
    cluster.settle();
    let set = cluster.sets.values().next().unwrap();
    let annotations = set.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["kubernetes.io/change-cause"], "because");
    assert!(!annotations.contains_key("kubectl.kubernetes.io/last-applied-configuration"));
}

#[test]
fn min_ready_seconds_reaches_the_set() {
    let mut cluster = Cluster::new(1, "1", "0");
    cluster.settle();
    cluster.spec().min_ready_seconds = Some(5);
    cluster.settle();
    assert_eq!(cluster.sets.values().next().unwrap().spec.as_ref().unwrap().min_ready_seconds, Some(5));
    assert_eq!(cluster.sizes(), [(1, 1, 0)]);
    cluster.second += 5;
    cluster.settle();
    assert_eq!(cluster.sizes(), [(1, 1, 1)]);
}

#[test]
fn failures_of_sets_are_reported() {
    let mut cluster = Cluster::new(1, "1", "0");
    cluster.step(usize::MAX);
    let set = cluster.sets.values().next().unwrap().clone();
    let mut failing = (*set).clone();
    let observed = replica_set::Observed { replica_set: &set, pods: &[], related: &[], now: cluster.now() };
    let failure = replica_set::Failure::Create("forbidden".to_owned());
    failing.status = Some(replica_set::status(&observed, Some(&failure)).0);
    cluster.sets.insert(set.metadata.name.clone().unwrap(), failing.into());
    cluster.step(usize::MAX);
    assert_eq!(cluster.reason("ReplicaFailure"), Some("FailedCreate"));
    cluster.settle();
    assert_eq!(cluster.reason("ReplicaFailure"), None);
}

#[test]
fn a_collision_changes_the_hash() {
    let mut cluster = Cluster::new(1, "1", "0");
    let name = |cluster: &Cluster| match &cluster.plan().steps[0] {
        Step::Create(set) => set.metadata.name.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    let first = name(&cluster);
    cluster.deployment.status = Some(after_collision(&cluster.deployment));
    assert_ne!(name(&cluster), first);
    let refused = after_failed_creation(&cluster.deployment, "web-x", "quota", cluster.now());
    assert_eq!(
        refused.conditions.unwrap()[0].message.as_deref(),
        Some("Failed to create new replica set \"web-x\": quota")
    );
}

#[test]
fn a_deployment_that_goes_only_reports() {
    let mut cluster = Cluster::new(3, "25%", "25%");
    cluster.settle();
    cluster.deployment.metadata.deletion_timestamp = Some(Time(cluster.now()));
    cluster.spec().replicas = Some(7);
    assert!(cluster.plan().steps.is_empty());
}

#[test]
fn templates_that_make_the_same_pods() {
    let parse = |text: &str| serde_json::from_str::<PodTemplateSpec>(text).unwrap();
    let plain = parse(r#"{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#);
    for same in [
        r#"{"metadata":{"labels":{"app":"web","pod-template-hash":"x"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#,
        r#"{"metadata":{"creationTimestamp":null,"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i","resources":{}}]}}"#,
        r#"{"metadata":{"annotations":{},"labels":{"app":"web"}},"spec":{"volumes":[],"containers":[{"name":"c","image":"i","env":[]}]}}"#,
    ] {
        assert!(same_template(&plain, &parse(same)), "{same}");
    }
    for other in [
        r#"{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"j"}]}}"#,
        r#"{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#,
        r#"{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"},{"name":""}]}}"#,
        r#"{"metadata":{"labels":{"app":"web"},"annotations":{"restartedAt":"now"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#,
    ] {
        assert!(!same_template(&plain, &parse(other)), "{other}");
    }
}
