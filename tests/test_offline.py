"""The embedded model needs no network: it is not even asked for."""

from pathlib import Path

import pytest
from tests.processes import run_code

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
