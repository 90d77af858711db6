/** Tests a search whose best candidates on the search samples fail on the test samples. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { indexed, range } from "../../../src/data/batches/indexed.ts";
import { splitForSearch } from "../../../src/search/search-splits.ts";
import { compiled, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();
const units = 64;
const count = 400;

type Matrix = readonly (readonly number[])[];
type Point = readonly number[];

// With this seed, each class covers a large part of the circle.
const draw = random(21, "unproven");
const matrix = (rows: number, columns: number): Matrix =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => Math.fround(draw.normal())));
const layers = [matrix(units, 2), matrix(units, units), matrix(2, units)];

const network = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
${layers.map((weight, index) => `  w${index}: float32[${weight.length}, ${weight[0]?.length}] parameter = ${JSON.stringify(weight)}`).join("\n")}
  a = Gemm(features, w0) {transB=1}
  b = Relu(a)
  c = Gemm(b, w1) {transB=1}
  d = Relu(c)
  logits = Gemm(d, w2) {transB=1}
}
`;

/** Returns the logit of the first class minus that of the second. */
function margin(point: Point): number {
  const [first = 0, second = 0] = layers.reduce<Point>(
    (values, weight, index) =>
      weight.map((row) => {
        const sum = row.reduce((total, factor, at) => total + factor * (values[at] ?? 0), 0);
        return index < layers.length - 1 ? Math.max(0, sum) : sum;
      }),
    point,
  );
  return first - second;
}

/** Returns a point on the unit circle. The classes of a network without biases are sectors. */
const point = (angle: number): Point => [Math.cos(angle), Math.sin(angle)].map(Math.fround);
const anyPoint = (): Point => point(2 * Math.PI * draw.uniform());

/** Returns a point at an angle far from the decision boundary. */
function easy(): Point {
  for (;;) {
    const angle = 2 * Math.PI * draw.uniform();
    const signs = [-0.15, -0.1, -0.05, 0, 0.05, 0.1, 0.15].map((turn) => Math.sign(margin(point(angle + turn))));
    if (new Set(signs).size === 1) return point(angle);
  }
}

/** Returns a point near the decision boundary. */
function hard(steps: number): Point {
  for (;;) {
    let [low, high] = [anyPoint(), anyPoint()];
    if (Math.sign(margin(low)) === Math.sign(margin(high))) continue;
    for (let step = 0; step < steps; step++) {
      const middle = low.map((value, axis) => Math.fround((value + (high[axis] ?? 0)) / 2));
      if (Math.sign(margin(middle)) === Math.sign(margin(low))) low = middle;
      else high = middle;
    }
    return low;
  }
}

type Row = readonly number[];
const labelled = (point: Point): Row => [...point, margin(point) > 0 ? 0 : 1];
/** Samples rows near the decision boundary, at a distance that shrinks with `halvings`. */
const near = (halvings: number) => (): Row => labelled(hard(halvings));

/** Searches a network that classifies all search samples correctly. @param proof samples a row that the finalists are evaluated on. */
async function searched(name: string, proof: () => Row, more: readonly string[] = ["--max-drop", "2%"]) {
  await save(parseModel(network), at("sectors.onnx"));
  const places = indexed("places", count, async (positions) => ({
    place: { type: "float32", dims: [positions.length], data: Float32Array.from(positions) },
  }));
  const easyPlaces = new Set<number>();
  for await (const { place } of splitForSearch(places).search.batches({ size: count }))
    for (const row of place?.data ?? []) easyPlaces.add(Number(row));
  const rowsOf = (isEasy: (at: number) => boolean): Row[] =>
    [...range(count)].map((row) => (isEasy(row) ? labelled(easy()) : proof()));
  const parts = { train: rowsOf(() => true), test: rowsOf((row) => easyPlaces.has(row)) };
  // Node caches modules by path, so each search has its own.
  const data = at(`${name}.mjs`);
  writeFileSync(
    data,
    `import { memory } from ${JSON.stringify(compiled("data/index.js"))};
const parts = ${JSON.stringify(parts)};
const dataset = (name, rows) => memory(name, {
  features: { type: "float32", dims: [rows.length, 2], data: Float32Array.from(rows.flatMap(([x, y]) => [x, y])) },
  label: { type: "int64", dims: [rows.length], data: BigInt64Array.from(rows, ([, , label]) => BigInt(label)) },
});
export const train = dataset("train", parts.train);
export const test = dataset("test", parts.test);
`,
  );
  const out = at(name);
  const words = ["--steps", "9", "--for", "size", ...more, "-o", out];
  const { out: table, ...ended } = await pith("compress", at("sectors.onnx"), "--data", data, ...words);
  return { ...ended, table, out };
}

test("keeps nothing if no candidate meets the goal, and removes the best so far", async () => {
  const { code, err, out } = await searched("unproven", near(20));
  expect(err).toMatch(/^best so far: /m);
  expect(code, err).toBe(1);
  expect(err).toMatch(/^E_ACCURACY_LOST: /m);
  for (const name of ["model.onnx", "recipe.yaml", "rejected"]) expect(existsSync(join(out, name)), name).toBe(false);
  expect(readFileSync(join(out, "report.md"), "utf8")).toContain("Nothing was kept");
});

test("keeps another candidate that meets the goal if no finalist does, and logs it", async () => {
  const { code, err, out } = await searched("reserve", near(8));
  expect(code, err).toBe(0);
  expect(err).toMatch(/^no finalist meets the goal on other samples; evaluating \d others?$/m);
  const { variants, chosen } = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  expect(variants[chosen].name).toBe("float16");
  expect(variants.length).toBeGreaterThan(2);
});

test("tries nothing if the original is at chance level on the test samples", async () => {
  const { code, err, out } = await searched("chance", () => [...easy(), Math.floor(2 * draw.uniform())]);
  expect(code, err).toBe(1);
  expect(err).toMatch(/^E_DATA: The original scores .* these samples cannot show what is lost/m);
  expect(err).not.toMatch(/tried|best so far/);
  expect(existsSync(join(out, "model.onnx"))).toBe(false);
});

test("--keep front writes larger candidates with smaller drops, named in run.json and the table", async () => {
  const { code, err, out, table } = await searched("front", near(8), ["--max-drop", "60%", "--keep", "front"]);
  expect(code, err).toBe(0);
  const { variants } = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  const named = variants.filter(({ file }: { readonly file?: string }) => file !== undefined);
  expect(named.length).toBeGreaterThan(0);
  for (const { file, result } of named) {
    expect(readFileSync(join(out, file)).length).toBe(result.bytes);
    expect(readFileSync(join(out, file.replace("onnx", "yaml")), "utf8")).toContain("steps:");
    expect(table).toContain(`← ${file}`);
  }
  expect(readdirSync(out).filter((name) => name.startsWith("front-"))).toHaveLength(2 * named.length);
});
