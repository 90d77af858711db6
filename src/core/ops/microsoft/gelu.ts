/**
 * Variants of Gelu in ONNX Runtime, with x' = x + bias:
 * - Gelu, BiasGelu: x'/2 · (1 + erf(x'/√2));
 * - FastGelu: x'/2 · (1 + tanh(√(2/π) · (x' + 0.044715 x'³)));
 * - QuickGelu: x · σ(αx);
 * - BiasSplitGelu: left · gelu(right) for the halves of the last axis.
 */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { type Dim, floorDims } from "../../tensor/dims.ts";
import type { AxisLink, Op, Site } from "../define.ts";
import { decimal } from "../shared/attributes.ts";
import { sameAsInput, sameAxes, shaped } from "../shared/rules.ts";
import { gpuOnly, microsoftOp, typed } from "./typed.ts";

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

export const BiasSplitGelu = typed({
  name: "BiasSplitGelu",
  infer: (_, site) => shaped(site, (dims) => dims.with(-1, floorDims(dims.at(-1) ?? 0, 2))),
  why: gpuOnly,
  parameters: [1],
});

export const BiasSoftmax = typed({ name: "BiasSoftmax", infer: (_, site) => sameAsInput(site), why: gpuOnly });

export const microsoftGeluOperators: readonly Op[] = [
  gelu("Gelu", erfGelu),
  gelu("BiasGelu", erfGelu),
  gelu("FastGelu", tanhGelu),
  gelu("QuickGelu", (emit, x, alpha) => emit.Mul([x, emit.Sigmoid([emit.Mul([x, alpha])])])),
];
