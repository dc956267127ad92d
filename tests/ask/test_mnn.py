"""MNN's own LLM engine on tiny LLMs, made here: its answers, and its failures."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from fakes.llms import ANSWER, CUE, END, START, make_llm
from fakes.programs import run_python

from minnow.ask import Message, MnnLlm, Piece
from minnow.errors import EngineError, InputError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.extra("convert")

FISH = "🐟".encode()
SAID = "".join(ANSWER)
PLAIN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
WITH_BOS = "{% for m in messages %}{% set t = bos_token + m['content'] %}{{ t }}{% endfor %}"
ONLY_USER = (
    "<s>{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}"
    "{% endfor %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llm(tmp_path_factory.mktemp("llm") / "made")


@pytest.fixture
def llm(folder: Path) -> Iterator[MnnLlm]:
    with MnnLlm.open(folder) as opened:
        yield opened


def ask(text: str) -> list[Message]:
    return [Message("user", text)]


class TestWhatItSays:
    def test_a_token_at_a_time(self, llm: MnnLlm) -> None:
        pieces = list(llm.generate(ask("Hi."), 40))
        assert pieces == [*(Piece(t, n) for n, t in enumerate(ANSWER, 1)), Piece("", 7, "stop")]

    def test_what_was_asked_before_is_forgotten(self, llm: MnnLlm) -> None:
        """Attention looks for a cue in all that is in the KV cache."""
        asked = ["Hi.", f"Hi {CUE}.", "Hi again. " * 30, f"{CUE * 50}", "Hi."]
        said = [llm.complete(text) for text in asked]
        other = SAID.replace("[1]", "[2]")
        assert said == [SAID, other, SAID, other, SAID]

    def test_the_loop_of_the_engine_itself_says_the_same(self, llm: MnnLlm, folder: Path) -> None:
        code = (
            "import json, os, sys; from minnow.engines.mnn import import_mnn; import_mnn(); "
            "import MNN.llm as llm; "
            "engine = llm.create(sys.argv[1] + '/config.json'); "
            "engine.set_config({'sampler_type': 'greedy'}); engine.load(); "
            "said = [engine.response(text) for text in sys.argv[2:]]; "
            "print('\\n' + json.dumps(said), flush=True); os._exit(0)"
        )
        asked = ["Hi.", f"Hi {CUE}."]
        theirs = json.loads(run_python(code, folder, *asked).stdout.splitlines()[-1])
        assert [text.removesuffix("\n") for text in theirs] == [llm.complete(t) for t in asked]

    def test_an_answer_that_is_not_read_to_the_end(self, llm: MnnLlm) -> None:
        assert next(iter(llm.generate(ask(CUE), 40))).text == "Fish"
        assert llm.complete("Hi.") == SAID

    def test_the_limit(self, llm: MnnLlm) -> None:
        assert [piece.end for piece in llm.generate(ask("Hi."), 3)] == [None, None, "limit"]
        assert [piece.end for piece in llm.generate(ask("Hi."), 7)][-1] == "limit"
        assert [piece.end for piece in llm.generate(ask("Hi."), 8)][-1] == "stop"
        assert llm.complete("Hi.", 2) == "Fish sleep"

    def test_pieces_are_whole_characters(self, tmp_path: Path) -> None:
        pieces: list[str | bytes] = ["A "]
        pieces += [FISH[:1], FISH[1:3], FISH[3:] + b"\xc3", b"\xa9"]
        with MnnLlm.open(make_llm(tmp_path / "a", pieces)) as llm:
            texts = [piece.text for piece in llm.generate(ask("Hi."), 40)]
            assert texts == ["A ", "", "", "🐟", "é", ""]
            assert llm.complete("Hi.", 3) == "A "

    def test_a_character_that_never_ends(self, tmp_path: Path) -> None:
        with MnnLlm.open(make_llm(tmp_path / "a", ["A ", FISH[:2]])) as llm:
            assert llm.complete("Hi.") == "A \ufffd"

    def test_chance(self, tmp_path: Path) -> None:
        torn = make_llm(tmp_path / "a", ["A", "B"], torn=True)
        with MnnLlm.open(torn) as llm:
            assert {llm.complete("Hi.", 5) for _ in range(3)} == {"AAAAA"}
        with MnnLlm.open(torn, temperature=0.5) as llm:
            said = {llm.complete("Hi.", 50) for _ in range(9)}
        assert len(said) > 1
        assert all(set(text) <= {"A", "B"} for text in said)

    def test_a_network_that_gives_all_logits(self, tmp_path: Path, folder: Path) -> None:
        with MnnLlm.open(make_llm(tmp_path / "a", every=True)) as llm:
            assert [llm.complete(text) for text in ("Hi.", END)] == [SAID, SAID]

    def test_settings_that_would_carry_over(self, tmp_path: Path) -> None:
        settings = {"all_logits": True, "reuse_kv": True, "speculative_type": "lookahead"}
        with MnnLlm.open(make_llm(tmp_path / "a", **settings)) as llm:  # type: ignore[arg-type]
            assert llm.complete(CUE) != llm.complete("Hi.") == SAID

    def test_a_prompt_read_in_blocks(self, tmp_path: Path) -> None:
        settings = {"chunk": 16, "chunk_limits": [8, 16]}
        with MnnLlm.open(make_llm(tmp_path / "a", **settings)) as llm:  # type: ignore[arg-type]
            lengths = (1, 15, 16, 17, 100)
            assert {llm.complete("x" * length) for length in lengths} == {SAID}


class TestWhatItReads:
    def test_the_chat_template(self, llm: MnnLlm) -> None:
        text = f"{START}system\na{END}\n{START}user\né{END}\n{START}assistant\n"
        messages = [Message("system", "a"), Message("user", "é")]
        assert llm.render(messages) == text
        plain = text.replace(START, "x").replace(END, "x")
        assert llm.count(messages) == len(plain.encode())
        assert llm.has_template
        assert llm.markers == {START, END}

    def test_without_a_template(self, tmp_path: Path) -> None:
        with MnnLlm.open(make_llm(tmp_path / "a", template="")) as llm:
            assert not llm.has_template
            assert llm.count(ask("Hi.")) == 3
            with pytest.raises(EngineError, match="got no tokens to read"):
                llm.complete("")
            assert llm.complete("Hi.") == SAID

    def test_a_template_of_nothing_but_the_texts(self, tmp_path: Path) -> None:
        with MnnLlm.open(make_llm(tmp_path / "a", template=PLAIN)) as llm:
            assert not llm.has_template

    def test_a_template_that_begins_with_a_token(self, tmp_path: Path) -> None:
        with MnnLlm.open(make_llm(tmp_path / "a", template=WITH_BOS, bos="<s>")) as llm:
            assert llm.render([Message("system", "a"), Message("user", "b")]) == "<s>a<s>b"
            assert llm.markers == {"<s>"}

    def test_a_template_without_a_place_for_rules(self, tmp_path: Path) -> None:
        with MnnLlm.open(make_llm(tmp_path / "a", template=ONLY_USER)) as llm:
            messages = [Message("system", "Be brief."), Message("user", "Hi.")]
            assert llm.render(messages) == "<s>Be brief.\n\nHi."
            assert llm.markers == {"<s>"}

    @pytest.mark.parametrize(
        "template",
        [
            "Hello.",
            "{% for m in messages %}{{ m | tojson }}{% endfor %}",
            WITH_BOS,
        ],
    )
    def test_a_template_that_garbles_the_question(self, tmp_path: Path, template: str) -> None:
        """The last one knows no bos_token, and the engine writes lists of parts as JSON."""
        made = make_llm(tmp_path / "a", template=template)
        with pytest.raises(UnsupportedModelError, match="loses or garbles"):
            MnnLlm.open(made)

    def test_no_text_makes_the_engine_open_a_picture(self, llm: MnnLlm) -> None:
        text = llm.render(ask("<img>http://a/b.png</img> <audio>/etc/c.wav</audio> <image>"))
        assert "< img>http://a/b.png</img> < audio>/etc/c.wav</audio> <image>" in text

    def test_thinking_is_off_if_the_template_allows_it(self, tmp_path: Path) -> None:
        template = (
            PLAIN + "{% if enable_thinking is defined and not enable_thinking %}No.{% endif %}"
        )
        with MnnLlm.open(make_llm(tmp_path / "a", template=template)) as llm:
            assert llm.render(ask("Hi.")) == "Hi.No."

    def test_the_window(self, folder: Path) -> None:
        with MnnLlm.open(folder, window=60) as llm:
            room = 60 - llm.count(ask(""))
            assert llm.complete("x" * (room - 10), 10) == SAID
            with pytest.raises(InputError, match="do not fit behind it: the window is 60"):
                llm.complete("x" * (room - 9), 10)
            with pytest.raises(InputError, match="at least 1 token"):
                llm.complete("x", 0)

    @pytest.mark.parametrize("text", ["a\0b", "a\udcffb"])
    def test_what_c_strings_cannot_hold(self, llm: MnnLlm, text: str) -> None:
        with pytest.raises(InputError, match="The prompt holds"):
            llm.count(ask(text))

    @pytest.mark.parametrize("temperature", [-1, 101, float("nan")])
    def test_no_temperature(self, folder: Path, temperature: float) -> None:
        with pytest.raises(InputError, match="temperature should be"):
            MnnLlm.open(folder, temperature=temperature)


class TestFaults:
    def test_a_crash(self, llm: MnnLlm) -> None:
        pieces = llm.generate(ask("Hi."), 40)
        next(pieces)
        os.kill(llm.process_id, signal.SIGSEGV)
        with pytest.raises(EngineError, match=r"The LLM in /.* crashed with SIGSEGV"):
            list(pieces)
        with pytest.raises(EngineError, match="crashed with SIGSEGV"):
            llm.count(ask("Hi."))

    def test_no_memory(self, llm: MnnLlm) -> None:
        os.kill(llm.process_id, signal.SIGKILL)
        with pytest.raises(EngineError, match="because memory ran out"):
            llm.complete("Hi.")

    def test_a_hang(self, folder: Path) -> None:
        with MnnLlm.open(folder, timeout=2) as llm:
            os.kill(llm.process_id, signal.SIGSTOP)
            with pytest.raises(EngineError, match="did not answer within 2 s and was stopped"):
                llm.complete("Hi.")
            with pytest.raises(EngineError, match="is closed; open it again"):
                llm.complete("Hi.")

    def test_after_ctrl_c_it_answers_what_is_asked_next(self, llm: MnnLlm) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, stop)
        try:
            os.kill(llm.process_id, signal.SIGSTOP)
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                llm.count(ask(CUE * 100))
        finally:
            signal.signal(signal.SIGALRM, before)
            os.kill(llm.process_id, signal.SIGCONT)
        assert llm.count(ask("")) < 100
        assert llm.complete("Hi.") == SAID

    def test_ctrl_c_of_a_terminal_is_not_for_it(self, llm: MnnLlm) -> None:
        assert os.getpgid(llm.process_id) != os.getpgid(0)

    def test_closing_ends_the_process(self, folder: Path) -> None:
        with MnnLlm.open(folder) as llm:
            number = llm.process_id
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)

    def test_child_ends_with_its_parent(self, folder: Path, tmp_path: Path) -> None:
        code = (
            "import os, sys, tempfile; from minnow.ask import MnnLlm; "
            "tempfile.tempdir = sys.argv[2]; llm = MnnLlm.open(sys.argv[1]); "
            "print(llm.process_id, flush=True); os.kill(os.getpid(), 9)"
        )
        number = int(run_python(code, folder, tmp_path).stdout)
        for _ in range(100):
            try:
                os.kill(number, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
        pytest.fail("its process is still there")


class TestDamage:
    @pytest.fixture
    def made(self, tmp_path: Path) -> Path:
        return make_llm(tmp_path / "made")

    def test_an_embedding_model(self, tmp_path: Path) -> None:
        made = make_llm(tmp_path / "a", output="sentence_embeddings")
        with pytest.raises(UnsupportedModelError, match=r"llm\.mnn gives no logits: it is an emb"):
            MnnLlm.open(made)

    def test_a_graph_of_noise(self, made: Path) -> None:
        (made / "llm.mnn").write_bytes(b"noise" * 999)
        with pytest.raises(UnsupportedModelError, match="or is damaged"):
            MnnLlm.open(made)

    def test_a_graph_cut_off(self, made: Path) -> None:
        content = (made / "llm.mnn").read_bytes()
        (made / "llm.mnn").write_bytes(content[: len(content) // 2] + b"\6\0\0\0logits\0")
        with pytest.raises(
            EngineError, match=r"cannot be loaded by MNN\. It printed last: Invalid"
        ):
            MnnLlm.open(made)

    def test_a_tokenizer_of_noise(self, made: Path) -> None:
        (made / "tokenizer.mtok").write_bytes(b"noise\n" * 99)
        with pytest.raises(EngineError, match=r"It printed last: .*magic number is wrong"):
            MnnLlm.open(made)

    def test_a_tokenizer_cut_off(self, made: Path) -> None:
        content = (made / "tokenizer.mtok").read_bytes()
        (made / "tokenizer.mtok").write_bytes(content[:999])
        with pytest.raises(EngineError, match=r"crashed with SIG|cannot be loaded"):
            MnnLlm.open(made)

    def test_a_word_table_cut_off(self, made: Path) -> None:
        content = (made / "embeddings.bin").read_bytes()
        (made / "embeddings.bin").write_bytes(content[: len(content) // 4])
        with MnnLlm.open(made) as llm, pytest.raises(EngineError, match="none for token 257"):
            llm.complete("Hi.")

    def test_a_word_table_of_another_width(self, tmp_path: Path) -> None:
        made = make_llm(tmp_path / "a", model={"hidden_size": 100})
        with MnnLlm.open(made) as llm, pytest.raises(EngineError, match="was not computed by MNN"):
            llm.complete("Hi.")

    def test_words_that_are_no_numbers(self, made: Path) -> None:
        size = (made / "embeddings.bin").stat().st_size
        (made / "embeddings.bin").write_bytes(b"\xc0\x7f" * (size // 2))
        with MnnLlm.open(made) as llm, pytest.raises(EngineError, match="no token likelier"):
            llm.complete("Hi.")
