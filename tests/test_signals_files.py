import errno
import os
import stat

import pytest

from fieldpack.errors import FieldpackError
from fieldpack.files import cause, shown, write_atomically


def test_bytes_and_functions_are_written(tmp_path):
    write_atomically(tmp_path / "a", b"one")
    write_atomically(str(tmp_path / "b"), lambda file: file.writelines([b"t", b"wo"]))
    assert (tmp_path / "a").read_bytes() == b"one"
    assert (tmp_path / "b").read_bytes() == b"two"
    write_atomically(tmp_path / "a", b"three")
    assert (tmp_path / "a").read_bytes() == b"three"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def full_disk(file):
    file.write(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(file):
    file.write(b"half")
    raise KeyboardInterrupt


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize(
    ("writer", "exception"), [(full_disk, FieldpackError), (interrupted, KeyboardInterrupt)]
)
def test_a_failure_leaves_everything_as_it_was(tmp_path, existing, writer, exception):
    path = tmp_path / "out.png"
    if existing:
        path.write_bytes(b"old")
    with pytest.raises(exception) as raised:
        write_atomically(path, writer)
    if exception is FieldpackError:
        assert str(raised.value) == f"cannot write {path}: No space left on device"
    assert os.listdir(tmp_path) == (["out.png"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_a_failing_rename_leaves_everything_as_it_was(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FieldpackError, match=r"a: Read-only file system$"):
        write_atomically(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "new", b"")
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o640)
        write_atomically(tmp_path / "old", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "a")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "a").read_bytes() == b"new"


def test_what_is_no_regular_file_is_written_to(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(path, b"through")
        assert os.read(reading, 100) == b"through"
    finally:
        os.close(reading)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_directories(tmp_path):
    for path in (tmp_path, f"{tmp_path}/new/"):
        with pytest.raises(FieldpackError, match=r"^cannot write .*: Is a directory$"):
            write_atomically(path, b"")
    with pytest.raises(FieldpackError, match=r"^cannot write .*: No such file or directory$"):
        write_atomically(tmp_path / "none" / "a", b"")


def test_long_names(tmp_path):
    write_atomically(tmp_path / ("n" * 255), b"x")
    with pytest.raises(FieldpackError, match="File name too long"):
        write_atomically(tmp_path / ("n" * 256), b"x")


def test_messages():
    assert shown("a b.png") == "a b.png"
    assert shown("a\nb\x1b") == r"'a\nb\x1b'"
    assert shown("") == "''"
    assert cause(MemoryError()) == "not enough memory"
    assert cause(FileNotFoundError(2, "No such file or directory", "x")) == (
        "No such file or directory"
    )
    assert cause(ValueError("two\n lines")) == "two lines"
    assert cause(KeyError()) == "KeyError"
