"""`scripts/setup` installs by uv, from the places that pip is told of, and by pip where uv fails."""

import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "setup"
LISTED = """\
:env:.find-links='/wheels'
:env:.index-url='https://mirror.invalid/simple'
global.constraint='/etc/caps.txt'
global.extra-index-url='file:///one file:///two'
global.find-links='/a /b'
global.index-url='https://other.invalid/simple'
install.constraint='/etc/caps.txt /home/caps.txt'
global.timeout='180'
"""


@pytest.fixture
def setup() -> ModuleType:
    loader = SourceFileLoader("setup_script", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


class Ran:
    """Stands for `subprocess.run`: notes commands and environments, ends as told by a word of the command."""

    def __init__(self, *failing: str) -> None:
        self.commands: list[list[str]] = []
        self.told: dict[str, str] = {}
        self.failing = failing

    def __call__(self, command: list[str], **given: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if isinstance(env := given.get("env"), dict):
            self.told = env
        failed = any(word in command for word in self.failing)
        return subprocess.CompletedProcess(command, int(failed), LISTED if "list" in command else "")


def test_what_the_environment_says_comes_before_files_and_install_before_global(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", Ran())
    places = setup.handed_over(setup.pip_settings())
    assert places == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "https://mirror.invalid/simple",
        "UV_INDEX": "file:///one file:///two",
        "UV_FIND_LINKS": "/wheels",
        "UV_CONSTRAINT": "/etc/caps.txt /home/caps.txt",
    }
    assert setup.handed_over({"find-links": "/a /b"})["UV_FIND_LINKS"] == "/a,/b"


@pytest.mark.parametrize(
    ("failing", "installers"), [((), ["uv"]), (("uv",), ["pip"]), (("--python",), ["uv", "pip"])]
)
def test_pip_installs_where_uv_cannot_be_had_or_fails(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...], installers: list[str]
) -> None:
    ran = Ran(*failing)
    monkeypatch.setattr(subprocess, "run", ran)
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.setenv("UV_CONSTRAINT", "/own.txt")
    assert setup.main() == 0
    installing = [command for command in ran.commands if "--editable" in command]
    assert [command[2] for command in installing] == installers
    if "uv" in installers:
        assert ran.told["UV_FIND_LINKS"] == "/wheels"
        assert ran.told["UV_CONSTRAINT"] == "/own.txt"  # uv's own settings have the last word


def test_the_exit_code_is_that_of_what_installed_last(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", Ran("--editable"))
    assert setup.main() == 1
