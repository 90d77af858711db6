/**
 * Low rank: what knowing a layer's inputs is worth, convolutions with fewer multiply-accumulates, a network for digits at rank 32.
 *
 *     npm run bench -- factorize [activations|resnet56|digits|quantized …] [--smoke] [--epochs 5] [--threads 2]
 *
 * Models and data come from the shared folder. --smoke takes some minutes in all: few layers, one epoch, few samples.
 */
import { parseArgs } from "node:util";
import { activations } from "./factorize/activations.ts";
import { digits } from "./factorize/digits.ts";
import { quantized } from "./factorize/quantized.ts";
import { resnet56 } from "./factorize/resnet56.ts";
import { heading, line } from "./lib/print.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    smoke: { type: "boolean", default: false },
    epochs: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
  },
});
const parts = { activations, resnet56, digits, quantized };
const unknown = positionals.find((name) => !(name in parts));
if (unknown !== undefined) {
  line(`There is no part "${unknown}": ${Object.keys(parts).join(", ")}.`);
  process.exit(2);
}
const { smoke } = values;
for (const [name, { title, run }] of Object.entries(parts)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  heading(title, 1);
  await run({ smoke, epochs: smoke ? 1 : Number(values.epochs), threads: Number(values.threads) });
}
