"""The built-in prompts are complete, distinct, and come with the package."""

import json
import re
from collections import Counter
from importlib.resources import files

import pytest

from smart_speed.errors import ConfigError
from smart_speed.workloads.builtin import BUILTIN_TASKS, builtin_prompts


def test_every_task_has_at_least_ten_prompts() -> None:
    counts = Counter(prompt.task for prompt in builtin_prompts())
    assert set(counts) == set(BUILTIN_TASKS)
    assert min(counts.values()) >= 10


def test_package_data_holds_these_prompts_and_no_others() -> None:
    data = files("smart_speed.workloads").joinpath("prompts.jsonl").read_text("utf-8")
    stored = {row["prompt_id"]: row for row in map(json.loads, data.splitlines())}
    returned = {prompt.prompt_id: prompt for prompt in builtin_prompts()}
    assert len(stored) == len(data.splitlines())
    assert stored.keys() == returned.keys()
    for prompt_id, prompt in returned.items():
        assert stored[prompt_id] == {
            "prompt_id": prompt_id,
            "task": prompt.task,
            "prompt": prompt.text,
        }


def test_ids_and_texts_are_unique() -> None:
    prompts = builtin_prompts()
    assert len({prompt.prompt_id for prompt in prompts}) == len(prompts)
    assert len({" ".join(prompt.text.lower().split()) for prompt in prompts}) == len(prompts)


def test_ids_name_the_task() -> None:
    for prompt in builtin_prompts():
        assert re.fullmatch(rf"{prompt.task}/\d\d", prompt.prompt_id)


def test_texts_are_trimmed_and_at_most_300_words() -> None:
    for prompt in builtin_prompts():
        assert prompt.text == prompt.text.strip()
        assert 5 <= len(prompt.text.split()) <= 300, prompt.prompt_id


def test_tasks_take_turns() -> None:
    prompts = builtin_prompts()
    expected = [f"{task}/{number:02}" for number in range(1, 13) for task in BUILTIN_TASKS]
    assert [prompt.prompt_id for prompt in prompts] == expected


def test_tasks_take_turns_in_the_order_asked_for() -> None:
    prompts = builtin_prompts(["writing", "math"], per_task=2)
    ids = [prompt.prompt_id for prompt in prompts]
    assert ids == ["writing/01", "math/01", "writing/02", "math/02"]


def test_fewer_per_task_is_a_prefix() -> None:
    assert builtin_prompts(per_task=3) == builtin_prompts()[: 3 * len(BUILTIN_TASKS)]


def test_no_tasks_give_no_prompts() -> None:
    assert builtin_prompts([]) == ()


def test_unknown_task_names_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError) as caught:
        builtin_prompts(["math", "summarization"])
    assert str(caught.value) == (
        "Unknown task 'summarization'. Did you mean 'summarisation'? "
        "Known: code, math, qa, summarisation, translation, writing."
    )


@pytest.mark.parametrize("per_task", [-1, 0, 13])
def test_per_task_out_of_range_is_refused(per_task: int) -> None:
    with pytest.raises(ConfigError, match=rf"^per_task must be from 1 to 12, got {per_task}\.$"):
        builtin_prompts(per_task=per_task)


def test_a_task_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^tasks must be named once each, got \('qa', 'qa'\)\.$"):
        builtin_prompts(["qa", "qa"])
