import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { PithError } from "../../errors.ts";
import { isWithin } from "../../evaluate/compare.ts";
import {
  allowance,
  bytes,
  count,
  counted,
  difference,
  figure,
  integer,
  percent,
  sparsityMatters,
  speed,
  times,
} from "../../evaluate/numbers.ts";
import { bytesOf, countOption, option, sizeOption } from "../../passes/options.ts";
import { targetOption } from "../../quantize/targets.ts";
import { purposes } from "../../recipe/objective.ts";
import { choiceSentence } from "../../report/choice.ts";
import type { Measured, Run, StepRecord, Variant } from "../../report/data.ts";
import { benchCommand, filesOf } from "../../report/sections.ts";
import {
  accuracySentence,
  chosenOf,
  gainSentence,
  goalSentence,
  markOf,
  passedOver,
  speedOf,
  targetLines,
  timesOf,
  timingText,
} from "../../report/verdict.ts";
import { groupBy } from "../../tensor/group-by.ts";
import { defineCommand, type Result } from "../command.ts";
import { dataFlags, dataRequest } from "../data.ts";
import { isSamePlace, isThere, requireOther, withoutLeftovers } from "../files.ts";
import type compressJob from "../jobs/compress.ts";
import type { CompressOutput } from "../jobs/compress.ts";
import { goalFlags, metricFlags, requireMeaningfulDrop } from "../metrics.ts";
import { modelAt, saidOn } from "../model-folder.ts";
import { recipeName, requireOwnResults, runFolder } from "../result-folder.ts";
import { samplesLine } from "../samples.ts";
import { freshFlag, withSteps } from "../steps-folder.ts";
import { columns } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { requireWritableFolder } from "../writable.ts";
import { isFolder, textFlag, variantsOf, withTexts } from "./folder.ts";

export default defineCommand({
  name: "compress",
  summary: "search all techniques for the smallest model within the goal, write it with a report",
  arguments: [
    {
      name: "model.onnx",
      description:
        "the model; or a folder that transformers.js loads: every dtype is tried on each model in onnx/, with samples all techniques, and the best file that passes the check is kept",
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
    steps: option(countOption, "try so many combinations instead: the result does not depend on the machine", {
      value: "n",
    }),
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
    techniques: option(v.array(v.string()), "combine only these: prune, factorize, recover, distill, quantize", {
      value: "a,b",
    }),
    keep: option(
      v.picklist(["front"]),
      "write the other models that none is better than in bytes, accuracy and speed, too",
      {
        value: "front",
      },
    ),
    jobs: option(countOption, "combinations at a time, each in a process of its own (default: 1)", { value: "n" }),
    queue: option(v.string(), "workers on other machines try the combinations (`pith worker`)", {
      value: "redis://host",
    }),
    store: option(
      v.string(),
      "folder or bucket (s3://bucket/prefix) that those machines reach, with models, data and results",
      { value: "folder/" },
    ),
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
    "compress bert/ --data reviews.tsv --target wasm",
  ],
  folders: ({ recipe }) => recipe === undefined,
  async run([path = ""], options, session) {
    const { recipe, metric, output, strict = false, force = false, fresh, target } = options;
    const { minutes, steps, for: purpose, targetSize, faster, techniques, keep, jobs, queue, store } = options;
    /** Flags of a search that only a single model without a recipe takes. */
    const forModel = Object.entries({
      minutes,
      steps,
      "target-size": targetSize,
      faster,
      techniques,
      keep,
      jobs,
      queue,
    })
      .filter(([, value]) => value !== undefined)
      .map(([name]) => `--${name}`);
    if ((queue === undefined) !== (store === undefined))
      throw new PithError(
        "E_USAGE",
        "--queue needs --store, and --store is for --queue: a folder or bucket that all workers reach.",
      );
    if (queue !== undefined && fresh === true)
      throw new PithError(
        "E_USAGE",
        "--fresh is for a search without --queue: other searches may use what is in --store.",
        {
          hint: "To begin anew while no search runs, remove the folder runs/ in it.",
        },
      );
    if (recipe === undefined && (await isFolder(join(path, "onnx")))) {
      if (force)
        throw new PithError(
          "E_USAGE",
          "--force is for a single model: of a folder only what passes the check is kept.",
          { hint: "pith quantize --dtype writes the variants that you name, with --force as well." },
        );
      const ofSearch = forModel.filter((name) => flagsOfFolders.includes(name));
      const foreign = forModel.filter((name) => !flagsOfFolders.includes(name));
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
              const search = { folder: join(out, "search"), resumeFolder, minutes, steps, techniques, jobs: jobs ?? 1 };
              return variantsOf(path, { ...given, out, search }, how, passed, session);
            })
          : variantsOf(path, { ...given, out }, how, passed, session),
      );
    }
    if (options.text !== undefined)
      throw new PithError("E_USAGE", "--text is for a folder that holds models in onnx/.");
    const model = await modelAt(path, saidOn(session.terminal));
    const out = options.out ?? join(dirname(model), `${basename(model).replace(/\.onnx$/i, "")}.compressed`);
    const data = dataRequest(options);
    if (data === undefined)
      throw new PithError("E_USAGE", "--data is needed: results are measured on samples.", {
        hint: "A folder of images, a file of texts: see docs/data.md. A folder that transformers.js loads needs none.",
      });
    requireMeaningfulDrop(options.maxDrop, metric);
    await requireOtherFolder(out, model);
    for (const name of runFolder.names) {
      // A recipe that was edited where it was written stays there.
      await requireOther(join(out, name), [
        ["the data", data.path],
        ["the recipe", name === recipeName ? undefined : recipe],
      ]);
    }
    await requireWritableFolder(out, runFolder.names);
    await requireOwnResults(out, runFolder);
    const goal = { maxDrop: options.maxDrop, strict };
    const command = ["pith", ...session.line];
    if (recipe !== undefined && (forModel.length > 0 || purpose !== undefined))
      throw new PithError(
        "E_USAGE",
        `A recipe says what is done. Only a search takes ${[...(purpose === undefined ? [] : ["--for"]), ...forModel].join(", ")}.`,
        {
          hint: "Leave out -r, or these.",
        },
      );
    if (targetSize !== undefined && faster !== undefined)
      throw new PithError(
        "E_USAGE",
        "--target-size and --faster each look for the most accurate model: give one of them.",
      );
    const search = {
      ...{ minutes, steps, purpose, faster, techniques },
      front: keep === "front",
      targetSize: targetSize === undefined ? undefined : bytesOf(targetSize),
    };
    const input = {
      model,
      out,
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
      jobs: jobs ?? 1,
      queue: queue === undefined || store === undefined ? undefined : { url: queue, store },
    };
    const replaced = await isThere(join(out, "model.onnx"));
    const result = await withSteps(out, { fresh, terminal: session.terminal }, (resumeFolder) => {
      const job = () =>
        session.job<typeof compressJob>("compress", { ...input, resumeFolder }, `compress ${model}`, { keeps: true });
      return withoutLeftovers(
        runFolder.names.map((name) => join(out, name)),
        job,
      );
    });
    return show(result, { demanded: options.maxDrop !== undefined || !force, replaced });
  },
});

/** Those of `forModel` that the search of a folder takes, too. */
const flagsOfFolders: readonly string[] = ["--minutes", "--steps", "--techniques", "--jobs"];

async function requireOtherFolder(out: string, model: string): Promise<void> {
  if (await isSamePlace(join(out, "model.onnx"), model)) {
    throw new PithError(
      "E_OPTION",
      `"${model}" would be overwritten by the result in "${out}", which has the same name.`,
      { hint: "Name another folder with -o." },
    );
  }
}

interface ResultDetails {
  /** Whether a missed goal sets the exit code to 1; with --force only if --max-drop is given. */
  readonly demanded: boolean;
  readonly replaced: boolean;
}

function show({ run, written }: CompressOutput, { demanded, replaced }: ResultDetails): Result {
  const { refused } = run;
  const report = written.find((path) => path.endsWith(".html")) ?? written[0];
  const hint =
    refused?.code === "E_UNSUPPORTED"
      ? "pith inspect shows what is possible; a recipe (-r) lists the steps."
      : "Allow more (--max-drop), edit the recipe (-r), or write it anyway: --force.";
  return {
    data: run,
    failure:
      refused &&
      new PithError(refused.code, `${refused.message} No model was written; ${report} shows what was tried.`, { hint }),
    goalMissed: chosenOf(run) === undefined || (demanded && chosenOf(run)?.verdict?.met === false),
    print(terminal) {
      printVariants(terminal, run);
      const timing = timesOf(run);
      if (timing !== undefined) terminal.line(`timed: ${timingText(timing)}`);
      terminal.line(samplesLine(run.data));
      if (run.data.preprocessing !== undefined) terminal.line(`preprocessing: ${run.data.preprocessing}`);
      const chosen = chosenOf(run);
      if (chosen === undefined) return;
      terminal.line(`${terminal.color.bold(chosen.name)}: ${gainSentence(run)}`);
      for (const sentence of [accuracySentence(run), goalSentence(run), choiceSentence(run)])
        if (sentence !== undefined) terminal.line(sentence);
      if (chosen.targets !== undefined) for (const line of targetLines(chosen.targets)) terminal.line(line);
      terminal.line(`written: ${written.join("  ")}${replaced ? " (replaced)" : ""}`);
      terminal.line(`next: ${benchCommand(filesOf(run), run.targets)}`);
    },
  };
}

function printVariants(terminal: Terminal, run: Run): void {
  const { name: metric, unit } = run.metric;
  const timed = timesOf(run) !== undefined;
  const withZeros = run.variants.some(({ result }) => sparsityMatters(result?.zeros, run.original.zeros));
  const row = (mark: string, name: string, measured: Measured | undefined, speed: string, note: string): string[] => [
    mark,
    name,
    measured === undefined ? "" : bytes(measured.bytes),
    measured?.brotli === undefined ? "" : bytes(measured.brotli),
    ...(withZeros ? [measured?.zeros === undefined ? "" : percent(measured.zeros)] : []),
    measured?.macs === undefined ? "" : count(measured.macs),
    measured === undefined ? "" : figure(unit, measured.estimate.value),
    ...(timed ? [speed] : []),
    note,
  ];
  const { green, red, yellow, dim } = terminal.color;
  const coloured = { "✓": green, "?": yellow, "✗": red, "": dim };
  terminal.table(
    [
      { title: "" },
      ...columns("", "bytes", "brotli", ...(withZeros ? ["zeros"] : []), "MACs", metric, ...(timed ? ["speed"] : [])),
      { title: "" },
    ],
    [
      row("", run.original.name, run.original, times(1), ""),
      ...run.variants.map((variant, place) => {
        const mark = markOf(variant, run.goal);
        const spread = speedOf(run, place);
        const kept = mark === "✗" ? "← written (--force)" : "← kept";
        const other = variant.file === undefined ? (passedOver(variant, run.goal) ?? "") : `← ${variant.file}`;
        const notes = [noteOf(variant, run), place === run.chosen ? kept : other];
        return row(
          coloured[mark](mark),
          variant.name,
          variant.result,
          spread === undefined ? "" : speed(spread),
          notes.filter((note) => note !== "").join("  "),
        );
      }),
    ],
  );
  for (const { name, steps } of run.variants) {
    // Every round of a repeat leaves the same places.
    const missed = steps.flatMap((step) => step.misses);
    const misses = [...groupBy(missed, ({ at, reason }) => `${at}: ${reason}`).values()].flatMap(
      ([first]) => first ?? [],
    );
    if (misses.length === 0) continue;
    terminal.line(
      dim(
        `${name} left ${counted(misses.length, "place")} as ${misses.length === 1 ? "it was" : "they were"}: ${reasonsOf(misses)}`,
      ),
    );
  }
}

/** "softmax (stays in float: no quantized kernel)" */
function reasonsOf(misses: StepRecord["misses"]): string {
  const groups = [...groupBy(misses, ({ reason }) => reason)];
  const texts = groups.slice(0, mostReasons).map(([reason, of]) => {
    const [name, ...more] = of.flatMap(({ at }) => at ?? []);
    if (name === undefined) return reason;
    return `${name}${more.length === 0 ? "" : ` and ${integer(more.length)} more`} (${reason})`;
  });
  const rest = groups.length - mostReasons;
  return `${texts.join(", ")}${rest > 0 ? `, and for ${counted(rest, "other reason")} (report.html)` : ""}`;
}

const mostReasons = 2;

/** What a variant's line ends in: the reason of a refusal, or the paired difference. */
function noteOf({ refused, comparison, verdict }: Variant, { goal }: Run): string {
  if (refused !== undefined) return refused;
  if (comparison === undefined) return "";
  const { unit } = comparison;
  const { value } = comparison.difference;
  const text = value === 0 ? "unchanged" : difference(unit, value);
  if (goal === undefined || verdict === undefined) return text;
  const allowed = allowance(unit, goal.maxDrop);
  if (!isWithin(verdict.drop, goal)) return `${text}, ${allowed} allowed${verdict.met ? ", not significant" : ""}`;
  return verdict.met ? text : `${text}, not shown to be within ${allowed} (--strict)`;
}
