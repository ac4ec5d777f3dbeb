"""Builds the made dump on two local Ray nodes and takes one away in the middle.

python -m tests.pipelines.lost_node SOURCE OUT PORT
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from ray.cluster_utils import Cluster as LocalNodes

from pipelines.build import build
from pipelines.executor import Cluster
from pipelines.layout import Layout
from pipelines.run import Run
from tests.pipelines.made_source import WEB, make_recipe


def main(source: str, out: str, port: int) -> None:
    nodes = LocalNodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    leaving = nodes.add_node(num_cpus=2)
    nodes.wait_for_nodes()

    def take_away() -> None:
        while not list(Path(out, "documents").glob("*.parquet")):
            time.sleep(0.01)
        nodes.remove_node(leaving, allow_graceful=False)
        sys.stdout.write("a node is gone\n")

    thread = threading.Thread(target=take_away)
    thread.start()
    with Cluster(address=nodes.address) as cluster:
        assert cluster.num_cpus == 3
        run = Run(make_recipe(source), Layout(out), cluster, {WEB: ("127.0.0.1", port)})
        build(run)
    thread.join()
    nodes.shutdown()
    sys.exit(1 if run.failed else 0)


if __name__ == "__main__":
    # Under `-m` this module is `__main__`, which workers could not import: run it under its own name.
    from tests.pipelines.lost_node import main as named_main

    named_main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
