/**
 * Makes the table of README: one command, with default settings, on known networks.
 *
 *     npm run bench -- readme [--models resnet56,cct_cifar10]
 *
 * Sizes are those of whole files, on disk and after brotli 11. Test samples are those that the command sets apart. A network
 * whose result is not written has a row with the reason.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bytes } from "../src/core/numbers.ts";
import type { Comparison } from "../src/judge/index.ts";
import type { SizeAndCost } from "../src/judge/measure/measured-pair.ts";
import { filesOf, networks } from "./compress/networks.ts";
import { pith } from "./lib/command.ts";
import { line, points } from "./lib/print.ts";

interface Result {
  readonly before: SizeAndCost;
  readonly after: SizeAndCost;
  readonly comparison: Comparison;
}

const { values } = parseArgs({
  allowPositionals: true,
  options: {
    models: { type: "string", default: "resnet56,cct_cifar10,bert_sst2,resnet20,resnet8,mobilenetv2,squeezenet" },
  },
});
const options = ["--scheme", "static", "--rounder", "rdoq"];

const isResult = (data: unknown): data is Result =>
  typeof data === "object" && data !== null && "after" in data && "comparison" in data;

const folder = mkdtempSync(join(tmpdir(), "pith-readme-"));
process.once("exit", () => rmSync(folder, { recursive: true }));
line(`npx --no-install pith quantize MODEL ${options.join(" ")} --data DATA`);
line("");
line("| network (test samples) | float32 | brotli | int8 | brotli | metric | original | int8 | change in points |");
line("| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |");
for (const name of values.models.split(",")) {
  const network = networks.find((candidate) => candidate.name === name);
  const files = network && filesOf(network);
  if (network === undefined || files === undefined) {
    line(`| ${name} | not found | | | | | | | |`);
    continue;
  }
  const { preprocess, metric } = network;
  const { data, error } = await pith(
    ...["quantize", files.model, ...options, "--data", files.data, "-o", join(folder, `${name}.onnx`)],
    ...(preprocess === undefined ? [] : ["--preprocess", preprocess]),
    ...(metric === undefined ? [] : ["--metric", metric]),
  );
  if (!isResult(data)) {
    line(`| ${name} | not written: ${error ?? "no result"} | | | | | | | |`);
    continue;
  }
  const { before, after, comparison } = data;
  const { original, candidate, difference } = comparison;
  const percentOf = ({ value }: { readonly value: number }): string => `${(100 * value).toFixed(1)} %`;
  const sizes = [before, after].flatMap((size) => [bytes(size.bytes), bytes(size.brotli ?? Number.NaN)]);
  const scores = [comparison.metric, percentOf(original), percentOf(candidate), points(difference, 1)];
  line(`| ${name} (${difference.count}) | ${[...sizes, ...scores].join(" | ")} |`);
}
