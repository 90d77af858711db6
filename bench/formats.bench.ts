/**
 * Settings of quantization beside each other, and what the tool takes of large models; what results keep, beside others' tools, is `quantize`.
 *
 *     npm run bench -- formats [ranges|tool …] [--models resnet20,bert_sst2] [--python path] [--keep FOLDER]
 *
 * A table is a file in bench/formats/ and a line below. Models and data come from the shared folder. onnxruntime's tool takes part where a
 * Python with onnxruntime and onnx is found: --python, PITH_PYTHON, bench/peers/venv, or python3. --keep leaves all files in a folder.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ranges } from "./formats/ranges.ts";
import type { FormatsTable } from "./formats/table.ts";
import { toolSpeed } from "./formats/tool-speed.ts";
import { heading, line } from "./lib/print.ts";

const tables: Readonly<Record<string, FormatsTable>> = { ranges, tool: toolSpeed };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { models: { type: "string" }, python: { type: "string" }, keep: { type: "string" } },
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
    await table.run({ models: values.models?.split(","), python: values.python, folder });
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
line();
