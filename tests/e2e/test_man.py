#!/usr/bin/env python3
"""test_man.py BUILD_DIR [NAME...] - each public function has its manual page, which says what its comment says."""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

from e2e import BUILD, Skip, main, need

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
HEADERS = os.path.join(ROOT, "include", "runnel")
GOOD = """/*
 * x.h - a header
 *
 * Some rules.
 */
#define RN_X_INIT RN_INIT

/* A thing. All zero is none. */
typedef struct rn_x {
    int a; /* the first */
    /* The second. */
    void (*fn)(void *arg, int a);
} rn_x;

/*
 * rn_x_do - do it
 *   x      thing
 *   n, fn  how often, and what
 * It is done.
 * Returns how often; -EINVAL a bad n; -ENOMEM.
 * Effects: none. Source: src/x.c
 */
RN_API int rn_x_do(rn_x *x, int n, void (*fn)(void *arg, int a));

/*
 * rn_x_end - end it
 *   x  as for rn_x_do
 * Effects: none. Source: src/x.c
 */
RN_API void rn_x_end(rn_x *x);
"""


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


@contextlib.contextmanager
def installed():
    """The man folder that meson install leaves."""
    root = tempfile.mkdtemp()
    try:
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--tags", "man", "--destdir",
                        root], check=True, capture_output=True)
        yield os.path.join(root, "usr/local/share/man")
    finally:
        shutil.rmtree(root)


@contextlib.contextmanager
def generated(**headers):
    """What tools/man.py makes of headers, given by name: the result, and its folder."""
    folder = tempfile.mkdtemp()
    try:
        os.mkdir(os.path.join(folder, "in"))
        for name, text in headers.items():
            with open(os.path.join(folder, "in", name + ".h"), "w", encoding="utf-8") as f:
                f.write(text)
        out = [os.path.join(folder, n) for n in ("man3", "all.7", "d")]
        result = subprocess.run(
            [sys.executable, "-B", os.path.join(ROOT, "tools", "man.py"), os.path.join(folder, "in"),
             *out, "1.2.3", os.path.join(ROOT, "docs", "man", "runnel.7")],
            capture_output=True, text=True, check=False)
        yield result, folder
    finally:
        shutil.rmtree(folder)


def rendered(path):
    """The page as plain text in one long line, hyphenation undone."""
    text = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=1000", path], capture_output=True,
                          text=True, check=True).stdout
    return " ".join(re.sub(r".\x08", "", text).split())


def public_functions():
    """(comment, name, parameters) of each function, found in a simpler way than tools/man.py does."""
    for header in sorted(os.listdir(HEADERS)):
        text = read(os.path.join(HEADERS, header))
        for m in re.finditer(r"/\*\n((?: \*[^/].*\n)+) \*/\nRN_API [^;]*?\b(rn_\w+)\(([^;]*)\);", text):
            yield m.group(1), m.group(2), re.sub(r"\)\s*__attribute__.*", "", m.group(3), flags=re.S)


def refused(old, new, line, message):
    """The header with one change is refused, at that line, with that message; and nothing is written."""
    assert GOOD.count(old) == 1, old
    with generated(x=GOOD.replace(old, new)) as (result, folder):
        place = os.path.join(folder, "in", "x.h")
        assert result.returncode == 1, result
        assert f"{place}:{line}: {message}" in result.stdout, result.stdout
        assert not result.stderr, result.stderr
        assert not os.path.exists(os.path.join(folder, "man3"))


def test_each_public_function_has_an_installed_page_that_says_what_its_comment_says():
    need("mandoc")
    n = 0
    with installed() as man:
        for comment, name, params in public_functions():
            path = os.path.join(man, "man3", name + ".3")
            assert os.path.exists(path), f"{name} has no page"
            page = rendered(path)
            for code in re.findall(r"-(?:RN_)?E[A-Z0-9]{3,}", comment):
                assert code in page, f"{name}: {code} is not in its page"
            for param in re.findall(r"\b(\w+)(?:\)\([^)]*\))?(?:,|$)", params):
                assert param == "void" or re.search(rf"DESCRIPTION.* {param}\b", page), f"{name}: {param}"
            source = re.search(r"Source: (\S+)", comment).group(1)
            assert f"Source: {source}" in page, f"{name}: {source}"
            n += 1
        declared = sum(len(re.findall(r"^RN_API ", read(os.path.join(HEADERS, h)), re.M))
                       for h in os.listdir(HEADERS))
        assert n == declared > 50, (n, declared)


def test_pages_are_correct_mdoc():
    need("mandoc")
    with installed() as man:
        pages = [os.path.join(man, s, p) for s in ("man1", "man3", "man7")
                 for p in os.listdir(os.path.join(man, s))]
        assert len(pages) > 80, pages
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True,
                              text=True, check=False)
        assert lint.returncode == 0 and not lint.stdout, lint.stdout


def test_man_finds_and_shows_an_installed_page():
    need("man")
    with installed() as man:
        shown = subprocess.run(["man", "-M", man, "3", "rn_read"], capture_output=True, text=True,
                               env=dict(os.environ, MANPAGER="cat", PAGER="cat", MANWIDTH="120",
                                        LC_ALL="C.UTF-8", TERM="dumb"), check=False)
        if re.search("has been minimized|groff|No such file", shown.stdout + shown.stderr):
            raise Skip("man cannot show pages here")
        page = " ".join(re.sub(r".\x08", "", shown.stdout).split())
        assert "rn_read(rn_conn *conn, void *buf, size_t len);" in page, shown
        assert "#include <runnel/net.h>" in page, page
        assert re.search(r"conn\W+Open stream; one reader at a time\.", page), page
        assert re.search(r".EBUSY\W+Another reader\.", page), page


def test_struct_page_lists_its_fields():
    need("mandoc")
    with installed() as man:
        page = rendered(os.path.join(man, "man3", "rn_run_options.3"))
    assert "size_t stack_bytes;" in page, page
    assert re.search(r"grace_ns How long .*; 0: 5 s\.", page), page
    assert re.search(r"SEE ALSO.*rn_run\(3\)", page), page


def test_list_names_every_page():
    need("mandoc")
    with installed() as man:
        names = {p.removesuffix(".3") for p in os.listdir(os.path.join(man, "man3"))}
        listed = set(re.findall(r"(rn_\w+)\(3\)",
                                rendered(os.path.join(man, "man7", "runnel_functions.7"))))
    assert names == listed, names ^ listed


def test_what_a_page_says_comes_from_the_comment():
    need("mandoc")
    with generated(x=GOOD) as (result, folder):
        assert result.returncode == 0, result
        do, end, thing = (rendered(os.path.join(folder, "man3", n + ".3"))
                          for n in ("rn_x_do", "rn_x_end", "rn_x"))
        depends = read(os.path.join(folder, "d")).split()
        assert os.path.join(folder, "in", "x.h") in depends and os.path.join(folder, "in") in depends
    assert "rn_x_do(rn_x *x, int n, void (*fn)(void *arg, int a));" in do, do
    assert "Do it. It is done." in do and "n, fn How often, and what." in do, do
    assert "RETURN VALUE Returns how often. On failure" in do, do
    assert "ERRORS -EINVAL A bad n. -ENOMEM Out of memory. NOTES Some rules." in do, do
    assert "x As for rn_x_do(3): thing." in end and "RETURN VALUE" not in end, end
    assert "a The first. fn The second. RN_X_INIT" in thing, thing


def test_code_in_a_comment_keeps_its_lines():
    source = GOOD.replace(" * Some rules.\n", " *     if (x)\n *         y(1);\n *     ...\n *\n * Some rules.\n")
    with generated(x=source) as (result, folder):
        assert result.returncode == 0, result
        page = read(os.path.join(folder, "all.7"))
    assert ".Bd -literal -offset indent\nif (x)\n    y(1);\n\\&...\n.Ed\n.Pp\nSome rules.\n" in page, page


def test_page_of_a_function_that_is_gone_goes_too():
    with generated(x=GOOD) as (result, folder):
        assert result.returncode == 0, result
        header = os.path.join(folder, "in", "x.h")
        with open(header, "w", encoding="utf-8") as f:
            f.write(GOOD[:GOOD.index("/*\n * rn_x_end")])
        subprocess.run(result.args, check=True)
        assert sorted(os.listdir(os.path.join(folder, "man3"))) == ["rn_x.3", "rn_x_do.3"]


def test_argument_without_description_is_refused():
    refused(" *   x      thing\n", "", 16, "rn_x_do: argument x is not described")


def test_description_without_argument_is_refused():
    refused(" *   x      thing\n", " *   y      thing\n", 17, "rn_x_do: describes y, which is no argument")


def test_arguments_out_of_order_are_refused():
    refused("n, fn", "fn, n", 16, "rn_x_do: arguments are described once, in order: x, n, fn")


def test_argument_line_without_gap_is_refused():
    refused(" *   x      thing\n", " *   x is a thing\n", 17, 'rn_x_do: an argument is "  name')


def test_missing_returns_is_refused():
    refused(" * Returns how often; -EINVAL a bad n; -ENOMEM.\n", "", 16, "rn_x_do: its comment has no line")


def test_returns_of_a_void_function_is_refused():
    refused(" *   x  as for rn_x_do\n", " *   x  as for rn_x_do\n * Returns 0.\n", 26,
            "rn_x_end: is void but")


def test_missing_effects_and_source_are_refused():
    refused(" * It is done.\n * Returns how often; -EINVAL a bad n; -ENOMEM.\n * Effects: none. Source: src/x.c\n",
            " * Returns 0.\n", 16, 'rn_x_do: its comment must end "Effects: ... Source: FILE"')


def test_wrong_name_and_missing_comment_are_refused():
    refused(" * rn_x_do - do it\n", " * rn_x_du - do it\n", 16, "rn_x_do: its comment must begin")
    refused(" */\nRN_API int", " */\n\nRN_API int", 24, "rn_x_do: no comment directly above")


def test_type_without_comment_is_refused():
    refused("/* A thing. All zero is none. */\n", "", 8, "rn_x: no comment directly above")
    refused(" /* the first */", "", 9, "rn_x: field a has no comment, others have")


def test_name_or_error_that_does_not_exist_is_refused():
    refused("It is done.", "See rn_y.", 16, "rn_x_do: its comment speaks of rn_y, which does not exist")
    refused("-EINVAL a", "-EINVALID a", 16, "rn_x_do: its comment speaks of -EINVALID, which is no error")
    refused("as for rn_x_do", "as for rn_x", 26, "rn_x_end: x is as for rn_x, which has no such argument")


main(globals())
