/** Promises of low rank: the loss of a layer is the dropped energy, the minimum for its rank. The network computes the product and stores fewer numbers. */

import { infer } from "../../../src/core/analysis/infer.ts";
import { allLayers, layers } from "../../../src/core/analysis/layers.ts";
import { allGraphs } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { fromDense, type Matrix, multiply, subtract } from "../../../src/core/math/matrix.ts";
import { singularValues } from "../../../src/core/math/svd.ts";
import { isFloat } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { groupBy } from "../../../src/core/tensor/group-by.ts";
import { storeConstants } from "../../../src/rewrite/clean-up/store-constants.ts";
import { type FactorizeOptions, factorize } from "../../../src/techniques/factorize/index.ts";
import type { Network } from "../network.ts";
import { answers, batchesOf, engine, expectSame, expectSentences, expectThat } from "../runs.ts";
import { expectSameShapes, type Promised, type Weight, weights, withWeights } from "./promised.ts";

const options: readonly FactorizeOptions[] = [
  {},
  { rank: 1 },
  { budget: 0.7 },
  { overrides: { "*": { budget: 0.5 } } },
];

export const factorizing: readonly Promised[] = options.map((wanted) => ({
  name: `factorize ${JSON.stringify(wanted)}`,
  async keep(network: Network): Promise<void> {
    const model = network.model.clone();
    await storeConstants(model);
    const before = await weights(model);
    // Options of layers are refused if there is no layer.
    if (layers(model, infer(model)).length === 0) return;
    const result = model.clone();
    const outcome = await factorize(result, { ...wanted, method: "svd" }, { engine });
    expectSentences(outcome);
    const [stored, remaining] = [storedCount(model), storedCount(result)];
    expectThat(
      outcome.changes.length === 0 ? remaining === stored : remaining < stored,
      `${stored} stored numbers became ${remaining}`,
    );
    const batches = batchesOf(network);
    const got = await answers(result, batches);
    await expectSameShapes(network, got);
    // Weights are identified by layer names, and layers that read a weight and its transposition have one name.
    const named = groupBy(allLayers(model, infer(model)), ({ name }) => name);
    if ([...named.values()].some((group) => new Set(group.map(({ effective }) => effective)).size > 1)) return;
    const products = new Map<string, Float64Array>();
    for (const { at } of outcome.changes) {
      const [weight, factors] = [before.get(at), await factorsOf(result, at)];
      // Layers that share a weight share its factors, under the name of the first.
      if (weight === undefined || factors === undefined) continue;
      const rank = weight.out === 0 ? factors.up.columns : factors.up.rows;
      // Groups are decomposed separately, which the tests of the decompositions cover.
      if (weight.out === 0 && factors.down.rows !== rank) return;
      const product = weight.out === 0 ? multiply(factors.up, factors.down) : multiply(factors.down, factors.up);
      expectLeastLost(at, weight, product, rank, wanted);
      products.set(at, product.data);
    }
    const same = await withWeights(model, products);
    if (same === undefined || outcome.changes.length === 0) return;
    await expectSame({ model: same }, result, batches, await answers(same, batches));
  },
}));

/** Returns the number of floats that a model stores, including subgraphs. */
const storedCount = (model: Model): number =>
  [...allGraphs(model.graph)]
    .flatMap((graph) => [...graph.values()])
    .reduce((sum, { tensor }) => sum + (tensor && isFloat(tensor.type) ? elementCount(tensor.dims) : 0), 0);

/** Returns both factors as stored, transposed if the inputs come first. */
async function factorsOf(
  { graph }: Model,
  layer: string,
): Promise<{ readonly up: Matrix; readonly down: Matrix } | undefined> {
  const [up, down] = [graph.value(`${layer}.up.weight`)?.tensor, graph.value(`${layer}.down.weight`)?.tensor];
  if (up === undefined || down === undefined) return undefined;
  return { up: fromDense(await up.read()), down: fromDense(await down.read()) };
}

function expectLeastLost(layer: string, weight: Weight, product: Matrix, rank: number, wanted: FactorizeOptions): void {
  const [rows = 0, ...innerDims] = weight.dims;
  const columns = elementCount(innerDims);
  const original = fromDense(float32(weight.dims, Float32Array.from(weight.numbers)));
  const energies = singularValues(original).map((value) => value * value);
  const totalEnergy = energies.reduce((sum, energy) => sum + energy, 0);
  const dropped = (from: number): number => energies.slice(from).reduce((sum, energy) => sum + energy, 0);
  const lost = subtract(original, product).data.reduce((sum, value) => sum + value * value, 0);
  // The tolerance covers two factors, each rounded to the type of the weight.
  const rounding = weight.type === "float16" ? 2 ** -9 : 1e-5;
  const at = `layer "${layer}" of ${rows} × ${columns}, rank ${rank}`;
  expectThat(
    Math.abs(Math.sqrt(lost) - Math.sqrt(dropped(rank))) <= rounding * Math.sqrt(totalEnergy) + 1e-30,
    `${at} lost ${lost}, dropped was ${dropped(rank)} of ${totalEnergy}`,
  );
  const size = (of: number): number => of * (rows + columns);
  expectThat(size(rank) < rows * columns, `${at} is no smaller`);
  if (wanted.rank !== undefined) expectThat(rank === wanted.rank, `${at}, not ${wanted.rank}`);
  const share = wanted.overrides?.["*"]?.budget;
  if (share !== undefined) {
    const most = share * rows * columns;
    expectThat(size(rank) <= most && size(rank + 1) > most, `${at} is not the largest for ${share} of it`);
  }
  if (Object.keys(wanted).length === 0) {
    const most = 0.05 * totalEnergy;
    expectThat(dropped(rank) <= most + 1e-9 * totalEnergy, `${at} drops ${dropped(rank)} of ${totalEnergy}`);
    expectThat(rank === 1 || dropped(rank - 1) >= most - 1e-9 * totalEnergy, `${at}: a smaller one keeps the energy`);
  }
}
