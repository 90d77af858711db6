/** The command `pith bench`: times models on runtimes, and measures their memory, size and throughput. */
import * as v from "valibot";
import { bytes, count, counted, duration, PithError, runTime, speedText } from "#ir";
import { countOption, option, withHelp } from "#pass";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { inputsText } from "../../../judge/record/verdict.ts";
import { unsteadyNote } from "../../../runtime/run/latency.ts";
import type { TargetName } from "../../../runtime/run/run-target.ts";
import { targetOption } from "../../../techniques/quantize/runtimes.ts";
import type { Column } from "../../report/tables.ts";
import { defineCommand, type Session } from "../command.ts";
import { markdownFlag, requireMarkdownFile } from "../flags/markdown.ts";
import { parseSettings } from "../flags/named-values.ts";
import type benchJob from "../jobs/bench.ts";
import type memoryJob from "../jobs/memory.ts";
import type sizesJob from "../jobs/sizes.ts";

const options = v.object({
  target: v.optional(targetOption("runtimes to measure"), ["node"]),
  dim: v.optional(
    withHelp(v.array(v.string()), "size of a named dimension (default: one sample, 64 or 128 tokens)", {
      value: "name=n",
    }),
    [],
  ),
  set: v.optional(
    withHelp(v.array(v.string()), "value of an input, instead of random numbers or text: sr=16000", {
      value: "input=value",
    }),
    [],
  ),
  rounds: v.optional(withHelp(countOption, "rounds of timing"), 30),
  threads: option(countOption, "threads per operator (default: all cores)"),
  ...markdownFlag,
});

export default defineCommand({
  name: "bench",
  summary: "measure latency, throughput, memory and size of models side by side",
  arguments: [
    { name: "models.onnx", description: "models to measure; the others are compared with the first", isVariadic: true },
  ],
  options,
  examples: [
    "bench model.onnx model.int8.onnx",
    "bench a.onnx b.onnx --dim batch=8,sequence=128 --threads 1",
    "bench a.onnx b.onnx --target node,wasm,webgpu",
  ],
  async run(models, { target, markdown: markdownFile, ...timing }, session) {
    await requireMarkdownFile(
      markdownFile,
      models.map((model) => ["a model", model] as const),
    );
    const runs: Measurement[] = [];
    for (const name of new Set(target)) {
      const run = await measureTarget(name, models, timing, session, target.length > 1);
      if (run !== undefined) runs.push(run);
    }
    const sizes = await session.runJob<typeof sizesJob>("sizes", { models }, "bench");
    const targets = runs.map(({ target, output: { latency, runtime, where } }) => {
      const { rounds, repeats, threads, unsteady } = latency;
      return { target, runtime, where, rounds, repeats, threads, unsteady };
    });
    const rows = runs.flatMap(({ target, output, memories }) =>
      models.map((model, index) => ({
        model,
        target,
        ...sizes[index],
        ...timesOf(output, index),
        memory: memories[index],
      })),
    );
    const { inputs = [], source } = runs[0]?.output ?? {};
    const unsteady = new Set(targets.flatMap((each) => (each.unsteady ? [each.target] : [])));
    const shownColumns = columns.filter(({ title }) => title !== "target" || runs.length > 1);
    const cells = rows.map((row) => shownColumns.map(({ text }) => text(row, !unsteady.has(row.target))));
    const unsteadyNotes = unsteady.size === 0 ? [] : [unsteadyNote("run this command again.")];
    const notes = [
      ...runs.map(describeTiming),
      ...inputLines(models, { inputs, source }),
      ...unsteadyNotes,
      explanation,
    ];
    return {
      markdownFile,
      json: {
        source,
        inputs: Object.fromEntries(models.map((model, index) => [model, inputs[index]])),
        models: rows,
        targets,
      },
      print(terminal) {
        terminal.table(shownColumns, cells);
        for (const line of notes) terminal.line(line);
        const [first, second] = models.map(quoteWord);
        const pair = `${second} --original ${first} --data SAMPLES  # what it loses; if that is little, put it in the place of the original`;
        const evalText = `pith eval ${second === undefined ? `${first} --data SAMPLES` : pair}`;
        terminal.line(`next: ${unsteady.size > 0 ? "run this command again while nothing else runs" : evalText}`);
      },
    };
  },
});

type BenchOutput = Awaited<ReturnType<typeof benchJob>>;

interface Measurement {
  readonly target: TargetName;
  readonly output: BenchOutput;
  readonly memories: readonly number[];
}

/** Times the models on one target. If an optional target is not available, warns and returns undefined. */
async function measureTarget(
  target: TargetName,
  models: readonly string[],
  { dim: dims, set, rounds, threads }: Pick<v.InferOutput<typeof options>, "dim" | "set" | "rounds" | "threads">,
  session: Session,
  hasOthers: boolean,
): Promise<Measurement | undefined> {
  const sharedOptions = { set: parseSettings(set), threads, seed: session.seed };
  const input = { models, target, dims, rounds, ...sharedOptions };
  let output: BenchOutput;
  try {
    output = await session.runJob<typeof benchJob>("bench", input, `bench ${models.join(" ")}`);
  } catch (error) {
    const isMissing =
      error instanceof PithError && ["E_UNSUPPORTED", "E_FILE", "E_ENGINE_MISSING"].includes(error.code);
    if (!isMissing || !hasOthers || target === "node") throw error;
    session.terminal.note("target-missing", `${target}: ${error.message}`, "warning");
    return undefined;
  }
  const memories: number[] = [];
  // In a browser, the process contains more than the model, so its memory is not measured.
  for (const [index, model] of output.inBrowser ? [] : models.entries()) {
    const request = { model, shapes: output.shapes[index] ?? {}, runtime: output.runtime, ...sharedOptions };
    memories.push(await session.runJob<typeof memoryJob>("memory", request, `bench ${model}`));
  }
  return { target, output, memories };
}

function timesOf({ latency, batches }: BenchOutput, index: number) {
  const times = latency.models[index];
  const batch = batches[index] ?? 1;
  const perSecond = 1000 / (times?.runs.p50 ?? Number.NaN);
  return { ...times, batch, throughput: { runs: perSecond, samples: batch * perSecond } };
}

interface Row extends ReturnType<typeof timesOf> {
  readonly model: string;
  readonly target: TargetName;
  readonly bytes?: number;
  readonly brotli?: number | undefined;
  readonly sampled?: boolean;
  readonly memory: number | undefined;
}

type CellText = (row: Row, isSteady: boolean) => string;

const numberColumns: Readonly<Record<string, CellText>> = {
  bytes: (row) => sizeText(row.bytes),
  brotli: ({ brotli, sampled }) => `${sampled ? "≈ " : ""}${sizeText(brotli)}`,
  p50: ({ runs }) => runTime(runs?.p50),
  p90: ({ runs }) => runTime(runs?.p90),
  "per second": ({ throughput }, isSteady) => (isSteady ? count(throughput.samples) : "–"),
  speed: ({ speedup }, isSteady) => (isSteady && speedup !== undefined ? speedText(speedup, "") : "–"),
  load: ({ load = Number.NaN }) => duration(load),
  memory: (row) => sizeText(row.memory),
};

const columns: readonly (Column & { readonly text: CellText })[] = [
  { title: "model", text: ({ model }) => model },
  { title: "target", text: ({ target }) => target },
  ...Object.entries(numberColumns).map(([title, text]) => ({ title, text, align: "right" as const })),
];

const sizeText = (size: number | undefined): string => (size === undefined ? "–" : bytes(size));

function describeTiming({ target, output: { where, latency } }: Measurement): string {
  const { rounds, repeats, threads } = latency;
  const threadsText = target === "webgpu" ? "" : `, ${counted(threads, "thread")}`;
  return `${where}: ${counted(rounds, "round")} of ${counted(repeats, "run")}, the models interleaved${threadsText}.`;
}

function inputLines(models: readonly string[], { inputs, source }: Pick<BenchOutput, "inputs" | "source">): string[] {
  const texts = inputs.map(inputsText);
  if (new Set(texts).size === 1)
    return [`Inputs: ${source === undefined ? "" : `${source}, `}${texts[0]}. --dim sets named sizes.`];
  return texts.map((text, index) => `Inputs of ${models[index]}: ${text}.`);
}

const explanation =
  "p50, p90: half of the runs and 90 % of them take at most this time. per second: samples per second at p50. speed: 2 × takes half the time of the first model; in parentheses: most rounds. Another bench can differ by several percent. " +
  "memory: peak during loading and running, without the runtime's own. brotli: size after compression with brotli at quality 11 (≈: estimated from 2 MiB of the file).";
