"""What the lints here need to know of Rust: the files of a crate as modules, and what each names of the others.

No compiler: comments, texts and tests are cut out, `use` and paths are read. What macros make is not seen.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_COMMENT_OR_TEXT = re.compile(
    r'//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|"(?:\\.|[^"\\])*"|b?\'(?:\\.|[^\'\\])\'', re.S)
_TEST = re.compile(r'#\[cfg\((?:test|all\(test[^]]*)\)\]\s*(?:#\[[^]]*\]\s*)*')


def code(text, with_tests=False, same_lines=False):
    """The text of a file without comments, texts and, unless `with_tests`, what is only compiled for tests.

    With `same_lines` what is left stands in the line it stood in.
    """
    def without(found):
        cut = '""' if found.group().startswith(('"', 'r', 'b"')) else ' '
        return cut + '\n' * found.group().count('\n') if same_lines else cut
    text = _COMMENT_OR_TEXT.sub(without, text)
    while not with_tests and (found := _TEST.search(text)):
        end = _end(text, found.end())
        text = text[:found.start()] + text[end:]
    return text


def comments(text):
    """Line and text of each line of a file's comments."""
    for found in _COMMENT_OR_TEXT.finditer(text):
        if found.group().startswith('/'):
            first = text.count('\n', 0, found.start()) + 1
            yield from enumerate(found.group().split('\n'), first)


def _end(text, start):
    """Where the item that begins at `start` ends: at its semicolon, comma or closing brace."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] in '{([':
            depth += 1
        elif text[at] in '})]':
            depth -= 1
            if depth < 0:
                return at
            if depth == 0 and text[at] == '}':
                return at + 1
        elif text[at] in ';,' and depth == 0:
            return at + 1
    return len(text)


def _tree(text):
    """The paths of a `use` tree, each with the name it is known by: `a::{b, c as d}`."""
    text = text.strip()
    brace = text.find('{')
    if brace < 0:
        path, _, alias = text.partition(' as ')
        names = [name.strip() for name in path.split('::')]
        if names[-1] == 'self':
            names.pop()
        return [(names, alias.strip() or names[-1])] if names and names[-1] else []
    head = [name.strip() for name in text[:brace].split('::') if name.strip()]
    parts, depth, begin = [], 0, brace + 1
    for at in range(brace, len(text)):
        if text[at] == '{':
            depth += 1
        elif text[at] == '}':
            depth -= 1
        if (text[at] == ',' and depth == 1) or (text[at] == '}' and depth == 0):
            parts.append(text[begin:at])
            begin = at + 1
    inner = [found for part in parts if part.strip() for found in _tree(part)]
    return [(head + names, alias if names else head[-1]) for names, alias in inner] + \
        [(head, head[-1]) for part in parts if part.strip() == 'self']


class Module:
    """One file of a crate."""

    def __init__(self, path, names):
        self.path, self.names = path, names
        self.code = code(path.read_text())
        self.uses = []       # (path, known as, whether it is handed on)
        for found in re.finditer(r'(?:(pub(?:\([^)]*\))?)\s+)?\buse\s+([^;]+);', self.code):
            for tree, alias in _tree(re.sub(r'\s+', ' ', found.group(2))):
                self.uses.append((tree, alias, bool(found.group(1))))


class Crate:
    """A crate's own files, without its tests."""

    def __init__(self, folder):
        self.name = folder.name
        source = folder / 'src'
        self.modules = {}
        for path in sorted(source.rglob('*.rs')):
            parts = path.relative_to(source).with_suffix('').parts
            if 'tests' in parts or 'testing' in parts:
                continue
            names = () if parts in [('lib',), ('main',)] else parts
            self.modules[names] = Module(path, names)

    def place(self, module, path, depth=0):
        """The module in which what `path` names is written, and what remains of the path; None outside the crate."""
        names = list(path)
        if not names or depth > 8:
            return None
        here = list(module.names)
        if names[0] == 'crate':
            here, names = [], names[1:]
        elif names[0] == 'self':
            names = names[1:]
        elif names[0] == 'super':
            while names and names[0] == 'super':
                here, names = here[:-1], names[1:]
        elif tuple(here + names[:1]) not in self.modules:
            return None
        while names and tuple(here + names[:1]) in self.modules:
            here, names = here + names[:1], names[1:]
        found = self.modules.get(tuple(here))
        if found is None:
            return None
        if names:
            # What is handed on from elsewhere is written there.
            for tree, alias, is_public in found.uses:
                if is_public and alias == names[0] and (tree[0] in ('crate', 'self', 'super')
                                                        or tuple(here + tree[:1]) in self.modules):
                    if elsewhere := self.place(found, list(tree) + names[1:], depth + 1):
                        return elsewhere
        return found, names

    def named(self, module):
        """The other modules that `module` names something of."""
        places = [tree for tree, _, is_public in module.uses if not is_public]
        without_uses = re.sub(r'\buse\s+[^;]+;', '', module.code)
        for found in re.finditer(r'\b([a-z_][a-z0-9_]*)((?:::\w+)+)', without_uses):
            places.append([found.group(1)] + found.group(2)[2:].split('::'))
        for path in places:
            if place := self.place(module, path):
                if place[0] is not module:
                    yield place[0], '::'.join(path)


def crates():
    """Every crate of the workspace."""
    return [Crate(manifest.parent) for manifest in sorted((ROOT / 'crates').glob('*/Cargo.toml'))]
