"""Made conversations with dated turns and questions, to measure what memory recalls.

`conversations.txt` holds short scenes between two people, written by hand, with questions and the
turns that answer them. A seed puts them into sessions over a year, with small talk between, and
decides who says what. In that file `== name` begins a scene, `-- days` a later session of it, `^n`
numbers a turn, and `Q kind: question | n ...` names the turns that answer. `conversations_long.txt`
has scenes of longer turns, written after memory's weights were chosen and used for no choice of
them; `notes.txt` has facts on two people that nobody says, with questions.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

FILE = Path(__file__).with_name("conversations.txt")
LONG = Path(__file__).with_name("conversations_long.txt")
NOTES = Path(__file__).with_name("notes.txt")
BEGIN = datetime(2024, 2, 3, 17, 30, tzinfo=timezone.utc)
END = datetime(2025, 6, 20, 12, tzinfo=timezone.utc)
"""The time of the questions."""

PAIRS = (("Dana", "Priya"), ("Tom", "Elif"), ("Grace", "Oscar"), ("Ines", "Kofi"))
GROUP = ("Hanna", "Luca", "Maria", "Ben", "Yuki", "Samir")
GREETINGS = (
    ("Hey {b}, long time no see! How have you been?", "Hi {a}! All good here, busy as ever. You?"),
    ("Good to hear from you, {b}! What's new?", "Hey {a}, a lot has happened this week."),
    ("Hi {b}! How was your weekend?", "Hi! Quiet, we stayed at home and did nothing. Yours?"),
    ("{b}! I was just thinking of you.", "Ha, then you must have heard my ears ringing, {a}."),
)
TALK = (
    ("What a day, it does not stop raining.", "Same here, the street is a river."),
    ("Did you eat already?", "Just a sandwich at my desk, I will cook something later."),
    ("You always know how to make me laugh, {b}.", "Somebody has to!"),
    ("I really needed this talk today.", "Me too, it helps to say things out loud."),
    ("How are things at home?", "Fine, everybody is healthy and the heating works again."),
    ("Are you sleeping better?", "Sometimes. When I put the phone away it goes well."),
    ("I saw a picture of us from ten years ago.", "We looked so young! And those trousers."),
    ("Any plans for the holidays?", "Not yet, we will decide at the last minute as always."),
    ("Work is crazy at the moment.", "Take a break, nobody thanks you for working at night."),
    ("That means a lot to me, {b}.", "You would do the same for me."),
    ("Do you remember our old teacher?", "Of course! He still writes me postcards."),
    ("I am proud of you, you know that.", "Now I am blushing, thank you {a}."),
    ("The kids are growing so fast.", "Mine ate three plates of pasta yesterday."),
    ("I want to do more for myself this year.", "Good idea. Start with one evening a week."),
    ("Have you read anything good lately?", "Only the news, and that is not good."),
    ("My family says hello.", "Hug them from me, I miss your mother's soup."),
)
PARTINGS = (
    ("I have to run, talk soon!", "Take care, {a}!"),
    ("Let's speak again next week.", "Yes, same time. Bye!"),
    ("Thanks for listening, {b}.", "Any time. Good night!"),
)


@dataclass(frozen=True)
class Turn:
    """A remark: its number, who made it, when, and in which session."""

    number: int
    speaker: str
    session: str
    at: datetime
    text: str


@dataclass(frozen=True)
class Question:
    """A question with the numbers of the turns that answer it, and the scene it is about."""

    text: str
    kind: str
    evidence: frozenset[int]
    scene: str


@dataclass
class Conversation:
    """Turns in order of time, and questions on them."""

    turns: list[Turn] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


@dataclass
class _Scene:
    name: str
    parts: list[tuple[int, list[tuple[str, str, str]]]]
    questions: list[tuple[str, str, list[str]]]


def read_scenes(*files: Path) -> list[_Scene]:
    """Read scenes with parts of (days later, turns) and questions."""
    scenes = []
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    for block in text.split("== ")[1:]:
        name, *lines = block.strip().splitlines()
        scene = _Scene(name, [(0, [])], [])
        for line in lines:
            if found := re.fullmatch(r"([AB]): (.*?)(?: \^(\d))?", line):
                scene.parts[-1][1].append((found[1], found[2], found[3] or ""))
            elif found := re.fullmatch(r"-- (\d+)", line):
                scene.parts.append((int(found[1]), []))
            elif found := re.fullmatch(r"Q (\w+): (.*) \| ([\d ]+)", line):
                scene.questions.append((found[1], found[2], found[3].split()))
            else:
                raise ValueError(f"{name}: {line}")
        scenes.append(scene)
    return scenes


def make_conversation(
    seed: int, people: tuple[str, ...], files: tuple[Path, ...] = (FILE,)
) -> Conversation:
    """Put all scenes into sessions of two of the people, and ask the questions."""
    scenes = read_scenes(*files)
    chance = random.Random(seed)
    days = [chance.uniform(5, 16) for _ in range(36)]
    starts = [BEGIN + timedelta(days=sum(days[: i + 1])) for i in range(len(days))]
    starts = [start.replace(hour=chance.randint(8, 20)) for start in starts if start < END]
    pairs = [tuple(chance.sample(people, 2)) for _ in starts]
    held: list[list[tuple[_Scene, int, str, str]]] = [[] for _ in starts]
    for scene in chance.sample(scenes, k=len(scenes)):
        later = sum(days for days, _ in scene.parts)
        last = max(i for i, at in enumerate(starts) if (starts[-1] - at).days >= later)
        place = chance.randint(0, last)
        a, b = chance.sample(pairs[place], 2)
        for part, (gap, _) in enumerate(scene.parts):
            if part:
                due = starts[place] + timedelta(days=gap)
                after = range(place + 1, len(starts))
                place = min(after or [place], key=lambda i: abs(starts[i] - due))
            held[place].append((scene, part, a, b))
    made, marks = Conversation(), dict[tuple[str, str], Turn]()
    for number, (at, pair) in enumerate(zip(starts, pairs, strict=True), start=1):
        _hold(made, marks, held[number - 1], pair, at, f"session {number}", chance)
    for one in {id(s): (s, a, b) for rows in held for s, _, a, b in rows}.values():
        _ask(made, marks, *one, chance)
    return made


def _hold(
    made: Conversation, marks: dict[tuple[str, str], Turn],
    scenes: list[tuple[_Scene, int, str, str]], pair: tuple[str, ...], at: datetime, session: str,
    chance: random.Random,
) -> None:  # fmt: skip
    def say(speaker: str, text: str, a: str, b: str) -> Turn:
        turn = Turn(
            len(made.turns), speaker, session, at + timedelta(minutes=len(made.turns) % 97),
            text.format(a=a, b=b),
        )  # fmt: skip
        made.turns.append(turn)
        return turn

    def chat(bank: tuple[tuple[str, str], ...]) -> None:
        a, b = chance.sample(pair, 2)
        for speaker, text in zip((a, b), chance.choice(bank), strict=True):
            say(speaker, text, a, b)

    at -= timedelta(minutes=len(made.turns) % 97)
    chat(GREETINGS)
    for scene, part, a, b in scenes:
        for role, text, mark in scene.parts[part][1]:
            turn = say(a if role == "A" else b, text, a, b)
            if mark:
                marks[scene.name, mark] = turn
        if chance.random() < 0.7:
            chat(TALK)
    chat(PARTINGS)


def _ask(
    made: Conversation, marks: dict[tuple[str, str], Turn], scene: _Scene, a: str, b: str,
    chance: random.Random,
) -> None:  # fmt: skip
    months = {
        f"month:{key[1]}": f"{turn.at:%B %Y}" for key, turn in marks.items() if key[0] == scene.name
    }

    def fill(text: str) -> str:
        return re.sub(r"\{(\w+(?::\d)?)\}", lambda m: {"a": a, "b": b, **months}[m[1]], text)

    for kind, text, answers in scene.questions:
        turns = [marks[scene.name, mark] for mark in answers]
        evidence = frozenset(turn.number for turn in turns)
        kind = "dated" if "{month" in text else kind
        made.questions.append(Question(fill(text), kind, evidence, scene.name))
    kind, text, answers = chance.choice([q for q in scene.questions if "{month" not in q[1]])
    turns = [marks[scene.name, mark] for mark in answers]
    if kind == "single" and len({turn.session for turn in turns}) == 1:
        when = chance.choice(_expressions(turns[0].at))
        dated = f"{fill(text)[:-1]} {when}?"
        evidence = frozenset(turn.number for turn in turns)
        made.questions.append(Question(dated, "dated", evidence, scene.name))


def ask_the_other(made: Conversation) -> list[Question]:
    """Return the questions with the name of the person who did not say the answer."""
    found = []
    for question in made.questions:
        turns = [made.turns[number] for number in question.evidence]
        names = {turn.speaker for turn in turns}
        others = {turn.speaker for turn in made.turns if turn.session == turns[0].session} - names
        if len(names) == len(others) == 1:
            (name,), (other,) = names, others
            if name in question.text and other not in question.text:
                found.append(
                    replace(question, text=question.text.replace(name, other), kind="other")
                )
    return found


def read_notes(a: str, b: str) -> list[tuple[str, list[str]]]:
    """Read facts on two people, each with questions."""
    lines = NOTES.read_text(encoding="utf-8").format(a=a, b=b).splitlines()
    rows = (line.split(" | ") for line in lines)
    return [(fact, questions.split(" ; ")) for fact, questions in rows]


def _expressions(at: datetime) -> list[str]:
    """Return ways to say when that was, at the time of the questions."""
    found = [f"in {at:%B %Y}", f"in {at:%B} {at:%Y}", f"on {at.day} {at:%B %Y}",
             f"on {at:%B} {at.day}, {at:%Y}", f"around {at:%Y-%m-%d}"]  # fmt: skip
    weeks, months = round((END - at).days / 7), round((END - at).days / 30.4)
    if weeks < 9:
        found += [f"{max(1, weeks)} weeks ago"] * 3
    elif months < 12:
        found += [f"{months} months ago", f"last {at:%B}"]
    return found
