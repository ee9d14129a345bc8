# SPDX-License-Identifier: Apache-2.0
"""Checks of packaging/kubernetes without a cluster. Prints what is wrong, exit status 1.

manifests.py structure FOLDER      each file is YAML; what kustomizations and patches refer to exists
manifests.py rights DAEMONSET      not privileged, not root, only reading what belongs to the host
manifests.py capabilities PACKAGING the unit, the image and the DaemonSet grant the same ones
manifests.py rendered FILE         of kustomize: one image everywhere, each mount has a volume, each volume one source
"""
import pathlib
import re
import sys

import yaml

problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def pod_of(document):
    return document["spec"]["template"]["spec"]


def named(folder, known):
    """(kind, name) of all resources that a kustomization has, those of its bases too. `known`: folders on the way here."""
    expect(folder not in known, f"{folder} refers to itself")
    kustomization = documents(folder / "kustomization.yaml")[0]
    found = {}
    for resource in kustomization.get("resources", []):
        path = (folder / resource).resolve()
        expect(path.exists(), f"{folder}: {resource} does not exist")
        if path.is_dir():
            found |= named(path, known | {folder})
        elif path.exists():
            found |= {(one["kind"], one["metadata"]["name"]): one for one in documents(path)}
    for generator in kustomization.get("configMapGenerator", []):
        key = ("ConfigMap", generator["name"])
        expect((key in found) == (generator.get("behavior") == "replace"), f"{folder}: {key} is generated twice, or replaces nothing")
        found[key] = generator
        for file in generator.get("files", []):
            expect((folder / file).is_file(), f"{folder}: {file} does not exist")
    for patch in kustomization.get("patches", []):
        for one in documents(folder / patch["path"]):
            key = (one["kind"], one["metadata"]["name"])
            expect(key in found, f"{folder}: {patch['path']} patches {key}, which does not exist")
            check_patch(folder, pod_of(one), pod_of(found.get(key, one)))
    return found


def check_patch(folder, pod, base):
    for kind in ("containers", "volumes"):
        names = {one["name"] for one in base.get(kind, [])}
        for one in pod.get(kind, []):
            expect(one["name"] in names, f"{folder}: patches {one['name']} of {kind}, which does not exist")


def structure(folder):
    files = sorted(folder.rglob("*.yaml"))
    expect(len(files) > 3, f"{folder}: few files")
    for path in files:
        documents(path)
    for path in folder.rglob("kustomization.yaml"):
        found = named(path.parent.resolve(), set())
        pod = pod_of(found[("DaemonSet", "loopwatch")])
        for volume in pod["volumes"]:
            if "configMap" in volume:
                expect(("ConfigMap", volume["configMap"]["name"]) in found, f"{path}: no {volume}")
        expect(("ServiceAccount", pod["serviceAccountName"]) in found, f"{path}: no service account")


def rights(path):
    pod = pod_of(documents(path)[0])
    container = pod["containers"][0]
    context = container["securityContext"]
    expect(pod["hostPID"] is True, "no hostPID")
    expect(not pod.get("hostNetwork") and not pod.get("hostIPC"), "the host's network or IPC")
    expect(context["privileged"] is False and context["runAsNonRoot"] is True and context["runAsUser"] > 0, "privileged or root")
    expect(context["readOnlyRootFilesystem"] is True, "a root file system that can be written")
    expect(context["capabilities"]["drop"] == ["ALL"], "capabilities that are not dropped")
    expect(pod["automountServiceAccountToken"] is False, "a token of the API server")
    expect("cpu" not in container["resources"]["limits"] and "memory" in container["resources"]["limits"], "a CPU limit, or none of memory")
    of_host = {volume["name"] for volume in pod["volumes"] if "hostPath" in volume}
    expect(of_host == {"tracefs", "btf", "bpffs", "cgroup"}, f"host paths {of_host}")
    for mount in container["volumeMounts"]:
        expect(mount["name"] not in of_host or mount.get("readOnly") is True, f"{mount['name']} can be written")


def capabilities(packaging):
    unit = (packaging / "systemd/loopwatch.service").read_text()
    image = (packaging / "container/Containerfile").read_text()
    context = pod_of(documents(packaging / "kubernetes/base/daemonset.yaml")[0])["containers"][0]["securityContext"]
    granted = {
        "ambient": set(re.search(r"^AmbientCapabilities=(.*)$", unit, re.M)[1].split()),
        "bounding": set(re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].split()),
        "image": {name.upper() for name in re.search(r"setcap (\S+)\+ep", image)[1].split(",")},
        "DaemonSet": {f"CAP_{name}" for name in context["capabilities"]["add"]},
    }
    expect(len(granted["ambient"]) == 6 and all(one == granted["ambient"] for one in granted.values()), f"{granted}")
    uid = re.search(r"^USER (\d+):", image, re.M)[1]
    expect(str(context["runAsUser"]) == uid and f"--uid {uid}" in image, f"the image's user is not the DaemonSet's {context['runAsUser']}")


def rendered(path):
    for document in documents(path):
        expect(document["kind"] == "Namespace" or document["metadata"].get("namespace") == "loopwatch", f"{document['metadata']}: its namespace")
    daemon_set = next(one for one in documents(path) if one["kind"] == "DaemonSet")
    pod = pod_of(daemon_set)
    containers = pod["containers"] + pod.get("initContainers", [])
    expect(len({one["image"] for one in containers}) == 1 and "/" in containers[0]["image"], f"images {[one['image'] for one in containers]}")
    expect(daemon_set["spec"]["selector"]["matchLabels"].items() <= daemon_set["spec"]["template"]["metadata"]["labels"].items(), "selector")
    volumes = {volume["name"] for volume in pod["volumes"]}
    for volume in pod["volumes"]:
        expect(len([key for key in volume if key != "name"]) == 1, f"volume {volume}")
    for container in containers:
        for mount in container["volumeMounts"]:
            expect(mount["name"] in volumes, f"{mount['name']} is no volume")


def main(arguments):
    checks = {check.__name__: check for check in (structure, rights, capabilities, rendered)}
    checks[arguments[0]](pathlib.Path(arguments[1]))
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main(sys.argv[1:]))
