"""Over a real ssh to a real sshd on loopback: the connection is cut, the run goes on, another connection finds it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil
import pyte
import pytest

from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig
from tests.functional.conftest import LORA_WIZARD
from tests.functional.terminal import PATIENCE
from tests.functional.trainer.conftest import make_config, wait_for
from trainer.history.reader import RunReader

pytestmark = pytest.mark.torch
__all__ = ["make_config"]

SSHD = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
MakeConfig = Callable[..., FinetuneConfig]


@dataclass
class Server:
    """A daemon of our own, for our own user, on a port of its own."""

    folder: Path
    port: int
    pid: int

    def connect(self, command: str, columns: int = 120, lines: int = 40) -> "Connection":
        """Run a command over a new connection, in a terminal of that size."""
        options = ["-tt", "-p", str(self.port), "-i", str(self.folder / "me"), "-o", "StrictHostKeyChecking=no"]
        options += ["-o", f"UserKnownHostsFile={self.folder / 'known'}", "-o", "LogLevel=ERROR", "-F", "/dev/null"]
        environment = {**os.environ, "TERM": "xterm-256color"}
        child = pexpect.spawn(
            "ssh",
            [*options, f"{getpass.getuser()}@127.0.0.1", command],
            dimensions=(lines, columns),
            env=environment,
            timeout=5,
        )
        return Connection(child, pyte.Screen(columns, lines))


class Connection:
    """A terminal at the other end."""

    def __init__(self, child: pexpect.spawn, screen: pyte.Screen) -> None:
        self.child = child
        self.screen = screen
        self.stream = pyte.ByteStream(screen)
        self.said = b""

    @property
    def text(self) -> str:
        """What the terminal shows."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self, seconds: float = 0.2) -> bool:
        """Take in what has come, if anything has."""
        try:
            came = self.child.read_nonblocking(65536, timeout=seconds)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return False
        self.said += came
        self.stream.feed(came)
        return True

    def wait(self, wanted: str | Callable[[str], bool], seconds: float = PATIENCE) -> str:
        """Read until the terminal shows it."""
        shown = wanted if callable(wanted) else lambda text: wanted in text
        until = time.monotonic() + seconds
        while not shown(self.text):
            self.read()
            assert time.monotonic() < until, f"not seen: {wanted}\n{self.text}"
        return self.text

    def end(self, seconds: float = PATIENCE) -> int:
        """Read to the end; the command's exit status."""
        until = time.monotonic() + seconds
        while self.child.isalive():
            self.read()
            assert time.monotonic() < until, self.text
        while self.read(1):
            pass
        self.child.close()
        return int(self.child.exitstatus if self.child.exitstatus is not None else -1)

    def cut(self, server: Server) -> None:
        """Cut it at both ends, as a network does: nobody says goodbye."""
        ours = [each.pid for each in psutil.Process(server.pid).children(recursive=True) if "sshd" in each.name()]
        for pid in [self.child.pid, *ours]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.child.close(force=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no sshd here")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "me"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized_keys").write_bytes((folder / "me.pub").read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    daemon = subprocess.Popen([SSHD, "-D", "-f", str(folder / "config"), "-E", str(folder / "log")])
    until = time.monotonic() + 60
    while True:
        with socket.socket() as there:
            if there.connect_ex(("127.0.0.1", port)) == 0:
                break
        if daemon.poll() is not None or time.monotonic() > until:
            pytest.skip(f"sshd does not start: {(folder / 'log').read_text()[-500:]}")
        time.sleep(0.05)
    yield Server(folder, port, daemon.pid)
    daemon.terminate()
    daemon.wait(60)


def step_of(run: Path) -> int:
    """The last step in a run's record."""
    shot = RunReader(run).poll()
    return shot.steps[-1].step if shot.steps else 0


def test_a_cut_connection_costs_nothing(
    server: Server, make_config: MakeConfig, home: Path, tmp_path: Path, runs: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(dump_config(make_config(training__max_steps=100_000, run__eval_steps=500, run__save_steps=50)))
    # The login at the other end names the person's own home.
    wizard = f"HOME={home} HF_HUB_OFFLINE=1 LC_ALL=C.UTF-8 {LORA_WIZARD} --runs {runs}"

    first = server.connect(f"{wizard} train {config}")
    first.wait("● training")
    (run,) = runs.iterdir()
    wait_for(run, lambda shot: len(shot.steps) >= 20)
    first.cut(server)
    at = step_of(run)
    wait_for(run, lambda shot: shot.alive and bool(shot.steps) and shot.steps[-1].step >= at + 50)

    second = server.connect(f"{wizard} watch", columns=80, lines=24)
    second.wait("● training")
    second.wait(lambda text: run.name in text)
    second.child.send("s")
    second.wait("Save and stop")
    second.child.send("s")
    second.wait("■ stopped")
    wait_for(run, lambda shot: not shot.alive)
    stopped = step_of(run)
    second.child.send("q")
    assert second.end() == 0

    resumed = server.connect(f"{wizard} resume {run.name} --detach")
    assert resumed.end() == 0
    wait_for(run, lambda shot: bool(shot.steps) and shot.steps[-1].step > stopped)
    plain = server.connect(f"{wizard} watch {run.name} --plain")
    plain.wait(lambda text: f"step {step_of(run)}"[:6] in text)
    plain.child.sendintr()
    assert plain.end() == 0
    assert server.connect(f"{wizard} stop {run.name}").end() == 0
    wait_for(run, lambda shot: shot.state.ended and not shot.alive)

    merged = server.connect(f"{wizard} merge {run.name} -o {tmp_path / 'merged'}")
    assert merged.end() == 0
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    chat = server.connect(f"{wizard} chat {run.name} --tokens 8")
    chat.wait("type a prompt")
    chat.child.send("What is the rank number 3?\r")
    chat.wait(lambda text: any(line.startswith("base") and "tuned" in line for line in text.splitlines()))
    chat.wait(lambda text: text.count("›") >= 2)
    chat.child.send("\r")
    assert chat.end() == 0
