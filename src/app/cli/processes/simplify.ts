/** Simplifies a model, compares it with the original, and writes it if the outputs are the same. */
import type * as v from "valibot";
import type { Batch, Dense, Model } from "#ir";
import {
  allGraphs,
  allValues,
  asPithError,
  bytes,
  counted,
  encodedSize,
  integer,
  PithError,
  stripPeriod,
  throwIfAborted,
  uncapitalize,
} from "#ir";
import type { Change } from "#pass";
import { createEngine, type Engine } from "../../../core/engine/index.ts";
import { copiesOf } from "../../../core/files/compressed-copies.ts";
import { checkEquivalence, type Equivalence, quantizedTolerance } from "../../../judge/compare/equivalence.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { fixDimensions, requireDimensions } from "../../../rewrite/clean-up/fix-dimensions.ts";
import { setInputs } from "../../../rewrite/clean-up/set-inputs.ts";
import { simplify as simplifyModel } from "../../../rewrite/clean-up/simplify.ts";
import { ResultError, requireLoads, watchLoads } from "../../../runtime/run/load-check.ts";
import { fusionOptionsFor } from "../../../techniques/quantize/fuse-decoder.ts";
import { constantOutputsNote, missingOperatorsNote } from "../../report/samples.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { options } from "../commands/simplify.ts";
import {
  exists,
  filesOfModel,
  requireNotInput,
  requireNotWeights,
  requireOutputs,
  totalBytes,
} from "../files/file-paths.ts";
import { requireModel } from "../files/model-path.ts";
import { completeFolder, requireWritableResult, resolveResultPath } from "../files/result-path.ts";
import { parseNamedSizes, parseSettings } from "../flags/named-values.ts";
import { rejectUnloadable } from "../jobs/parts/load-simplified.ts";
import { warnOfDefaults } from "../jobs/parts/model-warnings.ts";
import { contextOf, openModel } from "../jobs/parts/open-model.ts";
import { saveResult } from "../jobs/parts/save-result.ts";
import { changeColumns, changeRow } from "../print/table.ts";

export default async function simplify(
  [path = ""]: readonly string[],
  flags: v.InferOutput<typeof options>,
  session: ProcessSession,
): Promise<Result> {
  const place = resolveResultPath({ model: path, namedFolders: session.namedFolders }, flags.out, ".simplified");
  const { out } = place;
  const { precompress, only, target, explain = false, finalize = false, force = false } = flags;
  const set = parseSettings(flags.set);
  const fix = Object.fromEntries(parseNamedSizes(flags.fix, "--fix"));
  const sizes = parseNamedSizes(flags.dim);
  await requireModel(path);
  const writes = !explain;
  const copies = writes ? copiesOf(out, precompress) : [];
  for (const file of [out, ...copies]) await requireNotInput(file, [["the model itself", path]]);
  if (writes) await requireWritableResult(place, copies);
  const replaced = writes && (await exists(out));
  const model = await openModel(path, session);
  await requireNotWeights(out, model, path);
  requireOutputs(model, path);
  requireDimensions([model], [...sizes.keys()]);
  const original = model.clone();
  const engine = watchLoads(createEngine());
  session.stage("simplify");
  const context = contextOf(engine, session, session);
  const fusion = target === undefined ? { raise: false, skip: [] } : fusionOptionsFor(target);
  const skip = [...(flags.skip ?? []), ...fusion.skip];
  const rules = { ...(only === undefined ? {} : { only }), skip, raise: fusion.raise };
  const simplifyOptions = { set, fix, keepOutputs: flags.keepOutput, finalize, ...rules };
  const { changes, misses } = await simplifyModel(model, simplifyOptions, context);
  const saved = explain
    ? await bytesSaved(original, model, changes, simplifyOptions, { ...context, log: () => {} })
    : undefined;
  session.stage("compare");
  addComparableOutputs(original, model);
  const comparison = await rejectUnloadable(async () => {
    const inputs = { ...simplifyOptions, sizes, force };
    const sameness = changes.length === 0 ? "nothing changed" : await compare(engine, original, model, inputs, session);
    await requireLoads(engine, model, original);
    return sameness;
  });
  if (typeof comparison !== "string" && !(comparison.difference <= comparison.tolerance) && !force)
    throw differenceError(comparison);
  throwIfAborted(session.signal, "Stopped before anything was written.");
  let writtenBytes = await encodedSize(model);
  if (writes) {
    session.stage("write");
    const writing = { model: path, out, skipsSidecars: place.folder !== undefined, precompress };
    writtenBytes = await totalBytes((await saveResult(model, writing, session)).files);
    await completeFolder(place, session);
  }
  warnOfDefaults(original, session);
  const before = { nodes: nodesIn(original), bytes: await totalBytes(filesOfModel(original, path)) };
  const after = { nodes: nodesIn(model), bytes: writtenBytes };
  const roleCount = [...allValues(model.graph)].filter(({ role }) => role !== undefined).length;
  const written = writes ? out : undefined;
  return {
    json: {
      model: path,
      before,
      after,
      changes,
      saved,
      misses: misses.map(({ at, reason }) => ({ at, reason })),
      comparison,
      held: roleCount,
      written,
      copies,
      replaced,
    },
    print(terminal) {
      if (saved !== undefined) terminal.table(ruleColumns, ruleRows(changes, saved));
      else
        for (const [kind, all] of groupChanges(changes, (change) => change.kind ?? change.what))
          terminal.line(`  ${integer(all.length).padStart(5)} ×  ${kind}`);
      terminal.table(changeColumns, [
        changeRow("nodes", before.nodes, after.nodes, integer),
        changeRow("bytes", before.bytes, after.bytes, bytes),
      ]);
      if (roleCount > 0)
        terminal.line(
          `kept for training: ${counted(roleCount, "tensor")} that training changes or needs; --finalize merges or removes them`,
        );
      terminal.line(
        written === undefined
          ? "Nothing was written: --explain only shows what would change."
          : `written: ${terminal.color.bold(written)}${[replaced ? " (replaced)" : "", ...copies].join("  ").trimEnd()}`,
      );
      terminal.line(comparisonLine(comparison));
      terminal.line(`next: pith compress ${quoteWord(written ?? path)} --data SAMPLES`);
    },
  };
}

/** Groups changes, the most frequent first. */
function groupChanges(changes: readonly Change[], keyOf: (change: Change) => string): [string, Change[]][] {
  const groups = new Map<string, Change[]>();
  for (const change of changes) {
    const key = keyOf(change);
    groups.set(key, [...(groups.get(key) ?? []), change]);
  }
  return [...groups].sort(([, a], [, b]) => b.length - a.length);
}

const ruleColumns = [
  { title: "rule" },
  { title: "times", align: "right" as const },
  { title: "saves", align: "right" as const },
  { title: "result" },
  { title: "at" },
];

/** Returns a row per rule and result, with the first place where the rule applied. */
function ruleRows(changes: readonly Change[], savedBytes: Readonly<Record<string, number>>): string[][] {
  const remaining = new Map(Object.entries(savedBytes));
  return groupChanges(changes, ({ rule, kind, what }) => `${rule ?? ""}\0${kind ?? what}`).map(([, all]) => {
    const [{ rule = "", kind, what = "", at = "" } = {}] = all;
    const more = all.length === 1 ? "" : ` and ${integer(all.length - 1)} more`;
    const bytesSaved = remaining.get(rule);
    remaining.delete(rule);
    return [rule, integer(all.length), bytesSaved === undefined ? "" : bytes(bytesSaved), kind ?? what, `${at}${more}`];
  });
}

function comparisonLine(comparison: Equivalence | string): string {
  if (typeof comparison === "string") return `change: not compared with the original: ${comparison}`;
  const { inputs, difference, tolerance, fused, own, without = [], constant = false } = comparison;
  const differenceText =
    difference === 0
      ? "are equal to the original's"
      : `differ from the original's by at most ${difference.toExponential(1)} of the largest value (${Number(tolerance.toPrecision(2))} allowed)`;
  const asWritten = fused === undefined ? "" : ", run node by node";
  const fusedText =
    fused === undefined || fused <= tolerance
      ? ""
      : `; with the runtime's fusions ${fused.toExponential(1)}, in individual quantized values`;
  const rounding =
    own === undefined
      ? ""
      : `; rounding error of the original ${own.toExponential(1)}${isUnsteady(own) ? ": this is weak evidence" : ""}`;
  return `change: outputs ${differenceText}, on ${inputs} random inputs${asWritten}${fusedText}${rounding}${constant ? constantOutputsNote : ""}${missingOperatorsNote(without)}`;
}

/** Returns whether operator fusion changes the original's outputs so much that a slightly wrong rewrite cannot be detected. */
const isUnsteady = (roundingError: number): boolean => roundingError > 0.01;

/** Returns for each rule that applied how many bytes larger the file would be without it. */
async function bytesSaved(
  original: Model,
  simplifiedModel: Model,
  changes: readonly Change[],
  options: Parameters<typeof simplifyModel>[1] & { readonly skip: readonly string[] },
  context: Parameters<typeof simplifyModel>[2],
): Promise<Readonly<Record<string, number>>> {
  const size = await encodedSize(simplifiedModel);
  const savedBytes: Record<string, number> = {};
  for (const rule of new Set(changes.flatMap((change) => change.rule ?? []))) {
    const withoutRule = original.clone();
    await simplifyModel(withoutRule, { ...options, skip: [...options.skip, rule] }, context);
    savedBytes[rule] = (await encodedSize(withoutRule)) - size;
  }
  return savedBytes;
}

interface ComparisonInputs {
  readonly sizes: ReadonlyMap<string, number>;
  readonly set: ReturnType<typeof parseSettings>;
  readonly fix: Readonly<Record<string, number>>;
  readonly keepOutputs: readonly string[];
  readonly force: boolean;
}

/** Compares outputs. With `force`, returns the reason if the comparison fails. @throws ResultError if only the result does not load. */
async function compare(
  engine: Engine,
  original: Model,
  model: Model,
  { sizes, set, fix, keepOutputs, force }: ComparisonInputs,
  session: ProcessSession,
): Promise<Equivalence | string> {
  try {
    const fixedOriginal = original.clone();
    await fixDimensions(fixedOriginal, { fix });
    if (keepOutputs.length > 0)
      fixedOriginal.graph.setOutputs(fixedOriginal.graph.outputs.filter(({ name }) => keepOutputs.includes(name)));
    return await checkEquivalence(engine, fixedOriginal, model, {
      sizes,
      set: await setFeeds(fixedOriginal, set),
      ...session,
    });
  } catch (error) {
    const pithError = asPithError(error);
    if (pithError instanceof ResultError && pithError.loading) throw error;
    const reason = stripPeriod(pithError.message);
    if (force) return uncapitalize(reason);
    throw new PithError(
      pithError.code,
      `${reason}. The result could not be compared with the original. Nothing was written.`,
      { hint: "--force writes the result without a comparison.", cause: error },
    );
  }
}

function differenceError({ difference, at, tolerance, run, own }: Equivalence): PithError {
  const differenceText = Number.isFinite(difference)
    ? `differs by ${difference.toExponential(1)} of its largest value`
    : "is another";
  const explanation = own === undefined ? "" : ` (rounding error of the original: ${own.toExponential(1)})`;
  if (run === "as written" || tolerance < quantizedTolerance)
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

/** Adds outputs to the original for values that are outputs only of the result. */
function addComparableOutputs(original: Model, { graph }: Model): void {
  const outputNames = new Set(original.graph.outputs.map(({ name }) => name));
  for (const { name, type } of graph.outputs) {
    const value = outputNames.has(name) ? undefined : original.graph.ownValue(name);
    if (value === undefined) continue;
    if (value.stated === undefined) value.type = type;
    original.graph.addOutput(value);
  }
}

async function setFeeds(original: Model, set: ComparisonInputs["set"]): Promise<Batch> {
  const copy = original.clone();
  await setInputs(copy, { set });
  const feeds: Record<string, Dense> = {};
  for (const name of Object.keys(set)) {
    const tensor = copy.graph.ownValue(name)?.tensor;
    if (tensor !== undefined) feeds[name] = await tensor.read();
  }
  return feeds;
}
