/**
 * Variants of Gelu in ONNX Runtime, with x' = x + bias:
 * - Gelu, BiasGelu: x'/2 · (1 + erf(x'/√2));
 * - FastGelu: x'/2 · (1 + tanh(√(2/π) · (x' + 0.044715 x'³)));
 * - QuickGelu: x · σ(αx);
 * - BiasSplitGelu: left · gelu(right) for the halves of the last axis.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { type Dim, floorDims, sameDims } from "../../tensor/dims.ts";
import type { AxisLink, Op, Site } from "../define.ts";
import { decimal, integer, wrapAxis } from "../shared/attributes.ts";
import { noRank } from "../shared/misses.ts";
import { broadcast, sameAsInput, sameAxes, shaped } from "../shared/rules.ts";
import { microsoftOp } from "./typed.ts";

function erfGelu(emit: Emit, x: Value): Value {
  const half = emit.Mul([x, 0.5]);
  return emit.Mul([half, emit.Add([emit.Erf([emit.Mul([x, Math.SQRT1_2])]), 1])]);
}

function tanhGelu(emit: Emit, x: Value): Value {
  const cubic = emit.Mul([emit.Mul([emit.Mul([x, x]), x]), 0.044715]);
  const inner = emit.Mul([emit.Add([x, cubic]), Math.sqrt(2 / Math.PI)]);
  return emit.Mul([emit.Mul([x, 0.5]), emit.Add([emit.Tanh([inner]), 1])]);
}

/** The bias is aligned with the last axes. */
function biasedAxes(_: unknown, site: Site, dims: readonly Dim[]): readonly AxisLink[] {
  const bias = (site.inputs[1]?.dims ?? []).flatMap((dim, axis, own): AxisLink[] =>
    dim === 1 ? [] : [{ from: ["in1", axis], to: ["out0", dims.length - own.length + axis] }],
  );
  return [...sameAxes(dims), ...bias];
}

function gelu(name: string, compute: (emit: Emit, x: Value, alpha: number) => Value): Op {
  return microsoftOp({
    name,
    read: (site) => ({ alpha: decimal(site, "alpha", 1.702) }),
    infer: (_, site) => sameAsInput(site),
    parameters: [1],
    axes: biasedAxes,
    lower: (s, emit, [x, bias]) => [compute(emit, bias === undefined ? x : emit.Add([x, bias]), s.alpha)],
  });
}

/** Y = (left + bias) · gelu(right + bias), where left and right are the halves of the last axis. */
export const BiasSplitGelu = microsoftOp({
  name: "BiasSplitGelu",
  infer: (_, site) => shaped(site, (dims) => dims.with(-1, floorDims(dims.at(-1) ?? 0, 2))),
  parameters: [1],
  axes: new Miss("multiplies the halves of its last axis, and has no CPU kernel to test pruning with"),
  lower: (_, emit, [x, bias]) => {
    const parts = emit.many("Split", [emit.Add([x, bias])], { axis: -1, num_outputs: 2 }, 2);
    return [emit.Mul([parts[0], erfGelu(emit, parts[1])])];
  },
});

/** Softmax over all axes from `axis` on, as one. The bias omits either the first axes (`is_inner_broadcast` 0) or those just before `axis`. */
export const BiasSoftmax = microsoftOp({
  name: "BiasSoftmax",
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    if (rank === undefined) return noRank;
    return { axis: wrapAxis(integer(site, "axis", 1), rank), inner: integer(site, "is_inner_broadcast", 0) !== 0 };
  },
  infer: (_, site) => sameAsInput(site),
  axes: new Miss("normalizes, and has no CPU kernel to test pruning with"),
  lower: (s, emit, [x, bias]) => {
    const dims = x?.type?.dims;
    const own = bias?.type?.dims;
    if (x === undefined || bias === undefined || dims === undefined || own === undefined)
      return new Miss("the rank of an operand is not known");
    if (s.axis !== dims.length - 1) return new Miss("normalizes over several axes at once");
    const sum = broadcast(dims, own);
    if (sum instanceof Miss || !sameDims(sum, dims)) return new Miss("its bias does not broadcast by NumPy's rules");
    return [emit.Softmax([emit.Add([x, bias])], { axis: s.axis })];
  },
});

export const microsoftGeluOperators: readonly Op[] = [
  gelu("Gelu", erfGelu),
  gelu("BiasGelu", erfGelu),
  gelu("FastGelu", tanhGelu),
  gelu("QuickGelu", (emit, x, alpha) => emit.Mul([x, emit.Sigmoid([emit.Mul([x, alpha])])])),
];
