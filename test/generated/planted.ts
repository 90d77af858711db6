/** The law of each rule's examples in random networks: the rule applies there, or does not, and the outputs are the same. */

import { infer } from "../../src/core/analysis/infer.ts";
import { createRoundingTest } from "../../src/core/analysis/quantized-values.ts";
import { allGraphs, allValues } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { rulesById } from "../../src/core/ops/rules/index.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { expectKept, type Search } from "./check.ts";
import { descriptionsAround, type Network } from "./network.ts";
import { batchesOf, engine, expectSame, expectSentences, expectThat, originalAnswers } from "./runs.ts";
import { plantPrefix, plants } from "./starts.ts";

/** Networks with an example in which the rule applies. */
export async function expectFires(id: string, search: Search): Promise<void> {
  const examples = plants.filter(({ rule, fires }) => rule === id && fires);
  const tolerance = Math.max(...examples.map((plant) => plant.tolerance));
  const keep = async (network: Network): Promise<void> => {
    const alone = network.model.clone();
    const places = await apply(alone, id);
    expectThat(places.length > 0 || isExcused(network.model, id), "the rule does not apply");
    await expectEqual(network, alone, tolerance);
    const all = network.model.clone();
    expectSentences(await simplify(all, {}, { engine }));
    await expectEqual(network, all, tolerance);
    const [before, after] = [countNodes(network.model), countNodes(all)];
    expectThat(after <= before, `${before} nodes become ${after}`);
  };
  const from = descriptionsAround(
    examples.map(({ title }) => title),
    true,
  );
  await expectKept({ name: id, keep }, { ...search, from });
}

/** Networks with the nearest models in which the rule must not apply. Nothing stands in front of them, because it could complete the pattern. */
export async function expectKeeps(id: string, search: Search): Promise<void> {
  const examples = plants.filter(({ rule, fires }) => rule === id && !fires);
  const keep = async (network: Network): Promise<void> => {
    const [place] = await apply(network.model.clone(), id);
    expectThat(place === undefined, `the rule applies at ${place}`);
  };
  const from = descriptionsAround(
    examples.map(({ title }) => title),
    false,
  );
  await expectKept({ name: id, keep }, { ...search, from, runs: false });
}

/** Applies one rule, and returns the nodes of the example where it applied. */
async function apply(model: Model, id: string): Promise<readonly string[]> {
  const { changes } = await simplify(model, { only: [id] }, { engine });
  return changes.filter(({ at, rule }) => rule === id && at.includes(plantPrefix)).map(({ at }) => at);
}

/**
 * Returns whether a rule must not apply to the example: masks and parameters in training keep all parameters as they are, and a rule that changes
 * the order of a sum leaves values that blocks behind the example quantize.
 */
function isExcused(model: Model, id: string): boolean {
  if ([...allValues(model.graph)].some(({ role }) => role !== undefined)) return true;
  if (rulesById.get(id)?.reorders !== true) return false;
  const isRounded = createRoundingTest(model, infer(model));
  return [...model.graph.nodes()].some((node) => node.name.startsWith(plantPrefix) && isRounded(node));
}

async function expectEqual(network: Network, result: Model, tolerance: number): Promise<void> {
  await expectSame(network, result, batchesOf(network), await originalAnswers(network), true, tolerance);
}

const countNodes = (model: Model): number =>
  [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);
