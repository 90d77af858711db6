/**
 * Variants of Gelu, with x' = x + bias:
 * - Gelu, BiasGelu: x'/2 · (1 + erf(x'/√2));
 * - FastGelu: x'/2 · (1 + tanh(√(2/π) · (x' + 0.044715 x'³)));
 * - QuickGelu: x · σ(αx).
 */
import type { Emit, Value } from "#graph";
import type { Op } from "../define.ts";
import { readFloat } from "../shared/attributes.ts";
import { alignedAxes, sameAxes } from "../shared/axis-links.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { sameAsInput } from "../shared/shapes.ts";

function defineGelu(name: string, compute: (emit: Emit, x: Value, alpha: number) => Value): Op {
  return defineMicrosoftOp({
    name,
    read: (site) => ({ alpha: readFloat(site, "alpha", 1.702) }),
    infer: (_, site) => sameAsInput(site),
    parameters: [1],
    axes: (_, site, dims) => [...sameAxes(dims), ...alignedAxes(site, 1, dims.length)],
    lower: (s, emit, [x, bias]) => [compute(emit, bias === undefined ? x : emit.Add([x, bias]), s.alpha)],
  });
}

const erfGelu = (emit: Emit, x: Value): Value =>
  emit.Mul([emit.Mul([x, 0.5]), emit.Add([emit.Erf([emit.Mul([x, Math.SQRT1_2])]), 1])]);

function writeTanhGelu(emit: Emit, x: Value): Value {
  const cubic = emit.Mul([emit.Mul([emit.Mul([x, x]), x]), 0.044715]);
  const tanhArgument = emit.Mul([emit.Add([x, cubic]), Math.sqrt(2 / Math.PI)]);
  return emit.Mul([emit.Mul([x, 0.5]), emit.Add([emit.Tanh([tanhArgument]), 1])]);
}

export const microsoftGeluOperators: readonly Op[] = [
  defineGelu("Gelu", erfGelu),
  defineGelu("BiasGelu", erfGelu),
  defineGelu("FastGelu", writeTanhGelu),
  defineGelu("QuickGelu", (emit, x, alpha) => emit.Mul([x, emit.Sigmoid([emit.Mul([x, alpha])])])),
];
