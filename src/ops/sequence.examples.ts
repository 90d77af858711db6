/** Sequences and optionals. A sequence does not come out of a run, so what makes one is tried where it is taken apart again. */
import { type Example, example } from "./define.examples.ts";

const fed = { lower: "is not known before it runs", gradient: "is lowered first" };
const inside = { sequence: "does not come out of a run" };

/** A sequence of 2 × 3, and how it is made. */
const pair = "(x: float32[batch, 3], z: float32[5, 3]) s = SequenceConstruct(x, z);";

export const sequenceExamples: readonly Example[] = [
  example("SequenceConstruct of two", "(x: float32[batch, 3], z: float32[5, 3]) y = SequenceConstruct(x, z)", {
    except: inside,
  }),
  example("SequenceConstruct of one", "(x: float32[]) y = SequenceConstruct(x)", { except: inside }),
  example("SequenceConstruct of integers", "(x: int64[2], z: int64[2, 2]) y = SequenceConstruct(x, z)", {
    except: inside,
  }),

  example("SequenceEmpty of floats", "() y = SequenceEmpty()", { except: inside }),
  example("SequenceEmpty of integers", "() y = SequenceEmpty() {dtype=7}", { except: inside }),
  example("SequenceEmpty of doubles", "() y = SequenceEmpty() {dtype=11}", { except: inside }),

  example("SequenceInsert at the end", `${pair} y = SequenceInsert(s, x)`, { except: inside }),
  example("SequenceInsert in front", `${pair} at: int64[] = [0]; y = SequenceInsert(s, z, at)`, { except: inside }),
  example("SequenceInsert into nothing", "(x: float32[batch]) s = SequenceEmpty(); y = SequenceInsert(s, x)", {
    except: inside,
  }),

  example("SequenceErase of the last", `${pair} y = SequenceErase(s)`, { except: inside }),
  example("SequenceErase from the end", `${pair} at: int64[] = [-2]; y = SequenceErase(s, at)`, { except: inside }),
  example(
    "SequenceErase at a fed place",
    "(x: float32[3], z: float32[3], at: int64[]) s = SequenceConstruct(x, z); y = SequenceErase(s, at)",
    {
      feeds: { at: [1] },
      except: inside,
    },
  ),

  example("SequenceAt a place", `${pair} at: int64[] = [1]; y = SequenceAt(s, at)`),
  example("SequenceAt the end", `${pair} at: int32[] = [-2]; y = SequenceAt(s, at)`),
  example(
    "SequenceAt a fed place",
    "(x: float32[4], z: float32[4], at: int64[]) s = SequenceConstruct(x, z); y = SequenceAt(s, at)",
    { feeds: { at: [1] }, misses: fed },
  ),
  example(
    "SequenceAt a piece, of a tensor that is cut in pieces of one size",
    "(x: float32[batch, 7]) n: int64[] = [3]; at: int64[] = [-1]; s = SplitToSequence(x, n) {axis=-1}; y = SequenceAt(s, at)",
  ),
  example(
    "SequenceAt a place of a tensor that is cut into places",
    "(x: float32[3, batch]) at: int64[] = [1]; s = SplitToSequence(x) {keepdims=0}; y = SequenceAt(s, at)",
  ),
  example(
    "SequenceAt what was inserted before",
    "(x: float32[4], z: float32[4, 2]) s = SequenceConstruct(x, x); first: int64[] = [0]; more = SequenceInsert(s, z, first); less = SequenceErase(more); y = SequenceAt(less, first)",
  ),

  example("SequenceLength of two", `${pair} y = SequenceLength(s)`),
  example("SequenceLength of nothing", "() s = SequenceEmpty(); y = SequenceLength(s)"),
  example(
    "SequenceLength of a tensor cut in pieces",
    "(x: float32[7, 2]) n: int64[] = [3]; s = SplitToSequence(x, n); y = SequenceLength(s)",
  ),

  example("ConcatFromSequence along an axis", `${pair} y = ConcatFromSequence(s) {axis=0}`),
  example(
    "ConcatFromSequence along a new axis",
    "(x: float32[batch, 3]) s = SequenceConstruct(x, x, x); y = ConcatFromSequence(s) {axis=-1, new_axis=1}",
  ),
  example(
    "ConcatFromSequence of pieces",
    "(x: float32[7, batch]) n: int64[] = [3]; s = SplitToSequence(x, n); y = ConcatFromSequence(s) {axis=0}",
  ),

  example("SplitToSequence into single places", "(x: float32[3, batch]) y = SplitToSequence(x) {keepdims=0}", {
    except: inside,
  }),
  example(
    "SplitToSequence into pieces of one size",
    "(x: float32[batch, 7]) n: int64[] = [3]; y = SplitToSequence(x, n) {axis=-1}",
    { except: inside },
  ),
  example(
    "SplitToSequence into pieces of given sizes",
    "(x: float32[batch, 7]) n: int64[3] = [3, 0, 4]; y = SplitToSequence(x, n) {axis=1}",
    {
      except: inside,
    },
  ),

  example(
    "SequenceMap of a sequence and a tensor",
    `${pair} y = SequenceMap(s, x) {body=graph (a: float32[m, 3], b: float32[k, 3]) -> (c: float32[1, 3]) { axes: int64[1] = [0]\n c = ReduceSum(a, axes) }}`,
    {
      except: inside,
    },
  ),
  example(
    "SequenceMap of two sequences",
    "(x: float32[3], z: float32[3]) s = SequenceConstruct(x, z); y = SequenceMap(s, s) {body=graph (a: float32[3], b: float32[3]) -> (c: float32[3]) { c = Add(a, b) }}",
    {
      except: inside,
    },
  ),
  example(
    "SequenceMap with two results",
    "(x: float32[3], z: float32[4]) s = SequenceConstruct(x, z); y, w = SequenceMap(s) {body=graph (a: float32[m]) -> (c: float32[m], d: int64[1]) { c = Neg(a)\n d = Shape(a) }}",
    {
      except: inside,
    },
  ),

  example("Optional of a tensor", "(x: float32[batch, 3]) y = Optional(x)", { except: inside }),
  example("Optional of integers", "(x: int64[2]) y = Optional(x)", { except: inside }),
  example("Optional of a sequence", `${pair} y = Optional(s)`, { except: inside }),

  example("OptionalGetElement of a tensor", "(x: float32[batch, 3]) o = Optional(x); y = OptionalGetElement(o)"),
  example("OptionalGetElement of what is no optional", "(x: float32[batch, 3]) y = OptionalGetElement(x)"),
  example("OptionalGetElement of a sequence", `${pair} o = Optional(s); y = OptionalGetElement(o)`, { except: inside }),

  example("OptionalHasElement of an optional", "(x: float32[batch, 3]) o = Optional(x); y = OptionalHasElement(o)"),
  example("OptionalHasElement of a tensor", "(x: float32[batch, 3]) y = OptionalHasElement(x)"),
  example("OptionalHasElement of nothing", "() y = OptionalHasElement()"),
];
