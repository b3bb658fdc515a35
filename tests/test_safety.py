"""What must not stand in the source (S01), and what importing must not do (S28, S30)."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "deepen"
FILES = sorted(SOURCE.rglob("*.py"))
CALLS = {  # by the end of their dotted name
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.loads",
    "shelve.open",
    "joblib.load",
    "dill.load",
    "cloudpickle.load",
    "torch.jit.load",
    "torch.export.load",
    "dcp.load",
    "checkpoint.load",
    "torch.hub.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "tempfile.mktemp",
    "tarfile.open",
    "pd.read_pickle",
    "pandas.read_pickle",
    "xml.dom.minidom.parse",
}
ARGUMENTS = {
    ("weights_only", False),
    ("allow_pickle", True),
    ("shell", True),
    ("trust_remote_code", True),
    ("verify", False),
}
ALLOWED = {("data/archive.py", "tarfile.open")}  # it takes chosen members alone, to names of its own
ONLINE = {"urllib.request", "http.client", "socket", "ssl", "requests", "httpx", "aiohttp"}
ONLINE_ALLOWED = {"data/download.py"}
LISTENING = {"serve/server.py"}
METHODS_ALLOWED = {"re.compile", "torch.compile", "regex.compile"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}


def faults(place: str, text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"{place}:{node.lineno}: a bare except")
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [f"{place}:{node.lineno}: imports {name}" for name in names if name.split(".")[0] in MODULES]
        if isinstance(node, ast.Call):
            found += _calls(place, node)
    return found


def _calls(place: str, node: ast.Call) -> list[str]:
    name = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
    bad = name in CALLS or any("." in call and name.endswith(f".{call}") for call in CALLS)
    is_allowed = name in METHODS_ALLOWED or (place, name) in ALLOWED
    found = [f"{place}:{node.lineno}: calls {name}"] if bad and not is_allowed else []
    for keyword in node.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if any(keyword.arg == argument and value is said for argument, said in ARGUMENTS):
            found.append(f"{place}:{node.lineno}: {keyword.arg}={value}")
    if name == "torch.load" and not any(k.arg == "weights_only" for k in node.keywords):
        found.append(f"{place}:{node.lineno}: torch.load without weights_only=True")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_in_the_source_can_run_code_from_a_file(path):
    assert not faults(str(path.relative_to(SOURCE)), path.read_text("utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "import pickle",
        "from pickle import load",
        "torch.jit.load(f)",
        "torch.export.load(f)",
        "torch.distributed.checkpoint.load(s)",
        "dcp.load(s)",
        "np.load(f, allow_pickle=True)",
        "eval('1')",
        "exec('1')",
        "yaml.load(f)",
        "subprocess.run('ls', shell=True)",
        "os.system('ls')",
        "try:\n    pass\nexcept:\n    pass",
    ],
)
def test_planted_dangers_are_found(line):
    assert faults("x.py", line)


@pytest.mark.parametrize(
    "line", ["model.eval()", "re.compile('x')", "torch.load(f, weights_only=True)", "self.exec_(1)"]
)
def test_harmless_lines_pass(line):
    assert not faults("x.py", line)


def test_no_address_of_the_network_in_the_source():
    """`fetch`'s catalogue alone knows addresses; elsewhere they stand in comments and docstrings at most."""
    for path in FILES:
        if path == SOURCE / "data" / "catalogue.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and any(
                isinstance(a, ast.Constant)
                and isinstance(a.value, str)
                and re.match(r"https?://(?!127|localhost)", a.value)
                for a in node.args
            ):
                raise AssertionError(f"{path}:{node.lineno}: an address is passed to a function")


def test_one_file_alone_can_reach_the_network():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                place = str(path.relative_to(SOURCE))
                listens = place in LISTENING and ONLINE & set(imported) <= {"socket"}
                assert not ONLINE & set(imported) or place in ONLINE_ALLOWED or listens, f"{place}:{node.lineno}"


def test_what_listens_reaches_out_to_nobody():
    for place in LISTENING:
        calls = [
            node.func for node in ast.walk(ast.parse((SOURCE / place).read_text("utf-8"))) if isinstance(node, ast.Call)
        ]
        names = {call.attr if isinstance(call, ast.Attribute) else ast.unparse(call) for call in calls}
        assert "bind" in names and not names & {"connect", "connect_ex", "create_connection", "open_connection"}


MODULES_LIGHT = ["deepen", "deepen.core.files", "deepen.core.names", "deepen.core.options", "deepen.cli.main"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("module", [*MODULES_LIGHT, "deepen.bundle.load"])
def test_importing_opens_no_socket_writes_nothing_and_starts_nothing(module, tmp_path):
    log = tmp_path / "calls"
    calls = "trace=socket,connect,bind,openat,creat,mkdir,unlink,rename,fork,vfork,clone,clone3,execve"
    subprocess.run(
        ["strace", "-f", "-e", calls, "-o", str(log), sys.executable, "-B", "-c", f"import {module}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    for line in log.read_text().splitlines()[1:]:
        assert not re.search(
            r"\b(socket|connect|bind|creat|mkdir\w*|unlink\w*|rename\w*|v?fork|clone3?|execve)\(", line
        ), line
        assert "O_WRONLY" not in line and ("O_RDWR" not in line or "/dev/null" in line) and "O_CREAT" not in line, line


def test_files_named_like_modules_beside_the_data_are_not_run(tmp_path):
    """S30: the working directory is not where modules come from."""
    for name in ("json.py", "torch.py", "random.py", "numpy.py", "resource.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    program = Path(sys.executable).with_name("deepen")
    command = [str(program)] if program.exists() else [sys.executable, "-P", "-m", "deepen"]
    subprocess.run(
        [*command, "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert not (tmp_path / "marker").exists()
