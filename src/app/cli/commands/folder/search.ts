/** Runs the search of `pith compress` for each model of a folder, in a job. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { counted, PithError, unsupportedError } from "#ir";
import type { Purpose } from "../../../../judge/measure/objective.ts";
import type { Run } from "../../../../judge/record/run-record.ts";
import { defaultMinutes, minutesText } from "../../../../search/budget.ts";
import { figuresFrom } from "../../../folder/figures.ts";
import type { ModuleResult, ModuleSearch } from "../../../folder/folder-run.ts";
import { minSpeed } from "../../../folder/quantize-folder.ts";
import { choiceSentence } from "../../../report/choice.ts";
import type { Session } from "../../command.ts";
import type capturedInputsJob from "../../jobs/captured-inputs.ts";
import type { CapturedFile } from "../../jobs/captured-inputs.ts";
import type compressJob from "../../jobs/compress.ts";
import type { WorkerOptions } from "../../jobs/parts/job-pool.ts";
import type { SearchInput } from "../../queue/job-inputs.ts";

export interface FolderSearch {
  readonly folder: string;
  readonly resumeFolder: string;
  readonly minutes: number | undefined;
  readonly steps: number | undefined;
  readonly techniques: string[] | undefined;
  /** The quantity that the search minimizes (`--for`). */
  readonly purpose: Purpose | undefined;
  readonly workers: WorkerOptions;
}

/** Models that continue texts together. Their inputs are then the samples of each model. */
interface JointModels {
  readonly folder: string;
  readonly bases: readonly string[];
  readonly texts: readonly string[];
}

/** Returns the function that searches one model. @param modules number of models, which share the limits of the search. */
export function createModuleSearch(
  { folder, resumeFolder, workers, steps, minutes = defaultMinutes, techniques, purpose }: FolderSearch,
  evaluation: Pick<SearchInput, "data" | "metric" | "output" | "goal" | "targets">,
  together: JointModels | undefined,
  modules: number,
  session: Session,
): ModuleSearch {
  const limit = steps === undefined ? `${minutesText(minutes)} at most` : counted(steps, "candidate");
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
            ...evaluation,
            model: source,
            resumeFolder,
            force: false,
            seed: session.seed,
            data: { ...evaluation.data, ...capturedFile },
            search: {
              ...(steps === undefined
                ? { minutes: minutes * share }
                : { steps: Math.max(1, Math.round(steps * share)) }),
              purpose,
              techniques,
              minSpeed,
              front: modules > 1,
            },
          },
          workers,
          out,
          recipe: undefined,
          command: ["pith", ...session.commandLine],
          flags: session.flags,
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
  { folder, bases, texts, out }: JointModels & { readonly out: string },
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

async function candidatesOf({ data, original, variants, goal, chosen }: Run, folder: string) {
  const candidates: ModuleResult[] = [];
  for (const [index, { name, file, result, comparison, verdict, targets = [] }] of variants.entries()) {
    const isChosen = index === chosen;
    const modelFile = isChosen ? "model.onnx" : file;
    if (modelFile === undefined || result === undefined || comparison === undefined) continue;
    const recipe = isChosen ? "recipe.yaml" : modelFile.replace(/\.onnx$/, ".yaml");
    const { bytes, gzip, brotli } = result;
    const [before, after] = [{ brotli: original.brotli }, { bytes, gzip, brotli }];
    const judgedResult = { before, after, samples: data, preprocessing: data.preprocessing, comparison, targets };
    const text = await readFile(join(folder, recipe), "utf8");
    const candidate = {
      path: join(folder, modelFile),
      drop: (verdict?.drop.value ?? 0) / (goal?.maxDrop || 1),
      figures: { ...figuresFrom(judgedResult), recipe: { name, text } },
    };
    if (isChosen) candidates.unshift(candidate);
    else candidates.push(candidate);
  }
  return candidates;
}
