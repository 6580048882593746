#!/usr/bin/env python3
"""Verifies a Sallyport audit log, or the receipt of one entry, without Sallyport.

Written from the C2SP specifications (tlog-tiles, tlog-checkpoint, signed-note,
tlog-cosignature, tlog-proof) and RFC 6962 and 8032, with nothing but Python's
standard library, so that what the program's own verifier says can be compared
with what somebody else's says.

  verify.py log DIR --key VKEY [--checkpoint FILE] [--anchor FILE]
                    [--witness VKEY ... --quorum N]
  verify.py receipt FILE --key VKEY [--witness VKEY ... --quorum N]

DIR is what "sallyport audit save DIR" wrote: checkpoint, tile/..., and perhaps
cosigned and kept, which a pruned log has. Each finding is a line "KIND INDEX: text"; exit code 0 says that there is
none, 1 that there is one, 2 that the command line is wrong.
"""

import argparse
import base64
import binascii
import datetime
import hashlib
import json
import os
import sys

# ---------------------------------------------------------------- Ed25519, RFC 8032

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(a, b):
    """Adds two points in extended coordinates."""
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e = (y1 - x1) * (y2 - x2) % P
    f = (y1 + x1) * (y2 + x2) % P
    g = 2 * t1 * t2 * D % P
    h = 2 * z1 * z2 % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, point):
    """n times a point. Everything here is public, so its time may depend on n."""
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = add(out, point)
        point = add(point, point)
        n >>= 1
    return out


def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def decode(b):
    """Reads a point from 32 bytes; None where they are none."""
    y = int.from_bytes(b, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * ROOT % P
    if (x * x - x2) % P or x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(key, message, signature):
    """Says whether the signature is the key's over the message."""
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r = decode(key), decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    return same(times(s, BASE), add(r, times(h, a)))


# ---------------------------------------------------------------- notes and checkpoints

LOG, WITNESS = 1, 4  # types of key, C2SP signed-note


class Bad(Exception):
    """Something is wrong with what is verified: a kind, an index, and words."""

    def __init__(self, kind, text, index=-1):
        super().__init__(text)
        self.kind, self.index = kind, index


def base(text):
    """Base64 in its one form."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None


class Key:
    """A verifier key: name+hash+base64(type || key)."""

    def __init__(self, text, kind):
        parts = text.split("+", 2)
        raw = base(parts[2]) if len(parts) == 3 else None
        if raw is None or len(raw) != 33 or raw[0] != kind:
            raise ValueError("not a verifier key of this kind: " + text)
        self.text, self.name, self.kind, self.key = text, parts[0], kind, raw[1:]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if not self.name or parts[1] != self.id.hex():
            raise ValueError("the verifier key's hash is not its own: " + text)

    def verify(self, text, signature):
        if self.kind == LOG:
            return ed25519(self.key, text, signature)
        if len(signature) != 72:
            return False
        at = int.from_bytes(signature[:8], "big")
        if at == 0 or at >= 2**63:
            return False
        return ed25519(self.key, b"cosignature/v1\ntime %d\n" % at + text, signature[8:])


def note(raw, keys):
    """Opens a signed note: its text, and which of the keys have signed it. A wrong
    signature in the name of one of them spoils the whole."""
    text, cut, rest = raw.rpartition(b"\n\n")
    if not cut or not rest.endswith(b"\n") or len(raw) > 1_000_000:
        raise ValueError("not a signed note")
    text += b"\n"
    raw.decode("utf-8")
    if any(c < 0x20 and c != 0x0A for c in raw):
        raise ValueError("a note with control characters")
    lines, signers = rest[:-1].split(b"\n"), []
    if len(lines) > 100:
        raise ValueError("too many signatures")
    for line in lines:
        fields = line.decode("utf-8").split(" ")
        signature = base(fields[2]) if len(fields) == 3 and fields[0] == "\u2014" else None
        if signature is None or len(signature) < 5 or not fields[1] or "+" in fields[1]:
            raise ValueError("a signature line is malformed")
        for key in keys:
            if key.name == fields[1] and key.id == signature[:4] and key not in signers:
                if not key.verify(text, signature[4:]):
                    raise ValueError("a signature in the name of %s is wrong" % key.name)
                signers.append(key)
    return text, signers


class Checkpoint:
    """The text of a checkpoint: origin, size, root, and no extensions but ours."""

    def __init__(self, text):
        lines = text.decode("utf-8").split("\n")
        if len(lines) not in (4, 5) or lines[-1] != "":
            raise ValueError("not a checkpoint")
        self.origin, size, root = lines[0], lines[1], base(lines[2])
        if not self.origin or not size.isdecimal() or size != str(int(size)) or size == "0" or root is None or len(root) != 32:
            raise ValueError("not a checkpoint")
        self.size, self.root, self.next = int(size), root, None
        if len(lines) == 5:
            if not lines[3].startswith("next-key "):
                raise ValueError("a checkpoint with an extension that is not known")
            self.next = lines[3][len("next-key "):]


def unsigned(raw):
    """What a checkpoint says, whoever signed it."""
    c = Checkpoint(note(raw, [])[0])
    if c.next is not None:
        raise ValueError("not a checkpoint")
    return c


def signed(raw, key, witnesses=()):
    """A checkpoint that the key signed, and the names of the witnesses that did."""
    text, signers = note(raw, [key, *witnesses])
    c = Checkpoint(text)
    if key not in signers or c.origin != key.name or c.next is not None:
        raise ValueError("the checkpoint is not signed by the log's key")
    return c, [w.name for w in witnesses if w in signers]


def handover(raw, key):
    """A note in which a key names the one that follows it."""
    text, signers = note(raw, [key])
    c = Checkpoint(text)
    if key not in signers or c.origin != key.name or c.next is None:
        raise ValueError("the key before has not signed which is next")
    following = Key(c.next, LOG)
    if following.name != key.name:
        raise ValueError("the next key is of another log")
    return c, following


# ---------------------------------------------------------------- the tree, RFC 6962


def leaf(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree: the roots of its complete subtrees, the largest first."""

    def __init__(self):
        self.size, self.tops = 0, []

    def add(self, h):
        """Adds a leaf; gives the root of every subtree that it completes, by level."""
        made = [h]
        n = self.size
        while n & 1:
            h = node(self.tops.pop(), h)
            made.append(h)
            n >>= 1
        self.tops.append(h)
        self.size += 1
        return made

    def root(self):
        h = None
        for top in reversed(self.tops):
            h = top if h is None else node(top, h)
        return h


def included(h, index, size, proof):
    """The root that an inclusion proof leads to (RFC 9162, section 2.1.3.2)."""
    fn, sn = index, size - 1
    for p in proof:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            h = node(p, h)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            h = node(h, p)
        fn, sn = fn >> 1, sn >> 1
    return h if sn == 0 else None


# ---------------------------------------------------------------- entries


def parse_entry(raw):
    """An entry is canonical JSON (RFC 8785) of an object; times have milliseconds."""
    def pairs(items):
        out = dict(items)
        if len(out) != len(items):
            raise ValueError("a key is there twice")
        return out

    e = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs, parse_float=refuse, parse_constant=refuse)
    if not isinstance(e, dict) or e.get("v") != 1 or type(e.get("index")) is not int or not isinstance(e.get("type"), str):
        raise ValueError("not an entry")
    again = json.dumps(e, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if again.encode("utf-8") != raw:
        raise ValueError("not in canonical form")
    e["ms"] = millis(e["at"])
    return e


def refuse(text):
    raise ValueError("an entry has no such number: " + text)


def millis(text):
    at = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    if len(text) != len("2006-01-02T15:04:05.000Z"):
        raise ValueError("not a time")
    return int((at - datetime.datetime(1970, 1, 1)) / datetime.timedelta(milliseconds=1))


def tenant(origin):
    return origin.rpartition("/log/")[2]


# ---------------------------------------------------------------- a directory of tiles

WIDTH = 256
SLACK = 15 * 60_000  # milliseconds by which an entry may be earlier than those before


def number(n):
    """A tile's number in path elements of three digits."""
    parts = ["%03d" % (n % 1000)]
    while n >= 1000:
        n //= 1000
        parts.insert(0, "x%03d" % (n % 1000))
    return "/".join(parts)


def parse_kept(raw, size):
    """What a pruned log has below its minimum index: the index, and the entries that
    were kept, by theirs."""
    head, cut, rest = raw.partition(b"\n")
    minimum = int(head) if head.isdigit() and len(head) < 20 else 0
    if not cut or str(minimum).encode() != head or minimum == 0 or minimum % WIDTH or minimum > size:
        raise ValueError("it has no minimum index")
    kept, last = {}, -1
    while rest:
        index, end = int.from_bytes(rest[:8], "big"), 10 + int.from_bytes(rest[8:10], "big")
        if len(rest) < 10 or len(rest) < end or index >= minimum or index <= last:
            raise ValueError("it is not a list of entries in their order")
        kept[index], rest, last = rest[10:end], rest[end:], index
    return minimum, kept


class Log:
    """Verifies a directory from its first entry."""

    def __init__(self, directory, args):
        self.dir, self.findings = directory, []
        self.args, self.missing = args, set()
        self.keys, self.roots, self.latest = [], {}, 0
        self.tiles = {}
        self.minimum, self.kept_entries = 0, {}  # below the one, only the others are there
        self.pruned = None  # what the last entry about it says: its index, minimum, count, digest
        self.pruned_bad = ""

    def find(self, kind, index, text):
        self.findings.append((kind, index, text))

    def read(self, path, most=WIDTH * (2 + 61440) + 1):
        try:
            with open(os.path.join(self.dir, *path.split("/")), "rb") as f:
                return f.read(most)
        except FileNotFoundError:
            return None

    def tile(self, level, n, quiet=False):
        """The hashes of a tile, or None where it is missing or has another length."""
        if self.tiles.get(level, (None,))[0] != n:
            have = (self.size >> (8 * level)) - n * WIDTH
            width = min(WIDTH, have)
            raw = self.read("tile/%d/%s%s" % (level, number(n), "" if width == WIDTH else ".p/%d" % width))
            hashes = None
            if raw is not None and len(raw) == 32 * width:
                hashes = [raw[i:i + 32] for i in range(0, len(raw), 32)]
            elif not quiet:
                self.find("hash-missing", n * WIDTH, "tile %d of level %d is missing or has another length" % (n, level))
            self.tiles[level] = (n, hashes)
        return self.tiles[level][1]

    def bundle(self, n):
        width = min(WIDTH, self.size - n * WIDTH)
        if n * WIDTH < self.minimum:  # a multiple of WIDTH
            return [self.kept_entries.get(n * WIDTH + k) for k in range(width)], width
        raw = self.read("tile/entries/%s%s" % (number(n), "" if width == WIDTH else ".p/%d" % width))
        out = []
        while raw and len(out) < width:
            end = 2 + int.from_bytes(raw[:2], "big")
            if len(raw) < end or len(raw) < 2 or len(out) == width - 1 and len(raw) > end:
                out.append(raw)
                break
            out.append(raw[2:end])
            raw = raw[end:]
        return out, width

    def verify(self):
        raw = self.read("checkpoint")
        if raw is None:
            return self.find("log-missing", -1, "there is no checkpoint")
        try:
            c = unsigned(raw)
        except ValueError as e:
            return self.find("checkpoint-bad", -1, str(e))
        self.size, self.origin, self.root = c.size, c.origin, c.root
        raw_kept = self.read("kept", 32 << 20)
        if raw_kept is not None:
            try:  # one that can't be read says nothing: then the entries are missing
                self.minimum, self.kept_entries = parse_kept(raw_kept, self.size)
            except ValueError:
                pass
        kept = self.kept()
        for _, k, _ in kept:
            self.roots[k.size] = None
        self.walk()
        self.prunings()
        self.signer(raw)
        self.continues(kept)

    def kept(self):
        """Checkpoints that the log has to continue: words, checkpoint, bytes."""
        out = []
        if self.args.checkpoint:
            with open(self.args.checkpoint, "rb") as f:
                raw = f.read()
            out.append(("the kept checkpoint", unsigned(raw), raw))
        if self.args.anchor:
            with open(self.args.anchor, "rb") as f:
                lines = f.read().split(b"\n")[:-1]
            for i, line in enumerate(lines):
                try:
                    raw = json.loads(line)["checkpoint"].encode()
                    c = unsigned(raw)
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.find("anchor-malformed", -1, "line %d of the anchor is no checkpoint" % (i + 1))
                    continue
                if c.origin == self.origin:
                    out.append(("line %d of the anchor" % (i + 1), c, raw))
        raw = self.read("cosigned")
        if raw is not None:
            try:
                c = unsigned(raw)
                if c.origin != self.origin:
                    raise ValueError("it is of another log")
                out.append(("the cosigned checkpoint", c, raw))
            except ValueError as e:
                self.find("checkpoint-bad", -1, "the cosigned checkpoint: %s" % e)
        return out

    def walk(self):
        """Builds the tree of the entries and that of the leaf tiles side by side."""
        entries, leaves, torn, gone, differ, off = Tree(), Tree(), False, 0, [], []
        self.torn = False
        for n in range((self.size + WIDTH - 1) // WIDTH):
            bundle, width = self.bundle(n)
            hashes = self.tile(0, n, quiet=not bundle)
            if not bundle and hashes is None:
                self.torn, gone = True, gone + 1
                self.find("entry-missing", n * WIDTH, "a bundle is missing, with its hashes")
                if gone == 64:  # the size is not to be believed
                    break
                continue
            gone = 0
            if len(bundle) < width:
                self.find("entry-missing", n * WIDTH + len(bundle), "%d entries are missing" % (width - len(bundle)))
            for k in range(width):
                i = n * WIDTH + k
                entry = leaf(bundle[k]) if k < len(bundle) and bundle[k] is not None else None
                stored = hashes[k] if hashes else entry
                if entry is not None:
                    self.entry(i, bundle[k], entries)
                    if entry != stored:
                        differ.append(i)
                if self.torn or stored is None:
                    self.torn = True
                    continue
                made = entries.add(entry or stored)
                made2 = leaves.add(stored)
                self.upper(i, made, made2, off)
                if i + 1 in self.roots:
                    self.roots[i + 1] = (entries.root(), leaves.root())
        self.judge(entries, leaves, differ, off)

    def upper(self, i, made, made2, off):
        """Compares what the leaf completes with the tiles of the levels above."""
        for level in range(8, len(made), 8):
            at = i >> level
            hashes = self.tile(level // 8, at // WIDTH)
            if hashes is not None and at % WIDTH < len(hashes):
                h = hashes[at % WIDTH]
                off.append((level // 8, at, h != made[level], h != made2[level]))

    def judge(self, entries, leaves, differ, off):
        """Which of the two trees was signed says what was altered."""
        whole = not self.torn and entries.size == self.size
        ours = whole and entries.root() == self.root
        if ours:
            for i in differ:
                self.find("hash-altered", i, "a leaf hash is not its entry's")
        else:
            for i in differ:
                self.find("entry-altered", i, "it is not what was hashed")
            if whole and leaves.root() != self.root:
                self.find("root-mismatch", -1, "neither the entries nor the tiles make the signed root")
        for level, at, bad, bad2 in off:
            if bad if ours else bad2:
                self.find("hash-altered", at, "hash %d of level %d is not that of the tiles below" % (at, level))

    def entry(self, i, raw, tree):
        try:
            e = parse_entry(raw)
        except (ValueError, KeyError, RecursionError) as err:
            return self.find("entry-malformed", i, str(err))
        if e["index"] != i or e.get("tenant") != tenant(self.origin):
            self.find("entry-misplaced", i, "it says that it is entry %s of tenant %s" % (e["index"], e.get("tenant")))
        if (i == 0) != (e["type"] == "log.opened"):
            self.find("key-changed", i, "the log has to begin, once, with the key that signs it")
        self.key(i, e, tree)
        if e["type"] == "log.pruned":
            self.prunes(i, e)
        if e["ms"] < self.latest - SLACK:
            if e["type"] != "log.clock_accepted":
                self.find("clock-back", i, "it is earlier than an entry before it")
            self.latest = e["ms"]
        self.latest = max(self.latest, e["ms"])

    def prunes(self, i, e):
        """An entry that says what was pruned."""
        f = e.get("fields", {})
        minimum, count = f.get("minimum"), f.get("kept")
        before = self.pruned[1] if self.pruned else 0
        if type(minimum) is not int or type(count) is not int or not 0 < minimum <= i or minimum % WIDTH or not 0 <= count <= minimum:
            self.pruned_bad = "entry %d does not say what was pruned" % i
        elif minimum <= before:
            self.pruned_bad = "entry %d says that less was pruned than before" % i
        else:
            self.pruned = (i, minimum, count, f.get("digest"))

    def prunings(self):
        """Whether what is gone below the minimum index was pruned, as the log says."""
        at, minimum, count, digest = self.pruned or (-1, 0, 0, "")
        have = hashlib.sha256(b"".join(i.to_bytes(8, "big") for i in self.kept_entries)).hexdigest()
        if self.pruned_bad:
            self.find("pruned-bad", -1, self.pruned_bad)
        elif minimum != self.minimum:
            self.find("pruned-bad", -1, "entries below %d are gone, and the log says that those below %d were pruned" % (self.minimum, minimum))
        elif minimum and (count, digest) != (len(self.kept_entries), have):
            self.find("pruned-bad", -1, "the entries below %d are not those that entry %d says were kept" % (minimum, at))

    def key(self, i, e, tree):
        """Follows the log's keys: each has signed which is next."""
        fields = e.get("fields", {})
        try:
            if i == 0 and e["type"] == "log.opened":
                self.keys = [Key(fields["verifier"], LOG)]
            elif e["type"] == "log.key_rotated":
                c, following = handover(fields["handover"].encode(), self.keys[-1])
                if following.text != fields["verifier"] or c.size != i or self.torn or c.root != tree.root():
                    raise ValueError("not this key, or not over this log")
                self.keys.append(following)
        except (ValueError, KeyError, IndexError, AttributeError, TypeError) as err:
            self.find("handover-bad", i, "the key before it has not signed this entry's key: %s" % err)

    def signer(self, raw):
        if not self.keys:
            return
        if self.args.key and self.args.key.text not in [k.text for k in self.keys]:
            self.find("key-changed", -1, "the log does not begin with the given key, nor does it come to it")
        try:
            signed(raw, self.keys[-1])
        except ValueError as e:
            self.find("checkpoint-bad", -1, str(e))

    def continues(self, kept):
        most = 0
        for words, c, raw in kept:
            good = False
            for key in self.keys:
                try:
                    _, names = signed(raw, key, self.args.witness)
                    good, most = True, max(most, len(names))
                except ValueError:
                    try:
                        signed(raw, key)
                        good = True
                    except ValueError:
                        pass
            if not good:
                self.find("kept-unverifiable", -1, words + " is not signed by the log's key")
            roots = self.roots.get(c.size)
            if c.size > self.size or roots is None:
                self.find("truncated", -1, "the log has not the %d entries that %s covers" % (c.size, words))
            elif c.root not in roots:
                self.find("forked", -1, "its first %d entries are not those that %s covers" % (c.size, words))
        if most < self.args.quorum:
            self.find("witnesses-missing", -1, "%d of the known witnesses have cosigned, %d are needed" % (most, self.args.quorum))


# ---------------------------------------------------------------- a receipt


def split(raw):
    out = []
    while raw:
        end = 2 + int.from_bytes(raw[:2], "big")
        if len(raw) < max(2, end):
            raise ValueError("its extra data are not an entry and handovers")
        out.append(raw[2:end])
        raw = raw[end:]
    return out


def parse_receipt(raw):
    """A C2SP tlog-proof: extra data, index, hashes, checkpoint."""
    if len(raw) > 1 << 20:
        raise ValueError("it is too large")
    head, cut, checkpoint = raw.partition(b"\n\n")
    lines = head.decode("ascii").split("\n")
    if not cut or lines[0] != "c2sp.org/tlog-proof@v1" or len(lines) < 3 or len(lines) > 3 + 63:
        raise ValueError("it is not a c2sp.org/tlog-proof@v1")
    extra = base(lines[1][len("extra "):]) if lines[1].startswith("extra ") else None
    index = lines[2][len("index "):] if lines[2].startswith("index ") else ""
    proof = [base(line) for line in lines[3:]]
    if extra is None or not index.isdecimal() or index != str(int(index)) or int(index) >= 2**63 or any(h is None or len(h) != 32 for h in proof):
        raise ValueError("it has not the lines of a proof")
    parts = split(extra)
    if not parts:
        raise ValueError("it has no entry")
    return parts[0], parts[1:], int(index), proof, checkpoint


def verify_receipt(raw, args):
    try:
        entry, handovers, index, proof, checkpoint = parse_receipt(raw)
    except ValueError as e:
        raise Bad("receipt-malformed", str(e))
    keys = [args.key]
    for h in handovers:
        try:
            keys.append(handover(h, keys[-1])[1])
        except ValueError:
            pass
    for key in keys:
        try:
            c, names = signed(checkpoint, key, args.witness)
            break
        except ValueError as e:
            why = str(e)
    else:
        raise Bad("checkpoint-bad", why)
    if index >= c.size or included(leaf(entry), index, c.size, proof) != c.root:
        raise Bad("not-included", "the entry is not entry %d of the log that the checkpoint is of" % index)
    try:
        e = parse_entry(entry)
    except (ValueError, KeyError, RecursionError) as err:
        raise Bad("entry-malformed", str(err))
    if e["index"] != index or e.get("tenant") != tenant(c.origin):
        raise Bad("entry-misplaced", "it says that it is another entry")
    if len(names) < args.quorum:
        raise Bad("witnesses-missing", "%d of the known witnesses have cosigned, %d are needed" % (len(names), args.quorum))
    return entry, c, names


# ---------------------------------------------------------------- the command line


def arguments():
    p = argparse.ArgumentParser(description="Verifies a Sallyport audit log, or a receipt, without Sallyport.")
    verbs = p.add_subparsers(dest="verb", required=True)
    for name, what in (("log", "the directory that the log was saved to"), ("receipt", "the receipt's file")):
        v = verbs.add_parser(name)
        v.add_argument("path", help=what)
        v.add_argument("--key", required=name == "receipt", type=lambda s: Key(s, LOG), help="the log's verifier key as you know it")
        v.add_argument("--witness", action="append", default=[], type=lambda s: Key(s, WITNESS), help="a witness's verifier key")
        v.add_argument("--quorum", type=int, default=0, help="how many of them have to have cosigned")
        if name == "log":
            v.add_argument("--checkpoint", help="a checkpoint that you kept")
            v.add_argument("--anchor", help="an anchor file")
    return p.parse_args()


def main():
    args = arguments()
    if len({w.key for w in args.witness}) != len(args.witness) or args.quorum > len(args.witness):
        print("a witness is named twice, or more are needed than are known", file=sys.stderr)
        return 2
    if args.verb == "receipt":
        with open(args.path, "rb") as f:
            raw = f.read((1 << 20) + 1)
        try:
            entry, c, names = verify_receipt(raw, args)
        except Bad as e:
            print("%s %d: %s" % (e.kind, e.index, e))
            return 1
        print(entry.decode())
        print("ok: an entry of %s, of which %d entries were signed; seen by: %s" % (c.origin, c.size, ", ".join(names) or "no known witness"))
        return 0
    log = Log(args.path, args)
    log.verify()
    told = set()
    for i, (kind, index, text) in enumerate(log.findings):
        if i < 100 or kind not in told:
            print("%s %d: %s" % (kind, index, text))
        told.add(kind)
    if log.findings:
        return 1
    print("ok: %d entries of %s" % (log.size, log.origin))
    if log.minimum:
        print("those below %d were pruned, but for %d, as entry %d says" % (log.minimum, len(log.kept_entries), log.pruned[0]))
    if not args.key:
        print("the key was read from the log itself: compare it with one that you kept: %s" % log.keys[0].text, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
