"""Chat templates that make one text of a query and a document, and the text around both.

A causal language model that reranks reads a conversation of a query and a document. Its template
is a program in Jinja. minnow runs it while it converts, finds the fixed texts around both, and
keeps those: a bundle has no template, and what opens one needs no Jinja.

An embedding model may make messages of its texts too, of which its template makes the same texts.

Source: `apply_chat_template` of transformers 5.24, and `InputFormatter` of sentence-transformers
6.2 (base/modality.py), which gives each text of a pair a role and makes a prompt the system's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minnow.errors import MissingExtraError, SourceError, UnsupportedModelError
from minnow.files import read_regular
from minnow.model.config import read_object
from minnow.model.layout import CHAT_TEMPLATE, PROCESSOR
from minnow.model.spec import ChatFrame
from minnow.model.tokenizer_files import CONFIG, SPECIAL_KEYS, read_tokenizer_files

if TYPE_CHECKING:
    from minnow.model.source import ModelSource

_LONGEST = 100_000
"""Characters of a template, and of what it makes of two short texts."""

_OPTIONS = ("add_generation_prompt", "enable_thinking")
"""Options of templates that are computed here; each is true or false."""

_QUERY, _DOCUMENT, _PROMPT = "qqminnowqq", "ddminnowdd", "ppminnowpp"
_CHECKED = (
    ("", ""),
    (" \t two\n\n", "\n lines \r\n"),
    ("{{ x }} <b>&amp;'\"\\n</b>", "{% if y %} # \N{ZERO WIDTH SPACE}\N{GREEK SMALL LETTER ALPHA}"),
    ("same", "same"),
    ("<think>a</think>", "</think> b <tool_response>c</tool_response>"),
    ("word " * 40, "None"),
)
"""Pairs on which a template's text must be that of its frame."""
_PROMPTS = ("Find fish.", " {{ a }} \n<b>")


@dataclass(frozen=True)
class ChatTemplate:
    """The template of a source.

    Attributes:
        text: The program.
        variables: What it is given besides the messages: options and special tokens.
        name: The source's name, for messages.
        structured: Whether it takes the content of a message as a list of parts.
    """

    text: str
    variables: Mapping[str, object]
    name: str
    structured: bool = False

    def render(self, query: str, document: str, prompt: str = "") -> str:
        """Return the text of a pair, with the prompt as the system's message if there is one.

        Raises:
            UnsupportedModelError: The template refuses the pair, or needs something that is not
                given here.
            MissingExtraError: The extra `convert` is not installed.
        """
        return self._render(("query", query), ("document", document), prompt=prompt)

    def _render(self, *rows: tuple[str, str], prompt: str) -> str:
        system = [("system", prompt)] if prompt else []
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if self.structured else text}
            for role, text in [*system, *rows]
        ]
        try:
            from jinja2.meta import find_undeclared_variables
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError as error:
            raise MissingExtraError("Reading a chat template", "convert") from error
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _refuse_json
        try:
            names = find_undeclared_variables(environment.parse(self.text)) - {*self.variables}
            unknown = sorted(n for n in names if n.endswith("_token") or n == "strftime_now")
            if unknown:
                raise ValueError(f"it needs {', '.join(unknown)}, which no file states")
            template = environment.from_string(self.text)
            return template.render({**self.variables, "messages": messages})
        except Exception as error:  # a program may raise any
            raise UnsupportedModelError(
                f"{self.name}: the chat template makes no text of its messages "
                f"({type(error).__name__}: {error})."
            ) from error

    def check_texts(self) -> None:
        """Check that a user's message alone becomes its text, behind the prompt if there is one.

        Raises:
            UnsupportedModelError: It becomes something else.
            MissingExtraError: The extra `convert` is not installed.
        """
        for text in dict.fromkeys(text for pair in _CHECKED for text in pair):
            for prompt in ("", *_PROMPTS):
                found = self._render(("user", text), prompt=prompt)
                if found != prompt + text:
                    raise UnsupportedModelError(
                        f"{self.name}: the chat template makes {found!r:.200} of the text {text!r} "
                        f"behind the prompt {prompt!r}; minnow computes embedding models whose "
                        "template puts nothing around a text."
                    )

    def frame(self) -> ChatFrame:
        """Find the fixed texts around a query and a document.

        Raises:
            UnsupportedModelError: It does not put the query before the document, once each and
                unchanged, between the same texts for all pairs.
            MissingExtraError: The extra `convert` is not installed.
        """
        parts = self._parts(_QUERY, _DOCUMENT)
        if parts is None:
            raise self._unsupported(f"a short pair becomes {self.render('Q', 'D')!r:.200}")
        prompted = self._parts(_PROMPT, _QUERY, _DOCUMENT)
        around_prompt = None
        if prompted is not None and prompted[2:] == parts[1:]:
            around_prompt = (prompted[0], prompted[1])
        frame = ChatFrame(parts[0], parts[1], parts[2], around_prompt)
        prompts = ("", *_PROMPTS) if around_prompt else ("",)
        for query, document in _CHECKED:
            for prompt in prompts:
                if self.render(query, document, prompt) != frame.join(query, document, prompt):
                    raise self._unsupported(f"it changes {(query, document)!r}")
        return frame

    def _parts(self, *texts: str) -> list[str] | None:
        """Return what stands around the texts, a prompt first; None where they are not in order."""
        text = self.render(texts[-2], texts[-1], *texts[:-2])
        places = [text.find(each) for each in texts]
        if len(text) > _LONGEST or any(text.count(each) != 1 for each in texts):
            return None
        ends = [place + len(each) for place, each in zip(places, texts, strict=True)]
        pieces = zip([0, *ends], [*places, len(text)], strict=True)
        return [text[start:end] for start, end in pieces] if places == sorted(places) else None

    def _unsupported(self, why: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"{self.name}: the chat template does not put the messages of the roles query and "
            f"document once each, in this order and unchanged, between fixed texts: {why}."
        )


def _refuse_json(*_: object, **__: object) -> str:
    """Refuse a filter that transformers replaces by one of its own."""
    raise ValueError("it needs the filter tojson")


def check_messages(source: ModelSource, limits: Mapping[str, Any], processor: str | None) -> None:
    """Check that a text is tokenised alike in a message and alone, in an embedding model.

    sentence-transformers makes a message of each text where the Transformer's own file names
    messages. A processor puts special tokens around what the template makes of it, as a tokenizer
    alone does not.

    Args:
        source: The model's files.
        limits: The content of the Transformer's own file, which names messages.
        processor: The class of processor that the model's family has; None for none.

    Raises:
        SourceError: A file cannot be read.
        UnsupportedModelError: The processor is another, or the template puts something around a
            text.
    """
    path = source.optional_file(PROCESSOR)
    named = read_object(path).get("processor_class")
    if processor is None or named != processor:
        raise UnsupportedModelError(
            f"{source.name} makes messages of its texts (modality_config.message), and its "
            f"{PROCESSOR} names {named or 'no class'} in processor_class; minnow computes that "
            + (f"with {processor}." if processor else "for no model of this family.")
        )
    read_chat_template(source, limits).check_texts()


def read_chat_template(source: ModelSource, limits: Mapping[str, Any]) -> ChatTemplate:
    """Read the chat template of a source: chat_template.jinja, else that of its tokenizer's file.

    Args:
        source: The model's files.
        limits: The content of the Transformer's own file: the form of messages, and options.

    Raises:
        SourceError: There is none, or it is not text.
        UnsupportedModelError: There are several by name, or an option is not computed here.
    """
    options = (limits.get("processing_kwargs") or {}).get("chat_template") or {}
    config = read_object(source.optional_file(CONFIG))
    path = source.optional_file(CHAT_TEMPLATE)
    text = config.get("chat_template")
    if path is not None:
        try:
            text = read_regular(path).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{path} cannot be read as text: {error}.") from error
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise UnsupportedModelError(
            f"{source.name} has no single chat template of at most {_LONGEST} characters, in "
            f"{CHAT_TEMPLATE} or under chat_template in {CONFIG}."
        )
    foreign = [
        key for key, value in options.items() if key not in _OPTIONS or not isinstance(value, bool)
    ]
    if foreign:
        raise UnsupportedModelError(
            f"{source.name} gives its chat template {', '.join(foreign)}; minnow knows "
            f"{' and '.join(_OPTIONS)}, each true or false."
        )
    stated = read_tokenizer_files(source).options
    tokens = {key: str(stated[key]) for key in SPECIAL_KEYS if stated.get(key) is not None}
    given = {"add_generation_prompt": False, "tools": None, "documents": None, **tokens, **options}
    structured = limits["modality_config"]["message"]["format"] == "structured"
    return ChatTemplate(text, given, source.name, structured)
