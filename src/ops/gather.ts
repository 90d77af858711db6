/**
 * Picking and placing by index: Gather, ScatterElements, ScatterND.
 * The gradient of Gather adds up what was picked more than once: along axis 0 one ScatterND of rows, else ScatterElements of single elements.
 */
import { Miss } from "../errors.ts";
import type { Dim } from "../tensor/dims.ts";
import { constantIntegers, integer, text, wrapAxis } from "./attributes.ts";
import { type AxisLink, defineOp, noParameters, type Op } from "./define.ts";
import { dimsAt, filled, fixed, integersConstant, need, noMacs, reshapeTo, sameAsInput, typeOf } from "./rules.ts";

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
    const dims = fixed(x);
    const size = (shape: readonly number[]): number => shape.reduce((count, dim) => count * dim, 1);
    const picked = size(fixed(indices));
    const places = emit.Cast([indices], { to: 7 });
    if (s.axis === 0) {
      const rows = reshapeTo(emit, up, [picked, ...dims.slice(1)]);
      const at = reshapeTo(emit, places, [picked, 1]);
      return [emit.ScatterND([filled(emit, typeOf(x), dims, 0), at, rows], { reduction: "add" })];
    }
    const [before, after] = [size(dims.slice(0, s.axis)), size(dims.slice(s.axis + 1))];
    const at = emit.Expand([reshapeTo(emit, places, [1, picked, 1]), integersConstant(emit, [before, picked, after])]);
    const zeros = filled(emit, typeOf(x), [before, dims[s.axis] ?? 0, after], 0);
    const parts = reshapeTo(emit, up, [before, picked, after]);
    return [reshapeTo(emit, emit.ScatterElements([zeros, at, parts], { axis: 1, reduction: "add" }), dims)];
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
