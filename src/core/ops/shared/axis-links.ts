/** Links the axes of an operator's inputs to those of its outputs, so that removed channels are found on both sides. */
import { type Dim, fixedDims, Miss } from "#graph";
import type { AxisEnd, AxisLink, Site } from "../define.ts";
import { broadcast, range, sumOf } from "./shapes.ts";

/** Links every axis of an input to the same axis of output 0, except refused axes. */
export function sameAxes(
  dims: readonly Dim[],
  options?: { refused(axis: number): boolean; readonly reason: string; readonly input?: number },
): readonly AxisLink[] {
  const { reason = "", input = 0 } = options ?? {};
  return dims.flatMap((_, axis): AxisLink[] => {
    const [from, to] = [[`in${input}`, axis] as const, ["out0", axis] as const];
    if (options?.refused(axis) !== true) return [{ from, to }];
    return [
      { refuses: from, reason },
      { refuses: to, reason },
    ];
  });
}

/** Links operand axes to the output axes that they align with, except broadcast ones. */
export function broadcastAxes(site: Site): readonly AxisLink[] | Miss {
  const shapes = site.inputs.flatMap((operand) => (operand?.dims === undefined ? [] : [operand.dims]));
  if (shapes.length < site.inputs.length) return new Miss("the rank of an operand is not known");
  const out = broadcast(...shapes);
  if (out instanceof Miss) return out;
  return shapes.flatMap((dims, input) =>
    dims.flatMap((dim, axis): AxisLink[] => {
      const outAxis = out.length - dims.length + axis;
      return dim === 1 && out[outAxis] !== 1 ? [] : [{ from: [`in${input}`, axis], to: ["out0", outAxis] }];
    }),
  );
}

/** Links the axes of an input to the last axes of output 0, except broadcast ones. */
export function alignedAxes(site: Site, input: number, rank: number): readonly Extract<AxisLink, { from: AxisEnd }>[] {
  const dims = site.inputs[input]?.dims ?? [];
  return dims.flatMap((dim, axis) =>
    dim === 1 ? [] : [{ from: [`in${input}`, axis], to: ["out0", rank - dims.length + axis] } as const],
  );
}

/** Links inputs that are joined along an axis: index i of input k is index offset(k) + i of the output. */
export function joinedAxes({ inputs }: Pick<Site, "inputs">, joinedAxis: number): readonly AxisLink[] {
  const sizes = fixedDims(inputs.map((operand) => operand?.dims?.[joinedAxis] as Dim));
  const reason = "the size of an input along the axis is not known";
  const links = inputs.flatMap((operand, input) => {
    const start = sizes && sumOf(sizes.slice(0, input));
    return range(operand?.dims?.length ?? 0).map((axis): AxisLink => {
      const inputEnd = [`in${input}`, axis] as const;
      if (axis !== joinedAxis) return { from: inputEnd, to: ["out0", axis] };
      if (start === undefined) return { refuses: inputEnd, reason };
      return { from: inputEnd, to: ["out0", axis], map: (index) => [start + index] };
    });
  });
  return sizes === undefined ? [...links, { refuses: ["out0", joinedAxis], reason }] : links;
}
