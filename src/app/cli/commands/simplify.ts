import * as v from "valibot";
import { type Change, described, option } from "#pass";
import { copiesOf } from "../../../core/files/compressed-copies.ts";
import { bytes, counted, integer } from "../../../core/numbers.ts";
import { fusionFor, targetOption } from "../../../techniques/quantize/runtimes.ts";
import { defineCommand, type Result } from "../command.ts";
import { exists, requireOther, withoutLeftovers } from "../files/files.ts";
import { requireModel } from "../files/model-folder.ts";
import {
  completePlace,
  folderForFolder,
  precompressFlag,
  requireWritablePlace,
  resolveResultPlace,
} from "../files/result-place.ts";
import { parseNamedSizes, parseSettings } from "../flags/set.ts";
import type simplifyJob from "../jobs/simplify.ts";
import type { SimplifyOutput } from "../jobs/simplify.ts";
import { constantNote, withoutNote } from "../print/samples.ts";
import { changeColumns, changeRow } from "../print/table.ts";

const repeatableFlag = (text: string, value: string) => v.optional(described(v.array(v.string()), text, { value }), []);

export default defineCommand({
  name: "simplify",
  summary: "reduce the number of nodes without changing the function",
  arguments: [{ name: "model.onnx", description: `the model; ${folderForFolder}` }],
  options: v.object({
    out: option(v.string(), "file to write (default: model.simplified.onnx)", { short: "-o", value: "out.onnx" }),
    set: repeatableFlag("fix an input to a value: name=1,2,3", "input=value"),
    fix: repeatableFlag("fix a named dimension to a size", "name=size"),
    keepOutput: repeatableFlag("keep this value as an output, and remove the other outputs", "name"),
    dim: repeatableFlag("size of a named dimension for the comparison with the original", "name=n"),
    only: option(v.array(v.string()), "apply only this rule (--explain shows the rules that applied)", {
      value: "rule",
    }),
    skip: option(v.array(v.string()), "do not apply this rule", { value: "rule" }),
    target: v.optional(targetOption("use the fastest operators of these runtimes, and raise the operator set for it")),
    explain: option(
      v.boolean(),
      "show each rule that applied, how often, where, and the bytes that it saves; writes nothing without -o",
    ),
    finalize: option(v.boolean(), "after training and pruning: fold masks, remove training roles"),
    force: option(v.boolean(), "write the result even if it differs from the original"),
    ...precompressFlag,
  }),
  examples: [
    "simplify model.onnx -o out.onnx",
    "simplify silero_vad.onnx --set sr=16000",
    "simplify model.trained.onnx --finalize",
    "simplify model.onnx --fix batch=1,sequence=128 --keep-output logits",
    "simplify decoder.onnx --target node,wasm",
    "simplify model.onnx --explain --skip gelu",
  ],
  async run([model = ""], options, session) {
    const place = resolveResultPlace({ model, folders: session.folders }, options.out, ".simplified");
    const { out } = place;
    const set = parseSettings(options.set);
    const fix = Object.fromEntries(parseNamedSizes(options.fix, "--fix"));
    const sizes = Object.fromEntries(parseNamedSizes(options.dim));
    await requireModel(model);
    const writes = options.out !== undefined || options.explain !== true;
    const { precompress } = options;
    const copies = writes ? copiesOf(out, precompress) : [];
    for (const path of [out, ...copies]) await requireOther(path, [["the model itself", model]]);
    if (writes) await requireWritablePlace(place, copies);
    const replaced = writes && (await exists(out));
    const { keepOutput: keepOutputs, only, target, finalize = false, force = false, explain = false } = options;
    const fusion = target === undefined ? { raise: false, skip: [] } : fusionFor(target);
    const skip = [...(options.skip ?? []), ...fusion.skip];
    const input = {
      ...{
        model,
        out,
        writes,
        set,
        fix,
        keepOutputs,
        only,
        skip,
        raise: fusion.raise,
        explain,
        finalize,
        sizes,
        force,
        precompress,
      },
      ...{ copiesSidecars: place.folder !== undefined, seed: session.seed },
    };
    const job = () => session.job<typeof simplifyJob>("simplify", input, `simplify ${model}`);
    const result = writes ? await withoutLeftovers([out, ...copies], job) : await job();
    if (writes) await completePlace(place, session.terminal);
    return show(model, { ...result, copies }, replaced);
  },
});

function show(
  model: string,
  result: SimplifyOutput & { readonly copies: readonly string[] },
  replaced: boolean,
): Result {
  const { before, after, changes, saved, comparison, held, written, copies } = result;
  return {
    data: { model, ...result, replaced },
    print(terminal) {
      if (saved !== undefined) terminal.table(ruleColumns, ruleRows(changes, saved));
      else
        for (const [kind, all] of groupChanges(changes, (change) => change.kind ?? change.what))
          terminal.line(`  ${integer(all.length).padStart(5)}  ${kind}`);
      terminal.table(changeColumns, [
        changeRow("nodes", before.nodes, after.nodes, integer),
        changeRow("bytes", before.bytes, after.bytes, bytes),
      ]);
      terminal.line(comparisonLine(comparison));
      if (held > 0)
        terminal.line(
          `kept for training: ${counted(held, "tensor")} marked trainable, frozen, mask or state; --finalize folds them, too`,
        );
      terminal.line(
        written === undefined
          ? "nothing written: --explain only shows what would change. -o out.onnx writes the result."
          : `written: ${terminal.color.bold(written)}${[replaced ? " (replaced)" : "", ...copies].join("  ").trimEnd()}`,
      );
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

/** Returns a row per rule and result, with the first place where the rule applied. The first row of a rule has the bytes that it saves. */
function ruleRows(changes: readonly Change[], saved: Readonly<Record<string, number>>): string[][] {
  const remaining = new Map(Object.entries(saved));
  return groupChanges(changes, ({ rule, kind, what }) => `${rule ?? ""}\0${kind ?? what}`).map(([, all]) => {
    const [{ rule = "", kind, what = "", at = "" } = {}] = all;
    const more = all.length === 1 ? "" : ` and ${integer(all.length - 1)} more`;
    const bytesSaved = remaining.get(rule);
    remaining.delete(rule);
    return [rule, integer(all.length), bytesSaved === undefined ? "" : bytes(bytesSaved), kind ?? what, `${at}${more}`];
  });
}

function comparisonLine(comparison: SimplifyOutput["comparison"]): string {
  if (typeof comparison === "string") return `not compared with the original: ${comparison}`;
  const { inputs, difference, tolerance, fused, own, without = [], constant = false } = comparison;
  const differenceText =
    difference === 0
      ? "equal"
      : `at most ${difference.toExponential(1)} apart (relative to the largest value; ${Number(tolerance.toPrecision(2))} allowed)`;
  const asWritten = fused === undefined ? "" : ", run node by node";
  const fusedText =
    fused === undefined || fused <= tolerance
      ? ""
      : `; with the runtime's fusions ${fused.toExponential(1)}, in individual quantized values`;
  const rounding =
    own === undefined
      ? ""
      : `; rounding error of the original ${own.toExponential(1)}${isUnsteady(own) ? ": this is weak evidence" : ""}`;
  return `outputs: ${differenceText}, on ${inputs} random inputs${asWritten}${fusedText}${rounding}${constant ? constantNote : ""}${withoutNote(without)}`;
}

/** Returns whether operator fusion changes the original's outputs so much that a slightly wrong rewrite cannot be detected. */
const isUnsteady = (roundingError: number): boolean => roundingError > 0.01;
