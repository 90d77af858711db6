/**
 * Compresses three networks of real size by single commands, and checks the targets: EfficientNet-Lite0, SmolLM2-135M and Whisper tiny.en.
 *
 *     npm run bench -- real-targets [--models efficientnet-lite0,smollm2-135m,whisper-tiny.en] [--keep FOLDER] [--python path]
 *
 * `bench/peers/real_models.py` makes the networks; PITH_REAL_MODELS names another folder of them. Python requires onnxruntime, onnx and nncf for the
 * comparison with other quantizers, and onnxruntime and transformers for figures of text and speech. Takes 40 minutes. Exit code 1 if a target is missed.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { realModel } from "../test/shared.ts";
import { heading, line } from "./lib/print.ts";
import { classifier } from "./real/classifier.ts";
import { languageModel, speechModel } from "./real/dtypes.ts";

const experiments = { "efficientnet-lite0": classifier, "smollm2-135m": languageModel, "whisper-tiny.en": speechModel };
type Name = keyof typeof experiments;
const isName = (name: string): name is Name => Object.hasOwn(experiments, name);

const { values: options } = parseArgs({
  options: {
    models: { type: "string", default: Object.keys(experiments).join() },
    keep: { type: "string" },
    python: { type: "string" },
  },
});
const temporary = mkdtempSync(join(tmpdir(), "pith-real-"));
heading("Networks of real size", 0);
let isMet = true;
try {
  for (const name of options.models.split(",")) {
    if (!isName(name)) throw new Error(`There is no ${name}: ${Object.keys(experiments).join(", ")}.`);
    const source = realModel(name);
    line(`\n${name}`);
    if (source === undefined) {
      line("  not measured: bench/peers/real_models.py makes it");
      continue;
    }
    const folder = join(options.keep ?? temporary, name);
    mkdirSync(folder, { recursive: true });
    isMet = (await experiments[name]({ source, folder, python: options.python })) && isMet;
  }
} finally {
  rmSync(temporary, { recursive: true });
}
process.exitCode = isMet ? 0 : 1;
