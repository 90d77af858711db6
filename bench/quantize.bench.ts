/**
 * Compares the quantization of real networks with onnxruntime's quantizer and NNCF.
 *
 *     npm run bench -- quantize [names…] [--smoke] [--draws 5] [--models resnet20,bert_sst2] [--rounders default,nearest] [--python path] [--keep FOLDER]
 *
 * Python requires onnxruntime, onnx and nncf; it is --python, PITH_PYTHON, bench/peers/venv or python3. Without it, only Pith is measured. `--smoke` runs all
 * experiments in five minutes on few samples, to check that they run. --keep keeps all files in a folder. A log of a full run is in bench/logs. Exit code 1 if
 * a target is missed.
 */
import { parseArgs } from "node:util";
import { line } from "./lib/print.ts";
import { corrections } from "./quantize/corrections.ts";
import { detector } from "./quantize/detector.ts";
import { entropy } from "./quantize/entropy.ts";
import { language } from "./quantize/language.ts";
import { outliers } from "./quantize/outliers.ts";
import { scales } from "./quantize/scales.ts";
import { speed } from "./quantize/speed.ts";
import { type Settings, staticInt8 } from "./quantize/static.ts";
import { weights } from "./quantize/weights.ts";

const { values, positionals } = parseArgs({
  options: {
    smoke: { type: "boolean", default: false },
    draws: { type: "string" },
    models: { type: "string" },
    rounders: { type: "string" },
    python: { type: "string" },
    keep: { type: "string" },
  },
  allowPositionals: true,
});
const experiments: Readonly<Record<string, (settings: Settings) => Promise<boolean>>> = {
  static: staticInt8,
  outliers,
  weights,
  language,
  scales,
  speed,
  entropy,
  detector,
  corrections,
};
const unknown = positionals.find((name) => experiments[name] === undefined);
if (unknown !== undefined) {
  line(`There is no ${unknown}: ${Object.keys(experiments).join(", ")}.`);
  process.exit(2);
}
const { smoke, draws = smoke ? "1" : "5", models, rounders, python, keep } = values;
const settings: Settings = {
  smoke,
  draws: Number(draws),
  models: models?.split(","),
  rounders: rounders?.split(","),
  python,
  keep,
};
const names = positionals.length > 0 ? positionals : Object.keys(experiments);
let met = true;
for (const [name, run] of Object.entries(experiments)) if (names.includes(name)) met = (await run(settings)) && met;
process.exitCode = met || smoke ? 0 : 1;
