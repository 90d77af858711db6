import { infer } from "../../core/analysis/infer.ts";
import { type Layer, layers } from "../../core/analysis/layers.ts";
import { brokenNumbers } from "../../core/analysis/weight.ts";
import { engineMultiply } from "../../core/engine/multiply.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { statisticOf } from "../../core/pass/own-methods.ts";
import type { Context } from "../../core/pass/pass.ts";
import { random } from "../../core/tensor/random.ts";
import type { Dataset } from "../../data/batches/types.ts";
import type { Calibration } from "./calibration.ts";
import { featuresOf } from "./features.ts";
import type { LayerContext, Solver } from "./solver.ts";
import type { Features, Statistic } from "./statistic.ts";

interface Samples {
  readonly data?: Dataset | string | undefined;
  readonly samples?: number | undefined;
}

/** @param isObserved whether the inputs of a layer are part of the statistics: this one, or a later one that shares its weight. */
export type KnownOf = (layer: Layer, isObserved?: (layer: Layer) => boolean) => Promise<LayerContext | Miss>;

/** Returns a layer and the later ones that read the same matrix, in order. */
function readersFrom(layer: Layer, model: Model): readonly Layer[] {
  if (layer.effective.uses.size < 2) return [layer];
  const axesOf = ({ kind, out, in: inputs, outTaps, groups }: Layer["role"]): string =>
    JSON.stringify([kind, out, inputs, outTaps, groups]);
  const all = layers(model, infer(model));
  const index = all.findIndex(({ node, role }) => node === layer.node && role.input === layer.role.input);
  const later = index < 0 ? [] : all.slice(index + 1);
  return [
    layer,
    ...later.filter(({ effective, role }) => effective === layer.effective && axesOf(role) === axesOf(layer.role)),
  ];
}

/**
 * Runs `work` with a function that returns the statistics of a layer, or a Miss. They include the inputs of all layers that share
 * the weight. Layers must be requested in order, before they change; the last result is cached. @throws PithError E_OPTION without samples.
 */
export async function withEvidence<T>(
  model: Model,
  kind: string,
  { id, evidence: statistic, of }: Pick<Solver, "id" | "evidence" | "of">,
  { data, samples }: Samples,
  context: Context,
  work: (knownOf: KnownOf) => Promise<T>,
): Promise<T> {
  const { multiply, release } = engineMultiply(context.engine);
  const known = (layer: Layer, evidence: unknown): LayerContext | Miss =>
    evidence instanceof Miss
      ? evidence
      : { layer, evidence, multiply, random: random(context.seed, kind, id, layer.name) };
  if (statistic === undefined) return work(async (layer) => known(layer, undefined)).finally(release);
  if (data === undefined) {
    const hint = "Give a data set.";
    throw new PithError("E_OPTION", `"data": the ${kind} "${id}" needs samples, and none are given.`, { hint });
  }
  const own = ofNumbers(statisticOf(`The ${kind} "${id}"`, statistic));
  const seenIn = of === "changed" || of === "both" ? model : model.clone();
  const original = of === "both" ? model.clone() : undefined;
  const originals = original === undefined ? [] : layers(original, infer(original));
  const all = layers(seenIn, infer(seenIn));
  // Loaded on demand: code that reads data.
  const { calibrate } = await import("./calibration.ts");
  const seen = await calibrate(seenIn, { data, samples }, context);
  let walk: Calibration | undefined;
  const last = { name: "", found: undefined as unknown };
  try {
    walk = original === undefined ? undefined : await calibrate(original, { data, samples }, context);
    return await work(async (asked, isObserved = () => true) => {
      const { name } = asked;
      if (!isObserved(asked)) return known(asked, undefined);
      if (last.name === name) return known(asked, last.found);
      const layer = seenIn === model ? asked : all.find((one) => one.name === name);
      const readers = (layer === undefined ? [] : readersFrom(layer, seenIn)).filter(
        (one) => one === layer || (isObserved(one) && !(featuresOf(one, own) instanceof Miss)),
      );
      const before = readers.flatMap((reader) => originals.find((one) => one.name === reader.name) ?? []);
      const beside = walk === undefined || before.length < readers.length ? undefined : { seen: walk, layers: before };
      const found =
        layer === undefined
          ? new Miss("the model had no such layer before", name)
          : await seen.collect(readers, own, beside);
      const evidence = found instanceof Miss ? new Miss(found.reason, name) : found;
      Object.assign(last, { name, found: evidence });
      return known(asked, evidence);
    });
  } finally {
    await release();
    await seen.release();
    await walk?.release();
  }
}

/** Returns a Miss if the statistic reads an input that is not finite. Values that the runtime reduces are not checked. */
function ofNumbers<R>(statistic: Statistic<R>): Statistic<R | Miss> {
  if (statistic.reduce !== undefined) return statistic;
  return {
    ...(statistic.ofTables && { ofTables: statistic.ofTables }),
    begin(multiply) {
      const running = statistic.begin(multiply);
      let broken: string | undefined;
      const checked = <N extends ArrayLike<number>>(numbers: N): N => {
        broken ??= brokenNumbers(numbers);
        return numbers;
      };
      const watched = (batch: Features): Features => ({
        ...batch,
        values: () => checked(batch.values()),
        matrix(...part) {
          const result = batch.matrix(...part);
          checked(result.data);
          return result;
        },
      });
      return {
        add: (batch, original) =>
          broken === undefined ? running.add(watched(batch), original && watched(original)) : undefined,
        end: () => (broken === undefined ? running.end() : new Miss(`what comes into it ${broken} on these samples`)),
      };
    },
  };
}
