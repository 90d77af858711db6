/** Depth pruning by position: keeps some of the repeated layers (`repeated-layers.ts`). */
import * as v from "valibot";
import type { Block } from "../../core/analysis/blocks.ts";
import { isNamed } from "../../core/analysis/selection.ts";
import { Miss, PithError } from "../../core/errors.ts";
import { countOption, described } from "../../core/pass/options.ts";
import { definePass } from "../../core/pass/pass.ts";
import { bypassOf, removeLayers, repeatedLayers } from "./repeated-layers.ts";

const position = v.pipe(v.number(), v.integer("must be an integer"), v.minValue(0, "must not be negative"));

export const keptLayers = v.union(
  [countOption, v.pipe(v.array(v.union([position, v.string()])), v.minLength(1))],
  "takes the number of layers to keep, or a list of names or positions",
);

export type KeptLayers = v.InferOutput<typeof keptLayers>;

/**
 * Keeps some of the repeated layers, in place: a number per stack, evenly spread with the first and last, or those with given
 * positions (from 0), names or patterns.
 * @throws PithError E_OPTION if there are fewer, E_NAME for an unknown name, E_UNSUPPORTED if no layers repeat.
 * @example
 * await keepLayers(net, { keep: 2 }); // of twelve layers of a transformer the first and the last
 * await keepLayers(net, { keep: [0, 2, 4] });
 * await keepLayers(net, { keep: ["layer1.0", "layer2.*"] });
 */
export const keepLayers = definePass({
  id: "keep-layers",
  summary: "Remove repeated layers, such as transformer blocks",
  options: v.strictObject({
    keep: described(keptLayers, "number of repeated layers to keep, spread evenly, or a list of names or positions"),
  }),
  gentler: () => "Keep more layers",
  async run(model, { keep }, context) {
    const stacks = repeatedLayers(model);
    const stay = new Set(typeof keep === "number" ? evenly(stacks, keep) : keptByName(stacks.flat(), keep));
    const gone = stacks.flat().filter((block) => !stay.has(block));
    if (gone.length === 0) return { changes: [], misses: [new Miss("all repeated layers are kept")] };
    const bypasses = gone.map((block) => bypassOf(model, block));
    const misses = bypasses.filter((way) => way instanceof Miss);
    if (misses.length > 0) return { changes: [], misses };
    const found = bypasses.flatMap((way) => (way instanceof Miss ? [] : way));
    return { changes: removeLayers(model, found, context), misses: [] };
  },
});

/** Selects round(i (m - 1) / (k - 1)), i < k, of m layers: includes the first and last; for k = 1 the first. */
function evenly(stacks: readonly (readonly Block[])[], count: number): readonly Block[] {
  const most = Math.max(...stacks.map(({ length }) => length));
  if (count > most)
    throw new PithError("E_OPTION", `${count} layers cannot be kept: ${stacksText(stacks)}.`, {
      hint: `Keep at most ${most - 1}.`,
    });
  return stacks.flatMap((stack) => {
    if (count >= stack.length) return stack;
    const places = Array.from({ length: count }, (_, at) => Math.round((at * (stack.length - 1)) / (count - 1 || 1)));
    return stack.filter((_, at) => places.includes(at));
  });
}

function stacksText(stacks: readonly (readonly Block[])[]): string {
  const texts = stacks.map((stack) => `${stack.length} (${stack[0]?.name} to ${stack.at(-1)?.name})`);
  return `the network repeats ${texts.join(", ")}`;
}

function keptByName(all: readonly Block[], wanted: readonly (string | number)[]): readonly Block[] {
  for (const one of wanted) {
    if (typeof one === "number" ? one < all.length : all.some(({ name }) => isNamed(one, name))) continue;
    const hint = `Repeated layers: ${all.map(({ name }, at) => `${at} ${name}`).join(", ")}.`;
    throw typeof one === "number"
      ? new PithError("E_OPTION", `There is no repeated layer ${one}: they count from 0 to ${all.length - 1}.`, {
          hint,
        })
      : new PithError("E_NAME", `No repeated layer is called "${one}".`, { hint });
  }
  return all.filter(({ name }, at) =>
    wanted.some((one) => (typeof one === "number" ? one === at : isNamed(one, name))),
  );
}
