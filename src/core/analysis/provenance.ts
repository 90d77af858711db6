/**
 * Records in the model's metadata which channels remain in each pruned layer:
 *      pith.kept = {"conv1":"0-3,5,8-15","fc1":"1-127"}
 * The indices are those of the original model, before any pruning.
 */
import type { Model } from "#graph";

export const keptChannelsKey = "pith.kept";

/** Adds the remaining output channels of layers to the metadata. `kept` has their indices before this pruning step. */
export function recordChannels(model: Model, kept: ReadonlyMap<string, readonly number[]>): void {
  const all = readRanges(model);
  for (const [layer, channels] of kept) {
    const originalIndices = parseRanges(all.get(layer) ?? "");
    all.set(
      layer,
      rangesText(
        originalIndices === undefined ? channels : channels.map((channel) => originalIndices[channel] ?? channel),
      ),
    );
  }
  model.header.metadata.set(keptChannelsKey, JSON.stringify(Object.fromEntries(all)));
}

/** Returns the original indices of a layer's remaining channels. */
export function originalChannelsOf(model: Model, layer: string): readonly number[] | undefined {
  const text = readRanges(model).get(layer);
  return text === undefined ? undefined : parseRanges(text);
}

/** Returns the recorded ranges by layer. Malformed entries are ignored, because other tools can write any metadata. */
function readRanges({ header }: Model): Map<string, string> {
  try {
    const parsed: unknown = JSON.parse(header.metadata.get(keptChannelsKey) ?? "{}");
    if (typeof parsed !== "object" || parsed === null) return new Map();
    return new Map(Object.entries(parsed).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  } catch {
    return new Map();
  }
}

const maxChannels = 2 ** 20;

function parseRanges(text: string): readonly number[] | undefined {
  const indices: number[] = [];
  for (const range of text.split(",")) {
    const [, first = "", last = first] = /^(\d{1,7})(?:-(\d{1,7}))?$/.exec(range) ?? [];
    if (first === "" || Number(last) - Number(first) + indices.length > maxChannels) return undefined;
    for (let index = Number(first); index <= Number(last); index++) indices.push(index);
  }
  return indices;
}

function rangesText(sortedIndices: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const index of sortedIndices) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] + 1 === index) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
