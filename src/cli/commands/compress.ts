import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { PithError } from "../../errors.ts";
import { bytesOf, countOption, option, sizeOption } from "../../passes/options.ts";
import { targetOption } from "../../quantize/runtimes.ts";
import { purposes } from "../../recipe/objective.ts";
import { searchedPasses } from "../../recipe/steps.ts";
import { defineCommand } from "../command.ts";
import { compressEach } from "../compress/each.ts";
import { show, showEach } from "../compress/show.ts";
import { dataFlags, dataRequest } from "../data.ts";
import { elsewhereFlags, elsewhereOf } from "../elsewhere.ts";
import { isSamePlace, isThere, requireOther } from "../files.ts";
import { goalFlags, metricFlags, requireMeaningfulDrop } from "../metrics.ts";
import { modelAt, saidOn } from "../model-folder.ts";
import { recipeFileName, requireOwnResults, runFolder } from "../result-folder.ts";
import { freshFlag, withSteps } from "../steps-folder.ts";
import { requireWritableFolder } from "../writable.ts";
import { isFolder, textFlag, variantsOf, withTexts } from "./folder.ts";

export default defineCommand({
  name: "compress",
  summary: "search all techniques for the smallest model within the goal, write it with a report",
  arguments: [
    {
      name: "model.onnx",
      description:
        "the model, or several with a recipe: each gets a folder in the one of -o; or a folder that transformers.js loads: every dtype is tried on each model in onnx/, with samples all techniques, and the best file that passes the check is kept",
      several: true,
    },
  ],
  options: v.object({
    out: option(v.string(), "folder to write (default: model.compressed, <folder>.compressed)", {
      short: "-o",
      value: "out/",
    }),
    recipe: option(v.string(), "file with the steps, in YAML or JSON (default: combinations of all techniques)", {
      short: "-r",
      value: "recipe.yaml",
    }),
    minutes: option(v.pipe(v.number(), v.gtValue(0, "must be above 0")), "how long to search (default: 10)", {
      value: "n",
    }),
    steps: option(
      countOption,
      "try so many combinations instead; with --for size the same result however fast the machine is",
      {
        value: "n",
      },
    ),
    for: option(v.picklist(purposes), "what is looked for (default: the smallest that is about as fast)", {
      meanings: {
        title: "Purposes (--for)",
        rows: [
          ["size", "the smallest file, even where it is slower"],
          ["speed", "the fastest model that is no larger"],
          ["download", "the smallest file after compression (brotli)"],
        ],
      },
    }),
    targetSize: option(sizeOption, "the most accurate model of at most this size", { value: "300kB" }),
    faster: option(
      v.pipe(v.number(), v.gtValue(0, "must be above 0")),
      "the most accurate model that is so many times as fast",
      { value: "n" },
    ),
    techniques: option(v.array(v.string()), `combine only these: ${searchedPasses.map(({ id }) => id).join(", ")}`, {
      value: "a,b",
    }),
    keep: option(
      v.picklist(["front"]),
      "also write up to three other finalists that keep the goal, on the Pareto front of bytes, accuracy and speed",
      {
        value: "front",
      },
    ),
    ...elsewhereFlags("combinations, or models of a recipe,"),
    ...freshFlag,
    target: v.optional(targetOption("runtimes that the result is for: right on all of them, timed on the first")),
    text: textFlag("of a folder: sample sentences, or a file with one per line (short for --data)"),
    ...metricFlags,
    ...goalFlags,
    ...dataFlags,
  }),
  examples: [
    "compress resnet20.onnx --data cifar10/ --max-drop 1% -o out/",
    "compress net.onnx --data mnist/ -r recipe.yaml -o out/",
    "compress a.onnx b.onnx --data mnist/ -r recipe.yaml --jobs 2 -o out/",
    "compress bert/ --data reviews.tsv --target wasm",
  ],
  folders: ({ recipe }) => recipe === undefined,
  async run(words, options, session) {
    const [path = ""] = words;
    const { recipe, metric, output, strict = false, force = false, fresh, target } = options;
    const { minutes, steps, for: purpose, targetSize, faster, techniques, keep, jobs, queue } = options;
    const flagsIn = (given: object): readonly string[] =>
      Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`]));
    /** Flags that only a search takes. */
    const searching = flagsIn({ minutes, steps, "target-size": targetSize, faster, techniques, keep });
    const elsewhere = elsewhereOf(options);
    if (minutes !== undefined && steps !== undefined)
      throw new PithError("E_USAGE", "--minutes and --steps each say how long to search: give one of them.");
    if (recipe === undefined && words.length === 1 && (await isFolder(join(path, "onnx")))) {
      if (force)
        throw new PithError(
          "E_USAGE",
          "--force is for a single model: of a folder only what passes the check is kept.",
          { hint: "pith quantize --dtype writes the variants that you name, with --force as well." },
        );
      const given = [...searching, ...flagsIn({ jobs, queue })];
      const ofSearch = given.filter((name) => flagsOfFolders.includes(name));
      const foreign = given.filter((name) => !flagsOfFolders.includes(name));
      if (foreign.length > 0)
        throw new PithError(
          "E_USAGE",
          `${foreign.join(", ")}: for a single model, and "${path}" is a folder of them.`,
          {
            hint: `To compress one of them: pith compress ${join(path, "onnx", "model.onnx")} --data … ${foreign[0]} …`,
          },
        );
      const hasSamples = options.data !== undefined || options.text !== undefined;
      const first = fresh === true ? "--fresh" : ofSearch[0];
      if (!hasSamples && first !== undefined)
        throw new PithError("E_USAGE", `${first} is for the search over all techniques, which needs samples.`, {
          hint: "Give them with --data, or texts with --text.",
        });
      const { out = `${path.replace(/[/\\]+$/, "")}.compressed` } = options;
      requireMeaningfulDrop(options.maxDrop, metric);
      const passed = target === undefined ? {} : { target };
      const how = { dtypes: "all", keepSmallest: true, purpose } as const;
      return withTexts(options, (given) =>
        hasSamples
          ? withSteps(out, { fresh, terminal: session.terminal }, (resumeFolder) => {
              const search = { folder: join(out, "search"), resumeFolder, minutes, steps, techniques, elsewhere };
              return variantsOf(path, { ...given, out, search }, how, passed, session);
            })
          : variantsOf(path, { ...given, out }, how, passed, session),
      );
    }
    if (options.text !== undefined)
      throw new PithError("E_USAGE", "--text is for a folder that holds models in onnx/.");
    const models = await Promise.all(words.map((word) => modelAt(word, saidOn(session.terminal))));
    if (recipe === undefined && models.length > 1)
      throw new PithError("E_USAGE", "A search is for one model; a recipe (-r) runs on several.");
    const data = dataRequest(options);
    if (data === undefined)
      throw new PithError("E_USAGE", "--data is needed: results are measured on samples.", {
        hint: "A folder of images, a file of texts: see docs/data.md. A folder that transformers.js loads needs none.",
      });
    requireMeaningfulDrop(options.maxDrop, metric);
    const places = placesOf(models, options.out);
    for (const { model, out } of places) await requireFreePlace(model, out, data.path, recipe);
    const goal = { maxDrop: options.maxDrop, strict };
    const command = ["pith", ...session.line];
    const forSearch = [...(purpose === undefined ? [] : ["--for"]), ...searching];
    if (recipe !== undefined && forSearch.length > 0)
      throw new PithError("E_USAGE", `A recipe says what is done. Only a search takes ${forSearch.join(", ")}.`, {
        hint: "Leave out -r, or these.",
      });
    const aim = targetSize === undefined ? "--faster" : "--target-size";
    const hasTarget = targetSize !== undefined || faster !== undefined;
    if ((targetSize !== undefined && faster !== undefined) || (hasTarget && purpose !== undefined))
      throw new PithError(
        "E_USAGE",
        `${aim} and ${purpose === undefined ? "--faster" : "--for"} each say what is looked for: give one of them.`,
      );
    const search = {
      ...{ minutes, steps, purpose, faster, techniques },
      front: keep === "front",
      targetSize: targetSize === undefined ? undefined : bytesOf(targetSize),
    };
    const shared = {
      recipe,
      data,
      metric,
      output,
      targets: target ?? [],
      goal,
      force,
      seed: session.seed,
      command,
      search,
    };
    const inputs = places.map((place) => ({ ...shared, ...elsewhere, ...place }));
    const replaced = await Promise.all(inputs.map(({ out }) => isThere(join(out, "model.onnx"))));
    const outputs = await compressEach(inputs, fresh, session);
    const demanded = options.maxDrop !== undefined || !force;
    const results = outputs.map((found, at) => ({
      ...(places[at] ?? { model: "", out: "" }),
      result: found instanceof PithError ? found : show(found, { demanded, replaced: replaced[at] === true }),
    }));
    const [only] = results;
    return only === undefined || results.length > 1 || only.result instanceof PithError
      ? showEach(results)
      : only.result;
  },
});

/** Flags of a search that a folder takes, too. */
const flagsOfFolders: readonly string[] = ["--minutes", "--steps", "--techniques", "--jobs", "--queue"];

/** A folder of results for each model. @throws PithError E_USAGE where two models would have the same. */
function placesOf(models: readonly string[], out: string | undefined): readonly Place[] {
  const stem = (model: string): string => basename(model).replace(/\.onnx$/i, "");
  const places = models.map((model) => {
    const usual = join(dirname(model), `${stem(model)}.compressed`);
    return { model, out: out === undefined ? usual : models.length === 1 ? out : join(out, stem(model)) };
  });
  const twice = places.find((place, at) => places.findIndex((other) => other.out === place.out) < at);
  if (twice === undefined) return places;
  throw new PithError("E_USAGE", `Two results would be written to "${twice.out}".`, {
    hint: "Models of the same name need a command each.",
  });
}

interface Place {
  readonly model: string;
  readonly out: string;
}

/** @throws PithError where the results cannot be written, or would take the place of what is read or of an author's files. */
async function requireFreePlace(model: string, out: string, data: string, recipe: string | undefined): Promise<void> {
  await requireOtherFolder(out, model);
  for (const name of runFolder.names) {
    // A recipe that was edited where it was written stays there.
    await requireOther(join(out, name), [
      ["the data", data],
      ["the recipe", name === recipeFileName ? undefined : recipe],
    ]);
  }
  await requireWritableFolder(out, runFolder.names);
  await requireOwnResults(out, runFolder);
}

async function requireOtherFolder(out: string, model: string): Promise<void> {
  if (await isSamePlace(join(out, "model.onnx"), model)) {
    throw new PithError(
      "E_OPTION",
      `"${model}" would be overwritten by the result in "${out}", which has the same name.`,
      { hint: "Name another folder with -o." },
    );
  }
}
