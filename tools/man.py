#!/usr/bin/env python3
"""man.py HEADERS OUT INDEX DEPFILE VERSION LIKE - the manual pages of the public API.

Writes OUT/rn_x.3 for each function and each type that HEADERS/*.h declare, from its comment, and
INDEX, a page of section 7 that lists them all. OUT is made anew, so that no page outlives its
function. The date is that of the page LIKE, so that equal sources give equal pages. A comment that
does not follow CONTRIBUTING.md is an error, FILE:LINE: MESSAGE: no page is empty, or guessed.
"""
import errno
import os
import re
import shutil
import sys
import textwrap

from headers import CODE, Bad, Function, headers_of
from lint_layers import read, report

# What an error means where a comment names it and says no more.
USUAL = {"ECANCELED": "the coroutine was cancelled", "ENOMEM": "out of memory",
         "EDEADLK": "it would have to wait, on a plain thread", "ETIME": "the deadline passed"}
# Names of arguments that no sentence uses as a word: these are marked wherever they stand.
SHORT = {"arg", "buf", "conn", "dirs", "fd", "fn", "iov", "len", "ln", "n", "ret"}
SENTENCE = re.compile(r"(?<=[^.\s]\.)\s+(?=[^a-z\s]|rn_|runnel\b)")
PAGE = re.compile(r"([a-z]\w*)\((\d)\)")
# In "Returns", outside of brackets: where a clause ends, and the next may explain an error.
CLAUSE = re.compile(rf";\s+| {{3,}}|(?:, or|, and|,|:) (?=(?:{CODE}|the errors of)\b)")
# A clause that sends the reader elsewhere for more errors.
ELSEWHERE = re.compile(r"(?:all else|the errors of|(?:other )?errors as|what \w+\(\d\) says)\b")


# Headers of a library of their own.
BESIDE = {"dns.h": "runnel-dns"}


class Api:
    """All that the headers declare, by name."""

    def __init__(self, headers):
        self.headers = headers
        self.entries = {e.name: e for h in headers for e in h.entries}
        self.constants = {c for h in headers for c in h.constants}
        errors = self.entries.get("rn_error")
        self.errors = dict(errors.members) if errors else {}

    def meaning(self, code):
        """What "-EX" or "-RN_EX" means in general; None when there is no such number."""
        name = code.lstrip("-")
        if name in USUAL or self.errors.get(name):
            return USUAL.get(name) or self.errors[name]
        number = getattr(errno, name, None)
        return os.strerror(number) if number else None

    def check(self, e, text):
        """No text may speak of what does not exist."""
        for name in re.findall(r"(?<![\w/])rn_[a-z]\w*", text):
            if name not in self.entries:
                raise Bad(e.line, f"{e.name}: its comment speaks of {name}, which does not exist")
        for code in re.findall(r"(?<!\w)" + CODE + r"\b", text):
            if self.meaning(code) is None:
                raise Bad(e.line, f"{e.name}: its comment speaks of {code}, which is no error")


# ---- text to mdoc ----

def escape(word):
    for c, name in ("\\", "\\e"), ("`", "\\(ga"), ("~", "\\(ti"), ("^", "\\(ha"):
        word = word.replace(c, name)
    word = re.sub(r"(?<!\w)-(?=\w)", r"\\-", word)
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in word)


def macro_of(word, api, own):
    """The macro for one word without its punctuation, or None."""
    page = PAGE.fullmatch(word)
    if page:
        return f".Xr {page.group(1)} {page.group(2)}"
    name = word.removesuffix("()")
    if own is not None and name == own.name:
        return f".Fn {name}" if isinstance(own, Function) else f".Vt {name}"
    if name in api.entries:
        return f".Xr {name} 3"
    if re.fullmatch(CODE, word):
        return f".Er \\{word}"
    if word == "NULL" or word in api.constants:
        return f".Dv {word}"
    if isinstance(own, Function) and word.lstrip("*") in [n for _, n in own.params]:
        return f".Fa {word}" if word.lstrip("*") in SHORT or "_" in word else None
    return None


def is_name(word, api, own):
    """Whether a word is one that is written small also at the start of a sentence."""
    bare = re.sub(r"^\W+|\W+$", "", word)
    return (re.match(r"runnel\b", bare) is not None
            or re.search(r"[_\d/*]|\.(?=.)", word) is not None
            or isinstance(own, Function) and bare in SHORT and bare in [n for _, n in own.params])


def sentence(text, api, own):
    """Capital first, full stop last."""
    text = text.strip()
    if not is_name(text.split()[0], api, own):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?", "!", ":")) else text + "."


def prose(text, api, own=None):
    """Lines of mdoc: each sentence begins a line, each macro has its own."""
    lines = []
    for part in SENTENCE.split(sentence(text, api, own)):
        plain = []

        def flush():
            for s in textwrap.wrap(" ".join(plain), 90, break_on_hyphens=False,
                                   break_long_words=False):
                lines.append("\\&" + s if s[0] in ".'" else s)
            plain.clear()

        for word in sentence(part, api, own).split():
            before, core, after = re.fullmatch(r"([(\[]*)(.*?)([)\].,;:!?]*)", word).groups()
            if "(" in core and after.startswith(")"):   # read(2), rn_after()
                core, after = core + ")", after[1:]
            macro = macro_of(core, api, own)
            if macro is None:
                plain.append(escape(word))
                continue
            flush()
            head, rest = macro.split(" ", 1)
            lines.append(" ".join([head, *before, rest, *after]))
        flush()
    return lines


def tagged(rows, macro, api, own):
    """A list of (names, meaning)."""
    out = [".Bl -tag -width Ds"]
    for names, meaning in rows:
        out.append(".It " + " , ".join(f"{macro} {n}" for n in names))
        out += prose(meaning, api, own)
    return out + [".El"]


# ---- what a function returns ----

def cut(text):
    """The clauses of a sentence; one that leads to errors keeps its colon."""
    masked = re.sub(r"\([^()]*\)", lambda m: "(" + "x" * (len(m.group()) - 2) + ")", text)
    parts, start = [], 0
    for m in CLAUSE.finditer(masked):
        parts.append(text[start:m.start()] + (":" if m.group() == ": " else ""))
        start = m.end()
    return [p for p in (*parts, text[start:]) if p.strip()]


def explain(items, api):
    """(codes, meaning) of each (codes, what the comment says); "-EX, -EY: why" is said of both."""
    why, out = "", []
    for codes, said in reversed(items):
        usual = "; ".join(api.meaning(c) for c in codes)
        if said.startswith(":"):
            why = said[1:].strip()
        elif said:
            why = ""
        if not said or said.startswith(":"):
            said = f"{usual}: {why}" if why else usual
        elif said.startswith("("):
            said = f"{usual} {said}"
        out.append((codes, said))
    return out[::-1]


def take_sentence(clauses, is_first, api):
    """What of a sentence tells the result, and what belongs to ERRORS: items, and paragraphs."""
    kept, blocks, items = [], [], []
    for i, clause in enumerate(clauses):
        clause = clause.rstrip(".")
        more = re.fullmatch(rf"({CODE}) and (all else .*)", clause)
        m = re.fullmatch(rf"({CODE}(?: or {CODE})*)(?:\s(\S.*)|(:.*)|)",
                         more.group(1) if more else clause)
        if m:
            items.append((m.group(1).split(" or "), m.group(2) or m.group(3) or ""))
            clause = more.group(2) if more else ""
        if not clause:
            continue
        starts_sentence = i == 0 and not is_first
        if items or blocks or starts_sentence and clause.endswith(":") \
                or ELSEWHERE.match(clause) and not (i == 0 and is_first):
            blocks += explain(items, api) + [clause]
            items = []
        else:
            kept.append(clause.rstrip(":"))
    return "; ".join(kept) + "." if kept else "", blocks + explain(items, api)


def results_of(f, api):
    """The text of RETURN VALUE, and the blocks of ERRORS: (codes, meaning), or a paragraph."""
    text, blocks, first = [], [], True
    for line in f.returns.split("\n"):
        for s in SENTENCE.split(line.strip()):
            kept, more = take_sentence(cut(s), first, api)
            text.append(kept)
            blocks += more
            first = False
    text = " ".join(t for t in text if t)
    like = re.match(r"as (rn_\w+)\.?", text)
    if like:
        other = api.entries[like.group(1)]
        if not getattr(other, "returns", "") or re.match(r"as rn_", other.returns):
            raise Bad(f.line, f"{f.name}: Returns as {other.name}, which says not what it returns")
        theirs, more = results_of(other, api)
        text = f"as {like.group(1)}: {theirs}" + text[like.end():]
        blocks += more
    return text, blocks


def error_lines(blocks, api, f):
    out, rows = [], []
    for block in [*blocks, None]:
        if isinstance(block, tuple):
            rows.append(([escape(c) for c in block[0]], block[1]))
            continue
        if rows:
            out += tagged(rows, "Er", api, f)
            rows = []
        if block:
            out += ([".Pp"] if out else []) + prose(block, api, f)
    return out


# ---- pages ----

def head(title, section, summary, about):
    return [f".Dd {about['date']}", f".Dt {title.upper()} {section}",
            f".Os runnel {about['version']}", ".Sh NAME", f".Nm {title}", f".Nd {escape(summary)}"]


def small(summary, api, e):
    """A summary as NAME has it: without a capital."""
    word = summary.split()[0]
    return summary if is_name(word, api, e) or word.isupper() and len(word) > 1 \
        else summary[0].lower() + summary[1:]


def code(text):
    """What paragraphs() has left as lines."""
    lines = ["\\&" + s if s[:1] in (".", "'") else s for s in map(escape, text[1:].split("\n"))]
    return [".Bd -literal -offset indent", *lines, ".Ed"]


def paragraph_lines(texts, api, e=None):
    out = []
    for text in texts:
        if text.startswith(" "):
            out += code(text)
        else:
            out += ([".Pp"] if out else []) + prose(text, api, e)
    return out


def see_also(lines, also, e):
    names = set(re.findall(r"^\.(?:It )?Xr (?:[(\[] )*(\w+) (\d)", "\n".join(lines), re.M))
    names |= {(n, "3") for n in also} | {("runnel", "7"), ("runnel_functions", "7")}
    names.discard((e.name, "3"))
    names = sorted(names, key=lambda n: (n[1], n[0]))
    return [".Sh SEE ALSO"] + [f".Xr {n} {s}" + (" ," if i + 1 < len(names) else "")
                               for i, (n, s) in enumerate(names)]


def library(header):
    name = BESIDE.get(header, "runnel")
    return [".Sh LIBRARY", f"{name} (lib{name}, \\-l{name})"]


def argument_rows(f, api):
    """(names, meaning) of the arguments; "as for rn_x" says here too what it says there."""
    for names, meaning in f.arguments:
        like = re.fullmatch(r"as for (rn_\w+)", meaning)
        if not like:
            yield names, meaning
            continue
        theirs = getattr(api.entries[like.group(1)], "arguments", [])
        theirs = {n: m for ns, m in theirs for n in ns}
        for name in names:
            if name not in theirs:
                raise Bad(f.line, f"{f.name}: {name} is {meaning}, which has no such argument")
            yield [name], f"{meaning}: {theirs[name]}"


def function_page(f, header, api, about):
    rows = list(argument_rows(f, api))
    lines = library(f.header)
    lines += [".Sh SYNOPSIS", f".In runnel/{f.header}", f".Ft {f.returned}", f".Fo {f.name}"]
    lines += [f'.Fa "{d}"' for d, _ in f.params] or [".Fa void"]
    lines += [".Fc", ".Sh DESCRIPTION"]
    first = sentence(f.summary, api, f) + " " + " ".join(f.prose[:1])
    lines += paragraph_lines([first, *f.prose[1:]], api, f)
    if rows:
        lines += tagged(rows, "Fa", api, f)
    if f.returns:
        text, blocks = results_of(f, api)
        said = SENTENCE.split("Returns " + text)
        lines += [".Sh RETURN VALUE"] + prose(said[0], api, f)
        if blocks:
            lines += ["On failure it returns one of the negative numbers under", ".Sx ERRORS ."]
        lines += prose(" ".join(said[1:]), api, f) if said[1:] else []
        # Where else to look comes last.
        blocks.sort(key=lambda b: isinstance(b, str) and ELSEWHERE.match(b) is not None)
        lines += [".Sh ERRORS"] + error_lines(blocks, api, f) if blocks else []
    lines += [".Sh NOTES"]
    lines += paragraph_lines([*header.prose[-1:], "Effects: " + f.effects], api, f)
    lines += [".Pp", "Source:", f".Pa {f.source}"]
    family = [e.name for e in header.entries
              if isinstance(e, Function) and e.section == f.section]
    types = [n for n in api.entries if re.search(rf"\b{n}\b", f.declaration)]
    lines += see_also(lines, family + types, f)
    return head(f.name, 3, small(f.summary, api, f), about) + lines


def type_page(t, api, about):
    lines = library(t.header)
    lines += [".Sh SYNOPSIS", f".In runnel/{t.header}", ".Bd -literal"]
    lines += [escape(s) for s in t.declaration.split("\n")] + [".Ed", ".Sh DESCRIPTION"]
    lines += paragraph_lines(t.prose, api, t)
    rows = [([name], meaning) for name, meaning in t.members if meaning]
    if rows:
        lines += tagged(rows, "Dv" if t.kind == "enum" else "Va", api, t)
    init = t.name.upper() + "_INIT"
    if init in api.constants:
        lines += [".Pp", f".Dv {init}", "makes it all zero, in C and in C++."]
    users = [e.name for e in api.entries.values() if re.search(rf"\b{t.name}\b", e.declaration)]
    types = [n for n in api.entries if re.search(rf"\b{n}\b", t.declaration)]
    lines += see_also(lines, users + types, t)
    return head(t.name, 3, small(t.summary, api, t), about) + lines


def index_page(api, about):
    lines = [".Sh DESCRIPTION", "Each function and each type has a page in section 3.",
             f"All of the headers but {', '.join(BESIDE)} are included by", ".In runnel/runnel.h ."]
    for h in api.headers:
        if not h.entries:
            continue
        lines += [f".Ss <runnel/{h.name}>: {escape(h.summary)}"] + paragraph_lines(h.prose, api)
        functions = [e for e in h.entries if isinstance(e, Function)]
        for section in dict.fromkeys(e.section for e in functions):
            lines += [".Pp", prose(section, api)[0].rstrip(".") + ":"] if section else []
            lines += index_list([e for e in functions if e.section == section], api)
        types = [e for e in h.entries if not isinstance(e, Function)]
        lines += [".Pp", "Types:"] + index_list(types, api) if types else []
    lines += [".Sh SEE ALSO", ".Xr runnel 1 ,", ".Xr runnel 7"]
    return head("runnel_functions", 7, "all functions and types of the runnel library",
                about) + lines


def index_list(entries, api):
    out = [".Bl -tag -width Ds -compact"]
    for e in entries:
        out += [f".It Xr {e.name} 3", *prose(small(e.summary, api, e), api)]
    return out + [".El"]


def pages_of(api, about):
    """Page by name, and the complaints."""
    pages, found = {}, []
    for header in api.headers:
        for e in header.entries:
            try:
                said = [e.summary, *e.prose]
                said += [e.returns, e.effects, *[m for _, m in e.arguments]] \
                    if isinstance(e, Function) else [m for _, m in e.members]
                api.check(e, "\n".join(said))
                pages[e.name] = function_page(e, header, api, about) if isinstance(e, Function) \
                    else type_page(e, api, about)
            except Bad as bad:
                found.append((e.path, *bad.args))
    return pages, found


def write_page(path, lines):
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


def main():
    folder, out, index, depfile, version, like = sys.argv[1:]
    headers, found = headers_of(folder)
    date = re.search(r"^\.Dd (.*)$", read(like), re.MULTILINE).group(1)
    about = {"date": date, "version": version}
    pages = {}
    if not found:
        api = Api(headers)
        pages, found = pages_of(api, about)
    if not found and not pages:
        found = [(folder, 1, "declares nothing")]
    if found:
        return report(found)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    for name, lines in pages.items():
        write_page(os.path.join(out, name + ".3"), lines)
    write_page(index, index_page(api, about))
    # The folder too: it changes when a header is added.
    with open(depfile, "w", encoding="utf-8") as f:
        f.write(f"{out}: {' '.join([folder, *[os.path.join(folder, h.name) for h in headers]])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
