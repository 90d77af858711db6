/** Sequences and optionals. A sequence does not come out of a run, so what makes one is tried where it is taken apart again. */
import { type Example, table } from "./define.examples.ts";

const inside = { sequence: "does not come out of a run" };

const pair = "(x: float32[batch, 3], z: float32[5, 3]) s = SequenceConstruct(x, z);";

export const sequenceExamples: readonly Example[] = [
  ...table({ except: inside })`
    SequenceConstruct of two | (x: float32[batch, 3], z: float32[5, 3]) y = SequenceConstruct(x, z)
    SequenceConstruct of one | (x: float32[]) y = SequenceConstruct(x)
    SequenceConstruct of integers | (x: int64[2], z: int64[2, 2]) y = SequenceConstruct(x, z)
    SequenceEmpty of floats | () y = SequenceEmpty()
    SequenceEmpty of integers | () y = SequenceEmpty() {dtype=7}
    SequenceEmpty of doubles | () y = SequenceEmpty() {dtype=11}
    SequenceInsert at the end | ${pair} y = SequenceInsert(s, x)
    SequenceInsert in front | ${pair} at: int64[] = [0]; y = SequenceInsert(s, z, at)
    SequenceInsert into nothing | (x: float32[batch]) s = SequenceEmpty(); y = SequenceInsert(s, x)
    SequenceErase of the last | ${pair} y = SequenceErase(s)
    SequenceErase from the end | ${pair} at: int64[] = [-2]; y = SequenceErase(s, at)
    SplitToSequence into single places | (x: float32[3, batch]) y = SplitToSequence(x) {keepdims=0}
    SplitToSequence into pieces of one size | (x: float32[batch, 7]) n: int64[] = [3]; y = SplitToSequence(x, n) {axis=-1}
    SplitToSequence into pieces of given sizes |
      (x: float32[batch, 7]) n: int64[3] = [3, 0, 4]; y = SplitToSequence(x, n) {axis=1}
  `,
  ...table()`
    SequenceErase at a fed place |
      (x: float32[3], z: float32[3], at: int64[]) s = SequenceConstruct(x, z); y = SequenceErase(s, at)
      | feeds at: 1 | except sequence: does not come out of a run
    SequenceAt a place | ${pair} at: int64[] = [1]; y = SequenceAt(s, at)
    SequenceAt the end | ${pair} at: int32[] = [-2]; y = SequenceAt(s, at)
    SequenceAt a fed place | (x: float32[4], z: float32[4], at: int64[]) s = SequenceConstruct(x, z); y = SequenceAt(s, at)
      | feeds at: 1 | no lower: are not known before it runs | no gradient: is differentiated as its primitives
    SequenceAt a piece, of a tensor that is cut in pieces of one size |
      (x: float32[batch, 7]) n: int64[] = [3]; at: int64[] = [-1]; s = SplitToSequence(x, n) {axis=-1}; y = SequenceAt(s, at)
    SequenceAt a place of a tensor that is cut into places |
      (x: float32[3, batch]) at: int64[] = [1]; s = SplitToSequence(x) {keepdims=0}; y = SequenceAt(s, at)
    SequenceAt what was inserted before |
      (x: float32[4], z: float32[4, 2]) s = SequenceConstruct(x, x); first: int64[] = [0]; more = SequenceInsert(s, z, first);
      less = SequenceErase(more); y = SequenceAt(less, first)
      | no lower: are not known before it runs | no gradient: is differentiated as its primitives
    SequenceLength of two | ${pair} y = SequenceLength(s)
    SequenceLength of nothing | () s = SequenceEmpty(); y = SequenceLength(s)
    SequenceLength of a tensor cut in pieces |
      (x: float32[7, 2]) n: int64[] = [3]; s = SplitToSequence(x, n); y = SequenceLength(s)
    ConcatFromSequence along an axis | ${pair} y = ConcatFromSequence(s) {axis=0}
    ConcatFromSequence along a new axis |
      (x: float32[batch, 3]) s = SequenceConstruct(x, x, x); y = ConcatFromSequence(s) {axis=-1, new_axis=1}
    ConcatFromSequence of pieces |
      (x: float32[7, batch]) n: int64[] = [3]; s = SplitToSequence(x, n); y = ConcatFromSequence(s) {axis=0}
  `,
];
