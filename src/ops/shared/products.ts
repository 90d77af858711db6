/** What every matrix product knows of its operands, whatever the numbers are: dimensions, which operand is a weight, how axes go together. */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Dim } from "../../tensor/dims.ts";
import type { AxisLink, Factored, Operand, Site, WeightRole } from "../define.ts";
import { broadcast, dimsAt } from "./rules.ts";

/** The site with only these of its inputs, in this order: for operators that keep scales between their operands. */
export function picked(site: Site, inputs: readonly number[]): Site {
  return { ...site, inputs: inputs.map((input): Operand | undefined => site.inputs[input]) };
}

/** The layer in x · W or W · x, where one operand is stored and has two dimensions. */
export function matmulWeight(site: Site): WeightRole | Miss {
  const [a, b] = site.inputs;
  if (a?.stored === false && b?.stored && b.dims?.length === 2) {
    const last = (a.dims?.length ?? 0) - 1;
    return { input: 1, out: 1, in: 0, groups: 1, data: 0, dataAxis: last, outputAxis: last };
  }
  if (a?.dims === undefined || b?.dims === undefined) return new Miss("the rank of an operand is not known");
  const rank = Math.max(a.dims.length, b.dims.length);
  if (a.stored && !b.stored && a.dims.length === 2 && b.dims.length >= 2) {
    return { input: 0, out: 0, in: 1, groups: 1, data: 1, dataAxis: b.dims.length - 2, outputAxis: rank - 2 };
  }
  return new Miss(a.stored || b.stored ? "the stored operand is not a matrix" : "both operands are activations");
}

/**
 * A layer with the weight at `input` as two products of `half`'s making: of the data with the thin matrix that comes first ("down"), of the
 * result with the other ("up").
 */
export function inTwo(
  input: number,
  half: (emit: Emit, operands: Inputs, part: "down" | "up", given: Inputs) => Value,
): Factored {
  return (emit, inputs, { name, ...factors }) => {
    const product = (data: Value | undefined, part: "down" | "up"): Value => {
      const operands = input === 0 ? [factors[part], data] : [data, factors[part]];
      return half(emit.named(`${name}.${part}.output`), operands, part, inputs);
    };
    return product(product(inputs[1 - input], "down"), "up");
  };
}

type Inputs = readonly (Value | undefined)[];

/** NumPy's rule for stacks of matrices; `shared` is the axis that is summed over. */
export function matmulDims(site: Site): { readonly dims: readonly Dim[]; readonly shared: Dim } | Miss {
  const a = dimsAt(site, 0);
  const b = dimsAt(site, 1);
  if (a instanceof Miss) return a;
  if (b instanceof Miss) return b;
  if (a.length === 0 || b.length === 0) return new Miss("an operand has no axes");
  const [rows, columns] = [a.length === 1 ? [] : a.slice(-2, -1), b.length === 1 ? [] : b.slice(-1)];
  const batch = broadcast(a.slice(0, -2), b.slice(0, -2));
  if (batch instanceof Miss) return batch;
  const [inner, outer] = [a.at(-1) as Dim, b.at(b.length === 1 ? -1 : -2) as Dim];
  if (typeof inner === "number" && typeof outer === "number" && inner !== outer) {
    return new Miss(`the shared axis has ${inner} entries on the left and ${outer} on the right`);
  }
  return { dims: [...batch, ...rows, ...columns], shared: inner };
}

export function matmulLinks(site: Site): readonly AxisLink[] | Miss {
  const a = dimsAt(site, 0);
  const b = dimsAt(site, 1);
  if (a instanceof Miss) return a;
  if (b instanceof Miss) return b;
  if (a.length < 2 || b.length < 2) return new Miss("a vector is multiplied");
  const rank = Math.max(a.length, b.length);
  const links: AxisLink[] = [
    { from: ["in0", a.length - 1], to: ["in1", b.length - 2] },
    { from: ["in0", a.length - 2], to: ["out0", rank - 2] },
    { from: ["in1", b.length - 1], to: ["out0", rank - 1] },
  ];
  for (const [port, dims] of [["in0", a] as const, ["in1", b] as const]) {
    for (let axis = 0; axis < dims.length - 2; axis++) {
      if (dims[axis] !== 1) links.push({ from: [port, axis], to: ["out0", rank - dims.length + axis] });
    }
  }
  return links;
}
