/**
 * Picking and placing by index: Gather, ScatterElements, ScatterND.
 * The gradient of Gather adds up rows that were picked more than once; along axis 0 it is one ScatterND.
 */
import { Miss } from "../errors.ts";
import type { Dim } from "../tensor/dims.ts";
import { constantIntegers, integer, text, wrapAxis } from "./attributes.ts";
import { type AxisLink, defineOp, noParameters, type Op } from "./define.ts";
import { dimsAt, fixed, integersConstant, need, noMacs, sameAsInput, scalar, typeOf } from "./rules.ts";

const Gather = defineOp<{ readonly axis: number }>({
  name: "Gather",
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    return rank === undefined
      ? new Miss("the rank of its data is not known")
      : { axis: wrapAxis(integer(site, "axis", 0), rank) };
  },
  infer: (s, site) => {
    const { type, dims, elements } = need(site, 0);
    const indices = site.inputs[1];
    if (dims === undefined || indices?.dims === undefined) return [{ type, dims: undefined }];
    const out = [...dims.slice(0, s.axis), ...indices.dims, ...dims.slice(s.axis + 1)];
    const picks = constantIntegers(indices);
    if (elements === undefined || picks === undefined || dims.length !== 1) return [{ type, dims: out }];
    return [
      { type, dims: out, elements: picks.map((index) => elements[index < 0 ? index + elements.length : index] as Dim) },
    ];
  },
  parameters: (_, site) => (site.inputs[0]?.stored === true && site.inputs[1]?.stored === false ? [0] : []),
  weight: new Miss("looks its rows up"),
  axes: (s, site) => {
    const [dims, indices] = [dimsAt(site, 0), dimsAt(site, 1)];
    if (dims instanceof Miss) return dims;
    if (indices instanceof Miss) return indices;
    const data = dims.map((_, axis): AxisLink => {
      if (axis === s.axis) return { refuses: ["in0", axis], reason: "Gather picks by position along this axis" };
      return { from: ["in0", axis], to: ["out0", axis < s.axis ? axis : axis - 1 + indices.length] };
    });
    return {
      links: [...data, ...indices.map((_, axis): AxisLink => ({ from: ["in1", axis], to: ["out0", s.axis + axis] }))],
    };
  },
  lower: new Miss("is primitive"),
  gradient: (s, { emit, inputs: [x, indices], upstream: [up] }) => {
    if (x === undefined || indices === undefined || up === undefined) return [];
    if (s.axis !== 0) return new Miss("not yet: gradient of Gather along another axis than the first");
    const dims = fixed(x);
    const picked = fixed(indices).reduce((count, dim) => count * dim, 1);
    const zeros = emit.Expand([scalar(emit, typeOf(x), 0), integersConstant(emit, dims)]);
    const places = emit.Reshape([emit.Cast([indices], { to: 7 }), integersConstant(emit, [picked, 1])]);
    const rows = emit.Reshape([up, integersConstant(emit, [picked, ...dims.slice(1)])]);
    return [emit.ScatterND([zeros, places, rows], { reduction: "add" })];
  },
  cost: noMacs,
  quantize: new Miss("its table is quantized by blocks, not as an activation"),
});

/** Placing by index: made by training graphs; what they cut or differentiate is decided before. */
function scatter(name: "ScatterElements" | "ScatterND"): Op {
  return defineOp<{ readonly reduction: string }>({
    name,
    read: (site) => ({ reduction: text(site, "reduction", "none") }),
    infer: (_, site) => sameAsInput(site),
    parameters: noParameters,
    weight: new Miss("has no weight"),
    axes: new Miss("places by position"),
    lower: new Miss("is primitive"),
    gradient: new Miss("not yet: gradient of placing by index"),
    cost: noMacs,
    quantize: new Miss("runs in float"),
  });
}

export const gatherOperators: readonly Op[] = [Gather, scatter("ScatterElements"), scatter("ScatterND")];
