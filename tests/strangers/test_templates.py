"""Chat templates from strangers: they write what transformers writes, or come to an end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import SecurityError
from mutations import CORPUS, changed_bytes, fuzzed, within

from corll.errors import InputError
from corll.model import bounded_templates
from corll.model.bounded_templates import render
from corll.model.chat import ChatTemplate
from tiny_models import CHAT_TEMPLATE, build_tokenizer
from tiny_tokenizers import TURN_TEMPLATE

MESSAGES = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Is it <b>late</b>?\nPlease {{ say }}."},
    {"role": "assistant", "content": "<think>Hm.</think>\nIt is."},
    {"role": "user", "content": "Why?", "name": "eve"},
]
FEATURES = """
{%- set ns = namespace(found=false, last=messages|length - 1) -%}
{%- macro shown(text, mark='"') -%}{{ mark ~ text ~ mark }}{%- endmacro -%}
{%- for m in messages if m.role != 'tool' -%}
{%- set content = m.content.split('</think>')[-1].lstrip('\\n') if m.content is string else '' -%}
{%- if loop.first and m['role'] == 'system' %}{% set ns.found = true %}{% continue %}{% endif -%}
{{ '<' + m.role + '>' ~ shown(content|trim) }}{{ m.name|default('nobody') }}
{%- if loop.index0 % 2 == 0 %} {{ loop.index0 * 2 + 1 }}{% endif %}
{% endfor -%}
{{ messages[1:]|map(attribute='role')|join(', ') }}{{ messages[::-1][0].role }}
{{ messages|tojson }}{{ messages|selectattr('role', 'equalto', 'user')|list|length }}
{{ {'a': [1, 2.5, none, true]}|tojson(indent=2) }}{{ {'x': 1}.items()|list }}
{% generation %}{{ '%s, %d'|format('one', 2) }}{{ '{} {:>5}'.format('a', 'b') }}{% endgeneration %}
{% filter upper %}loud{% endfilter %}{% set block %}kept {{ ns.found }}{% endset %}{{ block }}
{% if add_generation_prompt %}{{ bos_token }}{{ tools is none }}{{ 7 // 2 }}{{ 2 ** 3 }}{% endif %}
{{ ('-' * 3).replace('-', '+-') }}{{ [1] + [2, 3] }}{{ range(3)|list }}{{ 'b' in 'abc' }}
{{ dict(a=1) }}
{{ undefined_name }}{{ messages[0].content|indent(2) }}{{ enable_thinking }}
"""
BOMBS = [
    "{{ 'a' * 10000000000 }}",
    "{% set x = ['a' * 1000000] * 1000 %}{{ x|join|length }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) if range(99999)|sum > 0 %}{% endfor %}",
    "{% for i in range(99999) %}{{ dict.fromkeys(range(99999))|length }}{% endfor %}",
    "{% for i in range(99999) %}{{ 'x' in messages[1].content * 20000 }}{% endfor %}",
    "{{ 'a'.center(10000000000) }}{{ 'a'|center(10000000000) }}",
    "{{ '%10000000000s' % 'a' }}",
    "{{ '%10000000000s'|format('a') }}",
    "{{ '%*s'|format(10000000000, 'a') }}",
    "{{ '{:>10000000000}'.format('a') }}",
    "{{ '{:{}}'.format('a', 10000000000) }}",
    "{% set n = namespace(s='abc') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "{% set n = namespace(s='abc') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "{% set n = namespace(s='abc') %}{% for i in range(60) %}{% set x %}{{ n.s }}{{ n.s }}"
    "{% endset %}{% set n.s = x %}{% endfor %}",
    "{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}"
    "{{ n.s }}",
    "{% set n = namespace(n=9) %}{% for i in range(60) %}{% set n.n = n.n * n.n %}{% endfor %}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ strftime_now('%1000000000Y') }}",
    "{{ messages|tojson(indent=1000000000) }}",
    "{{ 'a'|indent(1000000000) }}",
    "{% filter center(1000000000) %}a{% endfilter %}",
    "{{ [1]|batch(100000000, 'a')|list }}",
    "{% for i in range(99999) %}" + "a" * 999 + "{% endfor %}",
    "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "{{ lipsum(n=100000) }}",
    "{{ ('a' * 1000000)|wordwrap(1) }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "a" * (2**19 + 1),
    "{% include '/etc/passwd' %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.append(1) }}",
]


def with_template(template: str) -> Any:
    tokenizer = build_tokenizer(chat=True)
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("ask", [True, False])
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, TURN_TEMPLATE, FEATURES])
def test_what_transformers_writes_is_written(template: str, ask: bool) -> None:
    tokenizer = with_template(template)
    written = ChatTemplate(tokenizer).render(MESSAGES, {"x": 1}, add_generation_prompt=ask)
    assert written == tokenizer.apply_chat_template(
        [dict(m) for m in MESSAGES], add_generation_prompt=ask, tokenize=False, x=1
    )


@pytest.mark.parametrize("number", range(len(BOMBS)), ids=[bomb[:40] for bomb in BOMBS])
def test_a_bomb_is_an_error_of_ours(number: int) -> None:
    with pytest.raises(InputError, match="chat template refuses this conversation: "):
        ChatTemplate(with_template(BOMBS[number])).render(MESSAGES)


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bombs.json"
    path.write_text(json.dumps(BOMBS))
    code = """
import json
from corll.model.bounded_templates import render
for bomb in json.load(open(sys.argv[1])):
    try:
        render(bomb, {"messages": [{"role": "user", "content": "a"}] * 2})
    except MemoryError:
        raise
    except Exception:
        print("ended")
"""
    assert within(6000, code, path).count("ended") == len(BOMBS)


@fuzzed
@given(st.sampled_from([CHAT_TEMPLATE, TURN_TEMPLATE, FEATURES]), st.data())
def test_changed_templates_write_or_are_refused(template: str, data: st.DataObject) -> None:
    changed = data.draw(changed_bytes(template.encode())).decode("utf-8", errors="replace")
    try:
        written = ChatTemplate(with_template(changed)).render(MESSAGES)
    except InputError:
        return
    assert len(written) <= bounded_templates.MOST_CHARACTERS


@pytest.mark.parametrize("path", sorted(CORPUS.glob("template/*")), ids=lambda path: path.name)
def test_what_was_once_found_ends(path: Path) -> None:
    with pytest.raises(InputError):
        ChatTemplate(with_template(path.read_text())).render(MESSAGES)


class TestBounds:
    def test_as_many_turns_as_there_are_steps_and_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bounded_templates, "MOST_STEPS", 100)
        turns = "{% for i in n %}{% endfor %}"
        assert render(turns, {"n": [0] * 100}) == ""
        with pytest.raises(SecurityError, match="more than 100 steps"):
            render(turns, {"n": [0] * 101})

    def test_as_many_characters_as_are_written_and_one_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bounded_templates, "MOST_CHARACTERS", 10)
        assert render("{{ a }}{{ a }}", {"a": "x" * 5}) == "x" * 10
        with pytest.raises(SecurityError, match="more than 10 characters"):
            render("{{ a }}{{ a }}!{{ b }}", {"a": "x" * 5, "b": "y"})

    def test_one_rendering_takes_nothing_from_the_next(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bounded_templates, "MOST_STEPS", 100)
        for _ in range(3):
            assert render("{% for i in n %}{% endfor %}", {"n": [0] * 100}) == ""

    def test_a_conversation_of_many_long_messages_is_rendered(self) -> None:
        messages = [{"role": "user", "content": "word " * 400}] * 1000
        written = render(FEATURES, {"messages": messages, "bos_token": "<s>"})
        assert len(written) > 4_000_000
