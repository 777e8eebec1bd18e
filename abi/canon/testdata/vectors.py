#!/usr/bin/env python3
"""Computes vectors.jsonl with the specification's own definitions.

    python3 vectors.py <component-model>/design/mvp/canonical-abi > vectors.jsonl

A line is a type, the layout of it, a value (in the shape of canon.Value), and
what lowering that value does: the flat core values, the calls of realloc (old,
old size, alignment, new size) and the memory from HEAP on. Realloc hands out
8-aligned memory upwards from HEAP, copies, and never frees.
"""
import json, random, struct, sys

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import definitions as d

d.DETERMINISTIC_PROFILE = True
HEAP, SIZE = 64, 1 << 16
rng = random.Random(1)
TEXTS = ["", "a", "hello", "é", "aé", "ÿĀ", "日本語", "a日", "🍰", "x🍰é", "naïve", "łódź", "plain then ☃"]
ENCODINGS = ["utf8", "utf16", "latin1+utf16"]

PRIMS = {
    "bool": d.BoolType, "s8": d.S8Type, "u8": d.U8Type, "s16": d.S16Type, "u16": d.U16Type,
    "s32": d.S32Type, "u32": d.U32Type, "s64": d.S64Type, "u64": d.U64Type,
    "f32": d.F32Type, "f64": d.F64Type, "char": d.CharType, "string": d.StringType,
}


class Context(d.LiftLowerContext):
    def __init__(self, encoding):
        opts = d.LiftLowerOptions(encoding, d.MemInst(bytearray(SIZE), "i32"))
        super().__init__(opts, None)
        self.next, self.calls = HEAP, []

    def reallocate(self, old, old_size, align, size):
        self.calls.append([old, old_size, align, size])
        p = (self.next + 7) & -8
        self.next = p + size
        n = min(old_size, size)
        self.opts.memory.bytes[p:p + n] = self.opts.memory.bytes[old:old + n]
        return p


def prim(name):
    return {"k": name}, PRIMS[name](), lambda src: prim_value(name, src)


def prim_value(name, src):
    """Returns the value for canon and the one for the definitions."""
    if name == "bool":
        b = rng.random() < 0.5
        return {"n": int(b)}, b
    if name == "char":
        c = rng.choice([0, 0x61, 0xD7FF, 0xE000, 0x10FFFF])
        return {"n": c}, chr(c)
    if name == "f32":
        x = rng.choice([0, 0x7FC00000, 0x7F800000, rng.getrandbits(31)])
        x = x if (x & 0x7FFFFFFF) <= 0x7F800000 else 0x7FC00000
        return {"n": x}, struct.unpack("<f", struct.pack("<I", x))[0]
    if name == "f64":
        x = rng.choice([0, 1 << 63, 0x7FF8000000000000, 0x4009_21FB_5444_2D18])
        return {"n": x}, struct.unpack("<d", struct.pack("<Q", x))[0]
    if name == "string":
        return string_value(rng.choice(TEXTS), src)
    bits = int(name[1:])
    x = rng.choice([0, 1, (1 << bits) - 1, 1 << (bits - 1), rng.getrandbits(bits)])
    if name[0] == "s":
        x = x - (1 << bits) if x >> (bits - 1) else x
    return {"n": x & (1 << 64) - 1}, x


def string_value(s, src):
    encoding, wide = src
    if encoding == "utf8":
        return {"s": s}, (s, "utf8", len(s.encode()))
    units = len(s.encode("utf-16-le")) // 2
    if encoding == "utf16":
        return {"s": s, "n": 1}, (s, encoding, units)
    if wide or any(ord(c) > 0xFF for c in s):
        return {"s": s, "n": 3}, (s, encoding, units | 1 << 31)
    return {"s": s, "n": 2}, (s, encoding, len(s))


def aggregate(depth):
    kind = rng.choice(["list", "fixed", "map", "record", "tuple", "variant", "enum", "option", "result", "flags"])
    return globals()["make_" + kind](depth)


def make(depth):
    if depth == 0 or rng.random() < 0.3:
        return prim(rng.choice(list(PRIMS)))
    return aggregate(depth - 1)


def make_list(depth):
    j, t, gen = make(depth)

    def value(src):
        vs = [gen(src) for _ in range(rng.choice([0, 1, 3]))]
        if j["k"] == "u8":
            return {"s8": [v["n"] for v, _ in vs]}, [v for _, v in vs]
        return {"l": [v for v, _ in vs]}, [v for _, v in vs]
    return {"k": "list", "e": j}, d.ListType(t), value


def make_fixed(depth):
    j, t, gen = make(depth)
    n = rng.randint(1, 5)

    def value(src):
        vs = [gen(src) for _ in range(n)]
        return {"l": [v for v, _ in vs]}, [v for _, v in vs]
    return {"k": "fixed", "e": j, "n": n}, d.ListType(t, n), value


def make_map(depth):
    kj, kt, kgen = prim(rng.choice(["u32", "string", "char", "bool"]))
    vj, vt, vgen = make(depth)

    def value(src):
        kvs = [(kgen(src), vgen(src)) for _ in range(rng.choice([0, 2]))]
        return ({"l": [{"l": [k[0], v[0]]} for k, v in kvs]},
                [{"0": k[1], "1": v[1]} for k, v in kvs])
    return {"k": "map", "key": kj, "e": vj}, d.MapType(kt, vt), value


def fields(depth):
    fs = [make(depth) for _ in range(rng.randint(1, 5))]

    def value(src):
        vs = [gen(src) for _, _, gen in fs]
        return {"l": [v for v, _ in vs]}, {str(i): v for i, (_, v) in enumerate(vs)}
    return [j for j, _, _ in fs], [t for _, t, _ in fs], value


def make_record(depth):
    js, ts, value = fields(depth)
    return {"k": "record", "f": js}, d.RecordType([d.FieldType(str(i), t) for i, t in enumerate(ts)]), value


def make_tuple(depth):
    js, ts, value = fields(depth)
    return {"k": "tuple", "f": js}, d.TupleType(ts), value


def cases(kind, labels, parts):
    """Parts are made types, or None where the case carries nothing."""
    def value(src):
        i = rng.randrange(len(parts))
        if parts[i] is None:
            return {"n": i}, {labels[i]: None}
        v, p = parts[i][2](src)
        return {"n": i, "l": [v]}, {labels[i]: p}
    return {"k": kind, "c": [p and p[0] for p in parts]}, value


def make_variant(depth):
    n = rng.choice([1, 2, 4, 257])
    parts = [make(depth) if rng.random() < 0.7 and i < 5 else None for i in range(n)]
    labels = [str(i) for i in range(n)]
    j, value = cases("variant", labels, parts)
    return j, d.VariantType([d.CaseType(l, p and p[1]) for l, p in zip(labels, parts)]), value


def make_enum(depth):
    labels = [str(i) for i in range(rng.choice([1, 2, 256, 257]))]
    j, value = cases("enum", labels, [None] * len(labels))
    return j, d.EnumType(labels), value


def make_option(depth):
    p = make(depth)
    j, value = cases("option", ["none", "some"], [None, p])
    return j, d.OptionType(p[1]), value


def make_result(depth):
    parts = [make(depth) if rng.random() < 0.7 else None for _ in range(2)]
    j, value = cases("result", ["ok", "error"], parts)
    return j, d.ResultType(*[p and p[1] for p in parts]), value


def make_flags(depth):
    labels = [str(i) for i in range(rng.choice([1, 8, 9, 16, 17, 32]))]

    def value(src):
        x = rng.getrandbits(len(labels))
        return {"n": x}, {l: bool(x >> i & 1) for i, l in enumerate(labels)}
    return {"k": "flags", "n": len(labels)}, d.FlagsType(labels), value


def bits(v, core):
    if core == "f32":
        return struct.unpack("<I", struct.pack("<f", v))[0]
    if core == "f64":
        return struct.unpack("<Q", struct.pack("<d", v))[0]
    return v


def emit(j, t, value, src, dst):
    cx = Context(dst)
    v, p = value(src)
    core = d.flatten_type(t, cx.opts)
    flat = d.lower_flat_values(cx, d.MAX_FLAT_PARAMS, [p], [t])
    lowered = ["i32"] if len(core) > d.MAX_FLAT_PARAMS else core
    print(json.dumps({
        "type": j, "size": d.elem_size(t, "i32"), "align": d.alignment(t, "i32"),
        "core": core if len(core) <= d.MAX_FLAT_PARAMS else None,
        "encoding": ENCODINGS.index(dst), "value": v, "calls": cx.calls,
        "flat": [bits(v, c) for v, c in zip(flat, lowered)],
        "heap": bytes(cx.opts.memory.bytes[HEAP:cx.next]).hex(),
    }, ensure_ascii=False, separators=(",", ":")))


SOURCES = [("utf8", False), ("utf16", False), ("latin1+utf16", False), ("latin1+utf16", True)]
for text in TEXTS:
    for src in SOURCES:
        for dst in ENCODINGS:
            emit({"k": "string"}, d.StringType(), lambda s: string_value(text, s), src, dst)
for name in PRIMS:
    for _ in range(3):
        emit(*prim(name), ("utf8", False), "utf8")
for depth in (0, 1, 2):
    for _ in range(60):
        made = aggregate(depth)
        for _ in range(2):
            emit(*made, rng.choice(SOURCES), rng.choice(ENCODINGS))
