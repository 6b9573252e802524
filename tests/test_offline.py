"""The embedded model, and the whole default run, need no network: it is not even asked for."""

import os
from pathlib import Path

import pytest
from tests.processes import environment, run_code

CODE = """
import socket

attempts = []

class Refused(socket.socket):  # it may be made: urllib3 asks by one that goes nowhere whether there is IPv6
    def connect(self, address, *more):
        attempts.append(f"connection to {address}")
        raise OSError("no network here")

    connect_ex = sendto = sendmsg = connect

def refuse(*arguments, **options):
    attempts.append(f"lookup of {arguments[0]}")
    raise OSError("no network here")

socket.socket = Refused
socket.getaddrinfo = socket.create_connection = refuse

import torch
from plateaulens.presets import read_config
from plateaulens.resources import find
from plateaulens.subject.model import load_subject

config = read_config(find("presets", "smollm2"))
subject = load_subject(config.model, config.sites)
tokens = torch.tensor([subject.tokenizer.encode("The capital of France is")])
with torch.inference_mode():
    following = subject.bridge(tokens)[0, -1].argmax()
print(subject.tokenizer.bos_token, subject.tokenizer.decode([int(following)]), attempts, sep="|")
"""


@pytest.mark.model
@pytest.mark.parametrize("hub_is_offline", ["0", "1"])
def test_the_embedded_model_answers_without_a_network(hub_is_offline: str, tmp_path: Path) -> None:
    done = run_code(CODE, folder=tmp_path, HF_HUB_OFFLINE=hub_is_offline, HF_HOME=str(tmp_path / "hub"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == "<|im_start|>| Paris|[]\n"


REFUSE = """
import os
import socket

def told(what):
    with open(os.environ["ATTEMPTS"], "a") as attempts:
        attempts.write(f"{what}\\n")
    raise OSError("no network here")

def beyond(address):  # the report's kernel is talked to on this machine
    return isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost")

class Local(socket.socket):
    def connect(self, address):
        return told(f"connection to {address}") if beyond(address) else super().connect(address)

    def connect_ex(self, address):
        return told(f"connection to {address}") if beyond(address) else super().connect_ex(address)

lookup = socket.getaddrinfo

def look_up(host, *arguments, **options):
    is_here = host in (None, "127.0.0.1", "localhost")
    return lookup(host, *arguments, **options) if is_here else told(f"lookup of {host}")

socket.socket, socket.getaddrinfo = Local, look_up
"""
"""Run by every Python that is started, the report's kernel among them."""

COMMANDS = """
import socket
import sys

from plateaulens.cli import main

assert socket.socket.__name__ == "Local"
assert main(["collect", "--samples", "2", "--out", "run.zarr"]) == 0
assert main(["analyze", "--run", "run.zarr", "--out", "summary.zarr"]) == 0
assert main(["report", "--summary", "summary.zarr", "--out", "report", "--renderer", "builtin"]) == 0
"""


@pytest.mark.model
@pytest.mark.slow
def test_the_default_run_with_every_connection_beyond_this_machine_refused(tmp_path: Path) -> None:
    (tmp_path / "refuse").mkdir()
    (tmp_path / "refuse" / "sitecustomize.py").write_text(REFUSE)
    path = f"{tmp_path / 'refuse'}{os.pathsep}{environment()['PYTHONPATH']}"
    changes = {"PYTHONPATH": path, "ATTEMPTS": str(tmp_path / "attempts"), "HF_HUB_OFFLINE": "0"}
    done = run_code(COMMANDS, folder=tmp_path, **changes, HF_HOME=str(tmp_path / "hub"))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "attempts").exists(), (tmp_path / "attempts").read_text()
    beside = ["data", "figures", "index.html", "index.pdf", "report.md", "results.json"]
    assert sorted(file.name for file in (tmp_path / "report").iterdir()) == beside
