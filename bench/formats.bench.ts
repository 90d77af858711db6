/**
 * Quantized files beside those of others: what they cost in accuracy, and how fast they run.
 *
 *     npm run bench -- formats [static|losses|ranges|tool …] [--models resnet20,bert_sst2] [--rounds 100] [--python path] [--keep FOLDER]
 *
 * A table is a file in bench/formats/ and a line below. Models and data come from the shared folder. onnxruntime's and NNCF's tools take part where a
 * Python with onnxruntime, onnx and nncf is found: --python, PITH_PYTHON, bench/peers/venv, or python3. --keep leaves all files in a folder.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { losses } from "./formats/losses.ts";
import { ranges } from "./formats/ranges.ts";
import { staticLatency } from "./formats/static-latency.ts";
import type { FormatsTable } from "./formats/table.ts";
import { toolSpeed } from "./formats/tool-speed.ts";
import { heading, line } from "./lib/print.ts";

const tables: Readonly<Record<string, FormatsTable>> = { static: staticLatency, losses, ranges, tool: toolSpeed };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    models: { type: "string" },
    rounds: { type: "string", default: "100" },
    python: { type: "string" },
    keep: { type: "string" },
  },
});
const unknown = positionals.find((name) => tables[name] === undefined);
if (unknown !== undefined) {
  line(`There is no table "${unknown}": ${Object.keys(tables).join(", ")}.`);
  process.exit(2);
}
const temporary = mkdtempSync(join(tmpdir(), "pith-formats-"));
const folder = values.keep ?? temporary;
try {
  for (const [name, table] of Object.entries(tables)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    heading(table.title, 1);
    const { python = process.env.PITH_PYTHON } = values;
    await table.run({ models: values.models?.split(","), rounds: Number(values.rounds), python, folder });
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
line();
