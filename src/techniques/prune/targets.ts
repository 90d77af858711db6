/** Selects the stored parameters (weights or biases of layers) to prune. */
import * as v from "valibot";
import {
  fixedTables,
  infer,
  type Layer,
  layers as layersOf,
  parametersOf,
  requireStored,
  selectLayers,
  storedRoot,
  unsupportedWeights,
  weightNeeds,
} from "#analysis";
import { Miss, type Model, PithError, type Value } from "#ir";
import { type LayerSelection, option, selectionOptions } from "#pass";

export type ParameterKind = "weight" | "bias";

export const targetEntries = {
  ...selectionOptions("prune"),
  parameter: option(
    v.picklist(["weight", "bias"], ({ input }) => {
      const kind = /^"?(weight|bias)_(mask|orig)"?$/.exec(String(input))?.[1];
      return kind === undefined
        ? 'is "weight" or "bias"'
        : `is "weight" or "bias" (use "${kind}": pruning it again updates its mask)`;
    }),
    "which parameter of a layer to prune (default: weight)",
  ),
};

export interface Target {
  readonly layer: Layer;
  readonly kind: ParameterKind;
  readonly parameter: Value;
}

export interface ParameterSelection extends LayerSelection {
  readonly parameter?: ParameterKind | undefined;
}

export interface TargetChoice {
  readonly targets: readonly Target[];
  readonly misses: readonly Miss[];
}

/** @throws PithError E_NAME if a name fits no layer, or none of the layers has the parameter. */
export async function selectParameters(model: Model, selection: ParameterSelection): Promise<TargetChoice> {
  const kind = selection.parameter ?? "weight";
  const inference = infer(model);
  const all = layersOf(model, inference);
  const selected = selectLayers(all, selection);
  if (selected.length > 0 && selected.every((layer) => parameterOf(model, layer, kind) === undefined)) {
    const layerNames = selected.map((layer) => `"${layer.name}"`).join(", ");
    throw new PithError("E_NAME", `${layerNames}: no ${kind} to prune.`);
  }
  const learned = selection.layers === undefined ? new Set(parametersOf(model, inference)) : undefined;
  for (const table of learned === undefined ? [] : await fixedTables(selected)) learned?.delete(table);
  const { targets, misses } = findTargets(model, selected, kind, learned);
  const unsupported =
    selection.layers === undefined && kind === "weight" ? unsupportedWeights(model, inference, all) : [];
  return { targets, misses: [...misses, ...unsupported] };
}

export function selectAllParameters(model: Model, selection: ParameterSelection): readonly Target[] {
  const inference = infer(model);
  const selected = selectLayers(layersOf(model, inference), selection);
  const kinds = selection.parameter === undefined ? (["weight", "bias"] as const) : [selection.parameter];
  return kinds.flatMap((kind) => findTargets(model, selected, kind, undefined).targets);
}

function findTargets(
  model: Model,
  selected: readonly Layer[],
  kind: ParameterKind,
  learned: ReadonlySet<Value> | undefined,
): TargetChoice {
  const targets = new Map<Value, Target>();
  const misses: Miss[] = [];
  for (const layer of selected) {
    const parameter = parameterOf(model, layer, kind);
    if (parameter === undefined) {
      misses.push(new Miss(`it has no ${kind}`, layer.name));
      continue;
    }
    const refusal = requireStored(parameter, { ...weightNeeds.prune, learned }, `its ${kind}`);
    if (refusal !== undefined) misses.push(new Miss(refusal.reason, layer.name));
    else if (!targets.has(parameter)) targets.set(parameter, { layer, kind, parameter });
  }
  return { targets: [...targets.values()], misses };
}

function parameterOf(model: Model, layer: Layer, kind: ParameterKind): Value | undefined {
  if (kind === "weight") return layer.weight;
  // A bias that a separate Add node adds is found by the name that exporters give it.
  const namedBias = model.graph.value(`${layer.name}.bias`);
  const root = storedRoot(layer.bias ?? namedBias ?? layer.weight);
  return root === layer.weight ? undefined : root;
}
