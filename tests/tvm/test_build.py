from __future__ import annotations

from pathlib import Path

from chameleon_tuner.tvm.build import UNTUNED, keep_untuned
from chameleon_tuner.tvm.deploy import LIBRARY, weights_path


def test_who_has_loaded_a_library_that_is_dropped_keeps_it(tmp_path: Path) -> None:
    for name, text in ((LIBRARY, "tuned"), (UNTUNED, "untuned")):
        (tmp_path / name).write_text(text)
        weights_path(tmp_path / name).write_text(text)
    deployed = tmp_path / LIBRARY
    deployed.chmod(0o755)
    (tmp_path / UNTUNED).chmod(0o755)
    with deployed.open() as code, weights_path(deployed).open() as weights:
        keep_untuned(tmp_path)
        assert code.read() == weights.read() == "tuned"
    assert deployed.read_text() == weights_path(deployed).read_text() == "untuned"
    assert deployed.stat().st_mode & 0o777 == 0o755
    assert len(list(tmp_path.iterdir())) == 4
