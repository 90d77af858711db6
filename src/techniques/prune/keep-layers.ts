/** Depth pruning by position: keeps some of the repeated layers (`repeated-layers.ts`). */
import * as v from "valibot";
import { type Block, matchesName } from "#analysis";
import { Miss, optionError, PithError } from "#ir";
import { countOption, definePass, withHelp } from "#pass";
import { bypassOf, removeLayers, repeatedLayers } from "./repeated-layers.ts";

const position = v.pipe(v.number(), v.integer("must be an integer"), v.minValue(0, "must not be negative"));

export const keptLayers = v.union(
  [countOption, v.pipe(v.array(v.union([position, v.string()])), v.minLength(1))],
  "takes the number of layers to keep, or a list of names or positions",
);

export type KeptLayers = v.InferOutput<typeof keptLayers>;

/**
 * Keeps some of the repeated layers, in place: a number per stack (evenly spread, with the first and the last), or a list of
 * positions (from 0), names or patterns.
 * @throws PithError E_OPTION if there are fewer layers, E_NAME for an unknown name, E_UNSUPPORTED if no layers repeat.
 * @example
 * await keepLayers(net, { keep: 2 }); // of twelve layers of a transformer the first and the last
 * await keepLayers(net, { keep: [0, 2, 4] });
 * await keepLayers(net, { keep: ["layer1.0", "layer2.*"] });
 */
export const keepLayers = definePass({
  id: "keep-layers",
  summary: "Remove repeated layers, such as transformer blocks",
  options: v.strictObject({
    keep: withHelp(keptLayers, "number of repeated layers to keep, spread evenly, or a list of names or positions"),
  }),
  gentler: () => "Keep more layers",
  async run(model, { keep }, context) {
    const stacks = repeatedLayers(model);
    const keptBlocks = new Set(
      typeof keep === "number" ? selectEvenly(stacks, keep) : selectBlocks(stacks.flat(), keep),
    );
    const removedBlocks = stacks.flat().filter((block) => !keptBlocks.has(block));
    if (removedBlocks.length === 0) return { changes: [], misses: [new Miss("all repeated layers are kept")] };
    const bypasses = removedBlocks.map((block) => bypassOf(model, block));
    const misses = bypasses.filter((bypass) => bypass instanceof Miss);
    if (misses.length > 0) return { changes: [], misses };
    const possible = bypasses.flatMap((bypass) => (bypass instanceof Miss ? [] : bypass));
    return { changes: removeLayers(model, possible, context), misses: [] };
  },
});

/** Selects k of m layers: those at round(i (m - 1) / (k - 1)), i < k, which include the first and the last. For k = 1: the first. */
function selectEvenly(stacks: readonly (readonly Block[])[], count: number): readonly Block[] {
  const max = Math.max(...stacks.map(({ length }) => length));
  if (count > max) {
    const texts = stacks.map((stack) => `${stack.length} (${stack[0]?.name} to ${stack.at(-1)?.name})`);
    const text = `${count} layers cannot be kept: the network repeats ${texts.join(", ")}.`;
    throw optionError(text, { hint: `Keep at most ${max - 1}.` });
  }
  return stacks.flatMap((stack) => {
    if (count >= stack.length) return stack;
    const positions = Array.from({ length: count }, (_, i) => Math.round((i * (stack.length - 1)) / (count - 1 || 1)));
    return stack.filter((_, index) => positions.includes(index));
  });
}

function selectBlocks(all: readonly Block[], selectors: readonly (string | number)[]): readonly Block[] {
  const hint = `Repeated layers: ${all.map(({ name }, index) => `${index} ${name}`).join(", ")}.`;
  const selectedBlocks = selectors.map((selector) => {
    const blocks = all.filter(({ name }, index) =>
      typeof selector === "number" ? selector === index : matchesName(selector, name),
    );
    if (blocks.length > 0) return blocks;
    throw typeof selector === "string"
      ? new PithError("E_NAME", `No repeated layer is called "${selector}".`, { hint })
      : optionError(`There is no repeated layer ${selector}: they count from 0 to ${all.length - 1}.`, { hint });
  });
  return [...new Set(selectedBlocks.flat())];
}
