/**
 * Trains the example models of the studio, and packs each with samples into studio/public/examples/NAME.zip: about a minute.
 *
 *     npx tsx --conditions=pith-source scripts/examples.ts [name]
 *
 * The files are committed, because processors round differently, so that training elsewhere gives other weights.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { zipSync } from "fflate";
import { encodeToBytes } from "pith";
import { createEngine } from "pith/engine";
import { accuracy, evaluate } from "pith/evaluate";
import { train } from "pith/train";
import { digits } from "./examples/digits.ts";
import { sentences } from "./examples/sentences.ts";
import { waves } from "./examples/waves.ts";

const folder = fileURLToPath(new URL("../studio/public/examples", import.meta.url));
mkdirSync(folder, { recursive: true });
const [requestedName] = process.argv.slice(2);

for (const make of [digits, sentences, waves]) {
  const { name } = make;
  if (requestedName !== undefined && name !== requestedName) continue;
  const { model, training, test, epochs, files } = await make();
  const schedule = { epochs, batch: 32, optimizer: "adamw", learningRate: 0.002, warmup: 0.1 } as const;
  await train(model, { data: training, ...schedule }, { seed: 1 });
  const { estimate } = await evaluate(createEngine(), model, test, accuracy());
  const entries = Object.entries({ [`${name}.onnx`]: await encodeToBytes(model), ...files });
  // All entries have the same time, so that equal files give an equal zip.
  const zip = zipSync(Object.fromEntries(entries.map(([file, bytes]) => [`${name}/${file}`, bytes])), {
    level: 9,
    mtime: new Date(2026, 0, 1),
  });
  writeFileSync(join(folder, `${name}.zip`), zip);
  const accuracyText = `${(100 * estimate.value).toFixed(1)} % of ${estimate.count} samples`;
  process.stdout.write(`${name}: ${accuracyText} right, ${zip.length} bytes\n`);
}
