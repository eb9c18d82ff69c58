"""Commands in a running container, by the official Python client.

Usage: exec.py KUBECONFIG POD. The pod's image is the tests' workhorse, which knows no options but its own.
"""

import sys

from kubernetes import client, config
from kubernetes.stream import stream

COMMAND = ["/http-debug-server", "--no-such-option"]


def main():
    kubeconfig, pod = sys.argv[1:]
    config.load_kube_config(kubeconfig)
    core = client.CoreV1Api()
    call = {"command": COMMAND, "stdin": False, "stdout": True, "stderr": True, "tty": False}
    # All at once.
    printed = stream(core.connect_get_namespaced_pod_exec, pod, "default", **call)
    assert "unknown option --no-such-option" in printed, printed
    # Bit by bit, with the exit code.
    running = stream(core.connect_get_namespaced_pod_exec, pod, "default", _preload_content=False, **call)
    running.run_forever(timeout=30)
    assert "unknown option --no-such-option" in running.read_stderr()
    assert running.returncode == 1, running.returncode


main()
