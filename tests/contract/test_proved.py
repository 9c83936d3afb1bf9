"""A proof as evidence: signed where it was made, and asked for by the gate as long as it is about the code that is to ship."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gate import answer_to
from tests.machine import needed

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock

QUEUES = (Path(__file__).parent / "prove_subjects" / "queues.py").read_text()
CONTRACTS = """
from interlock.prove.contract import contract
from shop.queues import PROVIDER, SUBJECT


@contract(workers=2, faults=0)
def each_payment_is_charged_once(world):
    bank = world.provider(PROVIDER)
    queue = world.subject(SUBJECT, world.redis_url)
    world.given(lambda: queue().enqueue("p1"))
    world.run(lambda: queue().process())
    world.check(bank.charged_once("p1"))
"""


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("ssh-keygen", "redis-server")
    path = tmp_path_factory.mktemp("key") / "ci"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def queues(subject: str) -> str:
    return f"{QUEUES}\n\nSUBJECT = {subject}\n"


def begun(git: Git, key: Path, subject: str = "Right") -> None:
    """A project with a contract for its payments, and a change to them."""
    settings = f"""
[[signer]]
name = "ci@shop.example"
trust = "ci"
key = "{key.with_suffix(".pub").read_text().strip()}"

[[feature]]
name = "payments"
tier = 1
paths = ["shop/**"]
contracts = ["contracts.py"]
"""
    git.write({"interlock.toml": settings, "contracts.py": CONTRACTS, ".gitignore": ".interlock/\n__pycache__/\n"})
    git.write({"shop/__init__.py": "", "shop/queues.py": queues("LooksThenTakes")})
    git.commit()
    git("checkout", "--quiet", "-b", "change")
    git.write({"shop/queues.py": queues(subject)})
    git.commit()


asked = partial(answer_to, "proved")


def proved(interlock_in: Interlock, git: Git, *words: str) -> int:
    return interlock_in("prove", "contracts.py", "--budget", "60s", *words, folder=git.root).code


def test_a_signed_proof_of_this_very_code_is_a_pass_until_the_code_or_the_contract_changes(
    interlock_in: Interlock, git: Git, key: Path
) -> None:
    begun(git, key)
    assert asked(interlock_in, git)["answer"] == "contracts.py: no proof that counts is on record"

    assert proved(interlock_in, git) == 0
    assert any("nobody vouches for it; tier 1 needs ci" in line for line in asked(interlock_in, git)["evidence"])

    assert proved(interlock_in, git, "--sign", str(key)) == 0
    found = asked(interlock_in, git)
    assert (found["verdict"], found["answer"]) == ("pass", "contracts.py: pass")
    assert [(ground["trust"], ground["by"]) for ground in found["grounds"]] == [("ci", "ci@shop.example")]

    git.commit({"shop/later.py": "LATER = True\n"})
    found = asked(interlock_in, git)
    assert (found["verdict"], found["evidence"][-1]) == ("pass", "changed, and run by no proof: shop/later.py")

    git.write({"shop/queues.py": queues("Right") + "# more\n"})
    git.commit()
    assert any("it is about other code: shop/queues.py changed" in line for line in asked(interlock_in, git)["evidence"])

    git.write({"shop/queues.py": queues("Right"), "contracts.py": CONTRACTS.replace("workers=2", "workers=1")})
    git.commit()
    assert proved(interlock_in, git, "--sign", str(key)) == 0
    found = asked(interlock_in, git)
    assert (found["verdict"], "the change alters the contract itself" in found["answer"]) == ("unknown", True)


def test_a_helper_of_the_contract_is_a_part_of_it(interlock_in: Interlock, git: Git, key: Path) -> None:
    begun(git, key)
    git("checkout", "--quiet", "main")
    git.commit({"contracts.py": f"{CONTRACTS.replace('workers=2', 'workers=WORKERS')}", "how.py": "WORKERS = 2\n"})
    git.commit({"contracts.py": f"from how import WORKERS\n{(git.root / 'contracts.py').read_text()}"})
    git("checkout", "--quiet", "change")
    git("rebase", "--quiet", "main")
    git.commit({"how.py": "WORKERS = 1\n"})

    assert proved(interlock_in, git, "--sign", str(key)) == 0
    found = asked(interlock_in, git)
    assert (found["verdict"], "the change alters how.py, of which the contract is made" in found["answer"]) == ("unknown", True)


def test_a_broken_contract_closes_the_gate_with_what_broke_it(interlock_in: Interlock, git: Git, key: Path) -> None:
    begun(git, key, "WithoutLease")
    assert proved(interlock_in, git, "--sign", str(key)) == 1
    found = asked(interlock_in, git)

    assert (found["verdict"], found["answer"]) == ("fail", "contracts.py: fail")
    assert "p1 was charged twice" in found["evidence"][0]


def test_one_that_the_change_alters_as_well_stays_broken(interlock_in: Interlock, git: Git, key: Path) -> None:
    """Else a person would be asked to agree to what a proof has shown to be wrong."""
    begun(git, key, "WithoutLease")
    git.commit({"contracts.py": f"{CONTRACTS}\n"})
    assert proved(interlock_in, git) == 1
    assert asked(interlock_in, git)["verdict"] == "fail"


def test_outside_of_a_project_nothing_is_written(interlock_in: Interlock, key: Path, tmp_path: Path) -> None:
    assert key.is_file()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "queues.py").write_text(queues("Right"))
    (tmp_path / "contracts.py").write_text(CONTRACTS)

    assert interlock_in("prove", "contracts.py", "--budget", "60s", folder=tmp_path).code == 0
    assert not (tmp_path / ".interlock").exists()


LOADED = (
    CONTRACTS.replace("faults=0)", "faults=0, load=burst(10))").replace(
        "from shop", "from interlock.prove.load.shapes import burst\nfrom shop"
    )
    + "    world.load(lambda number: queue().enqueue(str(number)))\n"
)


def test_a_load_is_a_proof_of_its_own_and_stands_for_no_other(interlock_in: Interlock, git: Git, key: Path) -> None:
    begun(git, key)
    git("checkout", "--quiet", "main")
    settings = (git.root / "interlock.toml").read_text().replace('["contracts.py"]', '["contracts.py", "contracts.py --load"]')
    git.commit({"contracts.py": LOADED, "interlock.toml": settings})
    git("checkout", "--quiet", "change")
    git("rebase", "--quiet", "main")

    assert proved(interlock_in, git, "--load", "--sign", str(key)) == 0
    none, load = asked(interlock_in, git)["answer"].split("; ")
    assert (none, load) == ("contracts.py: no proof that counts is on record", "contracts.py --load: pass")

    git.commit({"contracts.py": f"{LOADED}\n# altered"})
    assert "contracts.py --load: the change alters the contract itself" in asked(interlock_in, git)["answer"]


def test_what_was_changed_while_it_was_proved_is_evidence_of_nothing(interlock_in: Interlock, git: Git, key: Path) -> None:
    begun(git, key)
    touched = "    __import__('pathlib').Path('shop/queues.py').touch()\n"
    git.write({"contracts.py": CONTRACTS + touched})  # As somebody would who saves it: it is no worker that does it.
    ran = interlock_in("prove", "contracts.py", "--budget", "60s", folder=git.root)

    assert ran.code == 0
    assert "no evidence: shop/queues.py was changed meanwhile" in ran.err
    assert not (git.root / ".interlock" / "evidence").exists()
