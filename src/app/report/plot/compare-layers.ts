/** Compares the layers of a plotted model with those of its original. */
import { allLayers, cost, counterpartsAmong, infer, type Layer, originalName, storedForm } from "#analysis";
import { groupBy, type Model, PithError, type Value } from "#ir";
import { bytes, counted, percent } from "../../../core/numbers.ts";

export interface Original {
  readonly name: string;
  readonly model: Model;
}

interface Comparison {
  readonly summary: string;
  /** Descriptions of layers of the original that have no counterpart. */
  readonly removed: readonly string[];
  readonly removedText: string;
  readonly of: (layer: Layer) => {
    /** Short text for the drawing: "147 kB → 23.0 kB, 40×64×3×3 int8". */
    readonly brief: string;
    readonly full: string;
  };
}

/**
 * Compares each layer with its counterpart in the original. @param layers layers of the plotted model. @param size bytes of the plotted model.
 * @throws PithError E_OPTION if no layer has a counterpart.
 */
export function compareWith({ name, model }: Original, layers: readonly Layer[], size: number): Comparison {
  const inference = infer(model);
  const originalLayers = allLayers(model, inference);
  const byName = groupBy(originalLayers, (layer) => layer.name);
  const names = new Set(byName.keys());
  const counterparts = counterpartsAmong(originalLayers);
  const originalsOf = (layer: Layer): readonly Layer[] => {
    const matches = counterparts(layer);
    return matches.length > 0 ? matches : (byName.get(originalName(layer.name, names) ?? "") ?? []);
  };
  const matchedLayers = new Set(layers.flatMap(originalsOf));
  if (matchedLayers.size === 0 && layers.length > 0 && originalLayers.length > 0)
    throw new PithError("E_OPTION", `No layer of "${name}" has the name or the output of a layer of the model.`, {
      hint: "Give the model from which this one was made.",
    });
  const replacements = groupBy(layers, (layer) => originalsOf(layer)[0]);
  const removed = originalLayers.filter((layer) => !matchedLayers.has(layer));
  const originalBytes = cost(model, inference).bytes;
  const sizeText = `original ${name}: ${bytes(originalBytes)} → ${bytes(size)} (${percent(size / (originalBytes || 1))})`;
  const changedLayers = layers.filter((layer) => {
    const [original] = originalsOf(layer);
    return original === undefined || weightText(original) !== weightText(layer);
  });
  const keptWeights = new Set([...matchedLayers].map(({ weight }) => weight));
  return {
    summary: `${sizeText}, ${changedLayers.length} of ${counted(layers.length, "layer")} ${changedLayers.length === 1 ? "differs" : "differ"} in shape or type`,
    removed: removed.map((layer) => `${layer.name}: ${weightText(layer)} ${bytes(bytesOf(layer.weight))}`),
    removedText: `${counted(removed.length, "layer")} of the original without a counterpart, ${bytes(freedBytes(removed, keptWeights))}`,
    of(layer) {
      const [original] = originalsOf(layer);
      const currentSize = bytes(bytesOf(layer.weight));
      if (original === undefined)
        return {
          brief: `new, ${currentSize}`,
          full: `new: the original has no such layer; ${weightText(layer)} ${currentSize}`,
        };
      const originalSize = bytes(bytesOf(original.weight));
      const originalParts = partsOf(original);
      const changedParts = partsOf(layer).filter((part, index) => part !== originalParts[index]);
      const otherCount = (replacements.get(original)?.length ?? 1) - 1;
      const title = original.name === layer.name ? "original" : `original ${original.name}`;
      return {
        brief: `${originalSize} → ${currentSize}${changedParts.length === 0 ? "" : `, ${joinParts(changedParts)}`}`,
        full: `${title}: ${weightText(original)} ${originalSize} → ${weightText(layer)} ${currentSize}${otherCount === 0 ? "" : `, and ${counted(otherCount, "more layer")}`}`,
      };
    },
  };
}

/** Returns the bytes of removed weights that no remaining layer uses. Each weight counts once. */
function freedBytes(removed: readonly Layer[], kept: ReadonlySet<Value>): number {
  const weights = new Set(removed.map(({ weight }) => weight));
  return [...weights].reduce((sum, weight) => sum + (kept.has(weight) ? 0 : bytesOf(weight)), 0);
}

const bytesOf = ({ tensor }: Value): number => tensor?.bytes ?? 0;

function partsOf(layer: Layer): readonly [shape: string, type: string] {
  const { dims, type } = storedForm(layer);
  return [dims.join("×"), type];
}

/** Joins shape and type: "40×64×3×3 int8", "16×3×3×3, palette of 4 bits". */
const joinParts = (parts: readonly string[]): string => parts.join(parts.at(-1)?.includes(" ") ? ", " : " ");

const weightText = (layer: Layer): string => joinParts(partsOf(layer));
