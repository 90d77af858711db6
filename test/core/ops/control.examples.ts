import { type Example, table } from "./define.examples.ts";

const ranks =
  "{then_branch=graph () -> (a) { a = Relu(x) }, else_branch=graph () -> (b) { axes: int64[1] = [0]; b = ReduceSum(x, axes) {keepdims=0} }}";
const turns = "except types: the number of iterations is not known before the run";
const sums = "body=graph (a: float32[3], b: float32[3]) -> (c, d) { c = Add(a, b); d = Identity(c) }";

export const controlExamples: readonly Example[] = table()`
  If whose branches agree |
    (flag: bool[], x: float32[batch, 3]) y = If(flag)
    {then_branch=graph () -> (a) { a = Relu(x) }, else_branch=graph () -> (b) { b = Neg(x) }}
  If with a known condition | (x: float32[batch, 3]) flag: bool[] = [1]; y = If(flag) ${ranks}
  If whose branches share one size |
    (flag: bool[], x: float32[batch, 3]) y, z = If(flag) {then_branch=graph () -> (a, c) { a = Relu(x); c = Shape(x) },
    else_branch=graph () -> (b, d) { b = Neg(x); d = Shape(x) }}
  If whose branches differ in rank |
    (flag: bool[], x: float32[batch, 3]) y = If(flag) ${ranks} | except types: the rank depends on the branch
  Loop of known length, with what each turn gives |
    (x: float32[batch, 3]) n: int64[] = [4]; y, all = Loop(n, _, x) {body=graph (i: int64[], go: bool[], s: float32[batch, 3])
    -> (on, t, e) { on = Identity(go); t = Neg(s); e = ReduceSum(t) }}
  Loop without a limit |
    (x: float32[batch, 3]) go: bool[] = [1]; y = Loop(_, go, x) {body=graph (i: int64[], g: bool[], s: float32[batch, 3])
    -> (on, t) { two: int64[] = [2]; on = Less(i, two); t = Relu(s) }}
  Loop over a fed number of turns |
    (n: int64[], x: float32[2]) y, all = Loop(n, _, x) {body=graph (i: int64[], go: bool[], s: float32[2])
    -> (on, t, e) { on = Identity(go); t = Neg(s); e = Relu(t) }} | feeds n: 3 | ${turns}
  Loop in which something grows |
    (n: int64[], x: float32[1, 2]) y = Loop(n, _, x) {body=graph (i: int64[], go: bool[], s: float32[m, 2])
    -> (on, t) { on = Identity(go); t = Concat(s, x) {axis=0} }} | feeds n: 3 | ${turns}
  Scan without states |
    (x: float32[seq, 2, 3]) all = Scan(x) {num_scan_inputs=1, body=graph (b: float32[2, 3]) -> (d) { d = Neg(b) }}
    | sizes seq: 4
  Scan of running sums |
    (s: float32[3], x: float32[seq, 3]) y, all = Scan(s, x) {num_scan_inputs=1, ${sums}} | sizes seq: 4
  Scan along other axes, backwards |
    (s: float32[3], x: float32[3, seq]) y, all = Scan(s, x)
    {num_scan_inputs=1, scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[-1], ${sums}} | sizes seq: 4
  Scan with a batch axis, of opset 8 |
    opset 8 (s: float32[batch, 3], x: float32[batch, seq, 3]) y, all = Scan(_, s, x) {num_scan_inputs=1, ${sums}} | sizes seq: 4
`;
