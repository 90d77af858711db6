/** Graphs inside nodes. */
import { type Example, example, table } from "./define.examples.ts";

export const controlExamples: readonly Example[] = [
  ...table()`
    If whose branches agree |
      (flag: bool[], x: float32[batch, 3]) y = If(flag) {then_branch=graph () -> (a) { a = Relu(x) }, else_branch=graph ()
      -> (b) { b = Neg(x) }}
  `,
  example(
    "If with a known condition",
    `(x: float32[batch, 3]) flag: bool[] = [1]; y = If(flag) {then_branch=graph () -> (a) { a = Relu(x) }, else_branch=graph () -> (b) { axes: int64[1] = [0]\n b = ReduceSum(x, axes) {keepdims=0} }}`,
  ),
  example(
    "If whose branches share one size",
    `(flag: bool[], x: float32[batch, 3]) y, z = If(flag) {then_branch=graph () -> (a, c) { a = Relu(x)\n c = Shape(x) }, else_branch=graph () -> (b, d) { b = Neg(x)\n d = Shape(x) }}`,
  ),
  example(
    "If whose branches differ in rank",
    `(flag: bool[], x: float32[batch, 3]) y = If(flag) {then_branch=graph () -> (a) { a = Relu(x) }, else_branch=graph () -> (b) { axes: int64[1] = [0]\n b = ReduceSum(x, axes) {keepdims=0} }}`,
    { except: { types: "the rank depends on the branch" } },
  ),
  example(
    "Loop of known length, with what each turn gives",
    `(x: float32[batch, 3]) n: int64[] = [4]; y, all = Loop(n, _, x) {body=graph (i: int64[], go: bool[], s: float32[batch, 3]) -> (on, t, e) { on = Identity(go)\n t = Neg(s)\n e = ReduceSum(t) }}`,
  ),
  example(
    "Loop without a limit",
    `(x: float32[batch, 3]) go: bool[] = [1]; y = Loop(_, go, x) {body=graph (i: int64[], g: bool[], s: float32[batch, 3]) -> (on, t) { two: int64[] = [2]\n on = Less(i, two)\n t = Relu(s) }}`,
  ),
  example(
    "Loop over a fed number of turns",
    `(n: int64[], x: float32[2]) y, all = Loop(n, _, x) {body=graph (i: int64[], go: bool[], s: float32[2]) -> (on, t, e) { on = Identity(go)\n t = Neg(s)\n e = Relu(t) }}`,
    { feeds: { n: [3] }, except: { types: "the number of iterations is not known before the run" } },
  ),
  example(
    "Loop in which something grows",
    `(n: int64[], x: float32[1, 2]) y = Loop(n, _, x) {body=graph (i: int64[], go: bool[], s: float32[m, 2]) -> (on, t) { on = Identity(go)\n t = Concat(s, x) {axis=0} }}`,
    { feeds: { n: [3] }, except: { types: "the number of iterations is not known before the run" } },
  ),
  example(
    "Scan of running sums",
    `(s: float32[3], x: float32[seq, 3]) y, all = Scan(s, x) {num_scan_inputs=1, body=graph (a: float32[3], b: float32[3]) -> (c, d) { c = Add(a, b)\n d = Identity(c) }}`,
    { sizes: { seq: 4 } },
  ),
  example(
    "Scan along other axes, backwards",
    `(s: float32[3], x: float32[3, seq]) y, all = Scan(s, x) {num_scan_inputs=1, scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[-1], body=graph (a: float32[3], b: float32[3]) -> (c, d) { c = Add(a, b)\n d = Identity(c) }}`,
    { sizes: { seq: 4 } },
  ),
  ...table()`
    Scan without states |
      (x: float32[seq, 2, 3]) all = Scan(x) {num_scan_inputs=1, body=graph (b: float32[2, 3]) -> (d) { d = Neg(b) }}
      | sizes seq: 4
  `,
  example(
    "Scan with a batch axis, of opset 8",
    `(s: float32[batch, 3], x: float32[batch, seq, 3]) y, all = Scan(_, s, x) {num_scan_inputs=1, body=graph (a: float32[3], b: float32[3]) -> (c, d) { c = Add(a, b)\n d = Identity(c) }}`,
    { sizes: { seq: 4 }, opset: 8 },
  ),
];
