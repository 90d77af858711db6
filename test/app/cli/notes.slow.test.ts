/** No command writes the export metadata of a model, such as source paths, into its results. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { allGraphs } from "../../../src/core/graph/graph.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodedSize, encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { Writer } from "../../../src/core/onnx/writer.ts";
import { removeExporterMetadata } from "../../../src/core/pass/exporter-metadata.ts";
import { json, pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();
const secret = "/home/somebody/secret";
const trace = `File "${secret}/net.py", line 26, in forward\n    y = self.fc(x)`;
const notes = new Map([
  ["pkg.torch.onnx.stack_trace", trace],
  ["pkg.onnxscript.optimizer.folded_from", `['${secret}']`],
  ["namespace", `: ${secret}: torch.nn.Linear`],
]);

/** A function of the model, y = Relu(x), with notes on it and on its node. */
function noted(): Uint8Array {
  const writer = new Writer();
  const entry = (number: number, own: Writer): void =>
    own.message(number, (pair) => {
      pair.text(1, "pkg.torch.onnx.stack_trace");
      pair.text(2, trace);
    });
  writer.text(1, "Rectify");
  writer.text(4, "x");
  writer.text(5, "y");
  writer.message(7, (node) => {
    node.text(1, "x");
    node.text(2, "y");
    node.text(3, "inner");
    node.text(4, "Relu");
    node.text(6, trace);
    entry(9, node);
  });
  writer.text(8, trace);
  writer.message(9, (opset) => opset.integer(2, 21));
  writer.text(10, "own");
  entry(14, writer);
  return Uint8Array.from(writer.finish().flatMap((piece) => (piece instanceof Uint8Array ? [...piece] : [])));
}

async function saved(name: string, text: string): Promise<void> {
  const model = parseModel(text);
  if (text.includes("own.")) model.header.functions = [noted()];
  model.header.metadata.set("pkg.torch.onnx.exported_from", secret);
  model.header.metadata.set("author", "somebody");
  for (const graph of allGraphs(model.graph)) {
    for (const carrier of [graph, ...graph.nodes(), ...graph.values()]) {
      carrier.metadata = new Map([...carrier.metadata, ...notes]);
      carrier.doc = trace;
    }
  }
  await save(model, at(name));
}

const calling = hidden
  .replace("active = Relu(between)", "active = own.Rectify(between)")
  .replace("opset 21", "opset 21, own 1");

beforeAll(async () => {
  await saved("noted.onnx", calling);
  await saved("trained.onnx", hidden.replace("[0, 0.5]]", "[0, 0.4]]"));
});

test("the example has metadata everywhere, and calls its function", async () => {
  const model = await open(at("noted.onnx"));
  expect(model.functions.map(({ name }) => name)).toEqual(["Rectify"]);
  const bytes = Buffer.from(await encodeToBytes(model)).toString("latin1");
  expect(bytes.split(secret).length).toBeGreaterThan(20);
});

test("does not count export metadata in the original's bytes and the ratio", async () => {
  const model = await open(at("noted.onnx"));
  removeExporterMetadata(model);
  const bytes = await encodedSize(model);
  const metadata = (await encodedSize(await open(at("noted.onnx")))) - bytes;
  const words = ["prune", at("noted.onnx"), "--amount", "0.6", "--force", "-o", at("counted.onnx")];
  const { before } = await json(...words);
  expect(before).toMatchObject({ bytes, metadata });
  const { out } = await pith(...words);
  const after = statSync(at("counted.onnx")).size;
  expect(out).toMatch(new RegExp(`^bytes .* ${(bytes / after).toFixed(2)} ×$`, "m"));
  const folder = at("compressed");
  const recipe = at("recipe.yaml");
  writeFileSync(recipe, "steps:\n  - quantize: { scheme: weights }\n");
  await pith("compress", at("noted.onnx"), ...data(), "-r", recipe, "--force", "-o", folder);
  const run = JSON.parse(readFileSync(join(folder, "run.json"), "utf8"));
  expect(run.original).toMatchObject({ bytes, metadata });
});

const data = (): string[] => ["--data", at("points.csv")];
const train = (): string[] => [...data(), "--epochs", "1"];

test.each<[string, () => string[]]>([
  ["quantize", () => ["--scheme", "weights"]],
  ["quantize", () => ["--scheme", "dynamic"]],
  ["quantize", () => ["--scheme", "float16"]],
  ["quantize", () => ["--scheme", "static", ...data()]],
  ["prune", () => ["--amount", "0.6"]],
  ["factorize", () => ["--rank", "1"]],
  ["simplify", () => []],
  ["train", train],
  ["distill", () => [...train(), "--teacher", at("hidden.onnx")]],
  ["recover", () => [...data(), "--original", at("hidden.onnx")]],
])("%s %#", async (command, flags) => {
  const out = at(`${command}.onnx`);
  const force = command === "simplify" ? [] : ["--force"];
  const trains = ["train", "distill", "recover"].includes(command);
  const {
    code,
    err,
    out: output,
  } = await pith(command, at(trains ? "trained.onnx" : "noted.onnx"), ...flags(), ...force, "-o", out);
  expect({ code, err }).toMatchObject({ code: 0 });
  expect(output.includes("of the exporter's metadata in the original (pith simplify drops it, too)")).toBe(
    command !== "simplify",
  );
  const bytes = readFileSync(out).toString("latin1");
  expect(bytes).not.toContain(secret);
  expect((await open(out)).header.metadata.get("author")).toBe("somebody");
});
