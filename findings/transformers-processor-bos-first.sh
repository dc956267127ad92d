#!/usr/bin/env bash
# A batch's first text decides whether any text of the batch gets special tokens, in transformers' apply_chat_template of processors.
#
# Expected: a text has the same token ids whatever the other texts of its batch are.
# Happens: a processor leaves the tokens around a text out where the rendered text begins with the tokenizer's bos_token, and asks the
#   first of the batch only: where that one begins with it, all others lose their first and last token too.
# Versions: transformers 5.24.0, tokenizers 0.23.3, x86-64.
# Seen: ids of "fish sleep" alone and behind another text.
# Matters: sentence-transformers makes messages of all texts of a model with a processor and a chat template, such as EmbeddingGemma 2;
#   one text that begins with <bos> changes the vectors of others, without an error or a warning.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > batch.py <<'PROGRAM'
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, Qwen2AudioProcessor, WhisperFeatureExtractor

words = ("<bos>", "<eos>", "<pad>", "<unk>", "fish", "sleep")
names = (*words, "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer.post_processor = processors.TemplateProcessing(
    single="<bos> $A <eos>", special_tokens=[("<bos>", 0), ("<eos>", 1)]
)
processor = Qwen2AudioProcessor(
    feature_extractor=WhisperFeatureExtractor(),
    tokenizer=PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
    ),
    chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
)


def ids(*texts):
    messages = [[{"role": "user", "content": text}] for text in texts]
    return processor.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]


alone, behind = ids("fish sleep")[0], ids("<bos> fish", "fish sleep")[1]
second = ids("fish sleep", "<bos> fish")[0]
print("transformers", transformers.__version__)
print("alone", alone, "first", second, "behind a text that begins with <bos>", behind)
assert alone == second == [0, 4, 5, 1]
assert behind == [4, 5], "the behaviour has changed"
PROGRAM
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3 numpy==2.4.6 \
    jinja2==3.1.6
venv/bin/python batch.py
