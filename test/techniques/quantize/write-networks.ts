/** Writes the networks for quantize-static.py: `tsx --conditions=pith-source test/techniques/quantize/write-networks.ts FOLDER`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { save } from "../../../src/core/onnx/index.ts";
import { calibration, compared } from "./networks.ts";

const folder = process.argv[2] ?? ".";
mkdirSync(folder, { recursive: true });
for (const name of ["mlp", "cnn", "extremes"] as const) {
  await save(compared[name](), join(folder, `${name}.onnx`));
  const { dims, data } = calibration(name);
  writeFileSync(join(folder, `${name}.json`), JSON.stringify({ dims, data: [...data] }));
}
