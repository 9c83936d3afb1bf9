"""`interlock check` and its neighbours, as users and scripts run them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.documented import disagreements

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock, Ran

CLEAN = "def order_id(order):\n    return order.id\n"
BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"
HAZARD = "identity/coarse-clock"
FACTS = re.compile(r"\d+ files?, \d+ hazards?, \d+ findings?, \d+ suppressed(, \d+ problems?)?, \d+\.\d\d s\n")
ESCAPE = "\033"

# Runs the command with one detector that falls over.
BROKEN = """
import sys
from interlock.cli.main import main
from interlock.hazards.catalogue import named
import ast

def fail(node, module):
    raise RuntimeError("no such luck")

named("identity/evaluated-once").detectors[:] = [((ast.Module,), fail)]
sys.exit(main(sys.argv[1:]))
"""


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    """Writes files below a folder."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())


def places(ran: Ran) -> list[str]:
    """The findings of a run in text, as `path:line: hazard`."""
    lines = (re.match(r"(.+?):(\d+):\d+: (\S+) ", line) for line in ran.out.splitlines())
    return [f"{found[1]}:{found[2]}: {found[3]}" for found in lines if found]


def with_broken_detector(interlock: Interlock, *arguments: str) -> Ran:
    """The command where one detector falls over."""
    from tests.conftest import Ran as Answer  # noqa: PLC0415

    done = subprocess.run(
        [sys.executable, "-c", BROKEN, *arguments], cwd=interlock.folder, capture_output=True, encoding="utf-8", check=False
    )
    return Answer(code=done.returncode, out=done.stdout, err=done.stderr)


class TestExitCodes:
    def test_0_where_every_question_was_answered_well(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"clean.py": CLEAN})
        ran = interlock_in("check")
        assert (ran.code, ran.out) == (0, "")
        assert FACTS.fullmatch(ran.err)

    def test_1_where_a_hazard_was_found(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"bad.py": BAD})
        ran = interlock_in("check")
        assert ran.code == 1
        assert places(ran) == [f"bad.py:4: {HAZARD}"]
        assert f"interlock explain {HAZARD}" in ran.out
        assert FACTS.fullmatch(ran.err)

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["check", "no-such-file.py"], "no-such-file.py: no such file or folder"),
            (["check", "--no-such-option"], "--no-such-option"),
            (["check", "--format", "tea"], "invalid choice: 'tea'"),
            (["no-such-verb"], "invalid choice: 'no-such-verb'"),
            ([], "VERB"),
            (["check", "--base", "main"], "needs a git repository"),
            (["gate", "--base", "main"], "needs a git repository"),
            (["gate"], "--base"),
            (["explain", "identity/coarse-clok"], "did you mean 'identity/coarse-clock'?"),
        ],
    )
    def test_2_where_the_user_can_mend_it(self, interlock_in: Interlock, arguments: list[str], complaint: str) -> None:
        ran = interlock_in(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert complaint in ran.err
        assert "Traceback" not in ran.err

    def test_3_where_something_was_not_read(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"clean.py": CLEAN, "broken.py": "def f(:\n"})
        ran = interlock_in("check")
        assert (ran.code, ran.out) == (3, "")
        assert ran.complaints[0].startswith("broken.py:1: cannot be parsed by this Python")
        assert "1 problem," in ran.err

    def test_70_where_the_fault_is_ours(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"clean.py": "def f(id=now(), uuid=1):\n    pass\n"})
        ran = with_broken_detector(interlock_in, "check")
        assert (ran.code, ran.out) == (70, "")
        assert "clean.py: the detector of identity/evaluated-once failed, please report it" in ran.err
        assert "no such luck" in ran.err

    def test_1_where_there_is_a_finding_beside_a_fault_of_ours(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"bad.py": BAD.replace("(user)", "(user, now=time.time())")})
        ran = with_broken_detector(interlock_in, "check", "--format", "json")
        assert ran.code == 1
        document = json.loads(ran.out)
        assert [finding["hazard"] for finding in document["findings"]] == [HAZARD]
        assert [error["path"] for error in document["errors"]] == ["bad.py"]

    def test_70_where_we_fall_over_ourselves(self, tmp_path: Path) -> None:
        write(tmp_path, {"clean.py": CLEAN})
        crash = "import sys, interlock.check.run as run, interlock.cli.main as cli; run.inspect = None; sys.exit(cli.main())"
        done = subprocess.run(
            [sys.executable, "-c", crash, "check"], cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
        )
        assert (done.returncode, done.stdout) == (70, "")
        assert done.stderr.startswith("interlock: a fault of interlock itself, please report it:\nTraceback")

    @pytest.mark.parametrize("output", ["text", "json", "sarif"])
    def test_130_where_it_was_stopped_and_nothing_half_written(
        self, interlock_in: Interlock, tmp_path: Path, output: str
    ) -> None:
        """A named pipe that says nothing keeps the run in the middle of its work until the signal comes."""
        write(tmp_path, {"bad.py": BAD})
        os.mkfifo(tmp_path / "silent.py")
        command = [*interlock_in.command, "check", "bad.py", "silent.py", "--format", output]
        program = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        with (tmp_path / "silent.py").open("wb"):  # Returns when the other side reads.
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=60)
        assert (program.returncode, out) == (130, "")
        assert err == "interlock: stopped; nothing was written\n"

    def test_130_from_the_keyboard_is_told_once_though_many_files_keep_many_processes_busy(
        self, interlock_in: Interlock, tmp_path: Path
    ) -> None:
        """The keyboard's signal reaches every process of the command, and each could complain."""
        names = [f"{number}.py" for number in range(600)]
        write(tmp_path, dict.fromkeys(names, BAD))
        os.mkfifo(tmp_path / "silent.py")
        command = [*interlock_in.command, "check", *names, "silent.py", "--format", "json"]
        program = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            with (tmp_path / "silent.py").open("wb"):
                os.killpg(program.pid, signal.SIGINT)
                out, err = program.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):  # All of them have ended, as they should.
                os.killpg(program.pid, signal.SIGKILL)
        assert (program.returncode, out) == (130, "")
        assert err == "interlock: stopped; nothing was written\n"

    def test_what_many_processes_find_is_what_one_finds(self, interlock_in: Interlock, tmp_path: Path) -> None:
        """Shared out or not: the same findings in the same order, and the same complaints."""
        files: dict[str, str | bytes] = {f"{number:03}.py": (BAD, CLEAN, b"\0")[number % 3] for number in range(600)}
        write(tmp_path, files)
        ran = interlock_in("check")
        assert ran.code == 1
        assert places(ran) == [f"{name}:4: {HAZARD}" for name, content in files.items() if content == BAD]
        assert [line.partition(":")[0] for line in ran.complaints] == [name for name in files if files[name] == b"\0"]
        assert "600 files" in ran.err

    def test_they_are_told_by_the_help(self, interlock_in: Interlock) -> None:
        for arguments in (["--help"], ["check", "--help"], ["gate", "--help"]):
            ran = interlock_in(*arguments)
            assert ran.code == 0
            assert "exit codes: 0 pass, 1 fail, 2 usage" in " ".join(ran.out.split())


class TestWhatIsMetOnTheWay:
    def test_each_has_its_line_and_the_run_goes_on(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                "z_bad.py": BAD,
                "brackets.py": b"(" * 100_000,
                "latin.py": b"x = '\xe9'\n",
                "nul.py": b"x = 1\0\n",
                "sum.py": "x = " + " + ".join(["a"] * 100_000),
                "folder.py/inner.py": CLEAN,
                "notes.txt": b"\xff",
            },
        )
        (tmp_path / "around").symlink_to(".")
        (tmp_path / "folder.py" / "loop.py").symlink_to("..")
        (tmp_path / "gone.py").symlink_to("nowhere.py")
        (tmp_path / "twice.py").symlink_to("z_bad.py")
        os.mkfifo(tmp_path / "pipe.py")
        ran = interlock_in("check")
        assert ran.code == 1
        assert places(ran) == [f"z_bad.py:4: {HAZARD}"]
        assert [re.sub(r" \(3[.\d]+\)", "", line) for line in ran.complaints] == [
            "around: is a link to a folder around itself; not followed",
            "brackets.py:1: cannot be parsed by this Python: too many nested parentheses",
            "folder.py/loop.py: is a link to a folder around itself; not followed",
            "gone.py: is a broken symbolic link to 'nowhere.py'",
            "latin.py: is not utf-8 text (byte 5), and declares no other encoding",
            "nul.py: cannot be parsed: a NUL byte at offset 5; this is not Python source",
            "pipe.py: is no regular file",
            "sum.py: is nested too deeply to be parsed",
        ]
        assert "6 files" in ran.err
        assert "8 problems," in ran.err

    def test_the_same_in_a_repository(self, interlock_in: Interlock, git: Git) -> None:
        git.write({"bad.py": BAD, "nul.py": b"\0"})
        (git.root / "around").symlink_to(".")
        (git.root / "gone.py").symlink_to("nowhere.py")
        ran = interlock_in("check", folder=git.root)
        assert ran.code == 1
        assert places(ran) == [f"bad.py:4: {HAZARD}"]
        assert [line.partition(":")[0] for line in ran.complaints] == ["around", "gone.py", "nul.py"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_an_unreadable_file_has_its_line(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"bad.py": BAD, "secret.py": BAD})
        (tmp_path / "secret.py").chmod(0)
        ran = interlock_in("check")
        assert ran.code == 1
        assert ran.complaints == ["secret.py: cannot be read: Permission denied"]

    def test_virtual_environments_and_hidden_folders_are_not_looked_into(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(
            tmp_path,
            {"a/env/pyvenv.cfg": "", "a/env/bad.py": BAD, ".hidden/bad.py": BAD, "node_modules/bad.py": BAD, "a/bad.py": BAD},
        )
        assert places(interlock_in("check")) == [f"a/bad.py:4: {HAZARD}"]

    def test_what_git_ignores_is_read_only_if_it_is_named(self, interlock_in: Interlock, git: Git) -> None:
        git.write({".gitignore": "generated.py\nbuild/\n", "generated.py": BAD, "build/bad.py": BAD, "clean.py": CLEAN})
        assert interlock_in("check", folder=git.root).code == 0
        ran = interlock_in("check", "generated.py", folder=git.root)
        assert places(ran) == [f"generated.py:4: {HAZARD}"]

    def test_a_file_that_is_named_twice_is_read_once(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"shop/bad.py": BAD})
        ran = interlock_in("check", "shop/bad.py", "./shop/../shop/bad.py", "shop", str(tmp_path / "shop" / "bad.py"))
        assert places(ran) == [f"shop/bad.py:4: {HAZARD}"]
        assert "1 file," in ran.err

    def test_paths_outside_the_folder_are_absolute(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"shop/bad.py": BAD, "here/clean.py": CLEAN})
        ran = interlock_in("check", "../shop", folder=tmp_path / "here")
        assert places(ran) == [f"{tmp_path}/shop/bad.py:4: {HAZARD}"]

    def test_a_name_that_no_terminal_shows_is_escaped(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {os.fsdecode(b"b\xff.py"): BAD})
        ran = interlock_in("check")
        assert places(ran) == [f"b\\udcff.py:4: {HAZARD}"]
        assert interlock_in("check", "--format", "json").code == 1
        assert interlock_in("check", "--format", "sarif").code == 1

    def test_python_s_own_warnings_about_the_code_are_not_ours_to_tell(self, interlock_in: Interlock, tmp_path: Path) -> None:
        """Nor do they change the answer where somebody made them errors."""
        write(tmp_path, {"pattern.py": 'import time\n\nWORD = "\\d"\nSAME = 1 is 1\n'})
        for ran in (interlock_in("check"), interlock_in.under(PYTHONWARNINGS="error")("check")):
            assert (ran.code, ran.out, ran.complaints) == (0, "", [])


class TestFormats:
    def test_json_is_as_documented(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"bad.py": BAD, "nul.py": b"\0"})
        ran = interlock_in("check", "--format", "json")
        document = json.loads(ran.out)
        assert disagreements("interlock check", document) == []
        (finding,) = document.pop("findings")
        assert document == {
            "version": 1,
            "files": 2,
            "suppressed": 0,
            "errors": [
                {"path": "nul.py", "line": 0, "message": "cannot be parsed: a NUL byte at offset 0; this is not Python source"}
            ],
        }
        message, advice = finding.pop("message"), finding.pop("advice")
        assert "`order_id`" in message
        assert advice
        assert finding == {
            "hazard": HAZARD,
            "path": "bad.py",
            "line": 4,
            "column": 16,
            "end_line": 4,
            "severity": "critical",
            "confidence": "high",
        }

    def test_json_of_nothing_found_is_whole(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"clean.py": CLEAN})
        ran = interlock_in("check", "--format", "json")
        assert ran.code == 0
        assert json.loads(ran.out) == {"version": 1, "findings": [], "files": 1, "suppressed": 0, "errors": []}

    def test_findings_come_in_the_order_of_paths_and_lines(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"b.py": BAD, "a.py": BAD + BAD, "c/d.py": BAD})
        assert [place.rpartition(": ")[0] for place in places(interlock_in("check"))] == [
            "a.py:4",
            "a.py:9",
            "b.py:4",
            "c/d.py:4",
        ]

    def test_quiet_prints_the_findings_alone(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"bad.py": BAD, "nul.py": b"\0"})
        for arguments in (["check", "--quiet"], ["check", "-q"]):
            ran = interlock_in(*arguments)
            assert places(ran) == [f"bad.py:4: {HAZARD}"]
            assert ran.err == "nul.py: cannot be parsed: a NUL byte at offset 0; this is not Python source\n"

    def test_explain_tells_the_story(self, interlock_in: Interlock) -> None:
        told, listed = interlock_in("explain", HAZARD), interlock_in("explain")
        assert (told.code, listed.code) == (0, 0)
        assert told.out.startswith(f"{HAZARD} (critical)")
        assert "What to write instead" in told.out
        assert any(line.startswith(HAZARD) for line in listed.out.splitlines())


class TestSettings:
    def test_an_exclusion_has_a_reason_and_holds(self, interlock_in: Interlock, tmp_path: Path) -> None:
        exclusion = '[check]\nexclude = [{ path = "vendor/*", reason = "not ours" }]\n'
        write(tmp_path, {"interlock.toml": exclusion, "vendor/deep/bad.py": BAD, "vendor/nul.py": b"\0", "bad.py": BAD})
        ran = interlock_in("check")
        assert places(ran) == [f"bad.py:4: {HAZARD}"]
        assert ran.complaints == []
        assert places(interlock_in("check", folder=tmp_path / "vendor")) == []

    def test_a_file_that_is_named_is_read_though_it_is_excluded(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(
            tmp_path,
            {"interlock.toml": '[check]\nexclude = [{ path = "vendor/*", reason = "not ours" }]\n', "vendor/bad.py": BAD},
        )
        assert places(interlock_in("check", "vendor/bad.py")) == [f"vendor/bad.py:4: {HAZARD}"]

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("[chek]\n[check]\nexclude = []\n", "interlock.toml:1: unknown section 'chek'; did you mean 'check'?"),
            ("[check]\nexclud = []\n", "interlock.toml:2: unknown key 'exclud' in check; did you mean 'exclude'?"),
            ('[check]\nexclude = [{ path = "vendor/*" }]\n', "interlock.toml:2: exclude has no 'reason', which it needs"),
            ('[check]\nexclude = "vendor/*"\n', "interlock.toml:2: exclude in check is 'vendor/*'; expected a list"),
            ("[check\n", "interlock.toml: is not TOML"),
        ],
    )
    def test_what_is_not_right_says_what_is(self, interlock_in: Interlock, tmp_path: Path, text: str, complaint: str) -> None:
        write(tmp_path, {"interlock.toml": text, "bad.py": BAD})
        ran = interlock_in("check")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"interlock: {complaint}")

    def test_a_suppression_counts_if_it_has_a_reason(self, interlock_in: Interlock, tmp_path: Path) -> None:
        line = "    order_id = f'{user.id}-{int(time.time())}'"
        write(tmp_path, {"a.py": BAD.replace(line, f"{line}  # interlock: ignore[{HAZARD}]: one user, one order a day")})
        ran = interlock_in("check")
        assert (ran.code, ran.out) == (0, "")
        assert "0 findings, 1 suppressed" in ran.err
        assert json.loads(interlock_in("check", "--format", "json").out)["suppressed"] == 1
        write(tmp_path, {"a.py": BAD.replace(line, f"{line}  # interlock: ignore[{HAZARD}]")})
        ran = interlock_in("check")
        assert ran.code == 1
        assert ran.complaints[0].startswith("a.py:4: this suppression gives no reason")


class TestSinceABase:
    """`--base` tells what is new, and nothing that was there before."""

    def since(self, interlock: Interlock, git: Git, *arguments: str, folder: str = ".") -> list[str]:
        """The findings that are new since `main`."""
        ran = interlock("check", "--base", "main", *arguments, folder=git.root / folder)
        found = places(ran)
        assert ran.code == (1 if found else 0), ran.err
        return found

    def test_what_was_there_before_is_not_told(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"old.py": BAD, "shop.py": BAD})
        git.write({"shop.py": BAD + "\n\n" + BAD.replace("new_order", "other_order"), "fresh.py": BAD})
        assert self.since(interlock_in, git) == [f"fresh.py:4: {HAZARD}", f"shop.py:11: {HAZARD}"]

    def test_lines_that_moved_are_no_news(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"shop.py": BAD})
        git.write({"shop.py": "# A long story.\n" * 20 + BAD})
        assert self.since(interlock_in, git) == []

    def test_the_same_line_once_more_is(self, interlock_in: Interlock, git: Git) -> None:
        line = "    order_id = f'{user.id}-{int(time.time())}'\n"
        git.commit({"shop.py": BAD})
        git.write({"shop.py": BAD.replace(line, line * 2)})
        assert self.since(interlock_in, git) == [f"shop.py:5: {HAZARD}"]

    def test_a_helper_s_change_that_makes_another_line_bad_is_news(self, interlock_in: Interlock, git: Git) -> None:
        helper = "import time\n\ndef stamp():\n    return time.time_ns()\n"
        shop = f"{helper}\ndef new_order():\n    order_id = f'{{stamp()}}'\n    return order_id\n"
        git.commit({"shop.py": shop})
        git.write({"shop.py": shop.replace("time_ns()", "time() // 1")})
        assert self.since(interlock_in, git)

    def test_a_renamed_file_is_no_news_but_what_was_added_to_it_is(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"old.py": BAD})
        git("mv", "old.py", "new.py")
        assert self.since(interlock_in, git) == []
        git.write({"new.py": BAD + BAD.replace("new_order", "other_order")})
        assert self.since(interlock_in, git) == [f"new.py:9: {HAZARD}"]

    def test_a_copy_is_news(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"old.py": BAD})
        git.write({"copy.py": BAD})
        assert self.since(interlock_in, git) == [f"copy.py:4: {HAZARD}"]

    def test_what_comes_out_of_an_excluded_folder_is_news(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"interlock.toml": '[check]\nexclude = [{ path = "vendor/*", reason = "not ours" }]\n', "vendor/a.py": BAD})
        git("mv", "vendor/a.py", "a.py")
        assert self.since(interlock_in, git) == [f"a.py:4: {HAZARD}"]

    def test_what_others_merged_meanwhile_is_not_ours(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"shop.py": CLEAN, "theirs.py": BAD})
        git.branch("change")
        git.commit({"mine.py": BAD})
        git("checkout", "--quiet", "main")
        git.commit({"theirs.py": CLEAN})
        git("checkout", "--quiet", "change")
        assert self.since(interlock_in, git) == [f"mine.py:4: {HAZARD}"]

    def test_an_untracked_file_is_new_unless_it_is_ignored(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({".gitignore": "scratch.py\n"})
        git.write({"new file.py": BAD, "scratch.py": BAD})
        assert self.since(interlock_in, git) == [f"new file.py:4: {HAZARD}"]

    def test_a_file_that_got_worse_to_unreadable_is_unknown(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"shop.py": CLEAN})
        git.write({"shop.py": "def f(:\n"})
        ran = interlock_in("check", "--base", "main", folder=git.root)
        assert ran.code == 3
        assert any(line.startswith("shop.py:1: cannot be parsed") for line in ran.complaints)

    def test_a_deleted_file_is_no_news_and_one_that_became_a_link_is_unknown(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"gone.py": BAD, "link.py": BAD, "there.py": BAD})
        git.write({"gone.py": None, "link.py": None})
        (git.root / "link.py").symlink_to("there.py")
        ran = interlock_in("check", "--base", "main", folder=git.root)
        assert (ran.code, places(ran)) == (3, [])
        assert "link.py: is a symbolic link" in ran.err

    def test_only_the_paths_that_are_named(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"a/x.py": CLEAN, "b/x.py": CLEAN})
        git.write({"a/x.py": BAD, "b/x.py": BAD})
        assert self.since(interlock_in, git, "a") == [f"a/x.py:4: {HAZARD}"]
        assert self.since(interlock_in, git, "b/x.py") == [f"b/x.py:4: {HAZARD}"]
        assert self.since(interlock_in, git, str(git.root / "b")) == [f"b/x.py:4: {HAZARD}"]

    def test_from_a_folder_below_the_top_paths_are_those_seen_from_there(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"a/x.py": CLEAN, "b/x.py": CLEAN})
        git.write({"a/x.py": BAD, "b/x.py": BAD})
        assert self.since(interlock_in, git, folder="a") == [f"x.py:4: {HAZARD}"]
        assert self.since(interlock_in, git, "../b", folder="a") == [f"{git.root}/b/x.py:4: {HAZARD}"]
        assert len(self.since(interlock_in, git, "..", folder="a")) == 2

    def test_exclusions_are_relative_to_the_settings_wherever_they_are(self, interlock_in: Interlock, git: Git) -> None:
        settings = '[check]\nexclude = [{ path = "vendor/*", reason = "not ours" }]\n'
        git.commit({"service/interlock.toml": settings, "service/vendor/x.py": CLEAN})
        git.write({"service/vendor/x.py": BAD})
        assert self.since(interlock_in, git, folder="service") == []

    def test_a_path_that_is_not_there_is_a_mistake_and_no_pass(self, interlock_in: Interlock, git: Git, tmp_path: Path) -> None:
        git.commit({"shop.py": CLEAN})
        write(tmp_path, {"elsewhere.py": BAD})
        for path in ("no-such-file.py", "../elsewhere.py"):
            ran = interlock_in("check", "--base", "main", path, folder=git.root)
            assert ran.code == 2
            assert path in ran.err

    def test_a_base_that_is_not_there_is_a_mistake(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"shop.py": CLEAN})
        ran = interlock_in("check", "--base", "no-such-branch", folder=git.root)
        assert ran.code == 2
        assert "'no-such-branch' names no commit" in ran.err


def on_a_terminal(interlock: Interlock, *arguments: str, **environment: str) -> str:
    """What a user sees: stdout is a terminal."""
    ours, theirs = pty.openpty()
    try:
        command = [*interlock.command, *arguments]
        program = subprocess.Popen(
            command, cwd=interlock.folder, stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
        )
        os.close(theirs)
        seen = b""
        while chunk := _chunk(ours):
            seen += chunk
        program.wait(timeout=60)
    finally:
        os.close(ours)
    return seen.decode()


def _chunk(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the last writer has gone.
        return b""


class TestTheTerminal:
    def test_colour_is_for_terminals(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"bad.py": BAD})
        assert ESCAPE in on_a_terminal(interlock_in, "check", TERM="xterm-256color")
        ran = interlock_in.under(TERM="xterm-256color")("check")
        assert ESCAPE not in ran.out + ran.err

    @pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_who_wants_no_colour_gets_none(self, interlock_in: Interlock, tmp_path: Path, variable: dict[str, str]) -> None:
        write(tmp_path, {"bad.py": BAD})
        seen = on_a_terminal(interlock_in, "check", **{"TERM": "xterm-256color", **variable})
        assert HAZARD in seen
        assert ESCAPE not in seen

    def test_json_on_a_terminal_is_json(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"bad.py": BAD})
        document: Any = json.loads(on_a_terminal(interlock_in, "check", "--format", "json", TERM="xterm-256color"))
        assert document["version"] == 1


class TestStreamsThatGoAway:
    def ended(self, interlock: Interlock, *arguments: str, out: int) -> tuple[int, str]:
        """The exit code and what was complained of, with this for stdout."""
        done = subprocess.run(
            [*interlock.command, *arguments],
            cwd=interlock.folder,
            stdout=out,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
        return done.returncode, done.stderr

    @pytest.mark.parametrize(
        "arguments", [["check", "-q"], ["check", "-q", "--format", "json"], ["explain"], ["--help"], ["check", "--help"]]
    )
    def test_a_reader_that_went_away_ends_it_quietly(
        self, interlock_in: Interlock, tmp_path: Path, arguments: list[str]
    ) -> None:
        """As `interlock check | head -1` does."""
        write(tmp_path, {"bad.py": BAD})
        reads, writes = os.pipe()
        os.close(reads)
        try:
            assert self.ended(interlock_in, *arguments, out=writes) == (141, "")
        finally:
            os.close(writes)

    def test_a_reader_of_both_streams_that_went_away_is_no_verdict(self, interlock_in: Interlock, tmp_path: Path) -> None:
        """As `interlock check 2>&1 | head -1` does. Exit code 1 would say that a hazard was found."""
        write(tmp_path, {"nul.py": b"\0"})
        reads, writes = os.pipe()
        os.close(reads)
        try:
            for arguments in (["check"], ["check", "no-such-file.py"]):
                done = subprocess.run(
                    [*interlock_in.command, *arguments], cwd=tmp_path, stdout=writes, stderr=writes, check=False
                )
                assert done.returncode == 141
        finally:
            os.close(writes)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
    def test_a_result_that_cannot_be_written_is_unknown(self, interlock_in: Interlock, tmp_path: Path) -> None:
        write(tmp_path, {"bad.py": BAD})
        with Path("/dev/full").open("wb") as full:
            code, err = self.ended(interlock_in, "check", "--format", "json", out=full.fileno())
        assert code == 3
        assert err == "interlock: unknown: the result cannot be written: No space left on device\n"

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
    def test_a_stream_that_was_closed_before_changes_no_verdict(self, tmp_path: Path, closed: str) -> None:
        write(tmp_path, {"bad.py": BAD})
        command = f'"{sys.executable}" -m interlock check {closed}'
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr


def test_the_map_of_the_command_line_names_every_verb(interlock_in: Interlock) -> None:
    ran = interlock_in("--help")
    assert all(re.search(rf"^    {verb} ", ran.out, re.MULTILINE) for verb in ("check", "explain", "gate"))


def test_the_version_is_the_package_s(interlock_in: Interlock) -> None:
    from interlock import __version__  # noqa: PLC0415 - of this test alone.

    assert interlock_in("--version").out == f"interlock {__version__}\n"
