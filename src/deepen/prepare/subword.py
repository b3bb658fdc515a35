"""Pieces of words, learned from the training texts by the `tokenizers` library: BPE, WordPiece or unigram.

    bpe        the two pieces that most often stand side by side become one, again and again (Sennrich et al. 2016;
               `ops/byte_pair.py` is the same in a page of Python)
    wordpiece  learned likewise, then every word is taken apart from the left, longest piece first; a piece inside
               a word begins with ## (Schuster and Nakajima 2012, as in BERT)
    unigram    the pieces under which the texts are most probable, each drawn by itself (Kudo 2018; learned by our own
               `subword_unigram`, since the library's pieces differ from run to run)

BPE and unigram write a blank as U+2581 and put one in front of the text, so that a word is the same piece wherever it
stands; pieces never cross from letters to digits or signs, nor over a blank (the pattern WORDS). They lose nothing, but
that a U+2581 of the text comes back as a blank. With bytes to fall back to, a character that training never saw is the
bytes of its UTF-8 and not <unk>. WordPiece cleans as BERT does: control and format characters are taken out, Han
characters and signs stand alone, and blanks are not kept.

The whole content of tokenizer.json is part of the state, so nothing is fetched or read when a run is loaded.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import chain, islice
from typing import Any

import numpy as np

from deepen.core.errors import DataError, OptionError
from deepen.core.jsontext import json_text
from deepen.prepare import subword_unigram
from deepen.prepare.text_options import TextOptions

BLANK = "\u2581"
LONGEST = 64  # characters of a word; longer ones are cut, so that no text makes learning quadratic
WORDS = "|".join(
    [
        f"{BLANK}?[\\p{{L}}\\p{{M}}]{{1,{LONGEST}}}",
        f"{BLANK}?\\p{{N}}{{1,{LONGEST}}}",
        f"{BLANK}?[^\\s{BLANK}\\p{{L}}\\p{{M}}\\p{{N}}]{{1,{LONGEST}}}",
        f"{BLANK}{{1,{LONGEST}}}(?={BLANK}[^\\s{BLANK}])",
        f"{BLANK}{{1,{LONGEST}}}",
        f"\\s{{1,{LONGEST}}}",
    ]
)
DEFAULT_SIZE = 8000
LEAST_PAIRS = 2  # times a pair must stand in the texts to become a piece
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
BYTE_SCORE = -100.0  # of a byte under unigram: below every piece, so that bytes are a last resort
_BLOCK = 1024  # texts given to the library at once
_PART = 1 << 16  # characters given to it as one text
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_BETWEEN = re.compile(r"(?<=\S) (?=\S)")


def learn(texts: Iterable[str], options: TextOptions, specials: Sequence[str]) -> dict[str, Any]:
    """What a state has beyond the options: {"subword", "byte_fallback", "tokenizer", "counts"}.

    tokenizer  the content of tokenizer.json; the ids are the specials, the 256 bytes where there are any, then the
               characters of the texts in the order of their code points (at most as many as there may be pieces, the
               commonest), then the pieces in the order in which they were made
    counts     how often each piece stands in the training texts

    A pair that stands there less than twice makes no piece. The outcome is a function of the texts alone.
    Raises OptionError for options that contradict each other, DataError where there is nothing to learn from.
    """
    has_bytes = options.subword != "wordpiece" if options.byte_fallback is None else options.byte_fallback
    if has_bytes and options.subword == "wordpiece":
        raise OptionError("--text.byte-fallback yes: wordpiece has no bytes to fall back to; pass --text.subword bpe.")
    if options.subword == "unigram" and options.min_count > 1:
        raise OptionError("--text.min-count: means nothing with --text.subword unigram; leave it away.")
    texts = texts if isinstance(texts, Sequence) else list(texts)
    content = _trained(texts, options, specials)
    if has_bytes:
        content = _with_bytes(content, len(specials))
    state = {"subword": options.subword, "byte_fallback": has_bytes, "tokenizer": content}
    subwords = Subwords(state)
    counts = np.zeros(len(subwords.vocabulary), np.int64)
    for ids in subwords.many_ids(texts):
        counts += np.bincount(ids, minlength=len(counts))
    if (counts > 0).sum() < 2:
        raise DataError(
            f"the training texts hold {int((counts > 0).sum())} different pieces; expected at least two to tell apart."
        )
    return state | {"counts": counts.tolist()}


class Subwords:
    """A learned tokenizer: texts to pieces to ids and back.

    vocabulary  every piece in the order of its id
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self._tokenizer = _library().Tokenizer.from_str(json_text(state["tokenizer"]))
        by_piece = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocabulary: list[str] = sorted(by_piece, key=by_piece.__getitem__)
        assert sorted(by_piece.values()) == list(range(len(by_piece))), "every id has one piece"

    def tokens(self, text: str) -> list[str]:
        """The pieces of a text; an unknown one is <unk>."""
        return [self.vocabulary[index] for ids in self.many_ids([text]) for index in ids]

    def many_ids(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """The ids of each text in turn, [n] int32."""
        waiting = iter(texts)
        while block := list(islice(waiting, _BLOCK)):
            parts = [list(_parts(text)) for text in block]
            found = iter(self._tokenizer.encode_batch_fast(list(chain.from_iterable(parts)), add_special_tokens=False))
            for each in parts:
                yield np.fromiter((index for _ in each for index in next(found).ids), np.int32)

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids, specials by name."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)


def _trained(texts: Sequence[str], options: TextOptions, specials: Sequence[str]) -> dict[str, Any]:
    """The content of tokenizer.json after training."""
    library = _library()
    tokenizer = _blank_slate(options)
    most = DEFAULT_SIZE if options.max_vocabulary is None else options.max_vocabulary
    parts = partial(_learned_from, texts, specials)
    added = [library.AddedToken(word, lstrip=True, rstrip=True, normalized=False, special=True) for word in specials]
    if options.subword == "unigram":
        words = _words(parts(), tokenizer)
        pieces = subword_unigram.learn(words, most, _commonest(_characters(words), most))
        own = [(word, 0.0) for word in specials]
        tokenizer.model = library.models.Unigram([*own, *pieces], unk_id=specials.index("<unk>"))
        tokenizer.add_special_tokens(added)
        return json.loads(tokenizer.to_str())
    if options.subword == "wordpiece":
        words = _words(parts(), tokenizer)
        alphabet = _commonest(_characters(words), most)
        within = sorted({character for word in words for character in word[1:]}.intersection(alphabet))
        trained, inside = library.trainers.WordPieceTrainer, [f"##{character}" for character in within]
    else:
        normal = tokenizer.normalizer.normalize_str
        alphabet = _commonest(
            Counter(
                chain.from_iterable(map(normal, parts())),
            ),
            most,
        )
        trained, inside = library.trainers.BpeTrainer, []
    trainer = trained(
        vocab_size=most + len(specials),
        min_frequency=max(LEAST_PAIRS, options.min_count),
        special_tokens=[*added, *inside],  # the pieces inside words are numbered here, for the library does by chance
        initial_alphabet=alphabet,  # chosen here, for among equally rare ones the library chooses by chance
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(parts(), trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [each for each in content["added_tokens"] if each["content"] in specials]
    return content


def _words(parts: Iterable[str], tokenizer: Any) -> Counter[str]:
    """How often each word stands in the texts, as the tokenizer's own rules find them."""
    normal, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(word for word, _ in split(normal(part)))
    return counts


def _characters(words: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return counts


def _commonest(counts: Counter[str], most: int) -> list[str]:
    """The commonest characters in the order of their code points; of equally rare ones the first."""
    return sorted(sorted(counts, key=lambda character: (-counts[character], character))[:most])


def _blank_slate(options: TextOptions):
    """A tokenizer that has learned nothing, with the rules of its kind."""
    library = _library()
    normalizers, decoders, split = library.normalizers, library.decoders, library.pre_tokenizers
    form = "NFC" if options.normalize == "auto" else options.normalize
    steps = [] if form == "none" else [getattr(normalizers, form)()]
    if options.lower and options.subword != "wordpiece":
        steps += [normalizers.Lowercase(), *steps]
    if options.subword == "wordpiece":
        tokenizer = library.Tokenizer(library.models.WordPiece(unk_token="<unk>", max_input_chars_per_word=LONGEST))
        clean = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=options.lower
        )
        tokenizer.normalizer = normalizers.Sequence([*steps, clean])
        tokenizer.pre_tokenizer = split.Sequence([split.BertPreTokenizer(), split.FixedLength(LONGEST)])
        tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
        return tokenizer
    kind = library.models.BPE(unk_token="<unk>") if options.subword == "bpe" else library.models.Unigram()
    tokenizer = library.Tokenizer(kind)
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
    tokenizer.pre_tokenizer = split.Split(library.Regex(WORDS), "isolated")
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Replace(BLANK, " "), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def _with_bytes(content: dict[str, Any], num_specials: int) -> dict[str, Any]:
    """The same with the 256 bytes behind the specials. A learned piece that reads like one of them gives way."""
    model = dict(content["model"], byte_fallback=True)
    taken = set(BYTES)
    if model["type"] == "Unigram":
        pieces = [pair for pair in model["vocab"] if pair[0] not in taken]
        own, rest = pieces[:num_specials], pieces[num_specials:]
        model["vocab"] = [*own, *([byte, BYTE_SCORE] for byte in BYTES), *rest]
        return content | {"model": model}
    ordered = sorted(model["vocab"], key=model["vocab"].__getitem__)
    kept = [piece for piece in ordered if piece not in taken]
    model["vocab"] = {piece: index for index, piece in enumerate([*kept[:num_specials], *BYTES, *kept[num_specials:]])}
    model["merges"] = [pair for pair in model["merges"] if not taken & {*pair, "".join(pair)}]
    return content | {"model": model}


def _learned_from(texts: Sequence[str], specials: Sequence[str]) -> Iterator[str]:
    """What stands between the specials of the texts, as encoding splits them, too, in parts."""
    between = re.compile("|".join(map(re.escape, specials)))
    for text in texts:
        pieces = between.split(text) if specials else [text]
        for index, piece in enumerate(pieces):
            piece = piece.lstrip() if index else piece
            yield from _parts(piece.rstrip() if index < len(pieces) - 1 else piece)


def _parts(text: str) -> Iterator[str]:
    """The text as one, or as several cut at single blanks, which every part gets back in front of it.

    The pieces are those of the whole text, but where a stretch of 65,536 characters has no single blank to be cut at.
    """
    if not text.isascii():
        text = _HALF_PAIR.sub("\ufffd", text)
    start = 0
    while len(text) - start > _PART:
        between = [match.start() for match in _BETWEEN.finditer(text, start + _PART - 256, start + _PART)]
        between = between or [match.start() for match in _BETWEEN.finditer(text, start, start + _PART)]
        end = between[-1] if between else start + _PART
        yield text[start:end]
        start = end + 1 if between else end
    yield text[start:]


@cache
def _library():
    try:
        import tokenizers
        from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers  # noqa: F401
    except ImportError:
        raise OptionError(
            "--text.level subword: the package tokenizers is not installed; pip install deepen[text], "
            "or pass --text.level character."
        ) from None
    return tokenizers
