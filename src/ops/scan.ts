/**
 * Running sums and products along an axis. `exclusive` leaves the own element out, `reverse` runs from the end.
 *
 * Each element goes into all later sums, so the gradient of a sum is the running sum in the other direction.
 */
import { Miss } from "../errors.ts";
import { addDims, type Dim, multiplyDims } from "../tensor/dims.ts";
import { constantIntegers, integer, wrapAxis } from "./attributes.ts";
import { type AxisLink, alwaysChanges, defineOp, noParameters, notYet, type Op } from "./define.ts";
import { withElements } from "./elements.ts";
import { dimsAt, need, noMacs } from "./rules.ts";

interface Settings {
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

function running(
  { exclusive, reverse }: Settings,
  elements: readonly Dim[],
  start: Dim,
  combine: (a: Dim, b: Dim) => Dim,
): readonly Dim[] {
  const found: Dim[] = [];
  let so = start;
  for (const element of reverse ? elements.toReversed() : elements) {
    const next = combine(so, element);
    found.push(exclusive ? so : next);
    so = next;
  }
  return reverse ? found.reverse() : found;
}

function scan(name: "CumSum" | "CumProd", start: Dim, combine: (a: Dim, b: Dim) => Dim): Op {
  return defineOp<Settings>({
    name,
    read: (site) => ({
      exclusive: integer(site, "exclusive", 0) !== 0,
      reverse: integer(site, "reverse", 0) !== 0,
    }),
    infer: (s, site) => {
      const { type, dims, elements } = need(site, 0);
      const known = dims?.length === 1 ? elements : undefined;
      return [withElements({ type, dims }, known === undefined ? known : running(s, known, start, combine))];
    },
    unchanged: alwaysChanges,
    parameters: noParameters,
    weight: new Miss("has no weight"),
    axes: (_, site) => {
      const dims = dimsAt(site, 0);
      const [axis] = constantIntegers(site.inputs[1]) ?? [];
      if (dims instanceof Miss) return dims;
      if (axis === undefined) return new Miss("its axis is computed at run time");
      const along = wrapAxis(axis, dims.length);
      return {
        links: dims.map(
          (_, axis): AxisLink =>
            axis === along
              ? { refuses: ["in0", axis], reason: `${name} runs along this axis` }
              : { from: ["in0", axis], to: ["out0", axis] },
        ),
      };
    },
    lower: new Miss("is primitive"),
    gradient:
      name === "CumProd"
        ? notYet("gradient of CumProd")
        : (s, { emit, inputs: [, axis], upstream: [up] }) =>
            up === undefined
              ? []
              : [emit.CumSum([up, axis], { exclusive: s.exclusive ? 1 : 0, reverse: s.reverse ? 0 : 1 })],
    cost: noMacs,
    quantize: new Miss("runs in float"),
  });
}

export const scanOperators: readonly Op[] = [scan("CumSum", 0, addDims), scan("CumProd", 1, multiplyDims)];
