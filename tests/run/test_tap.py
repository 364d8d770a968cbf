from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from twisted.python.usage import UsageError

from lbcompanion.cli import main
from lbcompanion.run import crawler_tap, tap

TAPS = [(tap, "n1.toml"), (crawler_tap, "crawler.toml")]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    CliRunner().invoke(main, ["init", str(tmp_path), "--nodes", "n1", "--origin", "https://www.example.com"])
    return tmp_path


@pytest.mark.parametrize(("module", "name"), TAPS)
def test_options_hold_the_settings(module: object, name: str, folder: Path) -> None:
    options = module.Options()  # type: ignore[attr-defined]
    options.parseOptions(["--config", str(folder / name)])
    assert repr(options.settings)


@pytest.mark.parametrize(("module", "name"), TAPS)
def test_a_configuration_is_needed(module: object, name: str) -> None:
    with pytest.raises(UsageError):
        module.Options().parseOptions([])  # type: ignore[attr-defined]


@pytest.mark.parametrize(("module", "name"), TAPS)
def test_a_bad_configuration_is_exit_2(
    module: object, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / name
    path.write_text(path.read_text().replace("state_dir", "state_dri"))
    with pytest.raises(SystemExit) as caught:
        module.Options().parseOptions(["--config", str(path)])  # type: ignore[attr-defined]
    assert caught.value.code == 2
    assert "did you mean state_dir?" in capsys.readouterr().err
