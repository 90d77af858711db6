/**
 * Greatest and least along an axis, and where they stand: ArgMax, ArgMin, TopK.
 * Opset history: ArgMax and ArgMin say which of equal ones since 12; TopK takes k as an input since 10, and may pick the least, unsorted,
 * since 11.
 */
import { Miss } from "../errors.ts";
import { type AxisLink, defineOp, type Inferred, type Op } from "./define.ts";
import { integer, wrapAxis } from "./shared/attributes.ts";
import { filled, fixed, need, shaped, typeOf } from "./shared/rules.ts";

function position(name: "ArgMax" | "ArgMin"): Op {
  return defineOp({
    name,
    read: (site) => ({
      axis: integer(site, "axis", 0),
      keep: integer(site, "keepdims", 1) !== 0,
      // Of equal ones the last.
      last: integer(site, "select_last_index", 0) !== 0,
    }),
    infer: (s, site) =>
      shaped(site, (dims = []) => dims.toSpliced(wrapAxis(s.axis, dims.length), 1, ...(s.keep ? [1] : [])), "int64"),
    axes: (s, _, dims) => {
      const along = wrapAxis(s.axis, dims.length);
      return dims.map((_, axis): AxisLink => {
        if (axis === along) return { refuses: ["in0", axis], reason: `${name} outputs indices along this axis` };
        return { from: ["in0", axis], to: ["out0", s.keep || axis < along ? axis : axis - 1] };
      });
    },
    gradient: new Miss("outputs indices"),
    quantize: new Miss("outputs indices"),
  });
}

export const TopK = defineOp({
  name: "TopK",
  read: (site) => ({
    axis: integer(site, "axis", -1),
    // Undefined where it is computed at run time.
    count: site.version < 10 ? integer(site, "k", 1) : site.inputs[1]?.elements?.[0],
    largest: integer(site, "largest", 1) !== 0,
    sorted: integer(site, "sorted", 1) !== 0,
  }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const along = dims === undefined ? 0 : wrapAxis(s.axis, dims.length);
    const out = dims?.map((dim, axis) => (axis === along ? (s.count ?? site.open(0, axis)) : dim));
    const found: readonly Inferred[] = [
      { type, dims: out },
      { type: "int64", dims: out },
    ];
    return found;
  },
  axes: (s, _site, dims) => {
    const along = wrapAxis(s.axis, dims.length);
    return dims.flatMap((_, axis): AxisLink[] => {
      if (axis === along) return [{ refuses: ["in0", axis], reason: "TopK picks along this axis" }];
      return [
        { from: ["in0", axis], to: ["out0", axis] },
        { from: ["in0", axis], to: ["out1", axis] },
      ];
    });
  },
  // The values that were picked are single elements of x; of equal ones, those that the runtime picked, which are the first.
  gradient: (s, { emit, inputs: [x], outputs: [, positions], up }) => {
    if (positions === undefined) return new Miss("the positions of what it picks are not an output");
    const dims = fixed(x);
    const zeros = filled(emit, typeOf(x), dims, 0);
    return [emit.ScatterElements([zeros, positions, up], { axis: wrapAxis(s.axis, dims.length), reduction: "add" })];
  },
});

export const orderOperators: readonly Op[] = [position("ArgMax"), position("ArgMin")];
