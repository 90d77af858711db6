/**
 * Checks for every model of the shared folder that the file from `compress` is at most as large as the best number format alone, at the same goal.
 *
 *     npm run bench -- never-worse [--models zoo/,models/resnet] [--steps 12] [--for size] [--timeout 300]
 *
 * --models lists prefixes of names. Models of the compress bench are searched on their data, others on random inputs with the model's own predictions as labels.
 * Each model has a separate process.
 */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { asPithError } from "../src/core/errors.ts";
import { bytes, counted, times } from "../src/core/numbers.ts";
import { open } from "../src/core/onnx/index.ts";
import { isIndexed, range, view } from "../src/data/batches/indexed.ts";
import { defaultDrop } from "../src/judge/compare/goal.ts";
import { chosenOf } from "../src/judge/record/verdict.ts";
import { compress } from "../src/judge/run/compress.ts";
import { search } from "../src/search/search.ts";
import { splitForSearch } from "../src/search/search-splits.ts";
import { shared } from "../test/shared.ts";
import { formats } from "./compress/formats.ts";
import { filesOf, networks } from "./compress/networks.ts";
import { purposeOf, taskOf } from "./compress/task.ts";
import { heading, line, table, target } from "./lib/print.ts";

const { values } = parseArgs({
  options: {
    models: { type: "string" },
    steps: { type: "string", default: "12" },
    for: { type: "string", default: "size" },
    timeout: { type: "string", default: "300" },
    one: { type: "string" },
  },
});
const seed = 0;
const purpose = purposeOf(values.for);
/** Number of random samples for the search and the test. */
const mostRandom = 512;

interface Row {
  readonly search: string;
  readonly formats: string;
  /** Bytes of the best format, divided by those of the search result; 1 if neither found a result. */
  readonly ratio: number;
}

async function compared(path: string): Promise<Row> {
  const model = await open(path);
  const network = networks.find((one) => filesOf(one)?.model === path);
  const files = network && filesOf(network);
  const fullTask = await taskOf(model, files?.data ?? "random", network ?? {}, seed);
  const test =
    files === undefined && isIndexed(fullTask.test)
      ? view(fullTask.test, fullTask.test.name, range(mostRandom))
      : fullTask.test;
  const task = { ...fullTask, test };
  // The network's goal also applies if all test samples were used for training.
  const goal = { maxDrop: network?.maxDrop ?? defaultDrop(task.metric, 1) };
  const { run } = await search(model, task, { steps: Number(values.steps), goal, purpose, rounds: 7 }, { seed });
  const judged = { ...task, test: splitForSearch(test).test };
  const before = await compress(model, formats, judged, { choice: false, goal, purpose, rounds: 7 }, { seed });
  const [searchChoice, formatChoice] = [chosenOf(run), chosenOf(before.run)];
  const sizeOf = (one: typeof searchChoice): number => one?.result.bytes ?? run.original.bytes;
  const text = (one: typeof searchChoice): string =>
    one === undefined ? "nothing" : `${one.name}, ${bytes(sizeOf(one))}`;
  return {
    search: text(searchChoice),
    formats: text(formatChoice),
    ratio: sizeOf(formatChoice) / sizeOf(searchChoice),
  };
}

if (values.one !== undefined) {
  const row = await compared(values.one).catch((error: unknown) => asPithError(error).message);
  process.stdout.write(`\n${JSON.stringify(row)}\n`);
  process.exit();
}

heading(`No larger than the best format by itself, in ${values.steps} combinations`, seed);
const folders = ["models", "models/bert_sst2/onnx", "models/llama_shakespeare/onnx", "zoo"];
const paths = folders.flatMap((folder) => {
  const place = shared(join("data", folder));
  const names = place === undefined ? [] : readdirSync(place).filter((name) => name.endsWith(".onnx"));
  return names.map((name) => ({ name: join(folder, basename(name, ".onnx")), path: join(place ?? "", name) }));
});
if (paths.length === 0) line("  not measured: there is no shared folder (../shared, or PITH_SHARED)");
const asked = values.models?.split(",");
const rows: string[][] = [];
const worse: string[] = [];
let refused = 0;
for (const { name, path } of paths.filter((one) => asked?.some((start) => one.name.startsWith(start)) ?? true)) {
  process.stderr.write(`${name}: `);
  const words = ["--conditions=pith-source", "--import=tsx", import.meta.filename];
  const options = ["--one", path, "--steps", values.steps, "--for", values.for];
  const row: Row | string = await promisify(execFile)(process.execPath, [...words, ...options], {
    timeout: 1000 * Number(values.timeout),
  }).then(
    ({ stdout }) => JSON.parse(stdout.trim().split("\n").at(-1) ?? ""),
    (error: Error) => `stopped: ${error.message.split("\n").at(-1)}`,
  );
  process.stderr.write(`${typeof row === "string" ? row : JSON.stringify(row)}\n`);
  if (typeof row === "string") {
    refused++;
    rows.push([name, row.slice(0, 100), "", ""]);
    continue;
  }
  if (row.ratio < 1) worse.push(name);
  rows.push([name, row.search, row.formats, times(row.ratio)]);
}
table(["model", "search", "formats", ">smaller"], rows);
const isMet = worse.length === 0 && refused === 0;
line(`  ${counted(refused, "model")} not searched`);
line(
  `  ${target(`none is larger than the best format${worse.length > 0 ? `: ${worse.join(", ")}` : ""}`, isMet, true)}`,
);
if (!isMet) process.exitCode = 1;
