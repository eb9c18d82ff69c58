//! What a pod asks for as a whole (`k8s.io/component-helpers/resource`).

use serde_json::Value;

use crate::amounts::{Amounts, items};

/// What is reserved for the pod: its containers together, or more if an init container needs more, and the overhead of
/// its runtime. While a container is resized, the greater of what it had and what it wants.
pub fn requests(pod: &Value) -> Amounts {
    let statuses = &pod["status"];
    let mut total = sum(pod, |container, init| {
        let mut asked = Amounts::read(&container["resources"]["requests"]);
        let list = if init { &statuses["initContainerStatuses"] } else { &statuses["containerStatuses"] };
        if let Some(status) = items(list).find(|status| status["name"] == container["name"]) {
            asked.raise_to(&Amounts::read(&status["allocatedResources"]));
            asked.raise_to(&Amounts::read(&status["resources"]["requests"]));
        }
        asked
    });
    of_the_whole(&mut total, &pod["spec"]["resources"]["requests"]);
    total.add_all(&Amounts::read(&pod["spec"]["overhead"]));
    total
}

/// The most that the pod may use.
pub fn limits(pod: &Value) -> Amounts {
    let mut total = sum(pod, |container, _| Amounts::read(&container["resources"]["limits"]));
    of_the_whole(&mut total, &pod["spec"]["resources"]["limits"]);
    for (name, amount) in Amounts::read(&pod["spec"]["overhead"]).0 {
        // No limit stays no limit.
        if let Some(limit) = total.0.get_mut(&name) {
            *limit += amount;
        }
    }
    total
}

/// As [`requests`], without overhead and status: what LimitRanges compare.
pub(crate) fn of_containers(pod: &Value, list: &str) -> Amounts {
    let mut total = sum(pod, |container, _| Amounts::read(&container["resources"][list]));
    of_the_whole(&mut total, &pod["spec"]["resources"][list]);
    total
}

fn of_the_whole(total: &mut Amounts, list: &Value) {
    total.0.extend(Amounts::read(list).0);
}

/// Containers run together; init containers one after the other, beside the sidecars started before them (KEP-753).
fn sum(pod: &Value, of: impl Fn(&Value, bool) -> Amounts) -> Amounts {
    let spec = &pod["spec"];
    let mut running = Amounts::default();
    for container in items(&spec["containers"]) {
        running.add_all(&of(container, false));
    }
    let mut sidecars = Amounts::default();
    let mut starting = Amounts::default();
    for container in items(&spec["initContainers"]) {
        let asked = of(container, true);
        if container["restartPolicy"] == "Always" {
            running.add_all(&asked);
            sidecars.add_all(&asked);
            starting.raise_to(&sidecars);
        } else {
            let mut beside = sidecars.clone();
            beside.add_all(&asked);
            starting.raise_to(&beside);
        }
    }
    running.raise_to(&starting);
    running
}
