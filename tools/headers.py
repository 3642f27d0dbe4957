"""headers.py - the public headers as data: functions, types, and what their comments say.

The format is that of "A public function" in CONTRIBUTING.md, and is taken strictly: what does not
follow it is a complaint with file and line, for a page made of a guess would look like the truth.
"""
import os
import re
import textwrap
from dataclasses import dataclass, field

from lint_layers import TOKENS, code_of, files, line_of, read
from lint_public import DECLARATION, comment_above, is_void

SECTION = re.compile(r"^/\* ---- (.*?) ---- \*/$", re.MULTILINE)
TYPE = re.compile(r"^(?:typedef\b|enum\s+\w+\s*\{)", re.MULTILINE)
ARGUMENT = re.compile(r"  ((?:\w+(?:, \w+)*)|\.\.\.)  +(\S.*)")
CODE = r"-(?:RN_)?E[A-Z0-9]+"


class Bad(Exception):
    """A complaint: the line, and what is wrong there."""


@dataclass
class Entry:
    """What functions and types have in common."""
    header: str     # "net.h"
    path: str
    line: int       # of its comment
    name: str
    section: str
    summary: str
    declaration: str
    prose: list = field(default_factory=list)       # paragraphs


@dataclass
class Function(Entry):
    returned: str = ""
    params: list = field(default_factory=list)      # (declaration, name)
    arguments: list = field(default_factory=list)   # (names, meaning)
    returns: str = ""       # an indented line starts after "\n", its items stand three spaces apart
    effects: str = ""
    source: str = ""


@dataclass
class Type(Entry):
    kind: str = ""          # struct, enum, or other
    members: list = field(default_factory=list)     # (name, meaning or "")


@dataclass
class Header:
    name: str
    summary: str
    prose: list
    entries: list
    constants: set          # macros and enumerators


def text_of(comment):
    """The lines of a comment, without its frame; what is indented stays so."""
    lines = comment.strip().removeprefix("/*").removesuffix("*/").rstrip().strip("\n").split("\n")
    return [re.sub(r"^\s*\* ?", "", s).rstrip() if i or s.startswith(" *") else s.strip()
            for i, s in enumerate(lines)]


def paragraphs(lines):
    """Text in one line each; code, which is indented as a whole, with its lines and a blank before."""
    blocks = [p.strip("\n") for p in re.split(r"\n\s*\n", "\n".join(lines)) if p.strip()]
    return [" " + textwrap.dedent(p) if all(s.startswith("    ") for s in p.split("\n"))
            else " ".join(p.split()) for p in blocks]


def split_list(text, separator=","):
    """Splits where no bracket is open."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if c == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [p.strip() for p in parts]


def name_of(declaration):
    """The name that a parameter, a field or a typedef declares."""
    pointer = re.search(r"\(\*(\w+)\)\s*\(", declaration)
    return (pointer or re.search(r"(\w+)\s*(?:\[[^]]*\])*$", declaration)).group(1)


def end_of(code, position):
    """Past the semicolon that ends the declaration at position."""
    depth = 0
    for i in range(position, len(code)):
        depth += (code[i] in "({") - (code[i] in ")}")
        if code[i] == ";" and depth == 0:
            return i + 1
    raise Bad(line_of(code, position), "a declaration without end")


def take_arguments(lines, first, params):
    """The argument lines from lines[1] on: (names, meaning) of each, and the index after them."""
    rows, i = [], 1
    while i < len(lines) and lines[i].startswith("  "):
        m = ARGUMENT.fullmatch(lines[i])
        if m:
            rows.append((first + i, m.group(1).split(", "), m.group(2)))
        elif rows and lines[i].startswith("    "):
            rows[-1] = (*rows[-1][:2], rows[-1][2] + " " + lines[i].strip())
        else:
            raise Bad(first + i, 'an argument is "  name  what it is", two spaces at least between')
        i += 1
    described = [(n, line) for line, names, _ in rows for n in names]
    for name, line in described:
        if name not in params:
            raise Bad(line, f"describes {name}, which is no argument")
    for name in params:
        if name not in [n for n, _ in described]:
            raise Bad(first, f"argument {name} is not described")
    if [n for n, _ in described] != params:
        raise Bad(first, f"arguments are described once, in order: {', '.join(params)}")
    return [(names, meaning) for _, names, meaning in rows], i


def take_parts(lines, first):
    """What follows the arguments, as {"", "Returns", "Effects"}: lists of lines."""
    parts, now = {"": []}, ""
    for i, line in enumerate(lines):
        m = re.match(r"(Returns\b|Effects:) ?", line)
        if m:
            now = m.group(1).rstrip(":")
            if now in parts or now == "Returns" and "Effects" in parts:
                raise Bad(first + i, f'"{now}" stands once, "Returns" before "Effects:"')
            parts[now] = [line[m.end():]]
        else:
            parts[now].append(line)
    return parts


def function_of(m, text, code, header, path, section):
    comment = comment_above(text, m.start())
    returned, name = m.group(1).strip(), m.group(2)
    if not comment:
        raise Bad(line_of(text, m.start()), f"{name}: no comment directly above")
    lines = text_of(comment)
    first = line_of(text, m.start()) - comment.count("\n") + 1   # the line of lines[0]
    head = re.fullmatch(re.escape(name) + r" - (\S.*)", lines[0])
    if not head or not comment.startswith("/*\n"):
        raise Bad(first, f'{name}: its comment must begin "/*\\n * {name} - what it does"')
    declaration = " ".join(code[m.start():end_of(code, m.start())].split())
    declaration = re.sub(r" ?__attribute__\(\(.*\)\);$", ";", declaration)
    params = [p for p in split_list(declaration[declaration.index("(") + 1:-2]) if p != "void"]
    params = [(p, p if p == "..." else name_of(p)) for p in params]
    try:
        arguments, i = take_arguments(lines, first, [n for _, n in params])
        parts = take_parts(lines[i:], first + i)
    except Bad as e:
        raise Bad(e.args[0], f"{name}: {e.args[1]}") from e
    if is_void(returned) == ("Returns" in parts):
        how = "is void but its comment has a" if is_void(returned) else "its comment has no"
        raise Bad(first, f'{name}: {how} line that begins "Returns"')
    returns = "".join(("\n" if s.startswith("  ") else " ") + s.strip() for s in
                      parts.get("Returns", []))
    if "Returns" in parts and not returns.strip():
        raise Bad(first, f'{name}: does not say what it "Returns"')
    effects = " ".join(" ".join(parts.get("Effects", [])).split())
    last = re.fullmatch(r"(\S.*?) Source: (\S+)", effects)
    if not last:
        raise Bad(first, f'{name}: its comment must end "Effects: ... Source: FILE"')
    return Function(header, path, first, name, section, head.group(1), declaration,
                    paragraphs(parts[""]), returned, params, arguments, returns.strip(),
                    last.group(1), last.group(2))


def members_of(body, separator):
    """(declaration, comment) of each field or enumerator; its comment stands above or behind."""
    found, at, now, above, depth = [], 0, "", [], 0

    def finish():
        nonlocal now, above
        if now.strip():
            found.append([" ".join(now.split()), " ".join(above)])
        now, above = "", []

    while at < len(body):
        comment = TOKENS.match(body, at)
        if comment:
            words = " ".join(" ".join(text_of(comment.group())).split())
            # Behind a separator, on the same line: it belongs to what has just ended.
            if found and not now.strip() and "\n" not in now and not found[-1][1]:
                found[-1][1] = words
            else:
                above.append(words)
            at = comment.end()
            continue
        depth += (body[at] in "({") - (body[at] in ")}")
        if body[at] == separator and depth == 0:
            finish()
        else:
            now += body[at]
        at += 1
    finish()
    return found


def type_of(m, text, code, header, path, section):
    end = end_of(code, m.start())
    declaration = code[m.start():end]
    kind = re.match(r"(?:typedef )?(struct|enum)[^;]*\{", declaration)
    kind = kind.group(1) if kind else "other"
    name = re.match(r"enum\s+(\w+)", declaration) or re.search(r"\}\s*(\w+);$", declaration)
    name = name.group(1) if name else name_of(declaration[:-1])
    comment = comment_above(text, m.start())
    line = line_of(text, m.start())
    if not comment or SECTION.fullmatch(comment.strip()):
        raise Bad(line, f"{name}: no comment directly above")
    first = line - comment.count("\n")
    prose = paragraphs(text_of(comment))
    summary = re.split(r"(?<=\.)\s", prose[0])[0].removesuffix(".")
    rows = []
    if kind != "other":
        inner = text[m.start() + declaration.index("{") + 1:m.start() + declaration.rindex("}")]
        rows = members_of(inner, ";" if kind == "struct" else ",")
        rows = [(name_of(d.split(" = ")[0]), c) for d, c in rows]
    bare = [n for n, c in rows if not c]
    if kind == "struct" and 0 < len(bare) < len(rows):
        raise Bad(line, f"{name}: field {bare[0]} has no comment, others have")
    lines = [s.rstrip() for s in declaration.split("\n") if s.strip()]
    return Type(header, path, first, name, section, summary, "\n".join(lines), prose, kind, rows)


def constants_of(code):
    found = set(re.findall(r"^#define (\w+)", code, re.MULTILINE))
    for body in re.findall(r"\benum\b[^;{]*\{([^}]*)\}", code):
        found |= set(re.findall(r"\b(RN_[A-Z_]+)\b", body))
    return found


def header_of(path):
    """A Header, and the complaints about it as (path, line, message)."""
    text = read(path)
    code = code_of(text)
    name = os.path.basename(path)
    top = text_of(text[:text.index("*/") + 2]) if text.startswith("/*\n") else [""]
    head = re.fullmatch(re.escape(name) + " - (.*)", top[0])
    if not head:
        return None, [(path, 1, f'begins with no "/*\\n * {name} - what it is"')]
    header = Header(name, head.group(1), paragraphs(top[1:]), [], constants_of(code))
    starts = [(m.start(), m, make)
              for pattern, make in ((DECLARATION, function_of), (TYPE, type_of))
              for m in pattern.finditer(code)]
    found = []
    for at, m, make in sorted(starts, key=lambda s: s[0]):
        sections = SECTION.findall(text[:at])
        try:
            header.entries.append(make(m, text, code, name, path, sections[-1] if sections else ""))
        except Bad as e:
            found.append((path, *e.args))
    return header, found


def headers_of(folder):
    """All headers, and all complaints."""
    headers, found = [], []
    for path in files([folder], (".h",)):
        header, more = header_of(path)
        headers += [header] if header else []
        found += more
    return headers, found
