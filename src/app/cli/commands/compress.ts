/** The command `pith compress`: searches for the best compression of a model, or runs a recipe. */
import { basename, join } from "node:path";
import * as v from "valibot";
import { asPithError, PithError, usageError } from "#ir";
import { countOption, minutesOption, option, parseSize, positiveOption, sizeOption } from "#pass";
import { purposes } from "../../../judge/measure/objective.ts";
import { searchedTechniques } from "../../../judge/recipe/searched-techniques.ts";
import { targetOption } from "../../../techniques/quantize/runtimes.ts";
import { defineCommand, type Result, type Session } from "../command.ts";
import { exists, isFolder, isSameFile, pathNextTo } from "../files/file-paths.ts";
import { findModel, requireModel } from "../files/model-path.ts";
import { readInterimResult, recipeFileName, requireFreeFolder, runContents } from "../files/result-folder.ts";
import { precompressFlag } from "../files/result-path.ts";
import { freshFlag, withStepsFolder, withStepsFolders } from "../files/steps-folder.ts";
import { dataFlags, dataRequestOf } from "../flags/data.ts";
import { flagName } from "../flags/flag-names.ts";
import { requireMeaningfulDrop } from "../flags/meaningful-drop.ts";
import { goalFlags, metricFlags } from "../flags/metrics.ts";
import { textFlag, withTextsAsData } from "../flags/texts.ts";
import { workerFlags, workerOptionsOf } from "../flags/worker-flags.ts";
import type compressJob from "../jobs/compress.ts";
import type { CompressInput, CompressOutput } from "../jobs/compress.ts";
import type recipesJob from "../jobs/recipes.ts";
import { resultOfRun, resultOfRuns } from "../print/compress-result.ts";

const flags = v.object({
  out: option(v.string(), "folder to write (default: model.compressed, <folder>.compressed)", {
    short: "-o",
    value: "out/",
    common: true,
  }),
  recipe: option(v.string(), "recipe with the steps, YAML or JSON (default: search)", {
    short: "-r",
    value: "recipe.yaml",
    common: true,
  }),
  modules: option(v.array(v.string()), "code that the recipe may run: criteria, rounders, curves", {
    value: "mine.mjs",
  }),
  minutes: option(minutesOption, "search time in minutes (default: 10); the dtypes of a folder are made before it", {
    value: "n",
    common: true,
  }),
  steps: option(countOption, "candidates to try, instead of a time limit (reproducible with --for size)", {
    value: "n",
  }),
  for: option(v.picklist(purposes), "objective (default: smallest that is about as fast as the original)", {
    common: true,
    meanings: {
      title: "Purposes (--for)",
      rows: [
        ["size", "the smallest file, even if slower"],
        ["speed", "the fastest model that is not larger"],
        ["download", "the smallest file after compression (brotli)"],
      ],
    },
  }),
  targetSize: option(sizeOption, "the most accurate model of at most this size", { value: "300kB", common: true }),
  faster: option(positiveOption, "the most accurate model with this speedup, such as 2", { value: "n", common: true }),
  techniques: option(v.array(v.string()), `techniques to combine: ${searchedTechniques.join(", ")}`, {
    value: "a,b",
    common: true,
  }),
  keep: option(v.picklist(["front"]), "also write other finalists on the Pareto front of bytes, accuracy and speed", {
    value: "front",
  }),
  ...workerFlags,
  ...freshFlag,
  ...precompressFlag,
  target: v.optional(targetOption("runtimes that must run the result; its speed is that on the first")),
  text: textFlag("sample sentences, or a file with one per line (model folders; short for --data)"),
  ...metricFlags,
  ...goalFlags,
  ...dataFlags,
});
type Options = v.InferOutput<typeof flags>;

export default defineCommand({
  name: "compress",
  summary: "find the smallest model that meets an accuracy goal and is about as fast",
  arguments: [
    {
      name: "model.onnx",
      description: "the model, or a folder for transformers.js; a recipe (-r) accepts several models",
      isVariadic: true,
    },
  ],
  options: flags,
  examples: [
    "compress resnet20.onnx --data cifar10/ --max-drop 1% -o out/",
    "compress net.onnx --data mnist/ -r recipe.yaml -o out/",
    "compress a.onnx b.onnx --data mnist/ -r recipe.yaml --jobs 2 -o out/",
    "compress bert/ --data reviews.tsv --target wasm",
  ],
  isWholeFolder: ({ recipe }) => recipe === undefined,
  async run(words, options, session) {
    const { recipe, modules = [], metric, output, strict = false, force = false, fresh, target } = options;
    const { minutes, steps, for: purpose, targetSize, faster, techniques, keep } = options;
    requireCompatibleFlags(options);
    if (recipe === undefined && modules.length > 0)
      throw usageError("--modules is for -r: it names the code that the recipe may run.");
    const [path = ""] = words;
    if (recipe === undefined && words.length === 1 && (await isFolder(join(path, "onnx"))))
      return compressFolder(path, options, session);
    const models = await Promise.all(words.map((word) => findModel(word, session.terminal)));
    requireSingle(models, options);
    const data = dataRequestOf(options);
    if (data === undefined)
      throw usageError("--data is needed: results are measured on samples.", {
        hint: "A folder of images, a file of texts: see docs/data.md. A folder that transformers.js loads needs none.",
      });
    requireMeaningfulDrop(options.maxDrop, metric);
    for (const model of models) await requireModel(model);
    const places = resultPathsOf(models, options.out);
    for (const { model, out } of places) {
      // The recipe that an earlier run wrote into the output folder can be overwritten.
      const isInOutputFolder = recipe !== undefined && (await isSameFile(join(out, recipeFileName), recipe));
      await requireFreeFolder(out, runContents, [
        ["the model itself", model],
        ["the data", data.path],
        ["the recipe", isInOutputFolder ? undefined : recipe],
      ]);
    }
    const search = {
      data,
      metric,
      output,
      force,
      seed: session.seed,
      targets: target ?? [],
      goal: { maxDrop: options.maxDrop, strict },
      search: {
        minutes,
        steps,
        purpose,
        faster,
        techniques,
        front: keep === "front",
        targetSize: targetSize === undefined ? undefined : parseSize(targetSize),
      },
    };
    const inputOf = ({ model, out }: ResultPaths, resumeFolder: string): CompressInput => ({
      shared: { ...search, model, resumeFolder },
      workers: workerOptionsOf(options),
      recipe: recipe === undefined ? undefined : { path: recipe, modules },
      command: ["pith", ...session.commandLine],
      flags: session.flags,
      out,
      precompress: options.precompress,
    });
    const replacedFlags = await Promise.all(places.map(({ out }) => exists(join(out, "model.onnx"))));
    const outputs = await compressEach(places, inputOf, fresh, session);
    const isGoalRequired = options.maxDrop !== undefined || !force;
    const results = outputs.map((output, index) => ({
      ...(places[index] ?? { model: "", out: "" }),
      result:
        output instanceof PithError
          ? output
          : resultOfRun(output, { isGoalRequired, replaced: replacedFlags[index] === true }),
    }));
    const [onlyResult] = results;
    return onlyResult === undefined || results.length > 1 || onlyResult.result instanceof PithError
      ? resultOfRuns(results)
      : onlyResult.result;
  },
});

const searchOptions = ["minutes", "steps", "targetSize", "faster", "techniques", "keep"] as const;
const folderFlags: readonly string[] = ["--minutes", "--steps", "--techniques", "--jobs", "--queue"];

const givenFlags = (options: Options, names: readonly (keyof Options)[]): readonly string[] =>
  names.filter((name) => options[name] !== undefined).map(flagName);

function requireCompatibleFlags(options: Options): void {
  if (givenFlags(options, ["minutes", "steps"]).length > 1)
    throw usageError("--minutes and --steps cannot be combined: each limits the search. Use one of them.");
  const objectiveFlags = givenFlags(options, ["targetSize", "faster", "for"]);
  if (objectiveFlags.length > 1)
    throw usageError(
      `${objectiveFlags.slice(0, 2).join(" and ")} cannot be combined: each sets the search objective. Use one of them.`,
    );
}

function requireSingle(models: readonly string[], options: Options): void {
  const { recipe, text } = options;
  if (text !== undefined) throw usageError("--text is for a folder that holds models in onnx/.");
  if (recipe === undefined && models.length > 1)
    throw usageError("A search is for one model; a recipe (-r) runs on several.");
  const searchFlags = givenFlags(options, ["for", ...searchOptions]);
  if (recipe !== undefined && searchFlags.length > 0)
    throw usageError(`A recipe already lists the steps; only a search accepts ${searchFlags.join(", ")}.`, {
      hint: "Omit -r, or these flags.",
    });
}

async function compressFolder(path: string, options: Options, session: Session): Promise<Result> {
  const { writeVariants } = await import("./folder/write-variants.ts");
  const { target, metric, minutes, steps, techniques, fresh, force, for: purpose } = options;
  if (force === true)
    throw usageError("--force is for a single model: of a folder only what passes the check is kept.", {
      hint: "pith quantize --dtype writes the variants that you name, with --force as well.",
    });
  const searchFlags = givenFlags(options, [...searchOptions, "jobs", "queue"]);
  const unsupportedFlags = searchFlags.filter((name) => !folderFlags.includes(name));
  if (unsupportedFlags.length > 0)
    throw usageError(`${unsupportedFlags.join(", ")}: for a single model, and "${path}" is a folder of them.`, {
      hint: `To compress one of them: pith compress ${join(path, "onnx", "model.onnx")} --data … ${unsupportedFlags[0]} …`,
    });
  const hasSamples = options.data !== undefined || options.text !== undefined;
  const firstSearchFlag = fresh === true ? "--fresh" : searchFlags[0];
  if (!hasSamples && firstSearchFlag !== undefined)
    throw usageError(`${firstSearchFlag} is for the search over all techniques, which needs samples.`, {
      hint: "Give them with --data, or texts with --text.",
    });
  requireMeaningfulDrop(options.maxDrop, metric);
  const { out = pathNextTo(path, ".compressed") } = options;
  const targetOptions = target === undefined ? {} : { target };
  const choiceOptions = { dtypes: "all", keepSmallest: true, purpose } as const;
  const workers = workerOptionsOf(options);
  return withTextsAsData(options, (texts) =>
    hasSamples
      ? withStepsFolder(out, { fresh, terminal: session.terminal }, (resumeFolder) => {
          const search = { folder: join(out, "search"), resumeFolder, minutes, steps, techniques, purpose, workers };
          return writeVariants(path, { ...texts, out, search }, choiceOptions, targetOptions, session);
        })
      : writeVariants(path, { ...texts, out }, choiceOptions, targetOptions, session),
  );
}

function resultPathsOf(models: readonly string[], out: string | undefined): readonly ResultPaths[] {
  const stemOf = (model: string): string => basename(model).replace(/\.onnx$/i, "");
  const places = models.map((model) => {
    const fallback = pathNextTo(model, ".compressed");
    return { model, out: out === undefined ? fallback : models.length === 1 ? out : join(out, stemOf(model)) };
  });
  const duplicate = places.find((place, index) => places.findIndex((other) => other.out === place.out) < index);
  if (duplicate === undefined) return places;
  throw usageError(`Two results would be written to "${duplicate.out}".`, {
    hint: "Models of the same name need a command each.",
  });
}

interface ResultPaths {
  readonly model: string;
  readonly out: string;
}

/** Compresses each model. Returns an output or an error for each. @throws PithError if the only model fails; E_STOPPED on a stop. */
function compressEach(
  places: readonly ResultPaths[],
  inputOf: (place: ResultPaths, resumeFolder: string) => CompressInput,
  fresh: boolean | undefined,
  session: Session,
): Promise<readonly (CompressOutput | PithError)[]> {
  const outs = places.map(({ out }) => out);
  return withStepsFolders(outs, { fresh, terminal: session.terminal }, async (folders) => {
    const inputs = places.map((place, index) => inputOf(place, folders[index] ?? ""));
    const outputs: (CompressOutput | PithError)[] = [];
    for (const input of await runRecipeInParallel(inputs, session)) {
      const title = `compress ${input.shared.model}`;
      const work = session.runJob<typeof compressJob>("compress", input, title, { keeps: true });
      const output = work.catch(async (error: unknown) => {
        throw input.recipe === undefined ? await describeStoppedSearch(error, input) : error;
      });
      outputs.push(await (inputs.length === 1 ? output : output.catch(asPithError)));
    }
    return outputs;
  });
}

async function describeStoppedSearch(error: unknown, { shared, out, command }: CompressInput): Promise<unknown> {
  if (!(error instanceof PithError) || error.code !== "E_STOPPED") return error;
  const best = await readInterimResult(out);
  const outcome =
    best === undefined || best.command.join(" ") !== command.join(" ")
      ? "Nothing new is written yet"
      : `${join(out, "model.onnx")} has the best result so far, ${best.name}, which was compared on the search samples only`;
  return new PithError("E_STOPPED", `compress ${shared.model} was stopped. ${outcome}.`, { cause: error });
}

/** Runs the recipe on the models in other processes, if several are allowed. Returns the inputs with their result folders. */
async function runRecipeInParallel(
  inputs: readonly CompressInput[],
  session: Session,
): Promise<readonly CompressInput[]> {
  const [{ recipe, workers } = {}] = inputs;
  if (recipe === undefined || workers === undefined) return inputs;
  if (workers.queue === undefined && (workers.jobs === 1 || inputs.length === 1)) return inputs;
  const models = { models: inputs.map(({ shared }) => shared), outs: inputs.map(({ out }) => out) };
  const request = { recipe, ...models, ...workers };
  const folders = await session.runJob<typeof recipesJob>("recipes", request, `run ${recipe.path}`, { keeps: true });
  return inputs.map((input, index) => ({ ...input, shared: { ...input.shared, ...folders[index] } }));
}
