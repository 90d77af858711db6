/** Job of `pith simplify`: simplifies a model, compares it with the original, and writes it if the outputs are the same. */

import type { Batch, Dense, Model } from "#ir";
import {
  allGraphs,
  allValues,
  asPithError,
  encodedSize,
  open,
  PithError,
  stripPeriod,
  throwIfAborted,
  uncapitalize,
} from "#ir";
import type { Change } from "#pass";
import type { Encoding } from "#platform";
import { createEngine, type Engine } from "../../../core/engine/index.ts";
import { codesTolerance, compareOutputs, type Sameness } from "../../../judge/compare/equivalence.ts";
import { fixDimensions, requireDimensions } from "../../../rewrite/clean-up/fix-dimensions.ts";
import { setInputs } from "../../../rewrite/clean-up/set-inputs.ts";
import { simplify } from "../../../rewrite/clean-up/simplify.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { ResultFails, requireLoads, watchLoads } from "../../../runtime/run/load-check.ts";
import { fileBytes, filesOfModel, requireOtherThanWeights, requireOutputs } from "../files/files.ts";
import { contextOf, openModel, saveResult, warnOfDefaults } from "../job-parts/open-model.ts";
import { rejectUnloadable } from "./loadable.ts";

export interface SimplifyInput {
  readonly model: string;
  readonly out: string;
  /** Whether the result is written; otherwise the job only reports what would change. */
  readonly writes: boolean;
  readonly copiesSidecars: boolean;
  readonly set: Readonly<Record<string, number | number[]>>;
  readonly fix: Readonly<Record<string, number>>;
  readonly keepOutputs: readonly string[];
  /** Ids of the only rules to apply. */
  readonly only?: readonly string[] | undefined;
  /** Ids of rules that are not applied. */
  readonly skip: readonly string[];
  /** Whether the operator set is raised if this allows fewer nodes. */
  readonly raise: boolean;
  /** Whether the bytes that each rule saves are measured, which takes one more simplification per rule. */
  readonly explain: boolean;
  readonly finalize: boolean;
  readonly sizes: Readonly<Record<string, number>>;
  readonly force: boolean;
  readonly precompress?: readonly Encoding[] | undefined;
  readonly seed: number;
}

interface Weight {
  readonly nodes: number;
  readonly bytes: number;
}

export interface SimplifyOutput {
  readonly before: Weight;
  readonly after: Weight;
  readonly changes: readonly Change[];
  /** The bytes that each rule saves, by its id: the file would be this much larger without the rule. Undefined if not requested. */
  readonly saved?: Readonly<Record<string, number>> | undefined;
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
  readonly comparison: Sameness | string;
  readonly held: number;
  /** Path of the result; undefined if nothing was written. */
  readonly written: string | undefined;
}

export default async function simplifyJob(input: SimplifyInput, context: JobContext): Promise<SimplifyOutput> {
  const model = await openModel(input.model, context);
  await requireOtherThanWeights(input.out, model, input.model);
  requireOutputs(model, input.model);
  requireDimensions([model], Object.keys(input.sizes));
  const original = model.clone();
  const engine = watchLoads(createEngine());
  context.stage("simplify");
  const { set, fix, only, skip, raise, finalize } = input;
  const passContext = contextOf(engine, input, context);
  const rules = { ...(only === undefined ? {} : { only: [...only] }), skip: [...skip] };
  const options = { set, fix, keepOutputs: [...input.keepOutputs], finalize, raise, ...rules };
  const outcome = await simplify(model, options, passContext);
  const saved = input.explain
    ? await bytesSaved(original, model, outcome.changes, options, { ...passContext, log: () => {} })
    : undefined;
  engine.forget();
  context.stage("compare");
  addComparableOutputs(original, model);
  const comparison = await rejectUnloadable(async () => {
    const sameness =
      outcome.changes.length === 0 ? "nothing changed" : await compare(engine, original, model, input, context);
    await requireLoads(engine, model, original);
    return sameness;
  });
  if (typeof comparison !== "string" && !(comparison.difference <= comparison.tolerance) && !input.force)
    throw differenceError(comparison);
  throwIfAborted(context.signal, "Stopped before anything was written.");
  let bytes = await encodedSize(model);
  if (input.writes) {
    context.stage("write");
    await saveResult(model, input, context);
    bytes = await fileBytes(filesOfModel(await open(input.out), input.out));
  }
  warnOfDefaults(original, context);
  return {
    before: { nodes: nodesIn(original), bytes: await fileBytes(filesOfModel(original, input.model)) },
    after: { nodes: nodesIn(model), bytes },
    ...{ changes: outcome.changes, saved },
    misses: outcome.misses.map(({ at, reason }) => ({ at, reason })),
    comparison,
    held: [...allValues(model.graph)].filter(({ role }) => role !== undefined).length,
    written: input.writes ? input.out : undefined,
  };
}

/** Returns for each rule that applied how many bytes larger the file would be without it. Rules can enable each other, so the sum can differ. */
async function bytesSaved(
  original: Model,
  simplified: Model,
  changes: readonly Change[],
  options: Parameters<typeof simplify>[1] & { readonly skip: readonly string[] },
  context: Parameters<typeof simplify>[2],
): Promise<Readonly<Record<string, number>>> {
  const size = await encodedSize(simplified);
  const saved: Record<string, number> = {};
  for (const rule of new Set(changes.flatMap((change) => change.rule ?? []))) {
    const withoutRule = original.clone();
    await simplify(withoutRule, { ...options, skip: [...options.skip, rule] }, context);
    saved[rule] = (await encodedSize(withoutRule)) - size;
  }
  return saved;
}

/** Compares outputs. @throws PithError E_ENGINE if only the result does not load. Without `force`, also throws if the comparison is not possible. */
async function compare(
  engine: Engine,
  original: Model,
  model: Model,
  { sizes, set, fix, keepOutputs, seed, force }: SimplifyInput,
  context: JobContext,
): Promise<Sameness | string> {
  try {
    const fixedOriginal = original.clone();
    await fixDimensions(fixedOriginal, { fix });
    if (keepOutputs.length > 0)
      fixedOriginal.graph.setOutputs(fixedOriginal.graph.outputs.filter(({ name }) => keepOutputs.includes(name)));
    return await compareOutputs(engine, fixedOriginal, model, {
      sizes: new Map(Object.entries(sizes)),
      set: await setFeeds(fixedOriginal, set),
      seed,
      ...context,
    });
  } catch (error) {
    const pithError = asPithError(error);
    if (pithError instanceof ResultFails && pithError.loading) throw error;
    const reason = stripPeriod(pithError.message);
    if (force) return uncapitalize(reason);
    throw new PithError(
      pithError.code,
      `${reason}. The result could not be compared with the original. Nothing was written.`,
      { hint: "--force writes the result without a comparison.", cause: error },
    );
  }
}

function differenceError({ difference, at, tolerance, run, own }: Sameness): PithError {
  const differenceText = Number.isFinite(difference)
    ? `differs by ${difference.toExponential(1)} of its largest value`
    : "is another";
  const explanation = own === undefined ? "" : ` (rounding error of the original: ${own.toExponential(1)})`;
  if (run === "as written" || tolerance < codesTolerance)
    return new PithError(
      "E_ACCURACY_LOST",
      `Output "${at}" ${differenceText}; rounding explains ${Number(tolerance.toPrecision(2))}${explanation}. Nothing was written.`,
      {
        hint: "Please report this with the model: a rewrite may be wrong. --force writes the result anyway; then compare it on your own data (pith eval --original).",
      },
    );
  return new PithError(
    "E_ACCURACY_LOST",
    `Output "${at}" ${differenceText} with ONNX Runtime's fusions, more than ${tolerance}, but not when run node by node. Nothing was written.`,
    { hint: "--force writes the result anyway; then evaluate it on your own data (pith eval --original)." },
  );
}

function nodesIn(model: Model): number {
  return [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);
}

/** Adds outputs to the original for values that are outputs only of the result, so that they can be compared. */
function addComparableOutputs(original: Model, { graph }: Model): void {
  const outputNames = new Set(original.graph.outputs.map(({ name }) => name));
  for (const { name, type } of graph.outputs) {
    const value = outputNames.has(name) ? undefined : original.graph.ownValue(name);
    if (value === undefined) continue;
    if (value.stated === undefined) value.type = type;
    original.graph.addOutput(value);
  }
}

async function setFeeds(original: Model, set: SimplifyInput["set"]): Promise<Batch> {
  const copy = original.clone();
  await setInputs(copy, { set });
  const feeds: Record<string, Dense> = {};
  for (const name of Object.keys(set)) {
    const tensor = copy.graph.ownValue(name)?.tensor;
    if (tensor !== undefined) feeds[name] = await tensor.read();
  }
  return feeds;
}
