/** Runs the search of `pith compress` for each model of a folder, in a job. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { counted, PithError, unsupportedError } from "#ir";
import type { TargetCheck } from "../../../judge/compare/target-check.ts";
import type { Purpose } from "../../../judge/measure/objective.ts";
import type { Measured, Run, Variant } from "../../../judge/record/run-record.ts";
import type { MetricName } from "../../../judge/task/named-metrics.ts";
import type { TargetName } from "../../../runtime/run/run-target.ts";
import { defaultMinutes } from "../../../search/budget.ts";
import { similarityFrom } from "../../folder/end-to-end.ts";
import type { ModuleResult, ModuleSearch } from "../../folder/folder-run.ts";
import { similarityText } from "../../folder/folder-table.ts";
import { minSpeed } from "../../folder/quantize-folder.ts";
import type { FileFigures } from "../../folder/records.ts";
import { choiceSentence } from "../../report/choice.ts";
import type { Session } from "../command.ts";
import type { DataRequest } from "../flags/data.ts";
import type { WorkerOptions } from "../job-parts/job-pool.ts";
import type capturedInputsJob from "../jobs/captured-inputs.ts";
import type { CapturedFile } from "../jobs/captured-inputs.ts";
import type compressJob from "../jobs/compress.ts";
import { dataLines } from "../print/samples.ts";

export interface FolderSearch {
  readonly folder: string;
  readonly resumeFolder: string;
  readonly minutes: number | undefined;
  readonly steps: number | undefined;
  readonly techniques: string[] | undefined;
  readonly workers: WorkerOptions;
}

interface EvaluationOptions {
  /** Samples of each model. With `together`, they are the inputs that a model gets while the models jointly continue texts. */
  readonly data: DataRequest;
  readonly together:
    | { readonly folder: string; readonly bases: readonly string[]; readonly texts: readonly string[] }
    | undefined;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly maxDrop: number | undefined;
  readonly strict: boolean;
  readonly targets: readonly TargetName[];
  /** The quantity that the search minimizes (`--for`). */
  readonly purpose: Purpose | undefined;
}

/** Returns the function that searches one model. @param modules number of models, which share the limits of the search. */
export function createModuleSearch(
  { folder, resumeFolder, workers, steps, minutes = defaultMinutes, techniques }: FolderSearch,
  { data, together, metric, output, maxDrop, strict, targets, purpose }: EvaluationOptions,
  modules: number,
  session: Session,
): ModuleSearch {
  const limit = steps === undefined ? `${counted(minutes, "minute")} at most` : counted(steps, "candidate");
  const among = modules === 1 ? "" : `, among ${modules} models by their bytes`;
  session.terminal.note("search", `all techniques are searched once the dtypes are there: ${limit}${among}`);
  const samplesOf = together && captureInputs({ ...together, out: folder }, session);
  return {
    settings: { minutes: steps === undefined ? minutes : undefined, steps, techniques, purpose },
    async find({ base, source }, share) {
      const out = join(folder, base);
      const { terminal } = session;
      const capturedFile = samplesOf === undefined ? {} : await samplesOf(base);
      terminal.currentItem = modules === 1 ? "search" : `search of ${base}`;
      const { run, written } = await session.runJob<typeof compressJob>(
        "compress",
        {
          shared: {
            ...{ model: source, metric, targets, resumeFolder, force: false, seed: session.seed },
            data: { ...data, ...capturedFile },
            output: together === undefined ? output : undefined,
            goal: { maxDrop, strict },
            search: {
              ...(steps === undefined
                ? { minutes: minutes * share }
                : { steps: Math.max(1, Math.round(steps * share)) }),
              ...{ purpose, techniques, minSpeed },
              front: modules > 1,
            },
          },
          ...{ workers, out, recipe: undefined, command: ["pith", ...session.commandLine] },
        },
        `search ${source}`,
        { keeps: true },
      );
      const candidateCount = counted(run.search?.points.length ?? 0, "candidate");
      const report = written.find((path) => path.endsWith(".html")) ?? join(out, "report.html");
      terminal.note("search", `${base}: ${candidateCount} tried, see ${report}`);
      if (run.rejected !== undefined) throw new PithError(run.rejected.code, run.rejected.message);
      // `over` is a smaller model that was not chosen because it is slow.
      if (run.choice?.over !== undefined) terminal.note("search", `${base}: ${choiceSentence(run)}`);
      return candidatesOf(run, out);
    },
  };
}

/** Returns a function that returns the inputs that a model gets while the original models jointly continue texts. */
export function captureInputs(
  { folder, bases, texts, out }: NonNullable<EvaluationOptions["together"]> & { readonly out: string },
  session: Session,
): (base: string) => Promise<CapturedFile> {
  let capturedFiles: Promise<Readonly<Record<string, CapturedFile>>> | undefined;
  const modules = bases.map((base) => ({ base, source: join(folder, "onnx", `${base}.onnx`) }));
  const request = { folder, modules, texts, out };
  return async (base) => {
    capturedFiles ??= session.runJob<typeof capturedInputsJob>("captured-inputs", request, `run ${bases.join(", ")}`);
    const { [base]: file } = await capturedFiles;
    if (file !== undefined) return file;
    throw unsupportedError("Continuing the texts does not run this model, so it has no samples.");
  };
}

async function candidatesOf(run: Run, folder: string): Promise<readonly ModuleResult[]> {
  const candidates: ModuleResult[] = [];
  for (const [index, variant] of run.variants.entries()) {
    const isChosen = index === run.chosen;
    const name = isChosen ? "model.onnx" : variant.file;
    const { result, comparison, verdict } = variant;
    if (name === undefined || result === undefined || comparison === undefined) continue;
    const recipe = isChosen ? "recipe.yaml" : name.replace(/\.onnx$/, ".yaml");
    const candidate = {
      path: join(folder, name),
      drop: (verdict?.drop.value ?? 0) / (run.goal?.maxDrop || 1),
      figures: figuresOf(run, variant, { ...result, recipe: await readFile(join(folder, recipe), "utf8") }),
    };
    if (isChosen) candidates.unshift(candidate);
    else candidates.push(candidate);
  }
  return candidates;
}

function figuresOf(
  { data, original }: Run,
  { name, comparison, targets = [] }: Variant,
  { bytes, gzip, brotli, recipe }: Pick<Measured, "bytes" | "gzip" | "brotli"> & { readonly recipe: string },
): FileFigures {
  const nearness = comparison && similarityFrom(comparison);
  const judgedOn = dataLines(data, data.preprocessing);
  return {
    ...{ bytes, gzip, brotli, originalBrotli: original.brotli, nearness, judgedOn, ...targetsField(targets) },
    measured: nearness === undefined ? "" : `${nearness.metric} ${similarityText(nearness)}`,
    recipe: { name, text: recipe },
  };
}

/** Lists the targets, with a "?" if the outputs could not be checked. */
export function targetsField(targets: readonly TargetCheck[]): Pick<FileFigures, "rightOn"> {
  if (targets.length === 0) return {};
  return { rightOn: targets.map(({ target, right }) => (right === undefined ? `${target}?` : target)) };
}
