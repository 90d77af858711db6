/** Collects what `run.json` and the reports show of a run. */
import type { Context } from "../../core/pass/pass.ts";
import { version } from "../../core/version.ts";
import type { Dataset } from "../../data/index.ts";
import type { Task } from "../../runtime/metrics/types.ts";
import { type Disagreement, type Run, runFormat, type StepRecord, type Timing } from "../record/data.ts";
import { type Decision, indexOfSmallestDrop } from "./contenders.ts";
import type { Parts } from "./data-parts.ts";
import type { Evaluator } from "./evaluator.ts";
import { addSampleViews, noiseOf } from "./evidence.ts";
import type { RunOptions } from "./run.ts";
import type { Trials } from "./trials.ts";

/** Returns the record of a run (`run.json`), without the fields that are known only at its end. */
export async function runRecord(
  { original, tried, choice, chosen }: Decision,
  { evaluator, parts, goal }: Trials,
  timing: Timing | undefined,
  task: Task,
  options: RunOptions,
  context: Context,
): Promise<Omit<Run, "date" | "warnings" | "seconds">> {
  const { about, targets = [], seen } = options;
  const { metrics } = evaluator;
  const { name, unit, better } = task.metric;
  const examined = chosen ?? indexOfSmallestDrop(tried);
  const evaluation = tried[examined ?? -1]?.evaluation;
  const disagreements =
    evaluation === undefined ? [] : await addSampleViews(evaluator.disagreements(evaluation), task.test, seen);
  return {
    format: runFormat,
    version,
    command: about?.command,
    paths: about?.paths,
    ...(targets.length === 0 ? {} : { targets: targets.map(({ name }) => name) }),
    seed: context.seed,
    machine: about?.machine,
    data: {
      ...dataRecord(task, parts, evaluator, options, tried[chosen ?? 0]?.variant.steps ?? []),
      ...namesOf(disagreements, task.test.classes),
    },
    metric: { name, unit, better },
    goal,
    original,
    variants: tried.map(({ variant }) => variant),
    chosen,
    ...(choice === undefined || chosen === undefined || tried.length < 2 ? {} : { choice }),
    missed: chosen !== undefined || metrics.validation === undefined ? undefined : choice?.place,
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
  task: Task,
  parts: Parts,
  { metrics }: Evaluator,
  { preprocessing, available }: RunOptions,
  steps: readonly StepRecord[],
): Run["data"] {
  // If several steps train, the record has the samples of the step that used the most.
  const [learnt] = steps.flatMap((step) => step.learnt ?? []).sort((a, b) => (b.fitted ?? 0) - (a.fitted ?? 0));
  return {
    name: task.test.name,
    preprocessing,
    ...parts,
    train: parts.train && { ...parts.train, ...learnt },
    validation: metrics.validation?.samples.length,
    ...(available === undefined ? {} : { available }),
    chance: metrics.chance,
    ...(metrics.atChance === undefined ? {} : { atChance: metrics.atChance }),
  };
}

function namesOf(disagreements: readonly Disagreement[], classes: Dataset["classes"]): Pick<Run["data"], "classes"> {
  const names = disagreements
    .flatMap(({ label, original, variant }) => [label ?? -1, original, variant])
    .flatMap((value) => (classes?.[value] === undefined ? [] : [[value, classes[value]] as const]));
  return names.length === 0 ? {} : { classes: Object.fromEntries(names) };
}
