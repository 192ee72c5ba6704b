"""Assembly text to machine code, with each assembler that this machine has; and what is refused."""

import os
import shutil
from pathlib import Path

import pytest

from gematria_ops.data import assembling
from gematria_ops.data.assembling import MAX_TEXT_BYTES, assemble_file
from ops_common.errors import ConfigError, DataError

pytestmark = pytest.mark.slow  # other programs run

FOUND = [name for name in ("as", "clang", "llvm-mc") if shutil.which(name)]
needs_assembler = pytest.mark.skipif(not FOUND, reason="no assembler on this machine")


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A search path with one program alone."""

    def choose(*names: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in names:
            (folder / name).symlink_to(shutil.which(name))
        monkeypatch.setenv("PATH", str(folder))

    return choose


def script(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """A program called `as` that does something else."""
    (folder / "as").write_text(f"#!{shutil.which('bash')}\n{text}\n")
    (folder / "as").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def assembly(folder: Path, text: str) -> Path:
    path = folder / "code.s"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize(
    ("text", "syntax", "code"),
    [
        ("subq %rdx, %rbx\nmovl 0x6c(%rsp), %eax", "auto", "4829d38b44246c"),
        ("sub rbx, rdx\nmov eax, dword ptr [rsp + 0x6c]\n", "auto", "4829d38b44246c"),
        ("nop", "att", "90"),
        ("add rax, rcx", "intel", "4801c8"),
        ("addq %rcx, %rax\nlea .Lsomewhere(%rip), %rdi\n", "auto", "4801c8488d3d00000000"),
    ],
)
def test_every_assembler_makes_the_same_code(
    only, tmp_path: Path, name: str, text: str, syntax: str, code: str
) -> None:
    only(name)
    assert assemble_file(assembly(tmp_path, text), syntax).hex() == code


@needs_assembler
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("addq %rcx, %rax\nfrobnicate %rax\n", "{path} cannot be assembled:\n"),
        ("# nothing\n", "{path} holds no instruction\n  hint: write the instructions of one basic block, one a line"),
        ("x" * (MAX_TEXT_BYTES + 1), f"{{path}} is larger than {MAX_TEXT_BYTES} bytes\n  hint: give the text of one"),
    ],
    ids=["unknown instruction", "nothing", "too large"],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    path = assembly(tmp_path, text)
    with pytest.raises(DataError) as raised:
        assemble_file(path)
    assert str(raised.value).startswith(message.format(path=path))
    assert "frobnicate" not in text or "code.s:2:" in str(raised.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.s does not exist"):
        assemble_file(tmp_path / "no.s")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        assemble_file(tmp_path)
    (tmp_path / "binary.s").write_bytes(b"nop\n\xff")
    with pytest.raises(DataError, match=r"binary\.s is not UTF-8 text \(byte 4\)"):
        assemble_file(tmp_path / "binary.s")


def test_without_an_assembler_the_message_says_what_to_install(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as raised:
        assemble_file(assembly(tmp_path, "nop"))
    assert str(raised.value) == (
        "there is no assembler on this machine: none of as, clang, llvm-mc was found\n"
        "  hint: install binutils or LLVM (on Debian: apt-get install binutils), or give machine code in hex"
    )


def test_an_unknown_syntax(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no assembly syntax 'nasm'\n  hint: one of auto, att, intel"):
        assemble_file(assembly(tmp_path, "nop"), "nasm")


def test_an_assembler_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    script(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; read < {tmp_path}/never")
    monkeypatch.setattr(assembling, "_MAX_SECONDS", 0.5)
    with pytest.raises(DataError, match=r"the assembler did not end within 0\.5 s"):
        assemble_file(assembly(tmp_path, "nop"))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_an_assembler_that_fails_without_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(monkeypatch, tmp_path, "exit 3")
    with pytest.raises(DataError, match=r"code\.s cannot be assembled:\nit ended with status 3"):
        assemble_file(assembly(tmp_path, "nop"))


@needs_assembler
def test_text_that_would_fill_the_disk_is_ended(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"code\.s cannot be assembled"):
        assemble_file(assembly(tmp_path, ".skip 100000000, 0x90"))
