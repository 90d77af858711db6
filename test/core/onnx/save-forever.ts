/** Saves two models alternately to one file until the process is killed: `save-forever.ts <path> <inside | outside>`. */
import { Model } from "../../../src/core/graph/model.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";

const [path = "", where] = process.argv.slice(2);

function model(fill: number): Model {
  const filled = new Model();
  filled.header.doc = `filled with ${fill}`;
  const weights = new Float32Array(500_000).fill(fill);
  for (const name of ["one", "two", "three"])
    filled.graph.addTensor(name, inMemory(float32([weights.length], weights)));
  return filled;
}

const models = [model(1), model(2)];
for (let round = 0; ; round++) {
  const next = models[round % 2];
  if (next !== undefined) await save(next, path, { externalData: where === "outside" });
  if (round === 0) process.stdout.write("saved\n");
}
