/** Replaces named dimensions by sizes in all stated types, also inside sums and products. */
import * as v from "valibot";
import { infer } from "#analysis";
import type { Dim, Model } from "#ir";
import { allValues, dimText, dimValue, isSymbolic, isUnknownDim, PithError, symbol, truncateList } from "#ir";
import { type Change, definePass, withHelp } from "#pass";
import { cleanUpChange } from "./clean-up.ts";

export const fixOption = withHelp(
  v.optional(
    v.record(v.string(), v.pipe(v.number("takes a whole number"), v.integer("takes a whole number"), v.minValue(0))),
    {},
  ),
  "sizes of named dimensions",
);

/** Fixes the sizes of named input dimensions, and of those that depend on them. @throws PithError E_NAME for a name that no input has. */
export const fixDimensions = definePass({
  id: "fix-dimensions",
  summary: "Fix the size of named dimensions",
  options: v.strictObject({ fix: fixOption }),
  async run(model, { fix }) {
    if (Object.keys(fix).length === 0) return { changes: [], misses: [] };
    requireDimensions([model], Object.keys(fix));
    const changes: Change[] = [];
    for (const value of allValues(model.graph)) {
      const { graph, stated } = value;
      const dims = stated?.dims?.map((dim) => substituteDim(dim, fix));
      if (stated === undefined || dims === undefined || dims.every((dim, axis) => dim === stated.dims?.[axis]))
        continue;
      value.type = { type: stated.type, dims };
      if (graph.isInput(value)) changes.push(cleanUpChange(value.name, "dimensions fixed"));
    }
    infer(model);
    return { changes, misses: [] };
  },
});

function substituteDim(dim: Dim, sizes: Readonly<Record<string, number>>): Dim {
  if (!isSymbolic(dim)) return dim;
  const size = sizes[dim.text] ?? dimValue(dim, sizes);
  if (size !== undefined) return size;
  let { text } = dim;
  for (const [name, value] of Object.entries(sizes)) {
    if (/^\w+$/.test(name)) text = text.replaceAll(new RegExp(`(?<![\\w.?])${name}(?![\\w.])`, "g"), String(value));
  }
  return text === dim.text ? dim : symbol(text);
}

/** A dimension such as "2*length" has the name "length", too. @throws PithError E_NAME for a name that no input has. */
export function requireDimensions(models: readonly Model[], names: Iterable<string>): void {
  const dims = models.flatMap(({ graph }) => graph.feeds.flatMap(({ type }) => type?.dims ?? []));
  const wordsOf = (dim: Dim): readonly string[] =>
    isUnknownDim(dim) ? [] : (dimText(dim).match(/[A-Za-z_]\w*/g) ?? []);
  const dimensionNames = new Set(dims.filter(isSymbolic).flatMap((dim) => [dimText(dim), ...wordsOf(dim)]));
  for (const name of names) {
    if (dimensionNames.has(name)) continue;
    throw new PithError(
      "E_NAME",
      `No input has a dimension "${name}", only ${truncateList([...dimensionNames]) || "fixed ones"}.`,
    );
  }
}
