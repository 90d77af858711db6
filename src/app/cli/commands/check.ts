/** The command `pith check`: compares models of a repository with their budgets. */
import { readdir } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import * as v from "valibot";
import { bytes, fileError, open, optionError, PithError, usageError } from "#ir";
import { option } from "#pass";
import { fileKind, readText, sha256 } from "#platform";
import { bytesOfFile, isCopy } from "../../../core/files/hash.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import type { Size } from "../../../runtime/run/model-size.ts";
import type { Column } from "../../report/tables.ts";
import { defineCommand, type Session } from "../command.ts";
import { filesOfModel, isSameFile } from "../files/file-paths.ts";
import { markdownFlag, requireMarkdownFile } from "../flags/markdown.ts";
import { fork } from "../fork.ts";
import type relativeTimeJob from "../jobs/relative-time.ts";
import type sizesJob from "../jobs/sizes.ts";
import type { Colors } from "../print/terminal-escapes.ts";
import type evaluateProcess from "../processes/eval.ts";
import type { EvalResult } from "../processes/eval.ts";
import { type Budgets, parseBudgets } from "./check/budgets.ts";
import {
  type CheckOutcome,
  evalFindings,
  type Finding,
  missingRuntimeFindings,
  outcomeOf,
  sizeFindings,
  speedFinding,
  unmeasuredFindings,
} from "./check/findings.ts";

const defaultFile = "pith.check.yaml";
/** Number of processes that time a model, because the ratio varies between processes. */
const timingProcesses = 5;

export default defineCommand({
  name: "check",
  summary: "check that the models of a repository keep their budgets of bytes, accuracy and speed",
  arguments: [
    {
      name: "pith.check.yaml",
      description: "the budgets, such as models: [{ model: a.onnx, bytes: 300kB }] (docs/check.md)",
      isOptional: true,
    },
  ],
  options: v.object({
    base: option(v.string(), "folder of the budgets before the change, to compare bytes", { value: "folder" }),
    modules: option(v.array(v.string()), "code that the budgets may name as data", { value: "rows.mjs" }),
    ...markdownFlag,
  }),
  examples: ["check", "check budgets.yaml --base ../main --markdown $GITHUB_STEP_SUMMARY"],
  async run([file], { base, markdown: markdownFile }, session) {
    const { path, text } = await readBudgets(file);
    const budgets = parseBudgets(text, path);
    const entries = await listModels(budgets, dirname(path));
    const files = entries.flatMap(({ model, original, data }) => [model, original, data]);
    await requireMarkdownFile(markdownFile, [
      ["the budgets", path],
      ...files.map((file) => ["a file of the check", file] as const),
    ]);
    const models: CheckedModel[] = [];
    for (const entry of entries) {
      session.terminal.currentItem = entry.name;
      models.push(await checkModel(entry, base, session));
    }
    session.terminal.currentItem = "";
    const outcome = outcomeOf(models);
    return {
      markdownFile,
      json: { outcome, models },
      isGoalMissed: outcome === "failed",
      isUndecided: outcome === "undecided",
      outcome: (color) => colorOutcome(outcome, color),
      print(terminal) {
        const { bold } = terminal.color;
        for (const { model, findings, before } of models) {
          terminal.line(bold(model));
          terminal.table(
            columns,
            findings.map(({ budget, limit, measured, outcome }) => [
              budget,
              limit,
              measured,
              colorOutcome(outcome, terminal.color),
            ]),
          );
          for (const { budget, reason } of findings) if (reason !== undefined) terminal.line(`${budget}: ${reason}`);
          if (before !== undefined) terminal.line(before);
        }
        terminal.line(bold(colorOutcome(outcome, terminal.color, `check ${outcome}`)));
        terminal.line(`next: ${nextCommand(path, entries, models, base)}`);
      },
    };
  },
});

function nextCommand(
  path: string,
  entries: readonly ListedModel[],
  models: readonly CheckedModel[],
  base: string | undefined,
): string {
  const index = models.findIndex(({ outcome }) => outcome !== "passed");
  const { model = "", original = "" } = entries[index] ?? {};
  const flags = base === undefined ? "--base FOLDER" : `--base ${quoteWord(base)} --markdown REPORT.md`;
  if (index < 0) return `pith check ${quoteWord(path)} ${flags}  # in a pull request: bytes before and after`;
  const failedBudget = models[index]?.findings.find(({ outcome }) => outcome !== "passed")?.budget ?? "";
  return ["drop", "agreement"].includes(failedBudget)
    ? `pith debug ${quoteWord(original)} ${quoteWord(model)}`
    : `pith inspect ${quoteWord(model)}`;
}

function colorOutcome(outcome: CheckOutcome, { green, red, yellow }: Colors, text: string = outcome): string {
  return { passed: green, failed: red, undecided: yellow }[outcome](text);
}

/** Returns whether a package.json has the key "pith". A dependency of this name is another key. */
function hasBudgets(text: string): boolean {
  try {
    return Object.hasOwn(JSON.parse(text), "pith");
  } catch {
    // `parseBudgets` reports the line of the syntax error.
    return true;
  }
}

async function readBudgets(file: string | undefined): Promise<{ readonly path: string; readonly text: string }> {
  const names = file === undefined ? [defaultFile, "package.json"] : [file];
  for (const path of names) {
    if (file === undefined && (await fileKind(path)) !== "file") continue;
    const text = await readText(path);
    if (path !== "package.json" || file !== undefined || hasBudgets(text)) return { path, text };
  }
  const missing = `neither "${defaultFile}" nor the key "pith" in "package.json" exists here`;
  throw usageError(`No budgets: ${missing}.`, {
    hint: [
      "Write pith.check.yaml, for example:",
      "models: [{ model: small.onnx, bytes: 300kB, original: original.onnx, data: samples/, drop: 1%, agreement: 97% }]",
      "Or name the file: pith check budgets.yaml",
    ],
  });
}

interface ListedModel {
  /** Path of the model as the budgets name it. */
  readonly name: string;
  readonly model: string;
  readonly original: string | undefined;
  readonly data: string | undefined;
  readonly budgets: Budgets;
}

interface CheckedModel {
  readonly model: string;
  readonly outcome: CheckOutcome;
  readonly findings: readonly Finding[];
  /** A sentence that compares the file with the one before the change. */
  readonly before: string | undefined;
}

/** Returns the models with paths from the current folder. A folder stands for all ONNX files in it. */
async function listModels(budgets: readonly Budgets[], folder: string): Promise<readonly ListedModel[]> {
  const lists = budgets.map(async (each): Promise<readonly ListedModel[]> => {
    const at = (path: string): string => relative(".", resolve(folder, path)) || ".";
    const originalFile = typeof each.original === "object" ? each.original.file : each.original;
    const data = each.data === undefined ? undefined : at(each.data);
    const model = at(each.model);
    const reference = originalFile === undefined ? undefined : at(originalFile);
    if (reference !== undefined && (await isSameFile(reference, model))) {
      const sentence = `"${each.model}" is its own original, so nothing can be compared.`;
      throw optionError(sentence, { hint: "Name the model that it was made from." });
    }
    if ((await fileKind(model)) !== "folder")
      return [{ name: each.model, model, original: reference, data, budgets: each }];
    const files: string[] = [];
    for (const name of (await readdir(model, { recursive: true })).filter((name) => /\.onnx$/i.test(name)).sort()) {
      const path = join(model, name);
      // A folder of variants can contain the original.
      const isOriginal = reference !== undefined && (await isSameFile(reference, path));
      if ((await fileKind(path)) === "file" && !isOriginal) files.push(name);
    }
    if (files.length === 0) throw fileError(`The folder "${each.model}" has no ONNX file.`);
    const isFolder = reference !== undefined && (await fileKind(reference)) === "folder";
    return files.map((name) => ({
      name: join(each.model, name),
      model: join(model, name),
      original: reference !== undefined && isFolder ? join(reference, name) : reference,
      data,
      budgets: each,
    }));
  });
  return (await Promise.all(lists)).flat();
}

async function checkModel(entry: ListedModel, base: string | undefined, session: Session): Promise<CheckedModel> {
  const { name, model, budgets } = entry;
  const findings: Finding[] = [];
  let size: Size | undefined;
  try {
    if (budgets.bytes !== undefined || budgets.download !== undefined) {
      [size] = await session.runJob<typeof sizesJob>("sizes", { models: [model] }, `check ${model}`);
      if (size !== undefined) findings.push(...sizeFindings(budgets, size));
    }
    findings.push(...(await compareWithOriginal(entry, session)));
  } catch (error) {
    // One model that fails does not keep the others from being checked.
    if (!(error instanceof PithError) || error.code === "E_STOPPED") throw error;
    findings.push({
      budget: "model",
      limit: "can be measured",
      measured: "no",
      outcome: "failed",
      reason: reasonOf(error),
    });
  }
  const before = base === undefined ? undefined : await describeChange(join(base, name), model, size, session);
  return { model: name, outcome: outcomeOf(findings), findings, before };
}

const reasonOf = ({ sentence, hint }: PithError): string => [sentence, ...[hint ?? []].flat()].join(" ");

async function compareWithOriginal(entry: ListedModel, session: Session): Promise<readonly Finding[]> {
  const { model, original, data, budgets } = entry;
  const { drop, agreement, speed, runtimes = [], metric, preprocess, samples } = budgets;
  if (original === undefined) return [];
  await requireOriginal(original, budgets);
  const isMeasured = drop !== undefined || agreement !== undefined;
  const hasData = data !== undefined && (await fileKind(data)) !== undefined;
  const findings: Finding[] = isMeasured && !hasData ? [...unmeasuredFindings(budgets, `"${data}" is not here`)] : [];
  if ((isMeasured && hasData) || runtimes.length > 0) {
    const samplesFlags = isMeasured && hasData ? { data, preprocess, samples, minAgreement: agreement } : {};
    const evaluate = async (target: typeof runtimes): Promise<EvalResult> => {
      const flags = { original, metric, maxDrop: drop, target: [...target], ...samplesFlags };
      return (await fork<typeof evaluateProcess>("eval", [model], flags, session, { title: `check ${model}` })).json;
    };
    try {
      findings.push(...evalFindings(budgets, await evaluate(runtimes)));
    } catch (error) {
      const otherRuntimes = runtimes.filter((runtime) => runtime !== "node");
      if (!(error instanceof PithError) || error.code !== "E_ENGINE_MISSING" || otherRuntimes.length === 0) throw error;
      const installedRuntimes = runtimes.filter((runtime) => runtime === "node");
      if ((isMeasured && hasData) || installedRuntimes.length > 0)
        findings.push(...evalFindings(budgets, await evaluate(installedRuntimes)));
      findings.push(...missingRuntimeFindings(otherRuntimes, reasonOf(error)));
    }
  }
  if (speed !== undefined) {
    const timings: Awaited<ReturnType<typeof relativeTimeJob>>[] = [];
    const input = { original, model, seed: session.seed };
    while (timings.length < timingProcesses)
      timings.push(await session.runJob<typeof relativeTimeJob>("relative-time", input, `check ${model}`));
    findings.push(speedFinding(speed, timings));
  }
  return findings;
}

/** @throws PithError E_FILE if the original is missing, E_SOURCE_CHANGED if it is another file. */
async function requireOriginal(path: string, { model, original }: Budgets): Promise<void> {
  if ((await fileKind(path)) !== "file")
    throw fileError(`The original "${path}" of "${model}" does not exist.`, {
      hint: "Commit it, fetch it before the check (Git LFS), or change the path in the budgets.",
    });
  if (typeof original !== "object") return;
  const digest = sha256();
  for (const file of await filesOf(path)) for await (const piece of bytesOfFile(file)) digest.add(piece);
  const actual = await digest.end();
  if (actual === original.sha256.toLowerCase()) return;
  const sentence = `The original "${path}" is another file: expected SHA-256 ${original.sha256}, got ${actual}.`;
  throw new PithError("E_SOURCE_CHANGED", sentence, {
    hint: "Restore the file. If the change is intended, write the new SHA-256 into the budgets.",
  });
}

const filesOf = async (path: string): Promise<readonly string[]> => filesOfModel(await open(path), path);

async function areCopies(files: readonly string[], copies: readonly string[]): Promise<boolean> {
  if (files.length !== copies.length) return false;
  return (await Promise.all(files.map((file, index) => isCopy(copies[index] ?? "", file)))).every(Boolean);
}

async function describeChange(
  before: string,
  model: string,
  measured: Size | undefined,
  session: Session,
): Promise<string> {
  if ((await fileKind(before)) !== "file") return "new: the base has no such file";
  try {
    const [files, baseFiles] = [await filesOf(model), await filesOf(before)];
    if (await areCopies(files, baseFiles)) return "unchanged: the base has the same file";
    const models = measured === undefined ? [before, model] : [before];
    const [baseSize, size = measured] = await session.runJob<typeof sizesJob>("sizes", { models }, `check ${model}`);
    return baseSize === undefined || size === undefined ? "changed" : changeText(baseSize, size);
  } catch (error) {
    if (!(error instanceof PithError) || error.code === "E_STOPPED") throw error;
    return `not compared with the base: ${reasonOf(error)}`;
  }
}

function changeText(before: Size, after: Size): string {
  const parts = (["bytes", "brotli"] as const).flatMap((kind) => {
    const [old, current] = [before[kind], after[kind]];
    if (old === undefined || current === undefined) return [];
    const change = current === old ? "unchanged" : `${current > old ? "+" : "−"}${bytes(Math.abs(current - old))}`;
    const isEstimate = kind === "brotli" && (before.sampled || after.sampled);
    return [
      `${kind === "bytes" ? "" : "after brotli "}${isEstimate ? "≈ " : ""}${bytes(old)} → ${bytes(current)} (${change})`,
    ];
  });
  return `changed: ${parts.join(", ")}`;
}

const columns: readonly Column[] = [
  { title: "budget" },
  { title: "limit" },
  { title: "measured" },
  { title: "outcome" },
];
