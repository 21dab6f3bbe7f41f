"""A Ray cluster of a head and two nodes in processes of their own: prints its address, kills a node per line it reads.

Killed with it, as when the power fails, are the node's workers.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from ray.cluster_utils import Cluster

MEMORY = 400 << 20  # of a node's object store; with less, Ray Data begins no task
NOTICED = {  # that a node is dead: after five seconds instead of twenty
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 10,
}


def children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, rest = status.read_text().split(" (", 1)
            if int(rest.rpartition(") ")[2].split()[1]) == parent:
                found.append(int(pid))
    return found


def main() -> None:
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - so spelled; by default Ray goes last
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": MEMORY,
            "include_dashboard": False,
            "_system_config": NOTICED,
        },
    )
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY, wait=False) for _ in range(2)]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        node = nodes.pop()
        raylet = node.all_processes["raylet"][0].process.pid
        for pid in [*children(raylet), raylet]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cluster.remove_node(node, allow_graceful=False)
        print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
