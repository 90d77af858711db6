/** Units of a sensitivity sweep: groups of layers that change together, with the settings to try. */
import { infer } from "../../core/analysis/infer.ts";
import { allLayers, type Layer } from "../../core/analysis/layers.ts";
import { throwIfAborted } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { LayerSelection } from "../../core/pass/options.ts";
import type { Context } from "../../core/pass/pass.ts";
import { groupBy } from "../../core/tensor/group-by.ts";
import { runStep } from "../../judge/steps/step.ts";
import type { Sensitivity, SensitivityKind, SensitivityRow } from "./sensitivity-record.ts";
import { middleOf, optionsOf, sweeps } from "./sweeps.ts";

export type SensitivityMiss = Sensitivity["misses"][number];

export type Unit = Pick<SensitivityRow, "kind" | "layers" | "bytes">;

export interface Measurement {
  readonly unit: Unit;
  readonly setting: number;
}

/** The units of each kind are the layers that the pass changes if all are requested. */
export async function unitsOf(
  model: Model,
  kinds: readonly SensitivityKind[],
  alike: boolean,
  selection: LayerSelection,
  context: Context,
): Promise<{ readonly units: readonly Unit[]; readonly misses: SensitivityMiss[] }> {
  const units: Unit[] = [];
  const misses: SensitivityMiss[] = [];
  const layers = allLayers(model, infer(model));
  const inGraph = [...new Set(layers.map(({ name }) => name))];
  for (const kind of kinds) {
    throwIfAborted(context.signal);
    const { pass, shared, own, widest, isCoupled } = sweeps[kind];
    const all = await runStep(pass, model.clone(), { ...shared, ...own(widest), ...selection }, {}, context);
    misses.push(...all.misses.map(({ at, reason }) => ({ kind, at, reason })));
    const left = new Set(all.changes.map(({ at }) => at));
    const groups: (readonly string[])[] = [];
    for (const name of inGraph.filter((layer) => left.has(layer))) {
      if (!left.has(name)) continue;
      const options = optionsOf(sweeps[kind], new Map([[name, widest]]));
      const { changes } = isCoupled ? await runStep(pass, model.clone(), options, {}, context) : { changes: [] };
      const together = changes.map(({ at }) => at);
      const group = inGraph.filter((layer) => layer === name || (left.has(layer) && together.includes(layer)));
      for (const layer of group) left.delete(layer);
      groups.push(group);
    }
    const likeness = alike
      ? ([name = ""]: readonly string[]) => name.replaceAll(/\d+/g, "*")
      : (group: readonly string[]) => group;
    for (const of of groupBy<readonly string[], unknown>(groups, likeness).values()) {
      const names = of.flat();
      units.push({ kind, layers: names, bytes: weightBytes(layers.filter(({ name }) => names.includes(name))) });
    }
  }
  return { units, misses };
}

/** Middle settings come first for all layers, so that an interrupted sweep has measured the same setting of each. */
export function inOrder(units: readonly Unit[]): readonly Measurement[] {
  const ranks = units.flatMap((unit) => {
    const { settings } = sweeps[unit.kind];
    const middle = settings.indexOf(middleOf(unit.kind));
    return settings.map((setting, at) => ({ unit, setting, far: Math.abs(at - middle) }));
  });
  return ranks.toSorted((a, b) => a.far - b.far);
}

function weightBytes(layers: readonly Layer[]): number {
  const tensors = new Set(layers.flatMap(({ weight }) => weight.tensor ?? []));
  return [...tensors].reduce((sum, { bytes }) => sum + bytes, 0);
}
