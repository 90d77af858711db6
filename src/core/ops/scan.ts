/** Cumulative sums and products. The gradient of a sum is the cumulative sum in the other direction. */
import { Miss } from "../errors.ts";
import { addDims, type Dim, multiplyDims } from "../tensor/dims.ts";
import { defineOp, type Op, type OpDef } from "./define.ts";
import { constantIntegers, integer, wrapAxis } from "./shared/attributes.ts";
import { exactElements, withElements } from "./shared/elements.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { need, sameAxes } from "./shared/rules.ts";

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

type Gradient = Exclude<OpDef<Settings>["gradient"], Miss | undefined>;

const sumGradient: Gradient = (s, { emit, inputs: [, axis], up }) => [
  emit.CumSum([up, axis], { exclusive: s.exclusive ? 1 : 0, reverse: s.reverse ? 0 : 1 }),
];

function scan(name: "CumSum" | "CumProd", start: Dim, combine: (a: Dim, b: Dim) => Dim): Op {
  return defineOp<Settings>({
    name,
    needsFloat32: () => "it sums or multiplies many values",
    read: (site) => ({
      exclusive: integer(site, "exclusive", 0) !== 0,
      reverse: integer(site, "reverse", 0) !== 0,
    }),
    infer: (s, site) => {
      const { type, dims } = need(site, 0);
      const known = dims?.length === 1 ? exactElements(site.inputs[0]) : undefined;
      return [withElements({ type, dims }, known === undefined ? known : running(s, known, start, combine))];
    },
    // An axis of length 1 has nothing to accumulate.
    unchanged: (s, site) => {
      const dims = site.inputs[0]?.dims;
      const [axis] = constantIntegers(site.inputs[1]) ?? [];
      if (dims === undefined || axis === undefined || s.exclusive) return undefined;
      return dims[wrapAxis(axis, dims.length)] === 1 ? 0 : undefined;
    },
    axes: (_, site, dims) => {
      const [axis] = constantIntegers(site.inputs[1]) ?? [];
      if (axis === undefined) return new Miss("its axis is computed at run time");
      const along = wrapAxis(axis, dims.length);
      return sameAxes(dims, { but: (own) => own === along, why: `${name} runs along this axis` });
    },
    gradient: name === "CumProd" ? inferenceOnly : sumGradient,
  });
}

export const scanOperators: readonly Op[] = [scan("CumSum", 0, addDims), scan("CumProd", 1, multiplyDims)];
