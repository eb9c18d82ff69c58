"""What programs do with the official Python client, against a running control plane.

Usage: client.py KUBECONFIG. Every check is a function; the first that fails ends the program with its traceback.
"""

import sys
import threading
import time

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.informer import SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.utils import create_from_dict


def refused(code, call, *arguments, **named):
    """The exception of a call that must be refused with `code`."""
    try:
        call(*arguments, **named)
    except (ApiException, dynamic.exceptions.DynamicApiError) as error:
        assert error.status == code, (error.status, error.body)
        return error
    raise AssertionError(f"{call} was not refused")


def config_map(name, data, labels=None):
    metadata = {"name": name} if labels is None else {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def create_read_replace_delete(api):
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map("default", config_map("one", {"a": "1"}, labels={}))
    assert made.metadata.uid and made.metadata.resource_version
    assert made.metadata.labels is None, "empty maps are left out"
    assert refused(409, core.create_namespaced_config_map, "default", config_map("one", {})).reason == "Conflict"
    made.data = {"a": "2"}
    replaced = core.replace_namespaced_config_map("one", "default", made)
    assert replaced.data == {"a": "2"}
    refused(409, core.replace_namespaced_config_map, "one", "default", made)
    assert core.read_namespaced_config_map("one", "default").metadata.managed_fields[0].operation == "Update"
    # A dry run leaves nothing.
    core.create_namespaced_config_map("default", config_map("dry", {}), dry_run="All")
    refused(404, core.read_namespaced_config_map, "dry", "default")
    invalid = refused(422, core.create_namespaced_config_map, "default", config_map("Not_A_Name", {}))
    assert "metadata.name" in invalid.body
    core.delete_namespaced_config_map("one", "default")
    refused(404, core.read_namespaced_config_map, "one", "default")


def patches(api):
    """The client takes a list for a JSON patch and a dictionary for a strategic merge patch."""
    apps = client.AppsV1Api(api)
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "web"}),
        spec=client.V1PodSpec(containers=[client.V1Container(name="web", image="example.com/web:1")]),
    )
    spec = client.V1DeploymentSpec(replicas=0, selector={"matchLabels": {"app": "web"}}, template=template)
    body = client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    apps.create_namespaced_deployment("default", body)
    change = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "example.com/side:1"}]}}}}
    patched = apps.patch_namespaced_deployment("web", "default", change)
    assert {c.name for c in patched.spec.template.spec.containers} == {"web", "side"}
    operations = [{"op": "add", "path": "/spec/paused", "value": True}]
    patched = apps.patch_namespaced_deployment("web", "default", operations)
    assert patched.spec.paused is True
    apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 2}})
    assert apps.read_namespaced_deployment_scale("web", "default").spec.replicas == 2
    apps.delete_namespaced_deployment("web", "default")


def server_side_apply(api):
    resources = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")

    def apply(data, manager, force=False):
        return resources.server_side_apply(
            body=config_map("applied", data), namespace="default", field_manager=manager, force_conflicts=force
        )

    assert apply({"a": "1", "b": "1"}, "first").metadata.managedFields[0].operation == "Apply"
    assert apply({"a": "1"}, "first").data.to_dict() == {"a": "1"}
    try:
        apply({"a": "2"}, "second")
        raise AssertionError("no conflict")
    except ConflictError as error:
        assert 'conflict with "first": .data.a' in error.summary(), error.summary()
    assert apply({"a": "2"}, "second", force=True).data.a == "2"
    resources.delete(name="applied", namespace="default")


def lists_in_pages(api):
    core = client.CoreV1Api(api)
    for n in range(7):
        core.create_namespaced_config_map("default", config_map(f"page-{n}", {}, {"list": "paged"}))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map("default", label_selector="list=paged", limit=3, _continue=token)
        assert len(page.items) <= 3
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"page-{n}" for n in range(7)], names
    refused(400, core.list_namespaced_config_map, "default", _continue="garbage")
    core.delete_collection_namespaced_config_map("default", label_selector="list=paged")
    assert not core.list_namespaced_config_map("default", label_selector="list=paged").items


def list_and_watch(api):
    """As an informer does: a list, then all that happens after it, each change once and in order."""
    core = client.CoreV1Api(api)
    listed = core.list_namespaced_config_map("default")
    seen, ready = [], threading.Event()
    watcher = watch.Watch()

    def follow():
        ready.set()
        stream = watcher.stream(
            core.list_namespaced_config_map,
            "default",
            resource_version=listed.metadata.resource_version,
            label_selector="watched=yes",
            timeout_seconds=60,
        )
        for event in stream:
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                watcher.stop()

    follower = threading.Thread(target=follow)
    follower.start()
    ready.wait(10)
    core.create_namespaced_config_map("default", config_map("w", {}, {"watched": "yes"}))
    core.patch_namespaced_config_map("w", "default", {"data": {"x": "y"}})
    core.create_namespaced_config_map("default", config_map("other", {}))
    core.delete_namespaced_config_map("w", "default")
    follower.join(60)
    assert seen == [("ADDED", "w"), ("MODIFIED", "w"), ("DELETED", "w")], seen
    core.delete_namespaced_config_map("other", "default")


def eventually(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def informer(api):
    """What it holds follows the cluster, and each change is told."""
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map("default", config_map("before", {}, {"informed": "yes"}))
    told = []
    informed = SharedInformer(core.list_namespaced_config_map, "default", label_selector="informed=yes")
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        informed.add_event_handler(kind, lambda item, kind=kind: told.append((kind, item.metadata.name)))
    informed.start()
    eventually(lambda: ("ADDED", "before") in told)
    core.create_namespaced_config_map("default", config_map("after", {}, {"informed": "yes"}))
    core.patch_namespaced_config_map("after", "default", {"data": {"x": "y"}})
    core.delete_namespaced_config_map("before", "default")
    eventually(lambda: ("DELETED", "before") in told and ("MODIFIED", "after") in told)
    assert [item.data for item in informed.cache.list()] == [{"x": "y"}]
    informed.stop()
    core.delete_namespaced_config_map("after", "default")


def leader_election(api):
    """Of two candidates one leads; its Lease says so."""
    leading = []

    def stand(name):
        election = electionconfig.Config(
            LeaseLock("lead", "default", name),
            lease_duration=17,
            renew_deadline=15,
            retry_period=1,
            onstarted_leading=lambda: leading.append(name),
            onstopped_leading=None,
        )
        leaderelection.LeaderElection(election).run()

    for name in ("one", "two"):
        threading.Thread(target=stand, args=(name,), daemon=True).start()
    eventually(lambda: leading)
    lease = client.CoordinationV1Api(api).read_namespaced_lease("lead", "default")
    assert [lease.spec.holder_identity] == leading, (lease, leading)


def dynamic_client(api):
    found = dynamic.DynamicClient(api)
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.namespaced and "scale" in deployments.subresources
    secrets = found.resources.get(api_version="v1", kind="Secret")
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}
    assert secrets.create(body=body, namespace="default").data.k == "dg=="
    body = {"metadata": {"labels": {"x": "y"}}}
    patched = secrets.patch(
        body=body, name="s", namespace="default", content_type="application/merge-patch+json"
    )
    assert patched.metadata.labels.x == "y"
    secrets.delete(name="s", namespace="default")
    try:
        secrets.get(name="s", namespace="default")
        raise AssertionError("it is still there")
    except NotFoundError:
        pass


def from_a_dictionary(api):
    create_from_dict(api, config_map("dictionary", {"k": "v"}), namespace="default")
    client.CoreV1Api(api).delete_namespaced_config_map("dictionary", "default")


def who_may_what(api):
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="create", resource="pods", namespace="default")
        )
    )
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed
    assert client.VersionApi(api).get_code().major == "1"


CHECKS = [
    create_read_replace_delete,
    patches,
    server_side_apply,
    lists_in_pages,
    list_and_watch,
    informer,
    leader_election,
    dynamic_client,
    from_a_dictionary,
    who_may_what,
]


def main():
    config.load_kube_config(sys.argv[1])
    for check in CHECKS:
        with client.ApiClient() as api:
            check(api)
        print(f"{check.__name__}: ok", flush=True)


main()
