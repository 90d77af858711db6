/** Describes a finished run as plain data. */
import { asPithError, type Model } from "#ir";
import type { Context } from "#pass";
import { version } from "../../core/version.ts";
import type { Dataset } from "../../data/index.ts";
import type { Task } from "../../runtime/metrics/metric.ts";
import { compareLayers } from "../../runtime/noise/layer-differences.ts";
import type { Evaluator } from "../measure/evaluator.ts";
import {
  type Disagreement,
  type Noise,
  type Run,
  runFormat,
  type StepRecord,
  type Timing,
} from "../record/run-record.ts";
import { sampleViewsOf } from "../record/sample-views.ts";
import type { SplitRecords } from "./record-keys.ts";
import type { RunOptions } from "./run-options.ts";
import { type Decision, indexOfSmallestDrop } from "./select-result.ts";
import type { Trials } from "./trials.ts";

/** Returns the record of a run, with the samples and layers in which its result differs most. */
export async function describeRun(
  { original, attempts, choice, chosen }: Decision,
  { evaluator, splits, goal }: Trials,
  timing: Timing | undefined,
  task: Task,
  options: RunOptions,
  context: Context,
): Promise<Omit<Run, "date" | "warnings" | "seconds">> {
  const { about, targets = [] } = options;
  const { metrics } = evaluator;
  const { name, unit, better } = task.metric;
  const examined = chosen ?? indexOfSmallestDrop(attempts);
  const evaluation = attempts[examined ?? -1]?.evaluation;
  const disagreements =
    evaluation === undefined
      ? []
      : await addSampleViews(evaluator.findDisagreements(evaluation), task.test, task.shownSamples);
  return {
    format: runFormat,
    version,
    command: about?.command,
    paths: about?.paths,
    ...(targets.length === 0 ? {} : { targets: targets.map(({ name }) => name) }),
    seed: context.seed,
    machine: about?.machine,
    data: {
      ...dataRecord(task, splits, evaluator, attempts[chosen ?? 0]?.variant.steps ?? []),
      ...classNamesOf(disagreements, task.test.classes),
    },
    metric: { name, unit, better },
    goal,
    original,
    variants: attempts.map(({ variant }) => variant),
    chosen,
    ...(choice === undefined || chosen === undefined || attempts.length < 2 ? {} : { choice }),
    missed: chosen !== undefined || attempts.length < 2 || metrics.validation === undefined ? undefined : choice?.place,
    latency: timing,
    ...(examined === undefined ? {} : { examined }),
    disagreements,
    ...(evaluation === undefined
      ? {}
      : {
          noise: await noiseOf(
            await evaluator.open(evaluator.original),
            await evaluator.open(evaluation),
            task.test,
            context,
          ),
        }),
  };
}

function dataRecord(
  { test, preprocessing, available }: Task,
  splits: SplitRecords,
  { metrics }: Evaluator,
  steps: readonly StepRecord[],
): Run["data"] {
  // If several steps train, the record has the samples of the step that used the most.
  const [learnt] = steps.flatMap((step) => step.learnt ?? []).sort((a, b) => (b.fitted ?? 0) - (a.fitted ?? 0));
  return {
    name: test.name,
    preprocessing,
    ...splits,
    train: splits.train && { ...splits.train, ...learnt },
    validation: metrics.validation?.samples.length,
    ...(available === undefined ? {} : { available }),
    chance: metrics.chance,
    ...(metrics.chanceNote === undefined ? {} : { atChance: metrics.chanceNote }),
  };
}

function classNamesOf(samples: readonly Disagreement[], classes: Dataset["classes"]): Pick<Run["data"], "classes"> {
  const names = samples
    .flatMap(({ label, original, variant }) => [label ?? -1, original, variant])
    .flatMap((value) => (classes?.[value] === undefined ? [] : [[value, classes[value]] as const]));
  return names.length === 0 ? {} : { classes: Object.fromEntries(names) };
}

const comparedSamples = 16;

/** @param ready samples as the models receive them. @param stored before preprocessing, if available. */
async function addSampleViews(
  disagreements: readonly Disagreement[],
  ready: Dataset,
  stored: Dataset | undefined,
): Promise<readonly Disagreement[]> {
  const views = await sampleViewsOf(
    disagreements.map(({ sample }) => sample),
    ready,
    stored,
  );
  return disagreements.map((disagreement, index) => {
    const shown = views[index];
    return shown === undefined ? disagreement : { ...disagreement, shown };
  });
}

async function noiseOf(original: Model, result: Model, test: Dataset, context: Context): Promise<Noise> {
  const { engine, signal } = context;
  try {
    const { layers, misses } = await compareLayers(engine, original, result, test, {
      samples: comparedSamples,
      signal,
    });
    const finiteLayers = layers.filter(({ signalToNoise }) => signalToNoise > -Infinity);
    const brokenLayers = layers.filter((layer) => !finiteLayers.includes(layer));
    return {
      samples: Math.min(comparedSamples, test.count ?? comparedSamples),
      layers: finiteLayers.map(({ layer, signalToNoise }) => ({
        layer,
        signalToNoise: signalToNoise === Infinity ? undefined : signalToNoise,
      })),
      misses: [
        ...brokenLayers.map(({ layer }) => ({ at: layer, reason: "its output is not finite" })),
        ...misses.map(({ at, reason }) => ({ at, reason })),
      ],
    };
  } catch (error) {
    return { samples: 0, layers: [], misses: [{ at: undefined, reason: asPithError(error).message }] };
  }
}
