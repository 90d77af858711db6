/** Job of `pith compress`: runs a recipe or a search, and writes the model, reports and record. */
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, totalmem } from "node:os";
import { bytes, bytesOfText, capitalize, counted, figureText, joinList, type Model, throwIfAborted } from "#ir";
import type { Context } from "#pass";
import { type Encoding, joinPath, packageVersion } from "#platform";
import { copiesInMemory } from "../../../core/files/compressed-copies.ts";
import { bytesOfFile } from "../../../core/files/hash.ts";
import { listMissingSidecars, outerLinksAmong } from "../../../data/sidecars/sidecars.ts";
import { recipeNameOf } from "../../../judge/recipe/pass-steps.ts";
import { recipeText } from "../../../judge/recipe/recipe-text.ts";
import type { Machine, Measured, Run } from "../../../judge/record/run-record.ts";
import type { Candidate } from "../../../judge/run/attempt.ts";
import { type Compressed, compress } from "../../../judge/run/compress.ts";
import { digestOf } from "../../../judge/steps/keys.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { Metric, Task } from "../../../runtime/metrics/metric.ts";
import { type CompressedSize, measureSize } from "../../../runtime/run/model-size.ts";
import { searchWithPool } from "../../../search/search.ts";
import type { SearchOptions } from "../../../search/search-setup.ts";
import { reportMarkdown } from "../../report/markdown.ts";
import { reportPage } from "../../report/report-page.ts";
import { exists, filesOfModel } from "../files/file-paths.ts";
import { type RecipeFile, readRecipe } from "../files/recipe-file.ts";
import { frontNames, readInterimResult, removeResults, runContents, writeResults } from "../files/result-folder.ts";
import { maxKeptBytes } from "../files/steps-folder.ts";
import { withFlagNames } from "../flags/flag-names.ts";
import type { CombinationInput, JobRequest, SearchInput } from "../queue/job-inputs.ts";
import { type WorkerOptions, withJobPool } from "./parts/job-pool.ts";
import { warnOfDefaults } from "./parts/model-warnings.ts";
import { type OpenedSearch, withSearch } from "./parts/open-search.ts";

/** Subfolder for the reports of a run without a result, if the output folder contains an earlier result. */
const rejectedFolder = "rejected";

export interface CompressInput {
  readonly shared: SearchInput;
  readonly workers: WorkerOptions;
  readonly out: string;
  readonly recipe: RecipeFile | undefined;
  readonly command: readonly string[];
  /** Flags of the command, which its reports name. */
  readonly flags: readonly string[];
  readonly precompress?: readonly Encoding[] | undefined;
}

export interface CompressOutput {
  readonly run: Run;
  readonly written: readonly string[];
}

export default async function compressJob(input: CompressInput, context: JobContext): Promise<CompressOutput> {
  const recipeCandidate = input.recipe === undefined ? undefined : await readCandidate(input.recipe, input.out);
  return withSearch(input.shared, context, recipeCandidate && [recipeCandidate.recipe], (openedSearch) =>
    runAndWrite(input, recipeCandidate, openedSearch, context),
  );
}

async function runAndWrite(
  input: CompressInput,
  recipeCandidate: Candidate | undefined,
  openedSearch: OpenedSearch,
  context: JobContext,
): Promise<CompressOutput> {
  const { model, task, partialContext: running } = openedSearch;
  const options: SearchOptions = {
    ...openedSearch.options,
    about: {
      command: input.command,
      paths: { original: input.shared.model, result: joinPath(input.out, "model.onnx") },
      machine: describeMachine(),
    },
    onStage: (name) => context.stage(name),
    onMeasured: (measured) => context.log({ id: "measured", text: stepText(measured, task.metric) }),
    resumeBytes: input.workers.queue === undefined ? maxKeptBytes(model) : undefined,
  };
  let originalFacts: ReturnType<typeof fileFacts> | undefined;
  const factsOf = ({ original }: Run): ReturnType<typeof fileFacts> => {
    originalFacts ??= fileFacts(model, input.shared.model, original, context.signal);
    return originalFacts;
  };
  const recordOf = async ({ run, others }: Compressed): Promise<Run> =>
    withFlagNames(
      {
        ...withFileNames(run, others),
        warnings: [...task.warnings, ...run.warnings].map(capitalize),
        original: { ...run.original, ...(await factsOf(run)) },
      },
      input.flags,
    );
  const onBest = async (best: Compressed): Promise<void> => {
    if (best.result !== undefined) await writeRun(input, await recordOf(best), best, context);
  };
  const outcome =
    recipeCandidate === undefined
      ? await runSearch(input, model, task, { ...options, onBest }, running, context)
      : await compress(model, [recipeCandidate], task, options, running);
  const { copies, sizes } = await copiesInMemory(
    "model.onnx",
    outcome.result?.bytes ?? new Uint8Array(),
    input.precompress,
    context.signal,
  );
  const run = withSizes(await recordOf(outcome), sizes);
  const written = await writeRun(input, run, outcome, context, copies);
  if (outcome.result !== undefined) warnOfDefaults(model, context);
  return { run, written };
}

function withSizes(run: Run, sizes: Partial<CompressedSize>): Run {
  const variants = run.variants.map((variant, index) =>
    index === run.chosen && variant.result !== undefined
      ? { ...variant, result: { ...variant.result, ...sizes } }
      : variant,
  );
  return { ...run, variants };
}

function runSearch(
  { shared, workers }: CompressInput,
  model: Model,
  task: Task,
  options: SearchOptions,
  running: Partial<Context>,
  context: JobContext,
): Promise<Compressed> {
  const requestOf = (name: string, toStored: (input: SearchInput) => SearchInput): JobRequest<CombinationInput> => ({
    kind: "combination",
    name,
    input: { ...toStored(shared), combination: name },
  });
  return withJobPool([{ input: shared, model }], workers, requestOf, context, async (jobPool, toLocal) =>
    searchWithPool(model, task, { ...options, jobPool, resumeFolder: toLocal(shared).resumeFolder }, running),
  );
}

function withFileNames(run: Run, others: Compressed["others"]): Run {
  const fileOf = (index: number): { readonly file?: string } => {
    const frontIndex = others.findIndex((other) => other.place === index);
    return frontIndex < 0 ? {} : { file: frontNames(frontIndex)[0] };
  };
  return { ...run, variants: run.variants.map((variant, index) => ({ ...variant, ...fileOf(index) })) };
}

async function readCandidate(file: RecipeFile, out: string): Promise<Candidate> {
  const { recipe } = await readRecipe(file, [out]);
  return { name: recipeNameOf(recipe), recipe };
}

function stepText({ name, bytes: weight, estimate }: Measured, metric: Metric): string {
  return `${name}: ${bytes(weight)}, ${metric.name} ${figureText(metric.unit, estimate.value)} on ${counted(estimate.count, "sample")}`;
}

/** Writes the result with its reports and recipes, or only the reports. */
async function writeRun(
  { out, shared: { model } }: CompressInput,
  run: Run,
  { result, others, candidates }: Compressed,
  context: JobContext,
  copies: readonly (readonly [string, Uint8Array])[] = [],
): Promise<readonly string[]> {
  context.stage("write");
  const reports: readonly (readonly [string, Uint8Array])[] = [
    ["report.html", bytesOfText(reportPage(run))],
    ["report.md", bytesOfText(reportMarkdown(run))],
  ];
  const recipe = candidates[run.chosen ?? -1]?.recipe;
  throwIfAborted(context.signal, "Stopped before anything was written.");
  if (result === undefined || recipe === undefined) {
    // The reports of an earlier result remain, unless it is an interim result of a stopped search.
    const isEarlier = (await readInterimResult(out)) === undefined && (await exists(joinPath(out, "model.onnx")));
    const folder = isEarlier ? joinPath(out, rejectedFolder) : out;
    return writeResults(folder, run, reports, context, runContents);
  }
  const missingSidecars = await listMissingSidecars(model, out);
  const links = await outerLinksAmong(missingSidecars);
  if (links.length > 0) {
    const text = `not copied, because these links lead out of their folder: ${joinList(links.map(([, path]) => path))}`;
    context.log({ id: "links", text, level: "warning" });
  }
  const contents: readonly (readonly [string, Uint8Array])[] = [
    ["model.onnx", result.bytes],
    ...copies,
    ...reports,
    ["recipe.yaml", bytesOfText(recipeText(recipe))],
    ...others.flatMap(({ place, bytes }, index): readonly (readonly [string, Uint8Array])[] => {
      const [model, recipeFile] = frontNames(index);
      const variantRecipe = candidates[place]?.recipe;
      return [
        [model, bytes],
        ...(variantRecipe === undefined ? [] : [[recipeFile, bytesOfText(recipeText(variantRecipe))] as const]),
      ];
    }),
    ...(await Promise.all(
      missingSidecars
        .filter((file) => !links.includes(file))
        .map(async ([name, path]) => [name, await readFile(path)] as const),
    )),
  ];
  const writtenFiles = await writeResults(out, run, contents, context, runContents);
  await removeResults(joinPath(out, rejectedFolder), runContents);
  return writtenFiles;
}

async function fileFacts(
  model: Parameters<typeof filesOfModel>[0],
  path: string,
  original: Measured,
  signal: AbortSignal,
): Promise<Partial<Pick<Measured, "bytes" | "gzip" | "brotli" | "sampled" | "sha256">>> {
  const files = filesOfModel(model, path);
  if (files.length !== 1) return {};
  const sha256 = await digestOf(bytesOfFile(path));
  if (sha256 === original.sha256 || original.metadata !== undefined) return { sha256 };
  return { ...(await measureSize([path], signal)), sha256 };
}

function describeMachine(): Machine {
  const [cpu] = cpus();
  const runtime = packageVersion("onnxruntime-node");
  return {
    platform: `${process.platform} ${process.arch}`,
    cpu: cpu?.model.trim() ?? "unknown",
    threads: availableParallelism(),
    memory: totalmem(),
    versions: { node: process.versions.node, ...(runtime === undefined ? {} : { "onnxruntime-node": runtime }) },
  };
}
