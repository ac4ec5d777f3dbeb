"""The doctor names what is wrong with a machine, and what to do."""

from __future__ import annotations

import resource
import socket
from collections import namedtuple

import pytest

from pipelines import doctor
from pipelines.cli import main

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def resolver(monkeypatch):
    """A resolver that knows one name; returns what was asked."""
    asked = []

    def getaddrinfo(name, *_, **__):
        asked.append(name)
        if name != "known.example":
            raise socket.gaierror("unknown")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_names_are_asked_twice_so_that_a_cache_can_show(resolver):
    is_good, found, _ = doctor.dns(["known.example"])
    assert is_good
    assert found.startswith("1 names, slowest ")
    assert resolver == ["known.example"] * 2


def test_a_name_without_an_answer_is_named_with_the_remedy(resolver):
    is_good, found, remedy = doctor.dns(["known.example", "dead.example"])
    assert (is_good, found) == (False, "no answer for dead.example")
    assert "caching resolver" in remedy


@pytest.mark.parametrize(("soft", "is_good"), [(1024, False), (4096, True), (resource.RLIM_INFINITY, True)])
def test_the_limit_on_open_files(soft, is_good, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, 8192))
    assert doctor.open_files()[0] is is_good


@pytest.mark.parametrize(("free", "is_good"), [((20 << 30) - 1, False), (20 << 30, True)])
def test_the_disk_is_that_of_the_nearest_folder_that_exists(free, is_good, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: Usage(0, 0, free))
    found = doctor.disk(str(tmp_path / "not" / "yet"))
    assert found[0] is is_good
    assert str(tmp_path) in found[1]
    assert "not/yet" not in found[1]


def test_a_build_elsewhere_needs_no_disk_here():
    assert doctor.disk("s3://bucket/out")[0]


def test_the_limit_of_a_container_counts(monkeypatch):
    monkeypatch.setattr(doctor, "_meminfo", lambda name: 64 << 30)
    monkeypatch.setattr(doctor, "_cgroup_limit", lambda: 1 << 30)
    assert doctor.memory() == (False, "1.1 GB available", doctor.memory()[2])


def test_an_absent_package_that_is_needed_is_found(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("ray", "surely-not-installed"))
    is_good, found, _ = doctor.packages()
    assert not is_good
    assert "surely-not-installed absent" in found


def test_ray_runs_a_task(cluster):
    is_good, found, _ = doctor.ray_starts()
    assert is_good
    assert "2 CPUs" in found


def test_the_command_says_what_to_look_at(resolver, capsys):
    assert main(["doctor", "--no-ray", "--name", "dead.example"]) == 1
    printed = capsys.readouterr().out
    assert "look  DNS: no answer for dead.example\n      run a caching resolver" in printed
    assert "ok    packages: " in printed
