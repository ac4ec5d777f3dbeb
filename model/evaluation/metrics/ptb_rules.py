"""The rules of Stanford's PTBTokenizer 3.4.1 for English, re-implemented from its behaviour; `ptb_words` applies them.

Each abbreviation, and the words that make a full stop after initials end a sentence, were found by asking the
original about candidates one by one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

# Characters that Python counts as part of a word and Java not as letters.
_NOT_LETTERS = r"\u00b2\u00b3\u00b9\u00bc-\u00be\u2070\u2074-\u2079\u2080-\u2089\u2150-\u2189\u2460-\u249b"
_MARKS_ON_LETTERS = r"\u00ad\u0300-\u036f\u0591-\u05bd\u064b-\u065e\u0670\u0900-\u0903\u093c\u093e-\u094d"
_LETTER = rf"(?:[^\W\d_{_NOT_LETTERS}]|[{_MARKS_ON_LETTERS}]|&[aeiouAEIOU](?:acute|grave|uml);)"
_ALNUM = rf"[^\W_{_NOT_LETTERS}]"
_QUOTE = r"(?:['\u0092\u2019]|&apos;)"  # an apostrophe
_QUOTES = rf"(?:{_QUOTE}|[`\u0091\u2018\u201b])"  # what may stand for one inside a word
_BLANK = r"[ \t\u00a0\u2000-\u200a\u3000\r\n\u2028\u2029\x0b\x0c\x85]"
_WORD = rf"{_LETTER}(?:{_LETTER}|\d)*(?:[.!?]{_LETTER}(?:{_LETTER}|\d)*)*"
_ENDING = rf"{_QUOTE}(?:[msdMSD]|(?i:re|ve|ll))"  # 's, 'm, 'd, 're, 've, 'll
_NOT = rf"(?i:n){_QUOTES}(?i:t)"
_NUMBER = r"[-+]?(?:\d*(?:[.:,\u00ad\u066b\u066c]\d+)+|\d+)"
_ATTRIBUTE = r"[A-Za-z][A-Za-z0-9_:.-]*(?:[ ]*=[ ]*(?:'[^'\r\n]*'|\"[^\"\r\n]*\"|[A-Za-z][A-Za-z0-9_:.-]*))?"
_TAG = rf"<(?:[!?][A-Za-z-][^>\r\n]*|/?[A-Za-z][A-Za-z0-9_:.-]*(?:[ ]+{_ATTRIBUTE})*[ ]*/?)[ ]*>"

# The abbreviations that the original was seen to know. `(?-i:` asks for the capital; else case does not matter.
_CALENDAR = "jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu|thurs|fri"
_STATES = (
    "ala|ariz|calif|colo|conn|ct|dak|fla|ga|ind|kans?|ky|md|mich|minn|mo|mont|neb|nev|okla|penn|tenn|va|vt|wisc?|wyo|"
    "(?-i:A)z|(?-i:A)rk|(?-i:D)el|(?-i:I)ll|(?-i:L)a|(?-i:M)ass|(?-i:M)iss|(?-i:O)re|(?-i:P)a|(?-i:T)ex|(?-i:W)ash"
)
_FIRMS = "inc|cos?|corp|ptys?|ltd|plc|rt|bancorp|bhd|assn|univ|intl|sys|bldg"
_OTHERS = r"tel|est|ext|sq|jr|sr|bros|(?:ed|ph)\.d|blvd|rd|esq|etc|al|seq"
_BEFORE_LOWER = rf"(?i:{_CALENDAR}|{_STATES}|{_FIRMS}|{_OTHERS})\."
_TITLES = (
    "mr|mrs|ms|drs?|profs?|sens?|reps?|attys?|lt|col|gen|messrs|govs?|adm|rev|maj|sgt|cpl|pvt|capt|ste?|ave|pres|"
    "lieut|hon|brig|co?mdr|pfc|spc|supts?|det|mt|ft|adj|adv|asst|assoc|ens|insp|mlle|mme|msgr|sfc"
)
_INITIALS = r"(?:[A-Za-z](?:\.[A-Za-z])*|(?i:(?:canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-u\.(?:k|s\.s\.r)))"
_BEFORE_UPPER = rf"(?:(?i:{_TITLES}|ph|alex|wm|jos|cie|vs|cf|treas|invt|elec|natl|m[ft]g|dept)|{_INITIALS})\."
_BEFORE_NUMBER = r"(?i:ca|figs?|prop|nos?|art|pp|op)\."
_OPENERS = (
    "A|About|According|Additionally|After|An|As|At|But|Earlier|He|Her|Here|However|If|In|It|Last|Many|More|Mr\\.|Ms\\.|"
    "Now|Once|One|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|When|While|What|Yet|You"
)

_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"
_ELIDED = rf"(?:[dDoOlL]{_QUOTES}{_ALNUM})?"  # d'Artagnan, O'Neil, l'eau
_JOINED = rf"{_ELIDED}{_ALNUM}+(?:[-_\u058a]{_ELIDED}{_ALNUM}+)*"
_HYPHENED = rf"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:[A-Za-z0-9\u00ad]+|{_INITIALS}\.))+"
_CAPITALS = r"[A-Z]+(?:(?:[+&]|(?i:&amp;))[A-Z]+)+"
_WITH_APOSTROPHE = (
    rf"(?i:{_QUOTE}n{_QUOTE}?|dunkin{_QUOTE}|somethin{_QUOTE}|ol{_QUOTE}|{_QUOTE}em|{_QUOTE}till?|{_QUOTE}cause|"
    r"cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l)|"
    rf"[A-HJ-XZn]{_QUOTES}{_LETTER}{{2,}}|[lLdDjJ]{_QUOTE}|{_QUOTE}[2-9]0s|"
    rf"{_LETTER}{{2,}}(?<=[aeiouyAEIOUY]){_QUOTES}[aeiouA-Z]{_LETTER}*"
)
_FILE_ENDINGS = (
    "bat|bmp|c|class|cgi|cpp|dll|docx?|exe|gif|gz|html?|h|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|txt|"
    "wav|xml|x|zip"
)
_NOT_IN_URL = r" \t\n\f\r\"<>|()"
_ADDRESS = rf"(?i:https?)://[^{_NOT_IN_URL}]+[^{_NOT_IN_URL}.!?{{}},-]"
_SITE = (
    rf"(?:(?i:www)\.(?:[^{_NOT_IN_URL}.!?{{}},]+\.)+[a-zA-Z]{{2,4}}|"
    rf"(?:[^{_NOT_IN_URL}`'.!?{{}},-_$]+\.)+(?i:com|net|org|edu))(?:/[^{_NOT_IN_URL}]+[^{_NOT_IN_URL}.!?{{}},-])?"
)
_MAIL = r"<?[a-zA-Z0-9][^ \t\n\f\r\"<>|()\u00a0]*@(?:[^ \t\n\f\r\"<>|().\u00a0]+\.)*[^ \t\n\f\r\"<>|().\u00a0,;:]+>?"
_PHONE = (
    r"(?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])"
    r"[0-9]{3,4}[- \u00a0]?[0-9]{3,5}|"
    r"(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
)
_SYMBOLS = (
    r"[+%&~^|\\\u00a6\u00a7\u00a8\u00a9\u00ac\u00ae\u00af\u00b0-\u00ba\u00d7\u00f7\u2016\u2017\u2020-\u2023\u2030-\u2038"
    r"\u203b\u203e-\u2042\u2044\u207a-\u207f\u208a-\u208e\u2100-\u214f\u2190-\u23ff\u2500-\u2bff\u3012\u30fb"
    r"\u060c\u24b6-\u24e9\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]"
)
_MARKS = r"[`\u2018-\u201f\u0082\u0084\u0091-\u0094\u2039\u203a\u00ab\u00bb]"

_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_LATEX_QUOTES = (
    (re.compile("[\u0091\u2018\u201b\u2039]"), "`"),
    (re.compile("[\u0092\u2019\u203a]|&apos;"), "'"),
    (re.compile("[\u0093\u201c\u00ab]"), "``"),
    (re.compile('[\u0094\u201d\u00bb]|&quot;|"'), "''"),
)
_CURRENCY = {"\u00a2": "cents", "\u00a3": "#", "\u20ac": "$", "\u00a4": "$", "\u0080": "$", "\u20a0": "$"}
_FRACTIONS = {"\u00bc": "1/4", "\u00bd": "1/2", "\u00be": "3/4", "\u2153": "1/3", "\u2154": "2/3"}


def _same(text: str) -> str:
    return text.replace("\u00ad", "")  # soft hyphens


def _closing(text: str) -> str:
    for pattern, quote in _LATEX_QUOTES:
        text = pattern.sub(quote, text)
    return text


def _opening(text: str) -> str:
    return _closing(re.sub("'|&apos;", "`", re.sub('"|&quot;', "``", text)))


def _parentheses(text: str) -> str:
    return text.replace("(", "-lrb-").replace(")", "-rrb-")


def _one_piece(text: str) -> str:
    return text.replace(" ", "\u00a0")


@dataclass(frozen=True)
class Rule:
    """seen: what it matches, then what must follow, as group `after`; word: the token of the match, None drops it.

    give_back: characters at its end that are left for the next rule; with `is_doubled` they are in the word too.
    """

    seen: re.Pattern[str]
    word: Callable[[str], str] | None
    give_back: int
    is_doubled: bool


def _rule(
    pattern: str,
    after: str = "",
    *,
    word: Callable[[str], str] | None = _same,
    give_back: int = 0,
    is_doubled: bool = False,
) -> Rule:
    return Rule(re.compile(rf"(?:{pattern})(?P<after>{after})"), word, give_back, is_doubled)


@functools.lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """Return the rules; among those that see equally far the first wins."""
    sentence = rf"{_BLANK}(?:{_BLANK}|[A-Z]|{_TAG})"
    opener = rf"{_BLANK}+(?:{_OPENERS}|{_TAG}){_BLANK}"
    smiley = r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]"
    asian = r"[\^x=~<>]\.[\^x=~<>]|[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)"
    return (
        _rule(r"(?i:c\+\+|[cf]#)"),
        _rule(rf"(?i:cannot|{_QUOTE}twas)", give_back=3),
        _rule(rf"(?i:gonna|gotta|lemme|gimme|wanna|{_QUOTE}tis)", give_back=2, word=_closing),
        _rule(_TAG, word=_one_piece),
        _rule(r"&(?i:md|mdash|ndash);|[\u0096\u0097\u2013-\u2015]", word=lambda _: "--"),
        _rule(r"(?i:&amp;)", word=lambda _: "&"),
        _rule(r"&(?i:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);"),
        _rule(_WORD, _ENDING),
        _rule(r"[A-Za-z\u00ad]*[A-MO-Za-mo-z]\u00ad*", _NOT),
        _rule(_WORD),
        _rule(_WITH_APOSTROPHE),
        _rule(rf"(?i:y){_QUOTE}", _LETTER),
        _rule(_ADDRESS),
        _rule(_SITE),
        _rule(_MAIL),
        _rule(rf"[@#][A-Za-z_][A-Za-z_0-9]*|#{_LETTER}+"),
        _rule(_ENDING, "[^A-Za-z]", word=_closing),
        _rule(_NOT, "[^A-Za-z]", word=_closing),
        _rule(r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}"),
        _rule(_NUMBER),
        _rule(r"[\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+)"),
        _rule(r"(?:\d{1,4}[- \u00a0])?\d{1,4}(?:\\?/|\u2044)\d{1,4}", word=_one_piece),
        _rule(r"[\u00bc-\u00be\u2153-\u215e]", word=lambda text: _FRACTIONS.get(text, text)),
        _rule(
            r"-(?i:RRB|LRB|RCB|LCB|RSB|LSB)-|"
            rf"(?i:C\.D\.s|pro-|anti-|S&(?:amp;)?P-500|S&(?:amp;)?Ls|cap{_QUOTE}n|c{_QUOTE}est)"
        ),
        _rule(rf"{_QUOTE}[0-9][0-9]", _BLANK),
        _rule(_SLASHED),
        _rule(r"[A-Z]*\$|#"),
        _rule(
            r"[\u00a2-\u00a5\u0080\u20a0\u20a4\u20ac\u060b\u0e3f\uffe0\uffe1\uffe5\uffe6]",
            word=lambda text: _CURRENCY.get(text, text),
        ),
        _rule(r"[A-Za-z]\.", opener, give_back=1),
        _rule(rf"{_INITIALS}\.", opener, give_back=1, is_doubled=True),
        _rule(_BEFORE_NUMBER, rf"{_BLANK}?\d"),
        _rule(_BEFORE_LOWER, sentence, give_back=1, is_doubled=True),
        _rule(_BEFORE_LOWER, r"[\s\S][\s\S]"),
        _rule(_BEFORE_LOWER, give_back=1, is_doubled=True),
        _rule(_BEFORE_UPPER),
        _rule(rf"{_INITIALS}", _BLANK),
        _rule(rf"{_ALNUM}+(?:\.{_ALNUM}+)*\.(?i:{_FILE_ENDINGS})", rf"(?:{_BLANK}|[.?!,])"),
        _rule(rf"{_WORD}\.", "[,;:\u3001]"),
        _rule(_PHONE, word=lambda text: _parentheses(_one_piece(text))),
        _rule(r"\"|&quot;|[`'\u0091\u0092\u2018\u2019]'", "[A-Za-z0-9$]", word=_opening),
        _rule(r"\"|&quot;|[`'\u0091\u0092\u2018\u2019]'", word=_closing),
        _rule(smiley, "[^A-Za-z0-9]", word=_parentheses),
        _rule(asian, word=_parentheses),
        _rule("<|&lt;", word=lambda _: "<"),
        _rule(">|&gt;", word=lambda _: ">"),
        _rule(r"[()\[\]{}]", word=lambda text: _BRACKETS[text]),
        _rule("-+", word=lambda text: "--" if len(text) in (2, 3, 4) else text),
        _rule(r"\.{3,5}|(?:\.[ \u00a0]){2,4}\.|[\u0085\u2026]", word=lambda _: "..."),
        _rule(r"@+|#+|_+|\*+|(?:\\\*){1,3}"),
        _rule(r"[,;:\u3001]|[?!]+|[.\u00a1\u00bf\u037e\u0589\u061f\u06d4\u3002]|=|/"),
        _rule(rf"{_HYPHENED}\.", "[,;:\u3001]"),
        _rule(_HYPHENED),
        _rule(rf"{_JOINED}\.", "[,;:\u3001]"),
        _rule(_JOINED),
        _rule(rf"(?:{_CAPITALS})\.", "[,;:\u3001]", word=lambda text: re.sub("(?i)&amp;", "&", text)),
        _rule(_CAPITALS, word=lambda text: re.sub("(?i)&amp;", "&", text)),
        _rule("'", r"[A-Za-z][^ \t\n\r\u00a0]", word=_opening),
        _rule(_ENDING, word=_closing),
        _rule(_NOT, word=_closing),
        _rule(rf"{_MARKS}{{1,2}}|{_QUOTE}", word=_closing),
        _rule("<<|>>"),
        _rule(_SYMBOLS),
        _rule(rf"{_BLANK}+|&nbsp;", word=None),
    )
