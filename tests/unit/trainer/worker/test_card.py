"""What a model card says of names that others chose, and of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from recommender.config.schema import Data, FinetuneConfig, Quantization
from recommender.stages.sft import SFT
from trainer.run.folder import RunFolder
from trainer.worker.loop.best import Kept
from trainer.worker.output.card import model_card, plain

HOSTILE = "evil\x1b[2J`<script>`|\n---\nlicense: mine\u202e"


@pytest.fixture
def job(tmp_path: Path) -> Any:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    config = FinetuneConfig(
        model="m", method="lora", quantization=Quantization(bits=None), data=Data(train=[str(rows)])
    )
    return SimpleNamespace(
        config=config,
        folder=RunFolder(tmp_path / "20261121-0312-m"),
        spec=SimpleNamespace(hub_id="org/m", name="m"),
        trainer=SimpleNamespace(
            state=SimpleNamespace(global_step=7),
            config=config,
            first_eval=2.0,
            last_eval=1.25,
            best=(1.2, 5),
            stopped_early=False,
        ),
        stage=SimpleNamespace(facts=SFT),
        steps=SimpleNamespace(total=9),
        recorder=SimpleNamespace(tokens=1234),
        rows=SimpleNamespace(train=range(40), held_out=range(8), digest=lambda: "5ea1"),
        own_code=None,
        kept=Kept(7, 1.25),
    )


def test_it_says_what_from_what_how_and_with_which_result(job: Any) -> None:
    card = model_card(job)
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == "org/m"
    assert front["library_name"] == "peft"
    assert "sft" in front["tags"]
    for said in ("7 of 9", "1,234", "2.0000 before, 1.2500", "1.2000 at step 5", "| seed | 42 |", "torch", "r 16"):
        assert said in card
    # SHA-256 of "{}\n", as sha256sum gives it.
    assert "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356" in card
    configured = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    assert configured["lora"]["r"] == 16


def test_code_that_came_with_the_model_is_said(job: Any) -> None:
    assert "trust_remote_code=True" not in model_card(job)
    job.own_code = {"modeling_`x`.py": "ab12"}
    card = model_card(job)
    assert "| `modeling_'x'.py` | SHA-256 `ab12` |" in card
    assert "from_pretrained('org/m', trust_remote_code=True)" in card


def test_hostile_names_stay_words(job: Any) -> None:
    job.spec.hub_id = HOSTILE
    card = model_card(job)
    assert "license" not in yaml.safe_load(card.split("---\n")[1])
    assert "\x1b" not in card
    assert "<script>" not in card


def test_secrets_are_masked(job: Any) -> None:
    job.config = job.config.model_copy(
        update={"run": job.config.run.model_copy(update={"on_end": "curl https://me:pw@example.org"})}
    )
    assert "pw@" not in model_card(job)


def test_plain_keeps_ordinary_text() -> None:
    assert plain("Qwen/Qwen2.5-7B (ä)") == "Qwen/Qwen2.5-7B (ä)"
    assert "\n" not in plain(HOSTILE)


def test_the_persons_own_command_is_no_part_of_it(job: Any) -> None:
    job.config = job.config.model_copy(
        update={"run": job.config.run.model_copy(update={"on_end": "ssh me@home.example stop-pod 123"})}
    )
    card = model_card(job)
    assert "home.example" not in card
    assert yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])["run"]["on_end"] == "****"


def test_data_of_every_kind_is_named(job: Any, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(25):
        (folder / f"{number:02}.jsonl").write_text("{}\n")
    job.config = job.config.model_copy(update={"data": Data(train=[str(folder), "org/hub-set"])})
    card = model_card(job)
    assert "| training rows as the model sees them | SHA-256 `5ea1` |" in card
    assert card.count("ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356") == 20
    assert "`00.jsonl`" in card and "and 6 files more" in card and "not read" not in card
    job.config = job.config.model_copy(update={"data": Data(train=["org/hub-set"])})
    assert "| `org/hub-set` | a data set by its name |" in model_card(job)


def test_it_says_which_state_was_kept(job: Any) -> None:
    assert "what is kept" not in model_card(job)
    job.kept = Kept(5, 1.2)
    assert "| what is kept | the adapter of step 5, whose evaluation was the best (1.2000), is kept |" in model_card(
        job
    )
    job.kept, job.trainer.best = Kept(0, 1.2), (1.2, 0)
    card = model_card(job)
    assert "| best evaluation loss | 1.2000 before training |" in card
    assert "as it was before training (1.2000): the base is as good" in card
